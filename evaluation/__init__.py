"""What is concluded: scores over whole games, and recorded gameplay."""

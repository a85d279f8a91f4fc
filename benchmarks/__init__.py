"""Speed, memory and learning compared with the alternatives to this suite."""

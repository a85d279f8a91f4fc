"""Speed, memory and learning against what a user would pick instead of this suite."""

"""What learns: a file for each algorithm, with all that is particular to it."""

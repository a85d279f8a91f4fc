"""What the suite's programs do alike: command lines, one-line errors, progress, files that last."""

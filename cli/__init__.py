"""The user interface: options, one-line errors, progress and tables."""

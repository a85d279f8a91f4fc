"""What a person meets: options, one-line errors, progress, tables."""

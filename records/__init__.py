"""A run on disk: its settings, folder, rows, checkpoints and origin."""

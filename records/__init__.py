"""One run on disk: its settings, folder, rows and checkpoints, and what made it."""

"""A search for an arm's settings: Optuna asks, runs of train.py answer, every arm pays the same."""

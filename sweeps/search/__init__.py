"""Hyperparameter search for each arm: Optuna proposes, train.py runs, every arm has one budget."""

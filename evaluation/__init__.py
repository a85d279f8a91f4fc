"""Evaluation: scores over whole games, comparisons, recorded gameplay and model cards."""

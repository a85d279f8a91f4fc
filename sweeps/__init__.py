"""Grids of runs: games × algorithms × extractors × seeds, each cell a run and its scores."""

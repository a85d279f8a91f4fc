"""Does a box detector with coordinates place its boxes better? (Liu et al. 2018)."""

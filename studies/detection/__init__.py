"""Does a box detector that is given coordinates place its boxes better? (Liu et al. 2018)."""

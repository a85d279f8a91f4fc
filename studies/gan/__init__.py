"""Does a generator that is given coordinates cover more places? (Liu et al. 2018)."""

"""Does a generator with coordinates cover more positions? (Liu et al. 2018)."""

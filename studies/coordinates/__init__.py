"""Can a network turn coordinates into pixels, and back? (Liu et al. 2018, section 4)."""

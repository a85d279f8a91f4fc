"""The learning algorithms: one file for each, with everything that is specific to it."""

"""More digits from a coarse device: refinement, averaging, rotation, and an estimate of what is still wrong."""

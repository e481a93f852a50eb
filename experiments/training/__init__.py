"""Training runs: optimizers side by side on the same batches, every finished step in a store."""

"""What people run: single solves, trainings, tolerance sweeps, validation, benchmarks."""

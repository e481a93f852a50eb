"""Random systems that the benchmarks share."""

import numpy as np

from spu_circuit.problem import GgnSystem, LinearSystem


def spd_system(size: int, condition: float, seed: int = 0) -> LinearSystem:
    """Symmetric positive definite, eigenvalues spaced evenly in logarithm from 1/√condition to √condition."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(size, size)))[0]
    A = basis * np.geomspace(condition**-0.5, condition**0.5, size) @ basis.T
    return LinearSystem((A + A.T) / 2, rng.normal(size=size))


def dominant_system(size: int, condition: float, seed: int = 0) -> LinearSystem:
    """Diagonally dominant, couplings of both signs, smallest eigenvalue δ and largest ``condition`` δ.

    ``S (L + δI) S`` with the Laplacian L of a graph with random weights, whose smallest eigenvalue is 0, and random
    signs S, which change no eigenvalue: every row has slack δ.
    """
    rng = np.random.default_rng(seed)
    weights = np.triu(rng.uniform(0.1, 1.0, (size, size)), 1)
    weights += weights.T
    laplacian = np.diag(weights.sum(axis=1)) - weights
    signs = np.where(rng.random(size) < 0.5, -1.0, 1.0)
    largest = float(np.linalg.eigvalsh(laplacian)[-1])
    A = np.eye(size) if condition == 1 else laplacian + largest / (condition - 1) * np.eye(size)
    return LinearSystem(A * np.outer(signs, signs), rng.normal(size=size))


def ggn_system(rows: int, parameters: int, damping: float, seed: int = 0) -> GgnSystem:
    """Gaussian B with BᵀB of order one."""
    rng = np.random.default_rng(seed)
    return GgnSystem(rng.normal(size=(rows, parameters)) / np.sqrt(parameters), damping, rng.normal(size=parameters))

"""Random systems that the benchmarks share."""

import numpy as np

from spu_circuit.problem import GgnSystem, LinearSystem


def spd_system(size: int, condition: float, seed: int = 0) -> LinearSystem:
    """Symmetric positive definite, eigenvalues spaced evenly in logarithm from 1/√condition to √condition."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(size, size)))[0]
    A = basis * np.geomspace(condition**-0.5, condition**0.5, size) @ basis.T
    return LinearSystem((A + A.T) / 2, rng.normal(size=size))


def dominant_system(size: int, seed: int = 0, slack: float = 0.3) -> LinearSystem:
    """Couplings of both signs, and a diagonal that is larger than their sum by ``slack`` of the largest."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(size, size))
    A = A + A.T
    np.fill_diagonal(A, 0)
    np.fill_diagonal(A, np.abs(A).sum(axis=1) + slack * (np.abs(A).max() or 1.0))
    return LinearSystem(A, rng.normal(size=size))


def ggn_system(rows: int, parameters: int, damping: float, seed: int = 0) -> GgnSystem:
    """Gaussian B with BᵀB of order one."""
    rng = np.random.default_rng(seed)
    return GgnSystem(rng.normal(size=(rows, parameters)) / np.sqrt(parameters), damping, rng.normal(size=parameters))

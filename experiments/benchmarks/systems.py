"""Random systems that the benchmarks share."""

import numpy as np

from spu_circuit.problem import GgnSystem, LinearSystem


def spd_system(size: int, condition: float, seed: int = 0) -> LinearSystem:
    """Symmetric positive definite, eigenvalues spaced evenly in logarithm from 1/√condition to √condition."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(size, size)))[0]
    A = basis * np.geomspace(condition**-0.5, condition**0.5, size) @ basis.T
    return LinearSystem((A + A.T) / 2, rng.normal(size=size))


def ggn_system(rows: int, parameters: int, damping: float, seed: int = 0) -> GgnSystem:
    """Gaussian B with BᵀB of order one."""
    rng = np.random.default_rng(seed)
    return GgnSystem(rng.normal(size=(rows, parameters)) / np.sqrt(parameters), damping, rng.normal(size=parameters))

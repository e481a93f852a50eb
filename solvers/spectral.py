"""Functions of a symmetric operator applied to vectors: of a dense A, and of ``BᵀB + λI`` without forming it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

Array = NDArray[np.float64]
Function = Callable[[Array], Array]


class DenseOperator:
    """A symmetric matrix (n, n) in its eigenbasis."""

    def __init__(self, A: Array) -> None:
        self._values, self._vectors = eigh(A, driver="evd", check_finite=False)

    def apply(self, *terms: tuple[Function, Array]) -> Array:
        """Σ f(A) v over the terms (f, v); f maps eigenvalues to factors. Returns (n,)."""
        inner = np.zeros_like(self._values)
        for function, vector in terms:
            inner += function(self._values) * (self._vectors.T @ vector)
        return self._vectors @ inner

    def diagonal(self, function: Function) -> Array:
        """diag f(A), (n,)."""
        return self._vectors**2 @ function(self._values)


@dataclass(frozen=True)
class LowRankOperator:
    """``F = BᵀB + λI`` with B (K, N).

    With ``B Bᵀ = W diag(σ) Wᵀ`` any function acts as ``f(F) v = f(λ) v + Bᵀ W ψ Wᵀ B v``,
    ``ψ = (f(σ + λ) − f(λ)) / σ``. Memory O(NK + K²), time O(NK²) once and O(NK) per application.
    """

    B: Array
    damping: float

    @cached_property
    def _modes(self) -> tuple[Array, Array]:
        values, vectors = eigh(self.B @ self.B.T, driver="evd", check_finite=False)
        return np.maximum(values, 0), vectors

    def _gains(self, function: Function) -> tuple[float, Array]:
        values, _ = self._modes
        rest = float(function(np.array([self.damping]))[0])
        # Below this the quotient is rounding noise, and Bᵀw has no length to carry it.
        seen = values > np.finfo(float).eps * values[-1]
        gains = np.zeros_like(values)
        gains[seen] = (function(values[seen] + self.damping) - rest) / values[seen]
        return rest, gains

    def apply(self, *terms: tuple[Function, Array]) -> Array:
        """Σ f(F) v over the terms (f, v); f maps eigenvalues to factors. Returns (N,)."""
        _, vectors = self._modes
        total, inner = np.zeros(self.B.shape[1]), np.zeros(self.B.shape[0])
        for function, vector in terms:
            rest, gains = self._gains(function)
            total += rest * vector
            inner += gains * (vectors.T @ (self.B @ vector))
        return total + self.B.T @ (vectors @ inner)

    def diagonal(self, function: Function) -> Array:
        """diag f(F), (N,). Time O(NK²)."""
        _, vectors = self._modes
        rest, gains = self._gains(function)
        return rest + gains @ (vectors.T @ self.B) ** 2

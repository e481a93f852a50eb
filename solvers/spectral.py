"""Functions of symmetric operators applied to vectors: of dense A, and of ``BᵀB + λI`` without forming it.

Every array may have leading dimensions: m operators then act on m vectors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]


class DenseOperator:
    """Symmetric matrices (..., n, n) in their eigenbases."""

    def __init__(self, A: Array) -> None:
        self.rates, self._vectors = np.linalg.eigh(A)

    def apply(self, *terms: tuple[Function, Array]) -> Array:
        """Σ f(A) v over the terms (f, v); f maps eigenvalues (..., n) to factors. Returns (..., n)."""
        inner = np.zeros_like(self.rates)
        for function, vector in terms:
            inner += function(self.rates) * _times(_transposed(self._vectors), vector)
        return _times(self._vectors, inner)

    def diagonal(self, function: Function) -> Array:
        """diag f(A), (..., n)."""
        return _times(self._vectors**2, function(self.rates))


@dataclass(frozen=True)
class LowRankOperator:
    """``F = BᵀB + λI`` with B (..., K, N) and λ (...).

    With ``B Bᵀ = W diag(σ) Wᵀ`` any function acts as ``f(F) v = f(λ) v + Bᵀ W ψ Wᵀ B v``,
    ``ψ = (f(σ + λ) − f(λ)) / σ``. Memory O(NK + K²), time O(NK²) once and O(NK) per application.
    """

    B: Array
    damping: Array | float

    @cached_property
    def _modes(self) -> tuple[Array, Array]:
        values, vectors = np.linalg.eigh(self.B @ _transposed(self.B))
        return np.maximum(values, 0), vectors

    def _gains(self, function: Function) -> tuple[Array, Array]:
        """f(λ), (..., 1), and ψ, (..., K)."""
        values, _ = self._modes
        damping = np.asarray(self.damping, dtype=float)[..., None]
        rest = function(damping)
        # Below this the quotient is rounding noise, and Bᵀw has no length to carry it.
        seen = values > np.finfo(float).eps * values[..., -1:]
        above = function(np.where(seen, values, 0) + damping) - rest
        return rest, np.where(seen, above / np.where(seen, values, 1), 0)

    def apply(self, *terms: tuple[Function, Array]) -> Array:
        """Σ f(F) v over the terms (f, v); f maps eigenvalues to factors. Returns (..., N)."""
        _, vectors = self._modes
        total, inner = np.zeros(self.B.shape[:-2] + self.B.shape[-1:]), np.zeros(self.B.shape[:-1])
        for function, vector in terms:
            rest, gains = self._gains(function)
            total += rest * vector
            inner += gains * _times(_transposed(vectors), _times(self.B, vector))
        return total + _times(_transposed(self.B), _times(vectors, inner))

    def diagonal(self, function: Function) -> Array:
        """diag f(F), (..., N). Time O(NK²)."""
        _, vectors = self._modes
        rest, gains = self._gains(function)
        return rest + _times(_transposed((_transposed(vectors) @ self.B) ** 2), gains)


def _transposed(matrices: Array) -> Array:
    return matrices.swapaxes(-1, -2)


def _times(matrices: Array, vectors: Array) -> Array:
    return (matrices @ vectors[..., None])[..., 0]

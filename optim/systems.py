"""What a step of natural gradient descent asks of a solver, and what it gets back, as trees of JAX arrays."""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from solvers.solution import COUNTS, StatisticsArrays

ERROR_BYTES = 400
"""Room for the text of an error; a longer one is cut."""


class Dense(NamedTuple):
    """``A x = b``: A (n, n), symmetric, with λ () on its diagonal, and b (n,)."""

    A: Array
    damping: Array
    b: Array


class Ggn(NamedTuple):
    """``(BᵀB + λI) g̃ = g``: B (K, N), λ (), g (N,)."""

    B: Array
    damping: Array
    gradient: Array

    def dual(self) -> Dense:
        """The K×K Woodbury system ``(BBᵀ + λI) y = B g``."""
        A = product(self.B, self.B.T)
        return _damped(A, self.damping, product(self.B, self.gradient))

    def kernel(self, coordinates: Array) -> Dense:
        """The K×K system ``(BBᵀ + λI) z = ρ`` of coordinates ρ (K,) with ``g = Bᵀρ``; then ``g̃ = Bᵀz``."""
        return self.dual()._replace(b=coordinates)

    def primal(self) -> Dense:
        """The N×N system itself, formed densely."""
        A = product(self.B.T, self.B)
        return _damped(A, self.damping, self.gradient)

    def from_dual(self, y: Array, damping: Array | None = None) -> Array:
        """``g̃ = (g − Bᵀ y) / λ`` from the dual solution (K,), with the λ that it was solved with."""
        return (self.gradient - product(self.B.T, y)) / (self.damping if damping is None else damping)

    def after(self, remembered: Array) -> "Ggn":
        """The system for what a step must add to ``remembered`` (N,): the same with ``g − BᵀB remembered``."""
        return self._replace(gradient=self.gradient - product(self.B.T, product(self.B, remembered)))

    def residual(self, x: Array) -> Array:
        """‖(BᵀB + λI) x − g‖ / ‖g‖, or without the quotient where g = 0."""
        unit = jnp.abs(self.gradient).max()
        unit = jnp.where(unit == 0, 1, unit)  # squares of large numbers overflow
        apart = product(self.B.T, product(self.B, x)) + self.damping * x - self.gradient
        length = jnp.linalg.norm(self.gradient / unit)
        return jnp.linalg.norm(apart / unit) / jnp.where(length == 0, 1, length)


def _damped(A: Array, damping: Array, b: Array) -> Dense:
    return Dense((A + A.T) / 2 + damping * jnp.eye(len(A), dtype=A.dtype), damping, b)


class Draw(NamedTuple):
    """What decides the random numbers of a relaxation: the run's seed, the number of its step, which relaxation of the
    step it is, 0 for the solve and 1 for the delay, and which drawn copy of the device it is on, 0 for none. All ()."""

    seed: Array
    number: Array
    relaxation: Array
    copy: Array | int = 0


class Relaxed(NamedTuple):
    """What a solver gives: the value (n,), NaN where it failed; the λ () that it was found with, larger than the wanted
    one where that could not be programmed; statistics (); the error (ERROR_BYTES,), zeros for none, as
    ``optim.errors`` writes it; and the basis that the solver rotated into, (n, n), or (0, 0) where it does not."""

    value: Array
    damping: Array
    statistics: StatisticsArrays
    error: Array
    basis: Array


class Solve(Protocol):
    """A solver as a JAX function."""

    def __call__(self, system: Dense | Ggn, start: Array | None, draw: Draw, basis: Array | None = None, /) -> Relaxed:
        """Takes a system, the state (n,) that the relaxation starts from, what decides its noise, and the last basis,
        where it rotates."""
        ...


def product(matrix: Array, other: Array) -> Array:
    """A matrix product in the full precision of its type, which is no accelerator's default."""
    return jnp.matmul(matrix, other, precision=jax.lax.Precision.HIGHEST)


def no_statistics(dtype: jnp.dtype) -> StatisticsArrays:
    """Statistics () of which nothing is known: zero counts and times, the rest NaN."""
    zero, unknown = jnp.zeros((), dtype), jnp.full((), jnp.nan, dtype)
    numbers = {name: jnp.zeros((), jnp.int32) if name in COUNTS else unknown for name in StatisticsArrays._fields}
    return StatisticsArrays(**numbers)._replace(analog_seconds=zero, injected_noise=zero, flops=zero)


def no_basis(dtype: jnp.dtype) -> Array:
    """The basis of a solver that does not rotate."""
    return jnp.zeros((0, 0), dtype)


def no_error() -> Array:
    """The error of what went well."""
    return jnp.zeros(ERROR_BYTES, jnp.uint8)

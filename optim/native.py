"""Solvers written in JAX: faster than a call to the host, and equal to it but for rounding."""

from collections.abc import Callable
from math import inf
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import cho_solve

from optim.host import Time, on_host, rotating_on_host, time_of, white_noise_of
from optim.systems import Dense, Draw, Ggn, Relaxed, Solve, no_basis, no_error, no_statistics, product
from solvers.digital import NO_FACTOR, Digital
from solvers.precision.rotated import Rotating
from solvers.sde import Sde
from spu_circuit.errors import InputError

Function = Callable[[Array], Array]


def _digital(solver: Digital, analog_time: Time, doublings: int = 0) -> Solve:
    if solver.method not in DIRECT:
        return on_host(solver, analog_time, doublings)
    direct = DIRECT[solver.method]
    return lambda system, start, draw, basis=None: _relaxed(system, direct(system))


def _cholesky(system: Dense | Ggn) -> Array:
    dense = system.primal() if isinstance(system, Ggn) else system
    return cho_solve((jnp.linalg.cholesky(dense.A), True), dense.b)  # NaN where A is not definite


def _woodbury(system: Dense | Ggn) -> Array:
    if not isinstance(system, Ggn):
        raise InputError(NO_FACTOR)
    return system.from_dual(_cholesky(system.dual()))


DIRECT: dict[str, Callable[[Dense | Ggn], Array]] = {"cholesky": _cholesky, "woodbury": _woodbury}


def _sde(solver: Sde, analog_time: Time, doublings: int = 0, noise_factor: Time = 1.0) -> Solve:
    """Mean plus one sample of the noise, through the eigenvalues; see ``solvers.sde`` and ``solvers.spectral``."""

    def relax(system: Dense | Ggn, start: Array | None, draw: Draw, basis: Array | None = None) -> Relaxed:
        b = system[-1]
        kappa = solver.injected_noise * time_of(noise_factor, draw, b.dtype)
        time = time_of(analog_time, draw, b.dtype)

        def settling(rates: Array) -> Array:
            return -jnp.expm1(-rates * time) / rates

        def deviation(rates: Array) -> Array:
            return jnp.sqrt(kappa * -jnp.expm1(-2 * rates * time) / rates)

        terms: list[tuple[Function, Array]] = [(settling, b)]
        if start is not None and analog_time != inf:
            terms.append((lambda rates: jnp.exp(-rates * time), start))
        if solver.injected_noise > 0:
            terms.append((deviation, white_noise_of(draw, len(b), b.dtype)))
        value = (_apply_low_rank if isinstance(system, Ggn) else _apply_dense)(system, terms)
        found = _relaxed(system, value)
        return found._replace(statistics=found.statistics._replace(injected_noise=kappa))

    return relax


def _apply_dense(system: Any, terms: list[tuple[Function, Array]]) -> Array:
    """Σ f(A) v, (n,); NaN where A is not definite."""
    rates, vectors = jnp.linalg.eigh(system.A)
    inner = jnp.zeros_like(rates)
    for function, vector in terms:
        inner += function(rates) * product(vectors.T, vector)
    return jnp.where(rates[0] > 0, product(vectors, inner), jnp.nan)


def _apply_low_rank(system: Any, terms: list[tuple[Function, Array]]) -> Array:
    """Σ f(BᵀB + λI) v, (N,)."""
    B, damping = system.B, system.damping
    values, vectors = jnp.linalg.eigh(product(B, B.T))
    # Below this the quotient is rounding noise, and Bᵀw has no length to carry it.
    seen = values > jnp.finfo(B.dtype).eps * values[-1]
    total, inner = jnp.zeros_like(system.gradient), jnp.zeros_like(values)
    for function, vector in terms:
        rest = function(damping)
        above = function(jnp.where(seen, values, 0) + damping) - rest
        gains = jnp.where(seen, above / jnp.where(seen, values, 1), 0)
        total += rest * vector
        inner += gains * product(vectors.T, product(B, vector))
    return total + product(B.T, product(vectors, inner))


def _relaxed(system: Dense | Ggn, value: Array) -> Relaxed:
    return Relaxed(value, system.damping, no_statistics(value.dtype), no_error(), no_basis(value.dtype))


NATIVE: dict[type, Callable[..., Solve]] = {Digital: _digital, Sde: _sde, Rotating: rotating_on_host}
"""What makes the JAX function of a solver and a time. A solver that is not here is called ``on_host``."""

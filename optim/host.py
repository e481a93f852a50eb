"""Any solver as a JAX function that calls it on the host, once for all systems of a ``vmap``."""

from math import nan
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from optim.errors import packed
from optim.systems import ERROR_BYTES, Dense, Draw, Ggn, Relaxed, Solve, no_error, no_statistics
from solvers.sde import white_noise
from solvers.solution import Solver, StatisticsArrays, statistics_arrays
from spu_circuit.errors import SpuError
from spu_circuit.problem import GgnSystems, LinearSystems, Systems

# A callback waits for copies of its arguments. With asynchronous dispatch on one core the only thread that could make
# them is the one that waits: it would wait for ever. Takes effect where JAX has computed nothing yet.
jax.config.update("jax_cpu_enable_async_dispatch", False)


def on_host(solver: Solver, analog_time: float) -> Solve:
    """A solver's ``solve_batch`` behind ``jax.pure_callback``.

    Systems go to the host in the type at hand and are solved in double precision. A system that the solver refuses
    comes back as NaN with its error, and does no harm to the others. Where the whole right-hand side is NaN, nothing
    is asked and NaN comes back without an error: so a stack may have rows that are there for its shape alone.

    Args:
        analog_time: in τ, of every call.
    """

    def host(system: Dense | Ggn, start: Array | None, draw: Draw) -> tuple[Any, Any, Any]:
        stack = np.shape(draw.seed)
        parts = [_flattened(part, stack) for part in system]
        states = None if start is None else _flattened(start, stack)
        kind = LinearSystems if isinstance(system, Dense) else GgnSystems
        seeds = _seeds(draw)
        values = np.full(parts[-1].shape, nan)
        statistics = statistics_arrays(np.full(len(seeds), nan))
        errors = np.zeros((len(seeds), ERROR_BYTES), np.uint8)

        asked = np.flatnonzero(~np.isnan(parts[-1]).all(axis=1))

        def solve(rows: Any) -> None:
            chosen = slice(None) if len(rows) == len(seeds) else rows  # copies nothing
            try:
                systems: Systems = kind(*(part[chosen] for part in parts))
                some = None if states is None else states[chosen]
                solutions = solver.solve_batch(systems, analog_time, some, [seeds[row] for row in rows])
            except SpuError as error:
                if len(rows) == 1:
                    errors[rows] = packed(error)
                else:
                    for half in np.array_split(rows, 2):
                        solve(half)
                return
            values[rows] = solutions.values
            for ours, theirs in zip(statistics, solutions.statistics, strict=True):
                ours[rows] = theirs

        if len(asked):
            solve(asked)
        dtype = system[-1].dtype
        numbers = [column.reshape(stack).astype(dtype if column.dtype == float else np.int32) for column in statistics]
        natural = values.reshape(*stack, -1).astype(dtype)
        return natural, StatisticsArrays(*numbers), errors.reshape(*stack, ERROR_BYTES)

    def relax(system: Dense | Ggn, start: Array | None, draw: Draw) -> Relaxed:
        b = system[-1]
        shapes = jax.eval_shape(lambda: Relaxed(jnp.zeros_like(b), no_statistics(b.dtype), no_error()))
        return Relaxed(*jax.pure_callback(host, tuple(shapes), system, start, draw, vmap_method="broadcast_all"))

    return relax


def white_noise_of(draw: Draw, size: int, dtype: Any) -> Array:
    """Standard normal numbers (n,): those that a host solver draws with the seed of this relaxation."""

    def host(draw: Draw) -> Any:
        noise = np.stack([white_noise(size, seed) for seed in _seeds(draw)])
        return noise.reshape(*np.shape(draw.seed), size).astype(dtype)

    return jax.pure_callback(host, jax.ShapeDtypeStruct((size,), dtype), draw, vmap_method="broadcast_all")


def step_seed(seed: int, number: int, relaxation: int = 0) -> int:
    """The seed of a solver's random numbers in a step; see ``Draw``."""
    return int(np.random.SeedSequence([seed, number]).generate_state(2)[relaxation])


def _seeds(draw: Draw) -> list[int]:
    columns = (np.ravel(part).tolist() for part in draw)
    return [step_seed(seed, number, relaxation) for seed, number, relaxation in zip(*columns, strict=True)]


def _flattened(part: Array, stack: tuple[int, ...]) -> Any:
    """One dimension, of length m, in the place of those that ``vmap`` put in front; float64."""
    array = np.asarray(part, dtype=np.float64)
    return array.reshape(-1, *array.shape[len(stack) :])

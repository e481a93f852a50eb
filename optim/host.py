"""Any solver as a JAX function that calls it on the host, once for all systems of a ``vmap``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from optim.errors import packed
from optim.seeds import step_seed
from optim.systems import ERROR_BYTES, Dense, Draw, Ggn, Relaxed, Solve, no_basis, no_error, no_statistics
from solvers.held import on_samples
from solvers.precision.rotated import EIGENVECTORS, Rotating
from solvers.refinement import UNHELD
from solvers.sde import white_noise
from solvers.solution import SUMS, Solutions, Solver, StatisticsArrays, statistics_arrays
from spu_circuit.errors import MappingError, SpuError
from spu_circuit.problem import GgnSystems, LinearSystems, Systems
from spu_circuit.sampling import Sample, Sampling

# A callback waits for copies of its arguments. With asynchronous dispatch on one core the only thread that could make
# them is the one that waits: it would wait for ever. Takes effect where JAX has computed nothing yet.
jax.config.update("jax_cpu_enable_async_dispatch", False)

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Time = float | Callable[[Array], Any]
"""In τ; or a schedule: a function of the number of the step, as optax has them."""


def on_host(solver: Solver, analog_time: Time, doublings: int = 0) -> Solve:
    """A solver as a JAX function; see ``_called``."""
    return _called(lambda vectors: solver, analog_time, doublings)


def rotating_on_host(solver: Rotating, analog_time: Time, doublings: int = 0) -> Solve:
    """A solver that rotates, as a JAX function; see ``_called``. The solve of a step renews the basis, a delay not."""
    return _called(solver.around, analog_time, doublings, solver)


def _called(
    solver_of: Callable[[Any], Solver], analog_time: Time, doublings: int, rotating: Rotating | None = None
) -> Solve:
    """A solver's ``solve_batch`` behind ``jax.pure_callback``.

    Systems go to the host in the type at hand and are solved in double precision. A system that the solver refuses
    comes back as NaN with its error, and does no harm to the others. Where the whole right-hand side is NaN, nothing
    is asked and NaN comes back without an error: so a stack may have rows that are there for its shape alone.

    Args:
        solver_of: makes it from the basis of each system, (m, n, n); or from None.
        analog_time: in τ, of every call; or a function of the step's number.
        doublings: how often λ is doubled where the matrix cannot be programmed, or where refinement with what is
            programmed does not converge, at most. Only these systems are asked again.
        rotating: what renews the bases; None: there are none.
    """

    constant = nan if callable(analog_time) else float(analog_time)

    def host(system: Dense | Ggn, start: Array | None, draw: Draw, times: Array | None, old: Array | None) -> Any:
        stack = np.shape(draw.seed)
        matrices, wanted, vectors = (_flattened(part, stack) for part in system)
        states = None if start is None else _flattened(start, stack)
        seeds, copies = _seeds(draw), _copies(draw)
        found = _Found(np.full(vectors.shape, nan), wanted.copy(), statistics_arrays(np.full(len(seeds), nan)), seeds)
        asked = np.flatnonzero(~np.isnan(vectors).all(axis=1))
        basis, fresh = None, np.zeros(len(seeds), dtype=bool)
        if rotating and old is not None:
            basis, fresh = _renewed(rotating, system, _flattened(old, stack), matrices, draw, asked)

        def solve(rows: Rows, time: float) -> None:
            chosen = slice(None) if len(rows) == len(seeds) else rows  # copies nothing
            try:
                systems = _systems(system, matrices[chosen], wanted[chosen], found.damping[chosen], vectors[chosen])
                some = None if states is None else states[chosen]
                solver = solver_of(None if basis is None else basis[chosen])
                solver = on_samples(solver, [copies[row] for row in rows]) if copies else solver
                solutions = solver.solve_batch(systems, time, some, [seeds[row] for row in rows])
            except SpuError as error:
                if len(rows) == 1:
                    found.refused[int(rows[0])] = error
                else:
                    for half in np.array_split(rows, 2):
                        solve(half, time)
                return
            found.keep(rows, solutions)

        for time, rows in [(constant, asked)] if times is None else _by_time(np.asarray(times, float).ravel(), asked):
            if len(rows):
                solve(rows, time)
            for _ in range(doublings):
                again = found.unheld(rows)
                if not len(again):
                    break
                found.damping[again] *= 2
                solve(again, time)
        found.statistics.flops[fresh] += EIGENVECTORS * vectors.shape[1] ** 3
        dtype = system[-1].dtype
        kept = None if basis is None else basis.reshape(*stack, *basis.shape[1:]).astype(dtype)
        return (*found.shaped(stack, dtype), kept)

    def relax(system: Dense | Ggn, start: Array | None, draw: Draw, basis: Array | None = None) -> Relaxed:
        b = system[-1]
        shapes = jax.eval_shape(lambda: (jnp.zeros_like(b), b[0], no_statistics(b.dtype), no_error()))
        times = time_of(analog_time, draw, b.dtype) if callable(analog_time) else None
        old = basis if rotating else None
        assert not rotating or old is not None, "what rotates keeps a basis"
        value, taken, statistics, error, new = jax.pure_callback(
            host, (*shapes, old), system, start, draw, times, old, vmap_method="broadcast_all"
        )
        return Relaxed(value, taken, statistics, error, no_basis(b.dtype) if new is None else new)

    return relax


@dataclass
class _Found:
    """What the host has so far, of m systems: values (m, n), the λ of each (m,), statistics, errors by row."""

    values: Floats
    damping: Floats
    statistics: StatisticsArrays
    seeds: Sequence[int]
    refused: dict[int, SpuError] = field(default_factory=dict)

    def keep(self, rows: Rows, solutions: Solutions) -> None:
        self.values[rows] = solutions.values
        for name, ours, theirs in zip(self.statistics._fields, self.statistics, solutions.statistics, strict=True):
            ours[rows] = theirs + ours[rows] if name in SUMS else theirs
        for row in rows:
            self.refused.pop(int(row), None)

    def unheld(self, rows: Rows) -> Rows:
        """Those whose matrix the device does not hold: it was refused, or refinement with it does not converge."""
        refused = np.array([isinstance(self.refused.get(int(row)), MappingError) for row in rows], dtype=bool)
        return rows[refused | np.isin(self.statistics.outcome[rows], UNHELD)]

    def shaped(self, stack: tuple[int, ...], dtype: Any) -> tuple[Any, Any, Any, Any]:
        """With the dimensions of a ``vmap``, in the type at hand."""
        errors = np.zeros((len(self.seeds), ERROR_BYTES), np.uint8)
        for row, error in self.refused.items():
            errors[row] = packed(error)
        columns = [
            column.reshape(stack).astype(dtype if column.dtype == float else np.int32) for column in self.statistics
        ]
        return (
            self.values.reshape(*stack, -1).astype(dtype),
            self.damping.reshape(stack).astype(dtype),
            StatisticsArrays(*columns),
            errors.reshape(*stack, ERROR_BYTES),
        )


def _systems(system: Dense | Ggn, matrices: Floats, wanted: Floats, damping: Floats, vectors: Floats) -> Systems:
    """Systems (m, …) with a λ of each, which is ``wanted`` where it was not raised."""
    if isinstance(system, Ggn):
        return GgnSystems(matrices, damping, vectors)
    raised = damping - wanted
    if raised.any():
        matrices = matrices + raised[:, None, None] * np.eye(matrices.shape[1])
    return LinearSystems(matrices, vectors)


def _renewed(
    rotating: Rotating, system: Dense | Ggn, old: Floats, matrices: Floats, draw: Draw, asked: Rows
) -> tuple[Floats, NDArray[np.bool_]]:
    """The bases (m, n, n) of this step, and which are fresh. What is not asked, or not finite, keeps the old one."""
    basis, fresh = old.copy(), np.zeros(len(old), dtype=bool)
    rows = asked[np.isfinite(matrices[asked]).all(axis=(1, 2)) & (np.ravel(draw.relaxation)[asked] == 0)]
    A = matrices[rows]
    # More on the diagonal changes no eigenvector.
    A = A.swapaxes(1, 2) @ A if isinstance(system, Ggn) else A
    basis[rows], fresh[rows] = rotating.renewed(old[rows], A, np.ravel(draw.number)[rows])
    return basis, fresh


def _by_time(times: Floats, rows: Rows) -> list[tuple[float, Rows]]:
    """Rows that relax for the same time, together."""
    return [(float(time), rows[times[rows] == time]) for time in np.unique(times[rows])]


def time_of(time: Time, draw: Draw, dtype: Any) -> Array:
    """The analog time of a step, ()."""
    return jnp.asarray(time(draw.number) if callable(time) else time, dtype)


def white_noise_of(draw: Draw, size: int, dtype: Any) -> Array:
    """Standard normal numbers (n,): those that a host solver draws with the seed of this relaxation."""

    def host(draw: Draw) -> Any:
        noise = np.stack([white_noise(size, seed) for seed in _seeds(draw)])
        return noise.reshape(*np.shape(draw.seed), size).astype(dtype)

    return jax.pure_callback(host, jax.ShapeDtypeStruct((size,), dtype), draw, vmap_method="broadcast_all")


def copy_of(seed: int, number: int) -> Sample:
    """A drawn copy of a device: every seed of a training has its own."""
    return Sample(Sampling(seed), number)


def _copies(draw: Draw) -> list[Sample]:
    """On which copy each is solved; empty where the device is nominal."""
    numbers = np.broadcast_to(draw.copy, np.shape(draw.seed)).ravel().tolist()
    return [copy_of(seed, number) for seed, number in zip(np.ravel(draw.seed).tolist(), numbers, strict=True) if number]


def _seeds(draw: Draw) -> list[int]:
    columns = (np.ravel(part).tolist() for part in draw[:3])
    return [step_seed(seed, number, relaxation) for seed, number, relaxation in zip(*columns, strict=True)]


def _flattened(part: Array, stack: tuple[int, ...]) -> Any:
    """One dimension, of length m, in the place of those that ``vmap`` put in front; float64."""
    array = np.asarray(part, dtype=np.float64)
    return array.reshape(-1, *array.shape[len(stack) :])

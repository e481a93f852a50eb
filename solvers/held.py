"""A matrix that a solver holds while it is asked for many right-hand sides, and solvers that are made of others."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from time import perf_counter
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from solvers.refinement import Refinement
from solvers.solution import (
    SUMS,
    Solution,
    Solutions,
    Solver,
    StatisticsArrays,
    check_batch,
    check_time,
    joined,
    refuse_infinite,
    statistics_arrays,
)
from spu_circuit.admissible import real_array
from spu_circuit.errors import InputError
from spu_circuit.problem import System, Systems
from spu_circuit.sampling import Sample
from spu_circuit.several import Batch, Several

Array = NDArray[np.float64]
Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Answer:
    """What held matrices make of right-hand sides. Whoever asked knows the residual and the time.

    Args:
        values: (m, n), in the problem's units.
        statistics: each an array (m,); the residual is NaN.
        solver, variances, refinements: as in ``Solutions``.

    Raises:
        SimulationError: a value is not finite.
    """

    values: Array
    statistics: StatisticsArrays
    solver: str
    variances: Array | None = None
    refinements: tuple[Refinement, ...] | None = None

    def __post_init__(self) -> None:
        refuse_infinite(self.values, 0.0)


class Held(Protocol):
    """The matrices of m systems on a solver. What holding them took is counted here, what a solve takes in its result.

    Args:
        programs: how often each device was set.
        flops: digital operations for each.
    """

    @property
    def programs(self) -> int: ...

    @property
    def flops(self) -> float: ...

    def solve(
        self,
        b: Array,
        analog_time: float = inf,
        initial_states: Array | None = None,
        seeds: Sequence[int] | None = None,
        asked: Rows | None = None,
    ) -> Answer:
        """Solve for one right-hand side of each system; see ``Solver``.

        Args:
            b: (m, n).
            asked: (m,), which are wanted; None: all. The others come back as zeros and take nothing.
        """
        ...


@runtime_checkable
class Holder(Protocol):
    """A solver that can hold matrices."""

    def hold(self, systems: Batch, seeds: Sequence[int]) -> Held:
        """Hold the matrices of these systems.

        Args:
            seeds: (m,), of what is random in programming.
        """
        ...


def hold(solver: Solver, systems: Batch, seeds: Sequence[int]) -> Held:
    """Matrices on a solver. One that cannot hold them solves each right-hand side from the beginning."""
    return solver.hold(systems, seeds) if isinstance(solver, Holder) else _Anew(solver, systems)


@dataclass(frozen=True)
class _Anew:
    """See ``hold``."""

    solver: Solver
    systems: Batch
    programs: int = 0
    flops: float = 0.0

    def solve(
        self,
        b: Array,
        analog_time: float = inf,
        initial_states: Array | None = None,
        seeds: Sequence[int] | None = None,
        asked: Rows | None = None,
    ) -> Answer:
        """See ``Held``."""
        systems = self.systems.facing(b if asked is None else np.where(asked[:, None], b, 0.0))
        states, numbers = check_batch(b, initial_states, seeds)
        if isinstance(systems, Several):
            alone = [
                self.solver.solve(system, analog_time, None if states is None else states[k], numbers[k])
                for k, system in enumerate(systems)
            ]
            found = joined(alone, 0.0)
        else:
            found = self.solver.solve_batch(systems, analog_time, states, numbers)
        return Answer(found.values, found.statistics, found.solver, found.variances)


@dataclass(frozen=True)
class Wrapper(ABC):
    """A solver that is made of another one: what it holds is all that it needs to say."""

    solver: Solver

    @property
    def analog(self) -> bool:
        """See ``Solver``."""
        return self.solver.analog

    @abstractmethod
    def hold(self, systems: Batch, seeds: Sequence[int]) -> Held:
        """See ``Holder``."""
        ...

    def of_samples(self, samples: Sequence[Sample]) -> Self:
        """The same of a device where each system of a batch is on a Monte Carlo sample of its own."""
        return replace(self, solver=on_samples(self.solver, samples))

    def solve(
        self, system: System, analog_time: float = inf, initial_state: Array | None = None, seed: int = 0
    ) -> Solution:
        """See ``Solver``."""
        states = None if initial_state is None else real_array(initial_state, "initial state", 1)[None]
        return self._solved(Several((system,)), analog_time, states, [seed])[0]

    def solve_batch(
        self,
        systems: Systems,
        analog_time: float = inf,
        initial_states: Array | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Solutions:
        """See ``Solver``."""
        return self._solved(systems, analog_time, initial_states, seeds)

    def _solved(
        self, systems: Batch, analog_time: float, initial_states: Array | None, seeds: Sequence[int] | None
    ) -> Solutions:
        began = perf_counter()
        check_time(analog_time)
        states, numbers = check_batch(systems.b, initial_states, seeds)
        if analog_time == 0:  # nothing happens, whatever the wrapper
            values = np.zeros_like(systems.b) if states is None else states
            return Solutions(values, statistics_arrays(systems.residual(values), settled_fraction=0.0), 0.0)
        held = self.hold(systems, numbers)
        found = held.solve(systems.b, analog_time, states, numbers)
        statistics = found.statistics._replace(
            residual=systems.residual(found.values),
            programs=found.statistics.programs + held.programs,
            flops=found.statistics.flops + held.flops,
        )
        seconds = perf_counter() - began
        return Solutions(found.values, statistics, seconds, found.solver, found.variances, found.refinements)


def on_samples(solver: Solver, samples: Sequence[Sample]) -> Solver:
    """The same solver, where each system of a batch is on a sample of its own.

    Raises:
        InputError: it has no device whose parts could vary.
    """
    make = getattr(solver, "of_samples", None)
    if make is None:
        raise InputError(f"{type(solver).__name__} is no device whose parts vary; solve without samples")
    found: Solver = make(samples)
    return found


def together(first: StatisticsArrays, second: StatisticsArrays, asked: Rows) -> StatisticsArrays:
    """Statistics of two solves one after the other, the second of some systems only: sums, the worst, or the first."""
    merged: dict[str, Any] = {}
    for name in StatisticsArrays._fields:
        ours, theirs = getattr(first, name), getattr(second, name)
        if name in SUMS:
            both = ours + theirs
        elif name in ("saturated_nodes", "lost_entries"):
            both = np.maximum(ours, theirs)
        elif name == "settled_fraction":
            both = np.fmin(ours, theirs)
        else:
            both = ours
        merged[name] = np.where(asked, both, ours)
    return StatisticsArrays(**merged)


def child_seeds(seeds: Sequence[int], *which: int) -> list[int]:
    """A seed of each of the given ones for one of its uses."""
    return [int(np.random.SeedSequence([seed, *which]).generate_state(1)[0]) for seed in seeds]

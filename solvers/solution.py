"""What every solver takes and returns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import inf, isnan, nan
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from netlists.device import Device
from solvers.refinement import Refinement
from spu_circuit.admissible import real_array
from spu_circuit.errors import InputError, SimulationError
from spu_circuit.problem import GgnSystem, LinearSystem, Systems
from spu_circuit.seeds import check_seed

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """How a solve went. What does not apply to a solver keeps its default.

    Args:
        solver: what computed the values.
        residual: ‖A x − b‖ / ‖b‖ with the matrix that was asked for, not the programmed one.
        settled_fraction: share of cells whose voltage is within 1 % (of the largest) of where the ideal law of the
            programmed resistors ends; slow or inexact amplifiers keep it below 1.
        saturated_nodes: cells, and amplifiers between them, that left the trusted voltage range at any time.
        clipped_codes: DAC values beyond full scale.
        lost_inputs: non-zero entries of right-hand side and initial state that are below half a DAC code at this v_u.
        lost_entries: non-zero matrix entries that no level can hold.
        ngspice_runs: circuits that ngspice simulated for this solve.
        retries: times that ngspice did not converge and tried other settings, see ``solvers.ngspice_attempts``.
        range_changes: how often the voltage scale was changed and the solve repeated.
        analog_seconds: time for which the array relaxed; infinite for an operating point.
        wall_seconds: time that the solve took here.
        volts_per_unit, siemens_per_unit: scales v_u and g_u.
        injected_noise: κ₀ in the problem's units.
        solves: right-hand sides that a device took.
        programs: how often its resistors were set.
        dac_words, adc_words: codes written for inputs and initial charges, and codes read, those of the repeated
            solves of auto-ranging included.
        flops: digital operations beside the device, those of auto-ranging and of forming the system not counted.
        estimated_error: of ‖x − x*‖ / ‖x*‖, x* the exact solution; None: nobody asked.
        outcome: how its refinement ended: the place in ``refinement.ENDS``, counted from 1; 0: it was not refined.
    """

    solver: str
    residual: float
    wall_seconds: float
    settled_fraction: float | None = None
    saturated_nodes: int = 0
    clipped_codes: int = 0
    lost_inputs: int = 0
    lost_entries: int = 0
    ngspice_runs: int = 0
    retries: int = 0
    range_changes: int = 0
    analog_seconds: float = 0.0
    volts_per_unit: float | None = None
    siemens_per_unit: float | None = None
    injected_noise: float = 0.0
    solves: int = 0
    programs: int = 0
    dac_words: int = 0
    adc_words: int = 0
    flops: float = 0.0
    estimated_error: float | None = None
    outcome: int = 0


NOTHING = Statistics("", nan, 0.0)
"""What a statistic is where it does not apply."""


@dataclass(frozen=True)
class Waveform:
    """Cell voltages while they settle: ``seconds`` (T,), ``volts`` (T, n)."""

    seconds: Array
    volts: Array


@dataclass(frozen=True)
class Solution:
    """A solution with its random error.

    Args:
        value: (n,), in the problem's units.
        statistics: how the solve went.
        variance: makes the variance (n,) of the noise in ``value``; None where there is none. A function, since it can
            cost as much as the solve.
        covariance: makes that (n, n) of the noise, where the solver knows it.
        waveform: node voltages, where the solver simulated them.
        device: what solved it, as it was programmed; None: no device did, or it is not kept.
        refinement: how its refinement went; None: there was none.
        noting: makes what a user must know of how the engine found it; None: there is nothing.
        steps: makes the error of ``value`` by the steps of a transient, (n,); None: there is none, or it is not known.

    Raises:
        SimulationError: a value or the residual is not finite.
    """

    value: Array
    statistics: Statistics
    variance: Callable[[], Array] | None = None
    covariance: Callable[[], Array] | None = None
    waveform: Waveform | None = None
    device: Device | None = None
    refinement: Refinement | None = None
    noting: Callable[[], str] | None = None
    steps: Callable[[], Array] | None = None

    def __post_init__(self) -> None:
        refuse_infinite(self.value, self.statistics.residual)

    def after(self, earlier: "Solution") -> "Solution":
        """The same, where an earlier solve was given up for it: with what both took."""
        sums = {name: getattr(self.statistics, name) + getattr(earlier.statistics, name) for name in SUMS}
        return replace(self, statistics=replace(self.statistics, **sums))

    @cached_property
    def note(self) -> str:
        """What a user must know of how the engine found it; "" where there is nothing. Found when it is asked for."""
        return "" if self.noting is None else self.noting()

    @cached_property
    def standard_error(self) -> Array | None:
        """One standard deviation of the noise in ``value``, (n,); None where there is none."""
        return None if self.variance is None else np.sqrt(self.variance())

    @cached_property
    def step_error(self) -> Array | None:
        """What the steps of a transient add to ``value``, (n,), with its sign; None where it is not known."""
        return None if self.steps is None else self.steps()

    @property
    def uncertainty(self) -> Array | None:
        """Root mean square of noise and step error, (n,); None where there is no noise."""
        noise, steps = self.standard_error, self.step_error
        return noise if noise is None or steps is None else np.hypot(noise, steps)


class StatisticsArrays(NamedTuple):
    """The numbers of ``Statistics``, each as an array over several solves: NumPy's, or JAX's in an optimizer's state.

    NaN stands for what does not apply. The wall time is not among them, so that a solve that repeats repeats all.
    """

    residual: Any
    settled_fraction: Any
    saturated_nodes: Any
    clipped_codes: Any
    lost_inputs: Any
    lost_entries: Any
    ngspice_runs: Any
    retries: Any
    range_changes: Any
    analog_seconds: Any
    volts_per_unit: Any
    siemens_per_unit: Any
    injected_noise: Any
    solves: Any
    programs: Any
    dac_words: Any
    adc_words: Any
    flops: Any
    estimated_error: Any
    outcome: Any


EFFORT = ("solves", "programs", "dac_words", "adc_words")
"""What a device is asked for."""
SUMS = frozenset(
    {"clipped_codes", "lost_inputs", "ngspice_runs", "retries", "range_changes", "analog_seconds", "flops", *EFFORT}
)
"""The statistics that add up over solves one after the other."""
COUNTS = frozenset(
    {
        *("saturated_nodes", "clipped_codes", "lost_inputs", "lost_entries", "ngspice_runs", "retries"),
        *("range_changes", "outcome", *EFFORT),
    }
)
"""The statistics that are whole numbers."""


def statistics_arrays(residual: Array, **given: Any) -> StatisticsArrays:
    """Statistics of m solves.

    Args:
        residual: (m,).
        given: further fields, (m,) or one value for all; what is not given is what ``Statistics`` has by default.
    """
    arrays = {}
    for name in StatisticsArrays._fields:
        value = residual if name == "residual" else given.pop(name, getattr(NOTHING, name))
        kind = np.int64 if name in COUNTS else np.float64
        arrays[name] = np.full(len(residual), nan if value is None else value, kind)
    assert not given, f"no statistics named {', '.join(given)}"
    return StatisticsArrays(**arrays)


@dataclass(frozen=True)
class Solutions:
    """Solutions of m systems.

    Args:
        values: (m, n), in the problem's units.
        statistics: each an array (m,).
        wall_seconds: time that all of them took here.
        solver: what computed the values.
        variances: (m, n), of the noise in ``values`` as several reads show it; None: they were read once.
        refinements: how the refinement of each went; None: there was none.
        noting: of some after the others, how many, and what makes what a user must know of each.

    Raises:
        SimulationError: a value or the residual is not finite.
    """

    values: Array
    statistics: StatisticsArrays
    wall_seconds: float
    solver: str = ""
    variances: Array | None = None
    refinements: tuple[Refinement, ...] | None = None
    noting: tuple[tuple[int, Callable[[], tuple[str, ...]]], ...] = ()

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a user must know of each; "": nothing. Found when it is asked for."""
        found = [note for count, make in self.noting for note in make() or ("",) * count]
        return tuple(found) or ("",) * len(self.values)

    def __getstate__(self) -> dict[str, Any]:
        """With its notes instead of what makes them, which cannot be pickled."""
        return {**self.__dict__, "noting": (), "notes": self.notes}

    def __getitem__(self, k: int) -> Solution:
        """One of them; with the time that all took."""
        shown: dict[str, Any] = {name: column[k].item() for name, column in self.statistics._asdict().items()}
        for name, value in shown.items():
            if getattr(NOTHING, name) is None and isnan(value):
                shown[name] = None
        variance = None if self.variances is None else partial(self.variances.__getitem__, k)
        refined = None if self.refinements is None else self.refinements[k]
        statistics = Statistics(self.solver, wall_seconds=self.wall_seconds, **shown)
        return Solution(self.values[k], statistics, variance, refinement=refined, noting=lambda: self.notes[k])

    def __post_init__(self) -> None:
        refuse_infinite(self.values, self.statistics.residual)


class Solver(Protocol):
    """Anything that solves a system.

    ``analog`` says whether it relaxes in time; a solver that does not refuses a finite ``analog_time``.
    """

    @property
    def analog(self) -> bool: ...

    def solve(
        self,
        system: LinearSystem | GgnSystem,
        analog_time: float = inf,
        initial_state: Array | None = None,
        seed: int = 0,
    ) -> Solution:
        """Solve a system.

        Args:
            analog_time: how long the device relaxes, in units of τ; infinite for the settled state.
            initial_state: (n,) at time 0, in the problem's units; zeros when None.
            seed: of every random number in the solve.
        """
        ...

    def solve_batch(
        self,
        systems: Systems,
        analog_time: float = inf,
        initial_states: Array | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Solutions:
        """Solve m systems of one size; each comes out as ``solve`` gives it, whatever else is in the batch.

        Args:
            analog_time: as in ``solve``, the same for all.
            initial_states: (m, n); zeros when None.
            seeds: (m,), one of each system; zeros when None.

        Raises:
            What ``solve`` raises, for the first system that fails.
        """
        ...


def solve_each(
    solver: Solver,
    systems: Systems,
    analog_time: float = inf,
    initial_states: Array | None = None,
    seeds: Sequence[int] | None = None,
) -> Solutions:
    """``Solver.solve_batch`` by one ``solve`` after the other."""
    began = perf_counter()
    states, seeds = check_batch(systems.b, initial_states, seeds)
    solutions = [
        solver.solve(systems[k], analog_time, None if states is None else states[k], seeds[k])
        for k in range(len(systems))
    ]
    return joined(solutions, perf_counter() - began)


def joined(solutions: Sequence[Solution], wall_seconds: float) -> Solutions:
    """Solutions of one system each, as those of a batch."""
    columns = {
        name: [nan if (value := getattr(s.statistics, name)) is None else value for s in solutions]
        for name in StatisticsArrays._fields
    }
    statistics = statistics_arrays(np.array(columns.pop("residual")), **columns)
    values, solver = np.stack([solution.value for solution in solutions]), solutions[0].statistics.solver
    noting = (len(solutions), lambda: tuple(solution.note for solution in solutions))
    return Solutions(values, statistics, wall_seconds, solver, noting=(noting,))


def refuse_infinite(values: Array, residual: Array | float) -> None:
    """Raises SimulationError where a value, (..., n), or a residual, (...), is not finite."""
    if not np.isfinite(values).all():
        bad = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise SimulationError(
            f"the solution has {values[bad]} at {list(bad)}; raise the damping: the matrix is singular to rounding, or "
            "a mode of the device grows"
        )
    if not np.isfinite(residual).all():
        raise SimulationError(
            f"the solution reaches {np.abs(values).max():.3g}, where A x leaves double precision; raise the damping"
        )


def check_time(analog_time: float) -> None:
    """Raises InputError where the time is not a number from 0 to infinity."""
    if isnan(analog_time) or analog_time < 0:
        raise InputError(f"analog time is {analog_time}; it must be from 0 (no relaxation) to inf (settled), in τ")


def check_state(initial_state: Array, size: int) -> Array:
    """The initial state as float64; raises InputError where it does not fit the system."""
    state = real_array(initial_state, "initial state", 1)
    if len(state) != size:
        raise InputError(f"initial state has length {len(state)}, the system {size} unknowns; they must agree")
    return state


def check_batch(b: Array, initial_states: Array | None, seeds: Sequence[int] | None) -> tuple[Array | None, list[int]]:
    """The initial states as float64 and the seeds as integers; raises InputError where they do not fit b, (m, n)."""
    chosen = [0] * len(b) if seeds is None else [check_seed(seed) for seed in seeds]
    if len(chosen) != len(b):
        raise InputError(f"{len(chosen)} seeds for {len(b)} systems; give one each")
    if initial_states is None:
        return None, chosen
    states = real_array(initial_states, "initial states", 2)
    if states.shape != b.shape:
        raise InputError(f"initial states have shape {states.shape}; these systems need {b.shape}")
    return states, chosen

"""What every solver takes and returns."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import inf, isnan
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spu_circuit.errors import InputError
from spu_circuit.problem import GgnSystem, LinearSystem, real_array

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
        lost_entries: non-zero matrix entries that no level can hold.
        ngspice_runs: circuits that ngspice simulated for this solve.
        range_changes: how often the voltage scale was changed and the solve repeated.
        analog_seconds: time for which the array relaxed; infinite for an operating point.
        wall_seconds: time that the solve took here.
        volts_per_unit, siemens_per_unit: scales v_u and g_u.
        injected_noise: κ₀ in the problem's units.
    """

    solver: str
    residual: float
    wall_seconds: float
    settled_fraction: float | None = None
    saturated_nodes: int = 0
    clipped_codes: int = 0
    lost_entries: int = 0
    ngspice_runs: int = 0
    range_changes: int = 0
    analog_seconds: float = 0.0
    volts_per_unit: float | None = None
    siemens_per_unit: float | None = None
    injected_noise: float = 0.0


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
    """

    value: Array
    statistics: Statistics
    variance: Callable[[], Array] | None = None
    covariance: Callable[[], Array] | None = None
    waveform: Waveform | None = None

    @cached_property
    def standard_error(self) -> Array | None:
        """One standard deviation of the noise in ``value``, (n,); None where there is none."""
        return None if self.variance is None else np.sqrt(self.variance())


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

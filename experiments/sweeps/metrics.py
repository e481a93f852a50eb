"""What is measured of every sample."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netlists.device import Device, voltage_limits
from netlists.ledger import dissipation, junction_rise, output_currents, supply_current, supply_power
from optim.cost import solve_energy, solve_time
from solvers.behaviour import Behaviour

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What samples did with one system.

    Args:
        device: nominal.
        exact: A⁻¹b, (n,).
        solutions: as read through the ADC, (samples, n).
        seconds: how long the array ran.
        solves: on the device for each solution, (samples,).
        programs: how often its resistors are set for each, (samples,).
    """

    device: Device
    exact: Array
    solutions: Array
    behaviour: Behaviour
    seconds: float
    solves: Array
    programs: Array

    @property
    def running(self) -> Array:
        """Seconds until it has settled, or until it is read if that is sooner, (samples,)."""
        return np.minimum(self.seconds, self.behaviour.settling_seconds)


@dataclass(frozen=True)
class Metric:
    """A number of every sample.

    Args:
        unit: SI; "%" is a share, shown in percent.
        meaning: one line.
        measure: (samples,); None: what gives it measures it.
        needs: "settling" or "noise" where the solver must do more than find voltages.
        of: what gives it: "systems" that a sample solves, or its "training".
        larger_is_better: unlike an error.
        of_solution: it, of solutions (samples, n) and A⁻¹b, where it is of these alone.
        law: that it takes from a device and its voltages; raises InputError where the hardware lacks what it needs.
    """

    unit: str
    meaning: str
    measure: Callable[[Answers], Array] | None
    needs: str = ""
    of: str = "systems"
    larger_is_better: bool = False
    law: Callable[[Device, Array], Array] | None = None
    of_solution: Callable[[Array, Array], Array] | None = None


def _relative_error(solutions: Array, exact: Array) -> Array:
    return np.asarray(np.linalg.norm(solutions - exact, axis=1) / np.linalg.norm(exact))


def _angle(solutions: Array, exact: Array) -> Array:
    # By the chord between unit vectors, which keeps its digits for small angles.
    units = solutions / np.linalg.norm(solutions, axis=1, keepdims=True)
    chord = np.linalg.norm(units - exact / np.linalg.norm(exact), axis=1)
    return np.asarray(2 * np.degrees(np.arcsin(np.minimum(chord / 2, 1))))


def _saturated(answers: Answers) -> Array:
    array = answers.device.array
    peak = np.maximum(*(np.abs(array.outputs(at)) for at in (answers.behaviour.volts, answers.behaviour.settled)))
    return np.asarray((peak > voltage_limits(array, answers.device.hardware)).sum(axis=1), dtype=np.float64)


def _noise(answers: Answers) -> Array:
    volts = answers.behaviour
    return np.asarray(np.linalg.norm(volts.noise_volts, axis=1) / np.linalg.norm(volts.settled, axis=1))


def _current(answers: Answers) -> Array:
    return output_currents(answers.device, answers.behaviour.settled).max(axis=1, initial=0.0)


def _power(answers: Answers) -> Array:
    return dissipation(answers.device, answers.behaviour.settled)


def _solve_time(answers: Answers) -> Array:
    return solve_time(answers.device, answers.running, answers.solves, answers.programs)


def _solve_energy(answers: Answers) -> Array:
    settled = answers.behaviour.settled
    return solve_energy(answers.device, settled, answers.running, answers.solves, answers.programs)


def _supply_energy(answers: Answers) -> Array:
    return supply_power(answers.device, answers.behaviour.settled) * answers.running


def _by_solution(unit: str, meaning: str, law: Callable[[Array, Array], Array]) -> Metric:
    return Metric(unit, meaning, lambda answers: law(answers.solutions, answers.exact), of_solution=law)


METRICS = {
    "relative_error": _by_solution("%", "‖x − A⁻¹b‖ / ‖A⁻¹b‖ of the solution that is read", _relative_error),
    "angle": _by_solution("°", "between the solution and A⁻¹b", _angle),
    "settling_time": Metric(
        "s", "until the outputs stay within settling_error of rest", lambda a: a.behaviour.settling_seconds, "settling"
    ),
    "saturated_cells": Metric("", "cells and summing amplifiers beyond their trusted range", _saturated),
    "output_noise": Metric("%", "rms noise of the outputs over their rms voltage", _noise, "noise"),
    "output_current": Metric("A", "largest current of any amplifier or DAC at rest, by nominal loads", _current),
    "power": Metric("W", "heat in the resistors alone at rest, by nominal values", _power),
    "solve_time": Metric(
        "s",
        "of a solution: writing resistors, transfers, converting, and until settled, or until read if that is sooner",
        _solve_time,
        "settling",
        law=lambda device, volts: solve_time(device, *np.ones((3, len(volts)))),
    ),
    "solve_energy": Metric(
        "J",
        "of a solution, for all of that: amplifiers at idle and outputs while it settles, each conversion once",
        _solve_energy,
        "settling",
        law=lambda device, volts: solve_energy(device, volts, *np.ones((3, len(volts)))),
    ),
    "supply_power": Metric(
        "W",
        "from the supplies at rest, by nominal values: amplifiers at idle, outputs, converters that never pause",
        lambda a: supply_power(a.device, a.behaviour.settled),
        law=supply_power,
    ),
    "supply_energy": Metric(
        "J",
        "of one analog solve: supply_power until settled, or until read if that is sooner",
        _supply_energy,
        "settling",
        law=supply_power,
    ),
    "supply_current": Metric(
        "A",
        "from the busier supply of amplifiers and DAC outputs at rest, by nominal values",
        lambda a: supply_current(a.device, a.behaviour.settled),
        law=supply_current,
    ),
    "junction_rise": Metric(
        "K",
        "of the hottest amplifier's junctions over the air, by its package's thermal resistance",
        lambda a: junction_rise(a.device, a.behaviour.settled),
        law=junction_rise,
    ),
    "solves": Metric("", "on the device for one solution; more than one where it is refined", lambda a: a.solves),
    "final_accuracy": Metric("%", "test accuracy after training", None, of="training", larger_is_better=True),
}

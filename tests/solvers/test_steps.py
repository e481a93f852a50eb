"""What ngspice's steps add to a transient: foretold from their times, measured against a hundred times as many."""

import numpy as np
import pytest

from experiments.shared.systems import spd_system
from solvers import ngspice
from solvers.ngspice import Ngspice
from solvers.ngspice_process import NgspiceConvergenceError, run_deck
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from solvers.spu import Spu
from solvers.steps import step_error
from spu_circuit.hardware import load_hardware
from tests.cases import quiet


def exact(preset):
    """A preset whose ADC rounds nothing."""
    hardware = load_hardware(preset)
    return hardware.model_copy(update={"adc": hardware.adc.model_copy(update={"bits": None})})


@pytest.mark.parametrize(
    ("preset", "time", "method", "points"),
    [
        ("paper", 1.0, "trap", 100),
        ("paper", 6.0, "trap", 100),
        ("bench", 6.0, "trap", 100),
        ("vendor", 1.0, "trap", 100),
        ("paper", 6.0, "gear", 100),
        ("bench", 4.0, "gear", 10),
        ("vendor", 1.0, "gear", 100),
    ],
)
def test_step_error_is_what_finer_steps_take_away(preset, time, method, points):
    """With the same noise. A tenth: amplifiers are not in the law, and the response to the noise has steps, too."""
    system = spd_system(4, 30)
    coarse = Spu(exact(preset), Ngspice(points=points, method=method)).solve(system, time, seed=1)
    fine = Spu(exact(preset), Ngspice(points=2000, reltol=1e-6)).solve(system, time, seed=1)
    off = coarse.value - fine.value
    largest = np.abs(off).max()
    assert largest > 0.05 * coarse.standard_error.min()
    np.testing.assert_allclose(coarse.step_error, off, rtol=0, atol=0.15 * largest)
    np.testing.assert_allclose(coarse.uncertainty, np.hypot(coarse.standard_error, coarse.step_error))


def test_step_error_of_a_transient_without_noise():
    system = spd_system(3, 10)
    hardware = quiet(exact("paper"))
    coarse, fine = (Spu(hardware, Ngspice(points=points)).solve(system, 2.0) for points in (20, 1000))
    off = coarse.value - fine.value
    np.testing.assert_allclose(coarse.step_error, off, rtol=0, atol=0.15 * np.abs(off).max())
    assert coarse.uncertainty is None


def test_one_mode_by_hand():
    """Three steps of one cell, λ = 1: Euler's at 0, the trapezoidal rule, and Euler's again at the change at 0.3."""
    law = OrnsteinUhlenbeck(np.eye(1), np.array([2.0]), np.eye(1))
    found = step_error(law, np.array([5.0]), np.array([0.1, 0.3, 0.4]), 0.3, "trap")
    kept = 1 / 1.1 * (1 - 0.1) / (1 + 0.1) / 1.1
    np.testing.assert_allclose(found, 3 * (kept - np.exp(-0.4)), rtol=1e-12)


def test_one_mode_by_hand_with_gear():
    """The same steps; the second, twice as long as the first, is Gear's: 5/3 y₂ − 3 y₁ + 4/3 y₀ = −0.2 y₂."""
    law = OrnsteinUhlenbeck(np.eye(1), np.array([2.0]), np.eye(1))
    found = step_error(law, np.array([5.0]), np.array([0.1, 0.3, 0.4]), 0.3, "gear")
    kept = (3 / 1.1 - 4 / 3) / (5 / 3 + 0.2) / 1.1
    np.testing.assert_allclose(found, 3 * (kept - np.exp(-0.4)), rtol=1e-12)


def test_step_error_of_a_transient_that_ngspice_tries_again_is_known(monkeypatch):
    """The trapezoidal rule fails once; what Gear's takes after it has a step error as if it had been asked for."""
    ran = []

    def fails_first(deck, timeout, at_rest=False):
        ran.append(deck)
        if "method=gear" not in deck:
            raise NgspiceConvergenceError("timestep too small")
        return run_deck(deck, timeout, at_rest)

    asked = Spu(exact("paper"), Ngspice(method="gear")).solve(spd_system(2, 3), 1.0)
    monkeypatch.setattr(ngspice, "run_deck", fails_first)
    found = Spu(exact("paper"), Ngspice()).solve(spd_system(2, 3), 1.0)
    assert len(ran) == 3  # Gear's once more, to measure what its settings cost
    np.testing.assert_allclose(found.step_error, asked.step_error)
    assert np.abs(found.step_error).max() > 0.05 * found.standard_error.min()

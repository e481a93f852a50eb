"""What ngspice's steps add to a transient: foretold from their times, measured against a hundred times as many."""

import numpy as np
import pytest

from experiments.shared.systems import spd_system
from solvers.ngspice import Ngspice
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from solvers.spu import Spu
from solvers.steps import trapezoidal_error
from spu_circuit.hardware import load_hardware
from tests.cases import quiet


def exact(preset):
    """A preset whose ADC rounds nothing."""
    hardware = load_hardware(preset)
    return hardware.model_copy(update={"adc": hardware.adc.model_copy(update={"bits": None})})


@pytest.mark.parametrize(("preset", "time"), [("paper", 1.0), ("paper", 6.0), ("bench", 6.0), ("vendor", 1.0)])
def test_step_error_is_what_finer_steps_take_away(preset, time):
    """With the same noise. A tenth: amplifiers are not in the law, and the response to the noise has steps, too."""
    system = spd_system(4, 30)
    coarse = Spu(exact(preset), Ngspice(points=100)).solve(system, time, seed=1)
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
    found = trapezoidal_error(law, np.array([5.0]), np.array([0.1, 0.3, 0.4]), 0.3)
    kept = 1 / 1.1 * (1 - 0.1) / (1 + 0.1) / 1.1
    np.testing.assert_allclose(found, 3 * (kept - np.exp(-0.4)), rtol=1e-12)


def test_geared_transients_have_no_known_step_error():
    solution = Spu(exact("paper"), Ngspice(method="gear")).solve(spd_system(2, 3), 1.0)
    assert solution.step_error is None
    np.testing.assert_array_equal(solution.uncertainty, solution.standard_error)

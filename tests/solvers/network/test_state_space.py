"""The law of a circuit's outputs: modes, autocorrelation, settling, sampled trajectories."""

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import chi2

from netlists.device import load, program_array
from netlists.topologies.active import ActiveArray
from solvers.ideal import law_of
from solvers.network import state_space
from solvers.network.state_space import StateSpace
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from spu_circuit.problem import LinearSystem
from tests.cases import relative


def unsymmetric_device(noisy):
    """A programmed array whose matrix is far from symmetric: its eigenvalues are complex."""
    A = np.array([[1.0, -0.8, 0.1], [0.9, 0.7, -0.5], [0.2, 0.6, 0.8]])
    g = noisy.array.G_max
    array = ActiveArray(g * np.maximum(A, 0), g * np.maximum(-A, 0), np.float64(g), np.ones(len(A)), np.intp(0))
    return load(array, np.array([1.0, -0.5, 0.3]), noisy, 0.5)


def test_autocorrelation_and_modes_of_unsymmetric_drift(noisy):
    device = unsymmetric_device(noisy)
    law, space = law_of(device), state_space(device)
    lags = np.array([0.0, 0.5, 2.0]) * device.time_constant
    found = space.autocorrelation(lags)
    for lag, value in zip(lags, found, strict=True):
        assert relative(value, expm(-law.drift * lag) @ law.stationary_covariance()) < 1e-7
    rates = np.array([mode.rate for mode in space.modes])
    assert relative(np.sort_complex(rates), np.sort_complex(law.rates)) < 1e-7
    assert np.abs(rates.imag).max() > 0
    assert space.modes[0].time_constant == max(mode.time_constant for mode in space.modes)


def test_settling_time_is_when_the_mean_stays_within_the_error(noisy):
    """One resistor: ln(1/ε) time constants from 0 V. Unsymmetric: the error is ε then, and less ever after."""
    hardware = noisy
    one = load(program_array(LinearSystem(np.eye(1), np.ones(1)), hardware), np.ones(1), hardware, 1.0)
    assert state_space(one).settling_time(1e-3) == pytest.approx(np.log(1e3) * one.time_constant, rel=1e-7)
    device = unsymmetric_device(noisy)
    space = state_space(device)
    settled = space.settling_time(0.01)
    rest = space.operating_point()
    later = np.linspace(settled, 5 * settled, 200)
    away = np.linalg.norm(space.mean(later) - rest, axis=1) / np.linalg.norm(rest)
    assert away[0] == pytest.approx(0.01, rel=1e-6)
    assert away[1:].max() < 0.01


def test_sampled_trajectories_have_the_law_s_covariance(noisy):
    """Whitened values of 400 seeds at two times jointly: chi-square of 2400, false alarms 1 in 10⁴."""
    device = unsymmetric_device(noisy)
    space = state_space(device)
    times = np.array([0.4, 1.5]) * device.time_constant
    paths = np.array([space.sample(times, np.random.default_rng(seed)) for seed in range(400)])
    first, second = space.covariance(times[0]), space.covariance(times[1])
    M = law_of(device).drift
    across = expm(-M * (times[1] - times[0])) @ first
    joint = np.block([[first, across.T], [across, second]])
    white = np.linalg.solve(np.linalg.cholesky(joint), (paths - space.mean(times)).reshape(400, -1).T)
    low, high = chi2.ppf([5e-5, 1 - 5e-5], white.size)
    assert low < (white**2).sum() < high


@pytest.mark.parametrize(("slow", "grows"), [(1e-3, False), (-1e-3, False), (0.0, True), (-1.0, True)])
def test_modes_within_rounding_of_the_fastest_do_not_grow(slow, grows):
    """10¹³ 1/s leaves rounding of 4e-3 1/s in both modes: what is smaller is not known to grow; 0 stays for ever."""
    law = OrnsteinUhlenbeck(np.diag([1e13, slow]), np.ones(2), np.zeros((2, 2)))
    space = StateSpace(law, np.zeros(2), np.eye(2), np.zeros(2), np.zeros((4, 4)), ("C1", "C2"), ("1", "2"))
    assert (space.growing is not None) == grows

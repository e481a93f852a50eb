import numpy as np
import pytest
from scipy.integrate import quad_vec
from scipy.linalg import expm
from scipy.stats import chi2

from experiments.shared.systems import spd_system
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from spu_circuit.errors import InputError

NON_NORMAL = OrnsteinUhlenbeck(np.array([[1.0, -3.0], [3.0, 2.0]]), np.array([1.0, -1.0]), np.eye(2))


def symmetric(size=4, isotropic=True):
    system = spd_system(size, 20)
    rng = np.random.default_rng(3)
    root = rng.normal(size=(size, size))
    return OrnsteinUhlenbeck(system.A, system.b, np.eye(size) if isotropic else root @ root.T)


def brute_covariance(law, time):
    """The defining integral by adaptive quadrature."""

    def integrand(s):
        step = expm(-law.drift * s)
        return step @ (2 * law.diffusion) @ step.T

    return quad_vec(integrand, 0, time, epsabs=1e-12)[0]


def test_known_covariance_of_a_non_normal_drift():
    """The value that a package gets wrong which takes the eigenbasis for orthogonal; noise N(0, 2 I dt)."""
    expected = [[0.692, -0.087], [-0.087, 0.604]]
    np.testing.assert_allclose(NON_NORMAL.covariance(1.0), expected, atol=5e-4)  # three printed digits


@pytest.mark.parametrize("law", [NON_NORMAL, symmetric(), symmetric(isotropic=False)])
@pytest.mark.parametrize("time", [0.01, 1.0, 7.0])
def test_covariance_is_the_defining_integral(law, time):
    # 1e-9: the quadrature's own tolerance.
    np.testing.assert_allclose(law.covariance(time), brute_covariance(law, time), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("law", [NON_NORMAL, symmetric()])
def test_mean_solves_the_differential_equation(law):
    start = np.arange(1.0, len(law.input_rate) + 1)
    times = np.array([0.0, 0.3, 2.0])
    fixed = np.linalg.solve(law.drift, law.input_rate)
    expected = [expm(-law.drift * t) @ (start - fixed) + fixed for t in times]
    np.testing.assert_allclose(law.mean(times, start), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("law", [NON_NORMAL, symmetric(isotropic=False)])
def test_covariance_tends_to_the_lyapunov_solution(law):
    stationary = law.stationary_covariance()
    residual = law.drift @ stationary + stationary @ law.drift.T - 2 * law.diffusion
    assert np.abs(residual).max() < 1e-10
    np.testing.assert_allclose(law.covariance(200.0), stationary, rtol=1e-9)


def test_isotropic_noise_gives_the_inverse():
    law = symmetric()
    np.testing.assert_allclose(law.stationary_covariance(), np.linalg.inv(law.drift), rtol=1e-9)


def test_long_times_of_a_stiff_non_symmetric_drift_do_not_overflow():
    law = OrnsteinUhlenbeck(np.array([[1000.0, 5.0], [0.0, 0.1]]), np.zeros(2), np.eye(2))
    np.testing.assert_allclose(law.covariance(1e3), law.stationary_covariance(), rtol=1e-8)


def test_growing_mode_has_no_stationary_law():
    with pytest.raises(InputError, match="rate -1"):
        OrnsteinUhlenbeck(np.diag([1.0, -1.0]), np.zeros(2), np.eye(2)).stationary_covariance()


@pytest.mark.parametrize("law", [NON_NORMAL, symmetric(2)])
def test_held_noise_tends_to_white_noise_and_has_the_known_bias(law):
    white = law.stationary_covariance()
    np.testing.assert_allclose(law.held_covariance(1e-4), white, rtol=1e-6, atol=1e-6)
    slow = OrnsteinUhlenbeck(np.eye(1), np.zeros(1), np.eye(1))
    # tanh(h/2) / (h/2) = 1 − h²/12 + h⁴/120.
    assert slow.held_covariance(0.5)[0, 0] == pytest.approx(np.tanh(0.25) / 0.25, rel=1e-12)
    assert slow.held_covariance(0.5, steps=100)[0, 0] == pytest.approx(slow.held_covariance(0.5)[0, 0])


@pytest.mark.parametrize(
    "law", [pytest.param(NON_NORMAL, marks=pytest.mark.slow), symmetric(2), symmetric(2, isotropic=False)]
)
def test_samples_have_the_exact_joint_law(law):
    """5,000 trajectories at uneven times; chi-square of the whitened path, mean and spread, each at 1e-4."""
    times, start, draws = np.array([0.2, 0.2, 1.0, 1.7]), np.array([2.0, -1.0]), 5_000
    rng = np.random.default_rng(0)
    paths = np.stack([law.sample(times, start, rng) for _ in range(draws)])
    for k, time in enumerate(times):
        root = np.linalg.cholesky(law.covariance(time))
        white = np.linalg.solve(root, (paths[:, k] - law.mean([time], start)).T)
        total = float((white**2).sum())
        low, high = chi2.ppf([5e-5, 1 - 5e-5], white.size)
        assert low < total < high
        # Mean of n standard normals has deviation 1/√n; 4 of them, 2 components.
        assert np.abs(white.mean(axis=1)).max() < 4.1 / np.sqrt(draws)
    # Same time twice is the same value; a lag correlates by e^{−Mτ}.
    np.testing.assert_array_equal(paths[:, 0], paths[:, 1])
    early, late = paths[:, 1] - paths[:, 1].mean(0), paths[:, 2] - paths[:, 2].mean(0)
    expected = expm(-law.drift * 0.8) @ law.covariance(0.2)
    scale = np.sqrt(np.outer(law.covariance(1.0).diagonal(), law.covariance(0.2).diagonal()) * 2 / draws)
    assert (np.abs(late.T @ early / draws - expected) < 4.5 * scale).all()


def test_same_generator_state_gives_the_same_path():
    law, start = symmetric(), np.zeros(4)
    paths = [law.sample(np.linspace(0, 1, 5), start, np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(*paths)
    with pytest.raises(InputError, match="ascend"):
        law.sample(np.array([1.0, 0.5]), start, np.random.default_rng(0))

from math import inf

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import chi2

from experiments.shared.systems import ggn_system, spd_system
from solvers.sde import Sde, euler_maruyama
from spu_circuit.errors import InputError


@pytest.mark.parametrize("system", [spd_system(6, 30), ggn_system(4, 9, 0.2)], ids=["matrix", "low rank"])
@pytest.mark.parametrize("time", [0.0, 0.5, 20.0, inf])
def test_mean_is_the_papers_formula(system, time):
    dense = system.primal() if hasattr(system, "primal") else system
    start = np.linspace(-1, 1, len(dense.b))
    fixed = np.linalg.solve(dense.A, dense.b)
    step = np.zeros_like(dense.A) if time == inf else expm(-dense.A * time)
    solution = Sde().solve(system, time, start)
    np.testing.assert_allclose(solution.value, step @ (start - fixed) + fixed, rtol=1e-9, atol=1e-12)
    assert solution.standard_error is None


@pytest.mark.parametrize("system", [spd_system(5, 10), ggn_system(3, 5, 0.3)], ids=["matrix", "low rank"])
@pytest.mark.parametrize("time", [0.4, inf])
def test_samples_have_covariance_kappa_times_the_inverse(system, time):
    """Whitened with the exact covariance, 2,000 solves are standard normal: chi-square, false alarms 1 in 10⁴."""
    dense = system.primal() if hasattr(system, "primal") else system
    kappa, draws = 0.01, 2000
    step = np.zeros_like(dense.A) if time == inf else expm(-2 * dense.A * time)
    covariance = kappa * np.linalg.inv(dense.A) @ (np.eye(len(dense.b)) - step)
    mean = Sde().solve(system, time).value
    solutions = [Sde(kappa).solve(system, time, seed=k) for k in range(draws)]
    white = np.linalg.solve(np.linalg.cholesky(covariance), (np.array([s.value for s in solutions]) - mean).T)
    low, high = chi2.ppf([5e-5, 1 - 5e-5], white.size)
    assert low < (white**2).sum() < high
    np.testing.assert_allclose(solutions[0].standard_error, np.sqrt(covariance.diagonal()), rtol=1e-8)


def test_seed_decides_the_noise():
    system = ggn_system(3, 6, 0.3)
    first, again, other = (Sde(0.1).solve(system, 1.0, seed=s).value for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


@pytest.mark.parametrize("system", [spd_system(4, 4), ggn_system(3, 6, 0.5)], ids=["matrix", "low rank"])
def test_euler_maruyama_converges_to_the_exact_mean_in_first_order(system):
    exact = Sde().solve(system, 2.0).value
    errors = [np.abs(euler_maruyama(system, 2.0, step) - exact).max() for step in (0.02, 0.01)]
    # First order: half the step, half the error, up to the second-order term.
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.05)


def test_euler_maruyama_noise_has_the_variance_of_its_own_recursion():
    """x ← (1 − δt) x + N(0, 2κδt) is stationary with 2κδt / (1 − (1 − δt)²)."""
    system = spd_system(1, 1)
    kappa, step, draws = 0.5, 0.1, 1500
    values = [euler_maruyama(system, 20.0, step, kappa, seed=k)[0] for k in range(draws)]
    expected = 2 * kappa * step / (1 - (1 - step) ** 2)
    low, high = chi2.ppf([5e-5, 1 - 5e-5], draws - 1)
    assert low < np.var(values, ddof=1) / expected * (draws - 1) < high


@pytest.mark.parametrize("time", [-1.0, float("nan")])
def test_bad_times_are_refused(time):
    with pytest.raises(InputError, match="analog time"):
        Sde().solve(spd_system(2, 2), time)
    with pytest.raises(InputError, match="length 3, the system 2"):
        Sde().solve(spd_system(2, 2), 1.0, np.zeros(3))

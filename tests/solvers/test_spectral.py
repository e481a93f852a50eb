import numpy as np
import pytest
from scipy.linalg import expm, sqrtm

from experiments.shared.systems import ggn_system
from solvers.spectral import DenseOperator, LowRankOperator

FUNCTIONS = {
    "inverse": (lambda r: 1 / r, np.linalg.inv),
    "decay": (lambda r: np.exp(-0.7 * r), lambda F: expm(-0.7 * F)),
    "root": (np.sqrt, lambda F: np.real(sqrtm(F))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("rows", [1, 4, 9])
def test_low_rank_functions_equal_the_dense_ones(name, rows):
    system = ggn_system(rows, 9, 0.05)
    function, dense = FUNCTIONS[name]
    F = system.primal().A
    expected = dense(F)
    for operator in (LowRankOperator(system.B, system.damping), DenseOperator(F)):
        np.testing.assert_allclose(operator.apply((function, system.gradient)), expected @ system.gradient, rtol=1e-8)
        np.testing.assert_allclose(operator.diagonal(function), expected.diagonal(), rtol=1e-8)


def test_null_directions_of_the_factor_do_no_harm():
    """More rows than parameters, and a row twice: BBᵀ is singular."""
    system = ggn_system(6, 4, 0.1)
    B = np.vstack([system.B, system.B[:2]])
    F = B.T @ B + 0.1 * np.eye(4)
    value = LowRankOperator(B, 0.1).apply((lambda r: 1 / r, system.gradient))
    np.testing.assert_allclose(value, np.linalg.solve(F, system.gradient), rtol=1e-8)


def test_terms_add_up():
    system = ggn_system(3, 5, 0.2)
    operator = LowRankOperator(system.B, system.damping)
    function = FUNCTIONS["inverse"][0]
    twice = operator.apply((function, system.gradient), (function, system.gradient))
    np.testing.assert_allclose(twice, 2 * operator.apply((function, system.gradient)), rtol=1e-12)

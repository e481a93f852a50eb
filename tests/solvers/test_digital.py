import numpy as np
import pytest

from experiments.shared.systems import ggn_system, spd_system
from solvers.digital import Digital
from spu_circuit.errors import InputError, SimulationError
from spu_circuit.problem import LinearSystems


@pytest.mark.parametrize("method", ["cholesky", "cg", "woodbury"])
def test_methods_agree_on_a_natural_gradient(method):
    system = ggn_system(5, 12, 0.1)
    solution = Digital(method).solve(system)
    exact = np.linalg.solve(system.primal().A, system.gradient)
    np.testing.assert_allclose(solution.value, exact, rtol=1e-7)  # CG stops at a residual of 1e-10
    assert solution.statistics.residual < 1e-9


@pytest.mark.parametrize("method", ["cholesky", "cg"])
def test_methods_solve_a_plain_matrix(method):
    system = spd_system(7, 50)
    np.testing.assert_allclose(Digital(method).solve(system).value, np.linalg.solve(system.A, system.b), rtol=1e-7)


def test_the_diagonal_alone_solves_what_is_diagonal():
    system = ggn_system(5, 12, 0.1)
    found = Digital("diagonal").solve(system).value
    np.testing.assert_allclose(found, system.gradient / system.primal().A.diagonal())
    stack = LinearSystems(np.diag([2.0, 4.0])[None], np.ones((1, 2)))
    np.testing.assert_allclose(Digital("diagonal").solve_batch(stack).values, [[0.5, 0.25]])


def test_limited_cg_stops_early_and_unlimited_cg_says_when_it_stalls():
    system = spd_system(30, 1e6)
    assert Digital("cg", iterations=3).solve(system).statistics.residual > 1e-3
    with pytest.raises(SimulationError, match="did not reach 1e-30"):
        Digital("cg", tolerance=1e-30).solve(system)


def test_digital_solvers_know_no_time_and_woodbury_needs_a_factor():
    with pytest.raises(InputError, match="knows no time"):
        Digital().solve(spd_system(2, 2), 1.0)
    with pytest.raises(InputError, match="needs a system with a curvature factor"):
        Digital("woodbury").solve(spd_system(2, 2))

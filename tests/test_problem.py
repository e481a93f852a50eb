import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.benchmarks.systems import ggn_system
from spu_circuit.errors import InputError
from spu_circuit.problem import GgnSystem, LinearSystem

EYE = np.eye(2)


@pytest.mark.parametrize(
    ("A", "b", "words"),
    [
        (np.ones((2, 3)), np.ones(2), "2 x 3; it must be square"),
        (EYE, np.ones(3), "length 3, the matrix 2 rows"),
        (np.array([[1, 0.5], [0.2, 1]]), np.ones(2), "not symmetric: .* up to 0.3"),
        (np.diag([1.0, -0.25]), np.ones(2), r"lowest eigenvalue is -0.25; a damping of 0.5"),
        (np.diag([1.0, np.nan]), np.ones(2), r"nan at \[1, 1\]"),
        (EYE, np.array([1, np.inf]), r"inf at \[1\]"),
        (np.zeros((0, 0)), np.zeros(0), "empty"),
        (EYE * 1j, np.ones(2), "complex"),
        (np.array([["a"]]), np.ones(1), "not numbers"),
        (np.ones(2), np.ones(2), r"must be a matrix"),
        (EYE, EYE, r"must be a vector"),
    ],
)
def test_bad_systems_are_refused_with_the_reason(A, b, words):
    with pytest.raises(InputError, match=words):
        LinearSystem(A, b)


@given(st.integers(2, 6), st.floats(0.01, 10))
def test_suggested_damping_cures_an_indefinite_matrix(size, depth):
    A = np.diag(np.r_[-depth, np.ones(size - 1)])
    with pytest.raises(InputError) as caught:
        LinearSystem(A, np.ones(size))
    damping = float(str(caught.value).split("a damping of ")[1].split()[0])
    LinearSystem(A + damping * np.eye(size), np.ones(size))


def test_dual_gives_the_primal_solution():
    """The Woodbury identity, to the rounding of a well-conditioned system."""
    system = ggn_system(5, 12, 0.3)
    primal, dual = system.primal(), system.dual()
    direct = np.linalg.solve(primal.A, primal.b)
    through_dual = system.from_dual(np.linalg.solve(dual.A, dual.b))
    np.testing.assert_allclose(through_dual, direct, rtol=1e-10)
    assert system.residual(direct) < 1e-12
    assert system.residual(2 * direct) == pytest.approx(1)


@pytest.mark.parametrize("damping", [0.0, -1.0, np.nan])
def test_damping_must_be_above_zero(damping):
    with pytest.raises(InputError, match="damping"):
        GgnSystem(np.ones((1, 2)), damping, np.ones(2))


def test_single_precision_products_are_symmetric_enough():
    X = np.random.default_rng(0).normal(size=(50, 30)).astype(np.float32)
    LinearSystem(
        (X.T * np.linspace(0.5, 1, 50, dtype=np.float32)) @ X + 0.1 * np.eye(30, dtype=np.float32), np.ones(30)
    )


def test_advice_for_a_singular_matrix_is_not_lost_in_rounding():
    with pytest.raises(InputError) as caught:
        LinearSystem(np.ones((2, 2)), np.ones(2))
    damping = float(str(caught.value).split("a damping of ")[1].split()[0])
    LinearSystem(np.ones((2, 2)) + damping * np.eye(2), np.ones(2))

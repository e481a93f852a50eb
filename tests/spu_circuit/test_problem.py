import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.shared.systems import ggn_system
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
        (np.diag([1.0, 1e307]), np.ones(2), r"^matrix has 1e\+307 at \[1, 1\]; scale the system to at most 1e\+60$"),
        (EYE, np.array([1.0, -1e307]), r"^vector has -1e\+307 at \[1\]; scale the system to at most 1e\+60$"),
        (EYE, np.array([0.0, 5e-324]), r"^vector has no entry above 4.94066e-324; scale the system to at least 1e-60$"),
        (
            EYE.astype(np.longdouble) * np.longdouble("1e4000"),
            np.ones(2),
            r"matrix has inf at \[0, 0\]; every entry must be",
        ),
    ],
)
def test_bad_systems_are_refused_with_the_reason(A, b, words):
    with pytest.raises(InputError, match=words):
        LinearSystem(A, b)


def test_the_largest_and_smallest_numbers_of_a_system_stay_in_double_precision():
    """At the very bounds, of the product BᵀHB too: formed matrix, products, residual and solution are finite."""
    for size in (7e19, 1.1e-20):
        B, H = size * np.array([[1.0, 0.5]]), np.array([[size]])
        system = GgnSystem(B, size**3, size * np.ones(2), H)
        primal = system.primal()
        for found in (primal.A, primal.factored().B, system.product(np.ones(2)), system.from_dual(np.ones(1))):
            assert np.isfinite(found).all()
            assert found.any()
        assert system.residual(np.zeros(2)) == 1


@pytest.mark.parametrize("damping", [1e308, 1e61, 1e-300])
def test_damping_beyond_double_precision_is_refused(damping):
    with pytest.raises(InputError, match=r"^damping is 1e.*; it must be from 1e-60 to 1e\+60: scale the system$"):
        GgnSystem(EYE, damping, np.ones(2))


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


@pytest.mark.parametrize("rank", [5, 2])
def test_a_hessian_is_the_same_folded_into_the_factor_or_apart(rank):
    """BᵀHB + λI written out, also where H is singular; the dual and the products follow."""
    rng = np.random.default_rng(rank)
    root = rng.normal(size=(5, rank))
    plain = ggn_system(5, 8, 0.3)
    system = GgnSystem(plain.B, 0.3, plain.gradient, root @ root.T)
    F = plain.B.T @ root @ root.T @ plain.B + 0.3 * np.eye(8)
    exact = np.linalg.solve(F, plain.gradient)
    np.testing.assert_allclose(system.primal().A, F, atol=1e-12)
    dual = system.dual()
    np.testing.assert_allclose(system.from_dual(np.linalg.solve(dual.A, dual.b)), exact, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(system.product(exact), system.b, rtol=1e-9)
    assert system.residual(exact) < 1e-12


@pytest.mark.parametrize(
    ("H", "words"),
    [
        (np.eye(3), r"Hessian H has shape \(3, 3\), B 2 rows; H must be 2 x 2"),
        (np.array([[1, 0.5], [0.2, 1]]), "Hessian H is not symmetric: .* up to 0.3"),
        (np.diag([1.0, -0.1]), "eigenvalue -0.1; it must be positive semidefinite"),
        (np.diag([1.0, np.nan]), r"Hessian H has nan at \[1, 1\]"),
    ],
)
def test_bad_hessians_are_refused_with_the_reason(H, words):
    with pytest.raises(InputError, match=words):
        GgnSystem(np.ones((2, 4)), 0.1, np.ones(4), H)


@given(st.integers(1, 7), st.integers(0, 1000))
def test_a_matrix_comes_back_from_its_factor(size, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(size, size))
    system = LinearSystem(X @ X.T + 0.1 * np.eye(size), np.ones(size))
    factored = system.factored()
    assert len(factored.B) == max(1, size - 1)
    np.testing.assert_allclose(factored.primal().A, system.A, atol=1e-10 * np.abs(system.A).max())


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

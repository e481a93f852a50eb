"""Batches of systems come out as their systems do one by one."""

from math import inf

import numpy as np
import pytest

from experiments.shared.systems import ggn_system, spd_system
from solvers.digital import Digital
from solvers.ideal import IdealLaw
from solvers.sde import Sde
from solvers.solution import Solution, Solutions, Statistics, StatisticsArrays, solve_each, statistics_arrays
from solvers.spu import Spu
from spu_circuit.errors import InputError, SimulationError
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import GgnSystems, LinearSystem, LinearSystems

PLAIN = [spd_system(5, 20, seed) for seed in range(4)]
GGN = [ggn_system(3, 5, 0.1 + seed, seed) for seed in range(4)]
LINEAR_BATCH = LinearSystems(np.stack([s.A for s in PLAIN]), np.stack([s.b for s in PLAIN]))
GGN_BATCH = GgnSystems(
    np.stack([s.B for s in GGN]), np.array([s.damping for s in GGN]), np.stack([s.gradient for s in GGN])
)
STATES = np.linspace(-1, 1, 20).reshape(4, 5)
SEEDS = [3, 1, 4, 1]


@pytest.mark.parametrize(
    ("solver", "time"),
    [
        (Digital(), inf),
        (Digital("woodbury"), inf),
        (Digital("cg", iterations=2), inf),
        (Sde(), 0.7),
        (Sde(0.1), 0.7),
        (Sde(0.1), inf),
        (Spu(load_hardware("paper"), IdealLaw()), 0.7),
    ],
)
@pytest.mark.parametrize("systems", [LINEAR_BATCH, GGN_BATCH], ids=["matrix", "factor"])
def test_a_batch_is_its_systems_one_by_one(solver, time, systems):
    if solver == Digital("woodbury") and systems is LINEAR_BATCH:
        with pytest.raises(InputError, match="needs a system with a curvature factor"):
            solver.solve_batch(systems)
        return
    together = solver.solve_batch(systems, time, STATES, SEEDS)
    apart = solve_each(solver, systems, time, STATES, SEEDS)
    # Rounding of sums in another order, with condition numbers up to 100.
    np.testing.assert_allclose(together.values, apart.values, rtol=1e-11, atol=1e-13)
    for name, ours, theirs in zip(StatisticsArrays._fields, together.statistics, apart.statistics, strict=True):
        assert (ours.shape, ours.dtype) == ((4,), theirs.dtype), name
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("solver", [Digital(), Sde(0.1), Spu(load_hardware("paper"), IdealLaw())])
def test_a_solution_does_not_depend_on_the_rest_of_the_batch(solver):
    rest = LinearSystems(LINEAR_BATCH.A[2:], LINEAR_BATCH.b[2:])
    time = 0.7 if solver.analog else inf
    whole = solver.solve_batch(LINEAR_BATCH, time, None, SEEDS).values[2:]
    # The same operations on the same numbers, up to the order in which a BLAS adds them for another number of systems.
    np.testing.assert_allclose(solver.solve_batch(rest, time, None, SEEDS[2:]).values, whole, rtol=1e-12)


def test_systems_of_a_batch_are_the_single_ones():
    for batch, singles in ((LINEAR_BATCH, PLAIN), (GGN_BATCH, GGN)):
        x = STATES
        for k, single in enumerate(singles):
            np.testing.assert_allclose(batch.product(x)[k], single.product(x[k]), rtol=1e-12)
            assert batch.residual(x)[k] == pytest.approx(single.residual(x[k]), rel=1e-12)
            np.testing.assert_allclose(batch[k].b, single.b)
    for k, single in enumerate(GGN):
        np.testing.assert_allclose(GGN_BATCH.primal().A[k], single.primal().A, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(GGN_BATCH.dual().A[k], single.dual().A, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(GGN_BATCH.dual().b[k], single.dual().b, rtol=1e-12)
        y = STATES[:, :3]
        np.testing.assert_allclose(GGN_BATCH.from_dual(y)[k], single.from_dual(y[k]), rtol=1e-12)


EYES = np.stack([np.eye(2)] * 3)


@pytest.mark.parametrize(
    ("A", "b", "words"),
    [
        (np.ones((3, 2, 4)), np.ones((3, 2)), "2 x 4; they must be square"),
        (EYES, np.ones((2, 2)), r"shape \(2, 2\), the matrices \(3, 2, 2\); vectors must be \(3, 2\)"),
        (np.stack([EYES[0], [[1, 0.2], [0, 1]], EYES[0]]), np.ones((3, 2)), "matrix 1 of 3 .* 0.2"),
        (EYES * np.nan, np.ones((3, 2)), r"nan at \[0, 0, 0\]"),
        (np.eye(2), np.ones((3, 2)), "stack of matrices"),
    ],
)
def test_bad_batches_are_refused_with_the_reason(A, b, words):
    with pytest.raises(InputError, match=words):
        LinearSystems(A, b)


def test_bad_factors_and_dampings_of_a_batch_are_refused():
    B, g = np.ones((3, 2, 4)), np.ones((3, 4))
    with pytest.raises(InputError, match=r"gradients have shape \(3, 3\)"):
        GgnSystems(B, np.ones(3), np.ones((3, 3)))
    with pytest.raises(InputError, match="give one for each of the 3 systems"):
        GgnSystems(B, np.ones(2), g)
    with pytest.raises(InputError, match=r"damping is -0.5; it must be above zero"):
        GgnSystems(B, np.array([1, -0.5, 1]), g)


@pytest.mark.parametrize("solver", [Digital(), Sde()])
def test_who_factorises_names_the_matrix_that_is_not_definite(solver):
    indefinite = LinearSystems(EYES * np.array([1, 1, -0.25])[:, None, None], np.ones((3, 2)))
    with pytest.raises(InputError, match=r"matrix 2 of 3 is not positive definite: .* is -0.25; a damping of 0.5 "):
        solver.solve_batch(indefinite)


def test_seeds_and_states_of_a_batch_must_fit():
    with pytest.raises(InputError, match="2 seeds for 4 systems"):
        Sde().solve_batch(LINEAR_BATCH, 1.0, None, [1, 2])
    with pytest.raises(InputError, match=r"shape \(4, 3\); these systems need \(4, 5\)"):
        Sde().solve_batch(LINEAR_BATCH, 1.0, np.ones((4, 3)))
    with pytest.raises(InputError, match="knows no time"):
        Digital().solve_batch(LINEAR_BATCH, 1.0)


def test_a_solution_that_is_not_finite_is_an_error_of_every_solver():
    """A matrix that is singular to rounding passes Cholesky and has a negative eigenvalue."""
    for bad in (np.nan, np.inf, -np.inf):
        words = rf"^the solution has {bad} at \[1\]; raise the damping"
        with pytest.raises(SimulationError, match=words):
            Solution(np.array([1.0, bad]), Statistics("", 0.0, 0.0))
        with pytest.raises(SimulationError, match=r"^the solution has .* at \[0, 1\]; raise the damping"):
            Solutions(np.array([[1.0, bad]]), statistics_arrays(np.zeros(1)), 0.0)
    with pytest.raises(SimulationError, match=r"^the solution reaches 1e\+300, where A x leaves double precision"):
        Solution(np.array([-1e300]), Statistics("", np.inf, 0.0))
    singular = LinearSystem(np.ones((3, 3)) + np.diag([0, 2**-52, 2**-51]), np.ones(3))
    for solver, time in ((Sde(), 1e300), (Sde(0.1), inf)):
        with np.errstate(all="ignore"), pytest.raises(SimulationError, match=r"the solution has .*; raise the damping"):
            solver.solve(singular, time)

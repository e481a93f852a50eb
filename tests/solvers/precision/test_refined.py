"""Refinement against its law, conjugate directions against SciPy's, and how they end."""

from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

import numpy as np
import pytest
from scipy.sparse.linalg import cg, gmres

from experiments.shared.systems import ggn_system, spd_system
from netlists.device import program_array
from solvers.digital import Digital
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.precision.refined import METHODS, Refined
from solvers.solution import Solution, Statistics, StatisticsArrays, solve_each
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import GgnSystem, GgnSystems, LinearSystem, LinearSystems
from spu_circuit.sampling import Sample, Sampling
from spu_circuit.variation import Variation

PAPER, BENCH, RRAM = (load_hardware(name) for name in ("paper", "bench", "rram"))


@dataclass(frozen=True)
class Linear:
    """A device that is exactly the linear map M, of one size; counts its solves."""

    M: object
    analog: bool = False
    solved: list = field(default_factory=list)

    def solve(self, system, analog_time=inf, initial_state=None, seed=0):
        self.solved.append(seed)
        M = self.M(len(self.solved)) if callable(self.M) else self.M
        value = M @ system.b
        return Solution(value, Statistics("linear", system.residual(value), 0.0, solves=1))

    def solve_batch(self, systems, analog_time=inf, initial_states=None, seeds=None):
        return solve_each(self, systems, analog_time, initial_states, seeds)


def coarse(bits: int):
    """Ideal but for levels of even conductance: the linear map of its programmed matrix."""
    hardware = load_hardware("ideal")
    top = hardware.array.G_max
    array = hardware.array.model_copy(update={"bits": bits, "G_min": top / (2**bits - 1)})
    return hardware.model_copy(update={"array": array})


def contraction(system: LinearSystem, hardware) -> np.ndarray:
    """C = I − Ã⁻¹ A of the programmed matrix Ã."""
    return np.eye(len(system.b)) - np.linalg.solve(program_array(system, hardware).matrix, system.A)


@pytest.mark.parametrize(("bits", "condition"), [(4, 2), (6, 5), (8, 30)])
def test_bits_of_each_solve_are_those_of_the_spectral_radius(bits, condition):
    """After the first few solves the largest eigenvalue of C rules; its phase of five solves is known to 10 %."""
    system, hardware = spd_system(12, condition, 3), coarse(bits)
    radius = float(np.abs(np.linalg.eigvals(contraction(system, hardware))).max())
    residuals = Refined(Spu(hardware, Network()), 14, 1e-14).solve(system).refinement.residuals
    residuals = [r for r in residuals if r > 1e-12]  # above rounding
    rate = (residuals[-1] / residuals[-4]) ** (1 / 3)
    assert rate == pytest.approx(radius, rel=0.1)


def test_an_error_is_multiplied_by_the_contraction_exactly():
    system, hardware = spd_system(8, 10, 1), coarse(5)
    C, x = contraction(system, hardware), np.linalg.solve(system.A, system.b)
    for corrections in range(4):
        value = Refined(Spu(hardware, Network()), corrections, 1e-12).solve(system).value
        expected = x - np.linalg.matrix_power(C, corrections + 1) @ x
        np.testing.assert_allclose(value, expected, rtol=1e-7, atol=1e-9)  # amplifiers have a gain of 10⁹


@pytest.mark.parametrize(("gain", "outcome"), [(0.1, "converged"), (1.9, "converged"), (2.1, "diverged")])
def test_it_converges_where_the_device_holds_more_than_half_of_the_matrix(gain, outcome):
    """M = gain · A⁻¹ has the contraction 1 − gain, so it needs log 10⁻⁶ / log |1 − gain| solves."""
    system = spd_system(6, 20)
    solution = Refined(Linear(gain * np.linalg.inv(system.A)), 300, 1e-6).solve(system)
    assert solution.refinement.outcome == outcome
    if outcome == "converged":
        wanted = np.log(1e-6) / np.log(abs(1 - gain))
        assert len(solution.refinement.residuals) == int(np.ceil(wanted))


def test_divergence_is_named_and_the_best_iterate_comes_back():
    """One direction grows from a small share: the residual falls at first."""
    system = LinearSystem(np.diag([1.0, 1.0]), np.array([1.0, 1e-3]))
    refined = Refined(Linear(np.diag([0.9, 4.0])), 50, 1e-9)
    solution = refined.solve(system)
    residuals = solution.refinement.residuals
    assert solution.refinement.outcome == "diverged"
    assert "diverged after 5 solves: corrections make the residual larger" in str(solution.refinement)
    assert solution.statistics.residual == pytest.approx(min(residuals))
    assert residuals.index(min(residuals)) not in (0, len(residuals) - 1)


def test_growth_before_convergence_is_waited_for():
    """``AM`` is not normal where A and M do not commute: residuals may grow while the error falls."""
    rng = np.random.default_rng(0)
    system = spd_system(6, 1e4, 2)
    root = np.linalg.cholesky(system.A)
    inner = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    C = inner * np.array([0.8, -0.8, 0.7, -0.7, 0.6, -0.6]) @ inner.T
    inverse_root = np.linalg.inv(root)
    M = inverse_root.T @ (np.eye(6) - C) @ inverse_root
    solution = Refined(Linear(M), 200, 1e-8).solve(system)
    residuals = solution.refinement.residuals
    assert solution.refinement.outcome == "converged"
    assert any(later > earlier for earlier, later in pairwise(residuals))


def test_more_damping_than_the_programming_error_always_converges():
    """``Ã ≥ A``: slowly, by δ/(λ + δ) in the lowest direction, to which the levels add what they do."""
    system = spd_system(10, 20, 4)
    spu = Spu(RRAM, Network())
    damping = 0.6
    assert Refined(spu, 40, 1e-6).solve(system).refinement.outcome == "diverged"
    slow = Refined(spu, 400, 1e-6, damping=damping).solve(system)
    fast = Refined(spu, 400, 1e-6, "cg", damping).solve(system)
    assert slow.refinement.outcome == fast.refinement.outcome == "converged"
    held = program_array(system.damped(damping), RRAM).matrix
    assert np.linalg.eigvalsh(held - system.A)[0] > 0
    lowest = np.abs(np.linalg.eigvals(np.eye(10) - np.linalg.solve(held, system.A))).max()
    rates = np.array(slow.refinement.residuals)
    assert (rates[-1] / rates[-21]) ** (1 / 20) == pytest.approx(lowest, rel=0.02)
    assert len(fast.refinement.residuals) < len(slow.refinement.residuals) / 5


@pytest.mark.parametrize("method", ["cg", "gmres"])
def test_a_fixed_preconditioner_gives_the_iterates_of_scipy(method):
    system = spd_system(9, 50, 1)
    M = np.diag(1 / system.A.diagonal())
    for corrections in range(6):
        ours = Refined(Linear(M), corrections, 1e-15, method).solve(system).value
        if method == "cg":
            theirs = cg(system.A, system.b, rtol=0, maxiter=corrections + 1, M=M)[0]
        else:  # SciPy preconditions from the left; from the right, as here, is the system A M u = b
            u = gmres(system.A @ M, system.b, rtol=1e-15, restart=corrections + 1, maxiter=1)[0]
            theirs = M @ u
        # The best iterate is ours, the last one is SciPy's: a residual of cg may grow.
        if system.residual(ours) >= (1 - 1e-9) * system.residual(theirs):
            np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)
        assert system.residual(ours) <= (1 + 1e-9) * system.residual(theirs)


@pytest.mark.parametrize("method", METHODS)
def test_an_exact_device_needs_one_solve(method):
    system = spd_system(7, 100)
    solution = Refined(Digital(), 5, 1e-10, method).solve(system)
    assert (solution.refinement.outcome, len(solution.refinement.residuals)) == ("converged", 1)


@pytest.mark.parametrize("method", ["cg", "gmres"])
def test_conjugate_directions_end_after_as_many_as_there_are_unknowns(method):
    system = spd_system(8, 30, 2)
    solution = Refined(Linear(np.eye(8)), 30, 1e-11, method).solve(system)
    assert solution.refinement.outcome == "converged"
    assert len(solution.refinement.residuals) <= 9


@pytest.mark.parametrize("method", ["cg", "gmres"])
def test_a_device_that_is_another_one_each_time_lowers_its_norm_in_every_step(method):
    """What flexible means: the norm that the method minimises falls with any preconditioner."""
    system = spd_system(10, 100, 5)
    exact = np.linalg.solve(system.A, system.b)

    def changing(k):
        noise = np.random.default_rng(k).normal(size=(10, 10))
        return np.eye(10) + noise @ noise.T / 10

    norms = []
    for corrections in range(12):
        value = Refined(Linear(changing), corrections, 1e-15, method).solve(system).value
        error = value - exact
        norms.append(error @ system.A @ error if method == "cg" else system.residual(value))
    if method == "gmres":
        assert (np.diff(norms[:10]) < 0).all()  # there are ten unknowns
    else:  # the iterate of the smallest residual comes back, not always the last
        assert norms[-1] < 1e-9 * norms[0]


def test_directions_beat_refinement_where_the_device_is_too_coarse():
    """Eight levels and condition 10: refinement diverges, cg and gmres reach 10⁻¹² on the same program."""
    system, spu = spd_system(16, 10, 1), Spu(RRAM, Network())
    assert Refined(spu, 30, 1e-12).solve(system).refinement.outcome == "diverged"
    for method in ("cg", "gmres"):
        solution = Refined(spu, 30, 1e-12, method).solve(system)
        assert solution.refinement.outcome == "converged"
        assert len(solution.refinement.residuals) < 20


def test_the_first_iterate_is_the_device_alone_and_words_are_those_of_all_solves():
    system, spu = spd_system(6, 5), Spu(BENCH, Network())
    alone = spu.solve(system)
    once = Refined(spu, 0, 1e-12).solve(system)
    np.testing.assert_array_equal(once.value, alone.value)
    assert once.refinement.residuals == pytest.approx((alone.statistics.residual,))
    thrice = Refined(spu, 2, 1e-12).solve(system).statistics
    assert (thrice.solves, thrice.programs) == (3, 1)
    assert thrice.dac_words == thrice.adc_words == 6 * (3 + thrice.range_changes)
    assert thrice.solver == "network"
    # A product and four numbers per unknown for each solve.
    assert thrice.flops == 3 * (2 * 36 + 4 * 6)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_its_systems_one_by_one(method):
    """Each stops for itself."""
    solver = Refined(Spu(PAPER, Network()), 6, 1e-9, method, estimate=True)
    conditions = (2.0, 500.0, 20.0)
    plain = [spd_system(5, condition, 1) for condition in conditions]
    factors = [ggn_system(3, 5, 1 / condition) for condition in conditions]
    for systems in (
        LinearSystems(np.stack([s.A for s in plain]), np.stack([s.b for s in plain])),
        GgnSystems(
            np.stack([s.B for s in factors]),
            np.array([s.damping for s in factors]),
            np.stack([s.gradient for s in factors]),
        ),
    ):
        together = solver.solve_batch(systems)
        apart = solve_each(solver, systems)
        np.testing.assert_allclose(together.values, apart.values, rtol=1e-8)
        for name, ours, theirs in zip(StatisticsArrays._fields, together.statistics, apart.statistics, strict=True):
            if name not in ("residual", "estimated_error"):  # which are of the size of rounding
                np.testing.assert_allclose(ours, theirs, rtol=1e-9, err_msg=name)
        assert [r.outcome for r in together.refinements] == ["converged"] * 3
        assert len({r.residuals for r in together.refinements}) == 3


def test_noise_of_corrections_is_new_and_repeats_with_the_seed():
    engine = Network(linearise=True, readout_bandwidth=1e7)
    solver, system = Refined(Spu(BENCH, engine), 4, 1e-9), spd_system(4, 5)
    first, same, other = (solver.solve(system, 8.0, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.value, same.value)
    assert not np.array_equal(first.value, other.value)
    linear = Linear(0.5 * np.linalg.inv(system.A))
    Refined(linear, 3, 1e-9).solve(system, seed=7)
    assert len(set(linear.solved)) == 4
    assert linear.solved[0] == 7


def test_before_the_device_settles_refinement_converges_by_what_relaxes():
    """``C = e^{−At}``: two time constants of the lowest direction in each solve; a warm start counts once."""
    hardware = load_hardware("ideal")
    system = spd_system(5, 3)
    rate, exact = np.linalg.eigvalsh(system.A)[0], np.linalg.solve(system.A, system.b)
    solver = Refined(Spu(hardware, Network()), 12, 1e-9)
    residuals = solver.solve(system, 2 / rate).refinement.residuals
    assert (residuals[6] / residuals[2]) ** (1 / 4) == pytest.approx(np.exp(-2), rel=0.02)
    warm = solver.solve(system, 2 / rate, exact + 1e-3).refinement.residuals
    assert warm[0] < 1e-2 * residuals[0]


def test_a_drawn_copy_is_refined_in_ngspice_as_in_network():
    """Mismatch of 5 % in the resistors is an error of the matrix like any other."""
    variation = Variation.model_validate({"array_resistor": {"local": {"tolerance": "5 %", "meaning": "sigma"}}})
    hardware, system = BENCH.model_copy(update={"variation": variation}), spd_system(3, 4)
    exact = np.linalg.solve(system.A, system.b)
    for engine in (Network(), Ngspice()):
        copy = Spu(hardware, engine, sample=Sample(Sampling(seed=3), 1))
        solution = Refined(copy, 12, 1e-8).solve(system)
        assert solution.refinement.outcome == "converged"
        assert solution.refinement.residuals[0] > 1e-2
        np.testing.assert_allclose(solution.value, exact, rtol=1e-6)
    assert solution.statistics.ngspice_runs == solution.statistics.solves + solution.statistics.range_changes


def test_a_primal_system_with_a_hessian_is_refined():
    plain = ggn_system(4, 6, 0.5)
    root = np.random.default_rng(5).normal(size=(4, 3))
    system = GgnSystem(plain.B, 0.5, plain.gradient, root @ root.T)
    solution = Refined(Spu(load_hardware("factored"), Network()), 60, 1e-10, "cg").solve(system)
    assert solution.refinement.outcome == "converged"
    np.testing.assert_allclose(solution.value, np.linalg.solve(system.primal().A, system.gradient), rtol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_an_indefinite_system_is_named_and_keeps_the_best_iterate(method):
    """Only a batch can hold one; with its own damping the device can be programmed."""
    A = np.diag([2.0, 1.0, -0.5])
    systems = LinearSystems(A[None], np.array([[1.0, 1.0, 1.0]]))
    found = Refined(Spu(BENCH, Network()), 40, 1e-9, method, damping=1.0).solve_batch(systems)
    assert found.refinements[0].outcome == "indefinite"
    assert "it is singular or indefinite; raise the damping of the system" in str(found.refinements[0])
    assert np.isfinite(found.values).all()
    assert found.statistics.residual[0] == pytest.approx(min(found.refinements[0].residuals))


@pytest.mark.parametrize("method", METHODS)
def test_a_singular_system_is_not_called_solved(method):
    """Along its null space nothing lowers the residual; the rest is solved."""
    A = np.diag([2.0, 1.0, 0.0])
    systems = LinearSystems(A[None], np.array([[1.0, 1.0, 1.0]]))
    found = Refined(Spu(BENCH, Network()), 60, 1e-9, method, damping=0.7).solve_batch(systems)
    assert found.refinements[0].outcome in ("stalled", "indefinite")
    assert "singular" in str(found.refinements[0])
    if method != "cg":  # whose residuals need not fall
        assert found.statistics.residual[0] == pytest.approx(1 / np.sqrt(3), rel=1e-2)


def test_a_device_that_sees_nothing_of_what_is_left_is_given_up():
    """Condition 10⁶: what an input of one DAC code makes is beyond every range, so all codes end as zeros."""
    system = spd_system(12, 1e6, 3)
    spu = Spu(PAPER.model_copy(update={"scaling": "jacobi"}), Network())
    for method in METHODS:
        solution = Refined(spu, 60, 1e-12, method).solve(system)
        assert solution.refinement.outcome == "stalled"
        assert len(solution.refinement.residuals) <= 6
        assert "the device sees nothing of what is left" in str(solution.refinement)


def test_a_residual_of_cg_may_grow_for_long():
    """Condition 10⁴ without a preconditioner: it is above its first value for more than ten steps."""
    system = spd_system(64, 1e4, 2)
    solution = Refined(Linear(np.eye(64)), 200, 1e-6, "cg").solve(system)
    assert solution.refinement.outcome == "converged"
    assert min(solution.refinement.residuals[1:11]) > solution.refinement.residuals[0]


def test_double_precision_is_where_refinement_stalls():
    """Its floor is eps · ‖A‖ ‖x‖ / ‖b‖, which condition 10⁴ raises."""
    system = spd_system(12, 1e4, 3)
    solution = Refined(Spu(PAPER.model_copy(update={"scaling": "jacobi"}), Network()), 60, 1e-15, "cg").solve(system)
    assert solution.refinement.outcome == "stalled"
    floor = np.finfo(float).eps * np.linalg.norm(system.A, 2) * np.linalg.norm(solution.value)
    assert solution.statistics.residual < 20 * floor / np.linalg.norm(system.b)


def test_nothing_is_asked_of_the_device_for_a_right_hand_side_of_zero():
    solution = Refined(Spu(BENCH, Network()), 3, 1e-9).solve(LinearSystem(np.eye(2), np.zeros(2)))
    assert not solution.value.any()
    assert (solution.refinement.outcome, solution.statistics.solves) == ("converged", 0)


def test_at_time_zero_nothing_happens():
    start = np.array([1.0, 2.0, 3.0])
    solution = Refined(Spu(BENCH, Network()), 3, 1e-9).solve(spd_system(3, 2), 0.0, start)
    np.testing.assert_array_equal(solution.value, start)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "newton"}, "no 'newton'; methods of refinement are refinement, cg, gmres"),
        ({"tolerance": 1e-17}, "tolerance is 1e-17; .* give one from 8.9e-16, where double precision ends, to below 1"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
        ({"tolerance": 1.0}, "tolerance is 1;"),
        ({"corrections": -1}, "corrections is -1; give a whole number, 0 or more"),
        ({"corrections": 1.5}, "corrections is 1.5; give a whole number"),
        ({"damping": -0.1}, "damping of the device is -0.1; give 0 or more"),
        ({"damping": inf}, "damping of the device is inf"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, said):
    with pytest.raises(InputError, match=said):
        Refined(Digital(), **given)

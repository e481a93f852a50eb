"""What averaging removes and what it leaves, against its law."""

import numpy as np
import pytest

from experiments.shared.systems import spd_system
from netlists.device import program_array
from solvers.ideal import IdealLaw
from solvers.network import Network
from solvers.precision.averaged import Averaged
from solvers.precision.refined import Refined
from solvers.precision.rotated import Rotated
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import LinearSystems
from tests.solvers.precision.test_refined import coarse

SYSTEM = spd_system(8, 4, 1)
EXACT = np.linalg.solve(SYSTEM.A, SYSTEM.b)


def predicted(bits: int) -> tuple[float, float]:
    """Deviation ε of one drawn program and the bias of their mean, beside ‖x‖, to leading order.

    Each pair of entries has the variance ``step² p (1 − p)``; ``x − x* = −A⁻¹ E x* + A⁻¹ E A⁻¹ E x*``.
    """
    hardware = coarse(bits)
    unit = float(program_array(SYSTEM, hardware).siemens_per_unit)
    step = hardware.array.G_min / unit
    share = np.abs(SYSTEM.A) / step % 1
    inverse, power, bias = np.linalg.inv(SYSTEM.A), 0.0, np.zeros(8)
    for i in range(8):
        for j in range(i + 1):
            E = np.zeros((8, 8))
            E[i, j] = E[j, i] = step * np.sqrt(share[i, j] * (1 - share[i, j]))
            first = inverse @ E @ EXACT
            power += first @ first
            bias += inverse @ E @ first
    size = np.linalg.norm(EXACT)
    return np.sqrt(power) / size, float(np.linalg.norm(bias)) / size


@pytest.mark.parametrize("bits", [5, 6, 7])
def test_averages_over_drawn_programs_leave_a_bias_of_second_order(bits):
    """``ε/√R`` falls, ``ε²`` stays (arXiv 2401.16231). Means of 8192 programs; next orders are a tenth at most.

    Each figure is a norm of many independent parts: its standard error is below 2 %, that of the bias, from the
    spread of the mean, is added to its tolerance.
    """
    spu = Spu(coarse(bits), Network(), rounding="stochastic")
    count = 8192
    stack = LinearSystems(np.tile(SYSTEM.A, (count, 1, 1)), np.tile(SYSTEM.b, (count, 1)))
    away = (spu.solve_batch(stack, seeds=range(count)).values - EXACT) / np.linalg.norm(EXACT)
    deviation, bias = predicted(bits)
    assert np.sqrt((away**2).sum(axis=1).mean()) == pytest.approx(deviation, rel=0.15)
    of_sixteen = away.reshape(-1, 16, 8).mean(axis=1)
    spread = np.sqrt((of_sixteen - away.mean(axis=0)).var(axis=0).sum())
    assert spread == pytest.approx(deviation / 4, rel=0.15)
    assert np.linalg.norm(away.mean(axis=0)) == pytest.approx(bias, rel=0.2, abs=3 * deviation / np.sqrt(count))


def test_a_mean_is_that_of_its_programs_and_its_variance_that_of_their_mean():
    spu = Spu(coarse(6), Network(), rounding="stochastic")
    solution = Averaged(spu, programs=64).solve(SYSTEM, seed=3)
    assert (solution.statistics.solves, solution.statistics.programs) == (64, 64)
    assert solution.statistics.adc_words == 8 * (64 + solution.statistics.range_changes)
    one = spu.solve(SYSTEM, seed=3)
    np.testing.assert_array_equal(Averaged(spu, programs=1).solve(SYSTEM, seed=3).value, one.value)
    error = np.linalg.norm(solution.value - EXACT)
    assert error < np.linalg.norm(one.value - EXACT) / 3
    # The stated deviation of 8 unknowns from 64 programs: within a factor 2 of the error, but for its bias.
    assert 0.5 < np.linalg.norm(solution.standard_error) / error < 2


def test_reads_average_noise_by_their_root():
    """Against the exact variance of the ideal law: 400 means of 16 reads, standard error 3.5 %, 5 of them allowed."""
    system, kappa, reads, count = spd_system(4, 3), 0.01, 16, 400
    solver = Averaged(Sde(kappa), reads=reads)
    stack = LinearSystems(np.tile(system.A, (count, 1, 1)), np.tile(system.b, (count, 1)))
    found = solver.solve_batch(stack, 3.0, seeds=range(count))
    exact = Sde(kappa).solve(system, 3.0).variance() / reads
    spread = found.values.var(axis=0, ddof=1)
    np.testing.assert_allclose(spread, exact, rtol=5 * np.sqrt(2 / count))
    # What each states of itself, from 15 degrees of freedom.
    np.testing.assert_allclose(found.variances.mean(axis=0), exact, rtol=5 * np.sqrt(2 / count / (reads - 1)))


def test_reads_leave_what_the_levels_made_of_the_matrix():
    hardware = load_hardware("rram")
    alone = Spu(hardware, IdealLaw()).solve(SYSTEM)
    averaged = Averaged(Spu(hardware, IdealLaw()), reads=8).solve(SYSTEM)
    np.testing.assert_allclose(averaged.value, alone.value, rtol=1e-12)  # settled, without noise
    assert (averaged.statistics.solves, averaged.statistics.programs) == (8, 1)


def test_averages_can_be_refined_and_rotated():
    spu = Spu(coarse(4), Network(), rounding="stochastic")
    basis = np.linalg.eigh(SYSTEM.A).eigenvectors
    solution = Refined(Averaged(Rotated(spu, basis), programs=4), 20, 1e-8).solve(SYSTEM)
    assert solution.refinement.outcome == "converged"
    assert solution.statistics.programs == solution.statistics.solves == 4 * len(solution.refinement.residuals)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"reads": 0}, "reads is 0; give a whole number, 1 or more"),
        ({"programs": 1.5}, "programs is 1.5; give a whole number"),
        ({"programs": 4}, "rounds to the nearest level, so all programs are alike; give it rounding = 'stochastic'"),
    ],
)
def test_averages_of_nothing_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        Averaged(Spu(load_hardware("rram"), IdealLaw()), **given)

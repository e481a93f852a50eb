"""What memory cells do to an array: programming error, drift, read noise and 1/f noise, in both engines."""

from math import log, sqrt

import numpy as np
import pytest
from pydantic import ValidationError

from experiments.shared.systems import spd_system
from netlists.board import OF_ARRAY, Board
from netlists.device import batch_of, load, program_array
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.precision.description import Precision
from solvers.spu import Spu
from spu_circuit.errors import MappingError
from spu_circuit.hardware import changed_hardware
from spu_circuit.problem import LinearSystem
from spu_circuit.sampling import Sample, Sampling, corners, draw
from spu_circuit.variation import Variation

AGE, REFERENCE = "1e5 s", "10 s"
WRITTEN = {"array_programming": {"local": {"tolerance": "0.5 µS", "meaning": "sigma"}}}
DRIFT = {"array_drift": {"exponent": 0.03, "spread": 0.01, "age": AGE, "reference": REFERENCE}}
GOOD, BAD = 0, 7
"""Samples whose errors leave a weak matrix definite, and do not."""
NOISE = {"array_noise": {"read": "1 %", "flicker": 1e-6, "age": AGE, "time": "1 µs"}}
SYSTEM = spd_system(5, 6)


def cells(variation, **more):
    """An array of memory cells between ideal converters, so that nothing else is in its error."""
    exact = {"bits": 26, "full_scale": "1 V"}
    changes = {"dac": exact, "adc": exact, "amplifier": {"model": "ideal"}, "variation": variation, **more}
    return changed_hardware("rram", {"noise": {"thermal": False}, **changes})


def board_of(hardware, system=SYSTEM):
    device = load(program_array(system, hardware), system.b, hardware, 0.1)
    return device, Board(hardware, device.circuit)


def drawn(hardware, count):
    _, board = board_of(hardware)
    return board, draw(hardware.variation, hardware.temperature, board.places, range(count), Sampling(5))


def resistances(board, samples):
    found = board.values(samples, {})
    groups = board.groups["array_resistor"]
    return np.concatenate([found[group.label][:, at] for group, at in groups], axis=1)


def nominal(board):
    return np.concatenate([group.value[at] for group, at in board.groups["array_resistor"]])


def test_programming_adds_one_sigma_of_conductance_to_every_level():
    board, samples = drawn(cells(WRITTEN), 4000)
    off = 1 / resistances(board, samples) - 1 / nominal(board)
    above = 1 / nominal(board) > 3e-6
    # 4,000 samples of each of 50 cells: a standard deviation is known to 1 % of itself (σ/√2n), five of them are 6 %.
    np.testing.assert_allclose(off[:, above].std(axis=0), 0.5e-6, rtol=0.06)
    # Cells at 0.5 µS would go below zero at 1 σ: these are open.
    lowest = np.isclose(1 / nominal(board), 0.5e-6)
    assert 0.12 < np.isinf(resistances(board, samples)[:, lowest]).mean() < 0.2


def test_drift_is_the_power_of_the_age():
    board, samples = drawn(cells(DRIFT), 4000)
    exponents = np.log(resistances(board, samples) / nominal(board)) / log(1e4)
    assert exponents.mean() == pytest.approx(0.03, abs=5 * 0.01 / sqrt(exponents.size))
    assert exponents.std() == pytest.approx(0.01, rel=5 / sqrt(2 * exponents.size))
    ends = corners(board.hardware.variation, 300.0, board.places, {"array_drift local": np.array([[1.0]])})
    # At 3 σ of ν, and so is the mean.
    np.testing.assert_allclose(resistances(board, ends) / nominal(board), 1e4 ** (0.03 + 3 * 0.01), rtol=1e-12)


def test_noise_has_the_variance_of_its_band():
    board, samples = drawn(cells(NOISE), 4000)
    spread = np.log(resistances(board, samples) / nominal(board)).std()
    expected = sqrt(0.01**2 + 1e-6 * log(1e11))
    assert spread == pytest.approx(expected, rel=5 / sqrt(2 * 4000 * len(nominal(board))))


@pytest.mark.parametrize("variation", [WRITTEN, DRIFT, NOISE], ids=["programming", "drift", "noise"])
def test_engines_agree_on_a_sample(variation):
    hardware, sample = cells(variation), Sample(Sampling(2), 3)
    network, ngspice = (Spu(hardware, engine, sample=sample).solve(SYSTEM, seed=7) for engine in (Network(), Ngspice()))
    plain = Spu(hardware, Network()).solve(SYSTEM)
    # reltol of ngspice is 1e-4, its error a hundredth of that.
    np.testing.assert_allclose(network.value, ngspice.value, rtol=0, atol=3e-6 * np.abs(plain.value).max())
    assert np.abs(network.value - plain.value).max() > 1e-3 * np.abs(plain.value).max()


def test_noise_is_another_one_at_every_read_and_programming_is_not():
    sample = Sample(Sampling(2), 3)
    noisy, written = (Spu(cells(v), Network(), sample=sample) for v in (NOISE, WRITTEN))
    first, again, other = (noisy.solve(SYSTEM, seed=seed).value for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3 * np.abs(first).max()
    np.testing.assert_array_equal(written.solve(SYSTEM, seed=1).value, written.solve(SYSTEM, seed=2).value)
    # Another sample has other noise at the same seed.
    third = noisy.of_samples([Sample(Sampling(2), 4)]).solve_batch([SYSTEM], seeds=[1]).values[0]
    assert np.abs(first - third).max() > 1e-3 * np.abs(first).max()
    both = noisy.of_samples([sample, sample]).solve_batch([SYSTEM, SYSTEM], seeds=[1, 2]).values
    np.testing.assert_allclose(both, [first, other], rtol=1e-12)
    inside = Spu(cells(NOISE), Ngspice(), sample=(sample, sample)).solve_batch([SYSTEM, SYSTEM], seeds=[1, 2]).values
    np.testing.assert_allclose(inside, both, rtol=0, atol=3e-6 * np.abs(first).max())


def test_refinement_goes_on_through_noise_of_every_read():
    spu = Spu(cells(NOISE, array={"bits": 16}), Network(), sample=Sample(Sampling(2), 3))
    exact = np.linalg.solve(SYSTEM.A, SYSTEM.b)
    errors = [
        np.linalg.norm(solver.solve(SYSTEM, seed=1).value - exact) / np.linalg.norm(exact)
        for solver in (spu, Precision(refine=8, tolerance=1e-6).of(spu))
    ]
    assert errors[0] > 3e-3
    assert errors[1] < 1e-5


def test_derivatives_by_what_was_written_are_differences():
    hardware = cells(WRITTEN | DRIFT | NOISE)
    spu = Spu(hardware, Network(), sample=Sample(Sampling(1), 0))
    gradient = np.linspace(1, 2, 5)
    spu = Spu(
        hardware.model_copy(update={"variation": Variation.model_validate(WRITTEN | DRIFT)}),
        Network(),
        sample=Sample(Sampling(1), 0),
    )
    found = spu.sensitivity(SYSTEM, gradient)
    own = found.parts["array_programming"]
    assert set(OF_ARRAY) & set(found.parts) == {"array_programming", "array_drift"}
    board, kept = found.board, found.board.drawn(Sample(Sampling(1), 0))
    for part in np.argsort(-np.abs(own))[:3].tolist():
        moved = []
        for step in (-1e-9, 1e-9):
            absolute = dict(kept.absolute)
            absolute["array_programming"] = absolute["array_programming"] + step * (np.arange(len(own)) == part)
            samples = type(kept)(kept.relative, absolute, kept.open, kept.closed, kept.temperature, kept.weights)
            prepared = Network().prepare(board)
            device = batch_of(found.device)
            volts = (
                prepared.program(device.array, samples).read(device, np.array([np.inf]), np.zeros(1, np.uint64)).volts
            )
            moved.append(float(volts[0] * found.device.unknowns_per_volt @ gradient))
        # Central differences of 1 nS in 10 µS leave 1e-8 of curvature, and 1e-15 / 1e-5 of rounding.
        assert own[part] == pytest.approx((moved[1] - moved[0]) / 2e-9, rel=1e-5)


def test_what_is_indefinite_with_its_errors_is_refused():
    weak = LinearSystem(np.array([[1.0, 0.86], [0.86, 1.0]]), np.array([1.0, -1.0]))
    large = {"array_programming": {"local": {"tolerance": "12 µS", "meaning": "sigma"}}}
    good = Spu(cells(large), Network(), sample=Sample(Sampling(0), GOOD)).solve(weak)
    assert np.isfinite(good.value).all()
    for engine in (Network(), Network(linearise=True)):
        with pytest.raises(MappingError, match="add a damping"):
            Spu(cells(large), engine, sample=Sample(Sampling(0), BAD)).solve(weak)


@pytest.mark.parametrize(
    ("variation", "message"),
    [
        ({"array_drift": {"exponent": 0.1}}, "needs its age and its reference"),
        ({"array_drift": {"exponent": 0.1, "age": 1.0, "reference": 2.0}}, "is before reference"),
        ({"array_noise": {"flicker": 1e-6}}, "flicker needs its band"),
        ({"array_noise": {"flicker": 1e-6, "age": 1e-6, "time": 1.0}}, "is shorter than the time"),
        ({"array_noise": {"read": 6.0}}, "spans more than parts can"),
    ],
)
def test_mistakes_are_one_line(variation, message):
    with pytest.raises(ValidationError, match=message):
        Variation.model_validate(variation)

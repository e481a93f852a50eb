"""Operating points of saturating amplifiers against ngspice: beside their limits, beyond them, and of hard systems."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_wine

import solvers.network.newton
import solvers.network.operating_point
from experiments.shared.systems import spd_system
from netlists.device import batch_of, load, program_array, stacked
from solvers.network import Network
from solvers.network.blocks import add, times_of
from solvers.network.by_text import space_of
from solvers.network.newton import intercepts_at, refined, sources_of
from solvers.network.structure import Structure
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import GgnSystem
from tests.amplifiers.styles import facts_of_all, part_of
from tests.cases import board_of, read_one, relative, volts_of


def device_of(preset, size=6, scale=0.3, drive=1.0):
    hardware, system = load_hardware(preset), spd_system(size, 8)
    device = load(program_array(system, hardware), system.b, hardware, scale)
    return replace(device, dac_volts=drive * device.dac_volts)


@pytest.mark.parametrize("preset", ["bench", "vendor"])
@pytest.mark.parametrize(("scale", "drive"), [(0.3, 1.0), (4.0, 1.0), (8.0, 1.0), (8.0, 4.0)])
def test_operating_points_are_those_of_ngspice_up_to_ten_times_the_rails(preset, scale, drive):
    """Plain Newton steps find none where outputs saturate. Both iterate to convergence: 1e-6."""
    device = device_of(preset, scale=scale, drive=drive)
    assert relative(volts_of(Network(), device, inf), volts_of(Ngspice(), device, inf)) < 1e-6


@pytest.mark.parametrize("preset", ["bench", "vendor"])
@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_chords_and_newton_find_the_same(preset, scale, monkeypatch):
    """A chord step's change is 1e-10 at the end, and a change is what is left times 1 − slope: 1e-9."""
    device = device_of(preset, scale=scale)
    found = volts_of(Network(), device, inf)
    monkeypatch.setattr(solvers.network.operating_point, "CHORDS", 1)
    assert relative(found, volts_of(Network(), device, inf)) < 1e-9


@pytest.mark.parametrize("preset", ["bench", "vendor"])
def test_samples_that_saturate_do_not_disturb_the_others(preset):
    """One of three at ten times its rails: the chord method leaves it, Newton's finds it."""
    devices = [device_of(preset, drive=drive, scale=2.0) for drive in (0.1, 16.0, 0.2)]
    whole = replace(
        batch_of(devices[0]),
        array=stacked([d.array for d in devices]),
        volts_per_unit=np.stack([d.volts_per_unit for d in devices]),
        dac_volts=np.stack([d.dac_volts for d in devices]),
        initial_volts=np.stack([d.initial_volts for d in devices]),
        clipped_codes=np.stack([d.clipped_codes for d in devices]),
        lost_inputs=np.stack([d.lost_inputs for d in devices]),
    )
    programmed = Network().prepare(board_of(devices[0])).program(whole.array, None)
    found = programmed.read(whole, np.full(3, inf), np.zeros(3, dtype=int))
    assert found.failures == ("",) * 3
    assert np.abs(found.volts[1]).max() > 11  # of 13.5 V, less what the load takes
    for k, device in enumerate(devices):
        assert relative(found.volts[k], volts_of(Ngspice(), device, inf)) < 1e-6


@pytest.mark.parametrize("preset", ["bench", "vendor"])
def test_what_surely_passes_its_limits_need_not_be_found(preset):
    """With limits a saturated circuit is given up, or read beyond them; within them it is read as without."""
    for drive, saturated in ((0.1, False), (16.0, True)):
        device = device_of(preset, drive=drive, scale=2.0)
        programmed = Network().prepare(board_of(device)).program(stacked([device.array]), None)
        args = batch_of(device), np.array([inf]), np.array([0])
        limited = programmed.read(*args, np.full((1, 6), 9.0))
        if saturated:
            assert limited.failures[0] or (np.abs(limited.peaks) > 9.0).any()
        else:
            np.testing.assert_array_equal(limited.volts, programmed.read(*args).volts)


@pytest.mark.parametrize(("gain", "weak"), [(200e3, 2), (100.0, 0)])
def test_what_virtual_grounds_leave_of_loads_need_not_be_factorised(gain, weak, monkeypatch):
    """The rows of v and n see virtual grounds by resistors, next to nothing where gains are large: two blocks. Newton's
    method, which takes all of them, is not asked, and finds the same to 1e-9, as chords do."""
    hardware, systems = load_hardware("bench"), [spd_system(12, 30, seed) for seed in range(3)]
    hardware = hardware.model_copy(update={"amplifier": hardware.amplifier.model_copy(update={"dc_gain": gain})})
    devices = [load(program_array(system, hardware), system.b, hardware, 0.2) for system in systems]
    prepared = [Network().prepare(board_of(device)) for device in devices]
    assert [len(own.bias.weak) for own in prepared] == [weak] * 3

    def forbidden(*_):
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(solvers.network.operating_point, "newton", forbidden)
        found = [volts_of(Network(), device, inf) for device in devices]
    monkeypatch.setattr(solvers.network.operating_point, "CHORDS", 1)
    for device, volts in zip(devices, found, strict=True):
        assert relative(volts, volts_of(Network(), device, inf)) < 1e-9


def test_rest_is_where_the_dense_law_of_the_text_rests():
    device = device_of("bench", size=24, scale=1.0)
    assert relative(volts_of(Network(), device, inf), space_of(device.circuit, None, True).operating_point()) < 1e-9


@pytest.mark.parametrize("name", ["LF356", "LM324", "OP27"])
def test_equations_with_junctions_are_solved_to_their_rounding(name):
    """What is left of each equation, beside its largest terms: some units in the last place (Skeel 1980), where
    elimination alone leaves thousands of LF356 and LM324."""
    hardware, system = (
        load_hardware("bench").model_copy(update={"amplifier": part_of(facts_of_all()[name])}),
        spd_system(2, 8),
    )
    structure = Structure(board_of(load(program_array(system, hardware), system.b, hardware, 0.3)).table)
    coefficients, at = structure.coefficients({}), structure.at_controls({})
    slopes, everything = structure.slopes(at), frozenset(range(len(structure.all_sizes)))
    blocks, right = structure.blocks({**coefficients, **slopes}), sources_of(structure, coefficients)
    solvers.network.newton.drive(structure, right, intercepts_at(structure, slopes, at))
    found = refined(structure, blocks, right, everything, 1)
    left, sizes = dict(right), {row: np.abs(own) for row, own in right.items()}
    for (row, column), block in blocks.items():
        if column in found:
            add(left, row, -times_of(block, found[column]))
            add(sizes, row, times_of(np.abs(block), np.abs(found[column])))
    assert max(float((np.abs(left[row]) / np.maximum(sizes[row], 1e-300)).max()) for row in left) < 5e-16


def test_a_circuit_without_operating_point_is_a_failure_and_no_number(monkeypatch):
    monkeypatch.setattr(solvers.network.operating_point, "CHORDS", 1)
    monkeypatch.setattr(solvers.network.newton, "STEPS", 1)
    found = read_one(Network(), device_of("bench", drive=4.0, scale=8.0), inf)
    assert "no operating point" in found.failures[0]
    assert np.isnan(found.volts).all()


# Curvatures of training, λ = 0.01


def standardised(features):
    return (features - features.mean(axis=0)) / features.std(axis=0)


def logistic(rows):
    """Breast cancer at weights 0, where p = ½."""
    data = load_breast_cancer()
    X = standardised(data.data)[:rows]
    return GgnSystem(np.sqrt(0.25 / rows) * X, 0.01, X.T @ (0.5 - data.target[:rows]) / rows)


def softmax(rows):
    """Wine at weights 0: each class has p = ⅓."""
    data = load_wine()
    order = np.random.default_rng(0).permutation(len(data.target))[:rows]
    X = standardised(data.data)[order]
    root = (np.eye(3) - 1 / 3) / np.sqrt(3)
    B = np.einsum("kc,nf->knfc", root, X).reshape(3 * rows, -1) / np.sqrt(rows)
    return GgnSystem(B, 0.01, np.einsum("nc,nf->fc", 1 / 3 - np.eye(3)[data.target[order]], X).ravel() / rows)


def with_scaling(preset, **update):
    return load_hardware(preset).model_copy(update=update)


JACOBI = {"scaling": "jacobi"}
FACTORED = {"topology": "factored"}


@pytest.mark.parametrize(
    ("hardware", "system"),
    [
        (load_hardware("bench"), logistic(64).primal()),
        (load_hardware("vendor"), logistic(64).primal()),
        (with_scaling("bench", **JACOBI), logistic(64).dual()),
        (with_scaling("vendor", **JACOBI), logistic(64).dual()),
        (with_scaling("vendor", **FACTORED), softmax(8)),
    ],
    ids=["bench", "vendor", "bench, dual", "vendor, dual", "wine, vendor, cascade"],
)
def test_hard_curvatures_are_solved_as_in_ngspice(hardware, system):
    """At the scale that ranging ends with; both iterate to convergence: 1e-6."""
    solution = Spu(hardware, Network()).solve(system)
    assert solution.statistics.saturated_nodes == 0
    device = solution.device
    found = volts_of(Network(), device, inf)
    assert relative(found, volts_of(Ngspice(), device, inf)) < 1e-6
    # What was read is this, but for a code of the ADC.
    off = np.abs(solution.value - found * device.unknowns_per_volt) / device.unknowns_per_volt
    assert off.max() <= hardware.adc.lsb * (1 + 1e-6)


@pytest.mark.parametrize("size", [144, 288])
def test_large_arrays_of_saturating_amplifiers_rest(size):
    """Condition 10, as 10 bits hold it. By the residual of the ideal law, which gain and offset move by millivolts."""
    system = spd_system(size, 10)
    solution = Spu(load_hardware("bench"), Network()).solve(system)
    assert solution.statistics.saturated_nodes == 0
    device = solution.device
    ideal = np.linalg.solve(device.drift, device.input_rate)
    assert np.abs(volts_of(Network(), device, inf) - ideal).max() < 0.2

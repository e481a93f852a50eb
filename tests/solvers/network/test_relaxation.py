"""Operating points and means from the circuit's blocks against the dense law of its text; arrays that grow."""

from dataclasses import replace
from itertools import product
from math import inf

import numpy as np
import pytest

from experiments.shared.systems import dominant_system, ggn_system, spd_system
from netlists.device import batch_of, load, program_array, stacked
from solvers.network import Network
from solvers.network.by_text import space_of
from solvers.network.relaxation import STEP, relaxation_series
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import LinearSystem
from spu_circuit.sampling import Sample, Sampling
from tests.cases import CASES, board_of, chosen, quiet, read_one, relative, samples_of, table_of, varied, volts_of

ALL = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
TIMES = (0.2, 1.0, 6.0, 40.0)
LINEAR = Network(linearise=True)
EXACT = 1e-7
"""Of the largest voltage: 24 terms leave 1.5e-10 of a mode, a tenth of 1e-6 as asked is room for many modes and for
what tangents magnify; measured: 1e-10, of vendor amplifiers, whose tangents two iterations find, 1e-8."""


def means(device, times):
    """At multiples of the time constant, by the dense law of the circuit's text."""
    space = space_of(device.circuit, None, True)
    return space.operating_point(), space.mean(np.array(times) * float(device.time_constant))


# Against the dense law


@ALL
def test_devices_rest_and_move_as_the_dense_law_of_their_text_says(case):
    device = case.changed(noise=quiet(case.hardware).noise).device()
    rest, way = means(device, TIMES)
    assert relative(volts_of(Network(), device, inf), rest) < EXACT
    for time, expected in zip(TIMES, way, strict=True):
        assert relative(volts_of(LINEAR, device, time * float(device.time_constant)), expected) < EXACT


def oracle(table):
    """None where Newton's method from 0 V finds no operating point, as with outputs at their rails."""
    try:
        return space_of(table, None, True)
    except InputError:
        return None


@ALL
def test_samples_rest_and_move_as_the_dense_laws_of_their_texts_say(case):
    """Four at once, each with its own offsets, gains, bandwidths, stuck parts and temperature.

    A resistor that is stuck closed may make an array grow; those that do are left out.
    """
    hardware = varied(quiet(case.hardware))
    device = case.changed(variation=hardware.variation, noise=hardware.noise).device()
    board = board_of(device)
    samples, tau = samples_of(board, 30), float(device.time_constant)
    spaces = [oracle(table_of(board, device, samples, k)) for k in range(30)]
    usable = [k for k, space in enumerate(spaces) if space is not None and space.growing is None]
    if samples.closed.size:
        # Some of them have such a resistor.
        usable.sort(key=lambda k: not samples.closed[k].any())
        assert samples.closed[usable[0]].any()
    samples, spaces = chosen(samples, usable[:4]), [spaces[k] for k in usable[:4]]
    programmed = LINEAR.prepare(board).program(stacked([device.array]), samples)
    seeds = np.zeros(4, dtype=int)
    for time in (inf, 0.5 * tau, 5 * tau):
        found = programmed.read(batch_of(device), np.full(4, time), seeds)
        assert found.failures == ("",) * 4
        for k, space in enumerate(spaces):
            expected = space.operating_point() if time == inf else space.mean(np.array([time]))[0]
            assert relative(found.volts[k], expected) < EXACT
    assert relative(spaces[0].operating_point(), spaces[1].operating_point()) > 1e-3


@ALL
def test_dense_laws_from_blocks_are_those_of_the_text(case):
    """States stand in another order, so what the outputs see is compared. Rounding of two eliminations: 1e-8."""
    device = case.device()
    kelvin = case.hardware.temperature
    engine = Network(linearise=True, readout_bandwidth=1e10)
    own = engine.prepare(board_of(device)).program(stacked([device.array])).space(batch_of(device))
    text = space_of(device.circuit, kelvin if case.hardware.noise.thermal else None, True, 1e10)
    times = np.array([0.3, 4.0]) * float(device.time_constant)
    assert relative(own.operating_point(), text.operating_point()) < 1e-8
    assert relative(own.mean(times), text.mean(times)) < 1e-8
    if case.hardware.noise.thermal:
        assert relative(own.covariance(times[0]), text.covariance(times[0])) < 1e-8
        assert relative(own.stationary_covariance(), text.stationary_covariance()) < 1e-8


def test_peaks_see_what_passes_on_the_way():
    """Charges of 1 V that decay to less: the largest of the start and of four times on the way."""
    (case,) = (case for case in CASES if case.name == "ideal")
    device = case.device()
    seconds = 2 * float(device.time_constant)
    _, way = means(device, (0.25, 0.5, 1.0, 2.0))
    found = read_one(Network(), device, seconds).peaks[0]
    np.testing.assert_allclose(found, np.abs([device.initial_volts, *way]).max(axis=0), rtol=1e-6)  # at an eighth


# The series


@pytest.mark.parametrize(("share", "error"), [(1.0, 2e-10), (1 / 2, 3e-9), (1 / 8, 1e-6)])
def test_series_of_the_exponential_hold_for_every_rate(share, error):
    """Rates from 0 to infinity, seen by w = 1 / (1 + h r): 1.5e-10 at the time and 1e-6 at an eighth are stated."""
    time = share / STEP
    w = np.linspace(1e-9, 1, 20_001)
    # As ``relaxed`` sums them: the voltages after one step more.
    series = w * np.polynomial.chebyshev.chebval(2 * w - 1, relaxation_series(time))
    assert np.abs(series - np.exp(-(1 / w - 1) * time)).max() < error


# Batches


def devices_of(hardware, count=5, size=6):
    systems = [spd_system(size, 8, seed) for seed in range(count)]
    arrays = [program_array(system, hardware) for system in systems]
    scales, state = np.linspace(0.1, 0.2, count), np.linspace(-1, 1, size)
    return [load(a, s.b, hardware, v, state) for a, s, v in zip(arrays, systems, scales, strict=True)]


def read_all(engine, devices, times, seeds, board):
    array = stacked([device.array for device in devices])
    whole = replace(
        devices[0],
        array=array,
        volts_per_unit=np.stack([d.volts_per_unit for d in devices]),
        dac_volts=np.stack([d.dac_volts for d in devices]),
        initial_volts=np.stack([d.initial_volts for d in devices]),
        clipped_codes=np.stack([d.clipped_codes for d in devices]),
        lost_inputs=np.stack([d.lost_inputs for d in devices]),
    )
    return engine.prepare(board).program(array, None).read(whole, np.array(times), np.array(seeds))


@pytest.mark.parametrize("preset", ["ideal", "paper", "bench", "rram", "vendor"])
@pytest.mark.parametrize("time", [inf, 1.5])
def test_a_batch_is_its_devices_one_by_one_in_any_order(preset, time):
    """The last bits: products of matrices are summed in another order for other sizes of a batch.

    Noise too, whose random numbers are each device's own; its ages are divided by the longest time of a batch, so all
    have the same time here.
    """
    engine = Network(linearise=True, readout_bandwidth=1e9)
    devices = devices_of(load_hardware(preset))
    seconds = np.full(5, time * float(devices[0].time_constant))
    seeds, order = np.arange(5), np.array([3, 0, 4, 2, 1])
    board = board_of(devices[0])
    found = read_all(engine, devices, seconds, seeds, board)
    turned = read_all(engine, [devices[k] for k in order], seconds[order], seeds[order], board)
    for k, device in enumerate(devices):
        alone = read_all(engine, [device], seconds[k : k + 1], seeds[k : k + 1], board)
        size = np.abs(alone.volts[0]).max()
        np.testing.assert_allclose(found.volts[k], alone.volts[0], rtol=0, atol=1e-12 * size)
        np.testing.assert_allclose(found.peaks[k], alone.peaks[0], rtol=0, atol=1e-12 * size)
        np.testing.assert_allclose(turned.volts[list(order).index(k)], alone.volts[0], rtol=0, atol=1e-12 * size)


def test_dense_laws_do_not_depend_on_which_device_of_a_batch_is_first():
    devices = devices_of(load_hardware("bench"))
    prepared, laws = LINEAR.prepare(board_of(devices[0])), []
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0]):
        array = stacked([devices[k].array for k in order])
        inputs = {name: np.stack([getattr(devices[k], name) for k in order]) for name in ("dac_volts", "initial_volts")}
        laws.append(prepared.program(array).law(replace(devices[0], array=array, **inputs)))
    for name in ("drift", "input_rate", "output", "noise"):
        np.testing.assert_array_equal(getattr(laws[0], name), getattr(laws[1], name)[::-1], name)


def system_for(preset, seed):
    if preset == "factored":
        return ggn_system(4, 6, (0.3, 1.0)[seed], seed)
    return dominant_system(6, 8, seed) if preset == "passive" else spd_system(6, 8, seed)


@pytest.mark.parametrize(
    ("preset", "time", "sampled"),
    list(product(("paper", "bench", "rram", "vendor", "factored", "passive"), (inf, 1.5), (False, True))),
)
def test_a_result_does_not_depend_on_what_was_solved_before(preset, time, sampled):
    """The prepared structure is that of whichever system came first; codes of the ADC hide the last bits."""
    hardware, sample = load_hardware(preset), None
    if sampled:
        spread = {"array_resistor": {"local": {"tolerance": "1 %", "meaning": "sigma"}}}
        variation = type(hardware.variation).model_validate(spread)
        hardware, sample = hardware.model_copy(update={"variation": variation}), Sample(Sampling(seed=0), 1)
    engine = Network(linearise=True, readout_bandwidth=1e9)
    spu, fresh = (Spu(hardware, engine, sample=sample) for _ in range(2))
    other, system = system_for(preset, 1), system_for(preset, 0)
    # Twice and a half the matrix: another scale of conductances, of time, and of injected noise.
    spu.solve(replace(other, A=2.5 * other.A) if preset != "factored" else other, time, seed=1)
    found = spu.solve(system, time, seed=3)
    np.testing.assert_array_equal(found.value, fresh.solve(system, time, seed=3).value)


def test_a_batch_on_one_sample_is_its_systems_one_by_one():
    """Entries of one sign throughout, so the same resistors are there."""
    spread = {"array_resistor": {"local": {"tolerance": "1 %", "meaning": "sigma"}}}
    hardware = load_hardware("ideal")
    hardware = hardware.model_copy(update={"variation": type(hardware.variation).model_validate(spread)})
    sample = Sample(Sampling(seed=0), 1)
    systems = [LinearSystem(np.eye(3) * (2 + k) + 0.5, np.ones(3)) for k in range(3)]
    found = Spu(hardware, Network(), sample=sample).solve_batch(systems).values
    for value, system in zip(found, systems, strict=True):
        alone = Spu(hardware, Network(), sample=sample).solve(system).value
        np.testing.assert_allclose(value, alone, rtol=1e-12)  # rounding of another order of sums
        assert relative(alone, np.linalg.solve(system.A, system.b)) > 1e-4


# Batches of a whole device


@pytest.mark.parametrize("time", [inf, 1.5])
@pytest.mark.parametrize("preset", ["paper", "bench", "rram", "vendor"])
def test_a_batch_of_systems_is_its_systems_one_by_one(preset, time, monkeypatch):
    """Some are ranged down, some up; their scales, and so their times, are different; the ADC hides the last bits."""
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # so that all are in one batch
    hardware = load_hardware(preset)
    if preset == "paper":
        hardware = hardware.model_copy(
            update={"noise": hardware.noise.model_copy(update={"thermal": True, "injected": 1e-3})}
        )
    engine = Network(linearise=True, readout_bandwidth=1e9)
    conditions, factors = (3, 5, 3, 8) if preset == "rram" else (8, 100, 3, 100), (1.0, 2.5, 0.4, 300.0)
    systems = [
        LinearSystem(f * own.A, own.b)
        for f, own in ((f, spd_system(8, c, k)) for k, (c, f) in enumerate(zip(conditions, factors, strict=True)))
    ]
    found = Spu(hardware, engine).solve_batch(systems, time, seeds=range(4))
    changes = []
    for k, system in enumerate(systems):
        alone = Spu(hardware, engine).solve(system, time, seed=k)
        changes.append(alone.statistics.range_changes)
        np.testing.assert_array_equal(found.values[k], alone.value)
        assert found.statistics.volts_per_unit[k] == alone.statistics.volts_per_unit
        assert found.statistics.range_changes[k] == changes[-1]
    assert preset in ("paper", "rram") or len(set(changes)) > 1


def test_injected_noise_of_a_batch_is_each_array_s_own():
    """Variances go with 1 / g_u; the covariance is the dense law's of each array's own circuit: 1e-8, rounding."""
    hardware = quiet(load_hardware("paper"))
    hardware = hardware.model_copy(update={"noise": hardware.noise.model_copy(update={"injected": 1e-2})})
    devices = [
        load(program_array(LinearSystem(f * spd_system(4, 8).A, np.ones(4)), hardware), np.ones(4), hardware, 0.1)
        for f in (1.0, 0.5, 30.0)
    ]
    seconds = [2 * float(device.time_constant) for device in devices]
    found = read_all(Network(), devices, seconds, np.zeros(3, dtype=int), board_of(devices[0]))
    for own, device, time in zip(found.covariances, devices, seconds, strict=True):
        assert relative(own(), space_of(device.circuit, None, True).covariance(time)) < 1e-8

"""Arrays that grow instead of settling are refused, and no other is."""

from math import inf

import numpy as np
import pytest
from scipy.linalg import expm

from experiments.shared.systems import spd_system
from netlists.board import Board, populated
from netlists.device import batch_of, load, program_array, stacked
from netlists.topologies.active import ActiveArray
from solvers.network import Network
from solvers.network.by_text import space_of
from solvers.network.growth import SHARE, decaying_drive, driven, growth_of, growth_of_all
from spu_circuit.amplifier import Amplifier
from spu_circuit.errors import InputError
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import GgnSystem
from tests.cases import CASES, board_of, chosen, quiet, relative, samples_of, table_of, volts_of
from tests.solvers.network.test_relaxation import ALL, EXACT, LINEAR, means

# What grows


def array_of(hardware, matrix):
    """Programmed as it is, decaying or not."""
    g = hardware.array.G_max / np.abs(matrix).max()
    ones = np.ones(len(matrix))
    return ActiveArray(g * np.maximum(matrix, 0), g * np.maximum(-matrix, 0), np.float64(g), ones, np.intp(0))


def exchanged():
    """The preset with the amplifier's plus and minus exchanged."""
    vendor = quiet(load_hardware("vendor"))
    other = {"plus": "minus", "minus": "plus"}
    pins = tuple(other.get(pin, pin) for pin in vendor.amplifier.pins)
    return vendor.model_copy(update={"amplifier": vendor.amplifier.model_copy(update={"pins": pins})})


def cascade(gain_bandwidth):
    amplifier = Amplifier(model="macromodel", dc_gain=2e4, gain_bandwidth=gain_bandwidth, output_resistance=20.0)
    return quiet(load_hardware("factored")).model_copy(update={"amplifier": amplifier})


def growing_devices():
    indefinite = quiet(load_hardware("paper"))
    slow = Amplifier(model="macromodel", dc_gain=1e5, gain_bandwidth="1 MHz")
    rotating = indefinite.model_copy(update={"amplifier": slow})
    system = spd_system(6, 8)
    modes = np.linalg.eigh(system.A)
    lowered = (modes.eigenvectors * np.where(np.arange(6) == 0, -0.3, modes.eigenvalues)) @ modes.eigenvectors.T
    charges = np.linspace(-1, 1, 6)
    return {
        "exchanged pins": load(program_array(system, exchanged()), system.b, exchanged(), 0.1, charges),
        "slow amplifiers": load(
            array_of(rotating, np.array([[0.1, 1.0], [-1.0, 0.1]])), np.ones(2), rotating, 0.2, np.ones(2)
        ),
        "indefinite matrix": load(array_of(indefinite, lowered), system.b, indefinite, 0.1, charges),
    }


GROWING = growing_devices()
CURES = {
    "exchanged pins": r"pins exchange its plus and minus",
    "slow amplifiers": r"amplifiers are too slow.*gain_bandwidth",
    "indefinite matrix": r"add a damping λ above 0\.[0-9]+ to the matrix",
}


@pytest.mark.parametrize("time", [2.0, 8.0])
@pytest.mark.parametrize("name", GROWING)
def test_transients_of_arrays_that_grow_are_refused_in_one_line(name, time):
    device = GROWING[name]
    assert np.linalg.eigvals(space_of(device.circuit, None, True).law.drift).real.min() < 0
    with pytest.raises(InputError, match=rf"the array is unstable.*{CURES[name]}") as error:
        volts_of(LINEAR, device, time * float(device.time_constant))
    assert "\n" not in str(error.value)


def test_growth_that_only_noise_would_begin_is_refused_too():
    """Inputs and charges along the mode of eigenvalue 1.5 leave that of −0.5 alone."""
    hardware = load_hardware("paper")
    device = load(array_of(hardware, np.array([[0.5, 1.0], [1.0, 0.5]])), np.ones(2), hardware, 0.1)
    with pytest.raises(InputError, match="the array is unstable"):
        volts_of(LINEAR, device, 3 * float(device.time_constant))


@pytest.mark.parametrize("name", GROWING)
def test_operating_points_of_arrays_that_grow_are_refused_in_one_line(name):
    """No circuit stays at such a point."""
    with pytest.raises(InputError, match=rf"the array is unstable.*{CURES[name]}") as error:
        volts_of(Network(), GROWING[name], inf)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("turns", [1.0, 3.0, 10.0])
@pytest.mark.parametrize("time", [1.0, 3.0, 10.0, 30.0])
def test_arrays_that_turn_while_they_decay_are_solved_as_exactly(turns, time):
    """Complex rates (1 ± i turns) / τ: powers of W leave the interval that the series is made for."""
    hardware = quiet(load_hardware("paper"))
    matrix = np.array([[1.0, turns], [-turns, 1.0]]) / turns
    device = load(array_of(hardware, matrix), np.array([1.0, -0.5]), hardware, 0.1, np.array([1.0, 2.0]))
    drift, seconds = device.drift, time * float(device.time_constant)
    rest = np.linalg.solve(drift, device.input_rate)
    expected = rest + expm(-drift * seconds) @ (device.initial_volts - rest)
    assert relative(volts_of(Network(), device, seconds), expected) < EXACT


@pytest.mark.parametrize("gain_bandwidth", [5e6, 2e6, 1e6, 5e5, 2e5])
def test_cascades_of_slow_amplifiers_are_solved_as_exactly(gain_bandwidth):
    """Three amplifiers in a loop turn phases, so rates are complex; all of them decay."""
    (case,) = (case for case in CASES if case.name == "three arrays, real amplifiers")
    device = load(
        program_array(case.system, cascade(gain_bandwidth)),
        case.system.b,
        cascade(gain_bandwidth),
        case.scale,
        np.linspace(-1, 1, 7),
    )
    _, way = means(device, (0.1, 1.0, 10.0))
    for time, expected in zip((0.1, 1.0, 10.0), way, strict=True):
        assert relative(volts_of(LINEAR, device, time * float(device.time_constant)), expected) < EXACT


# Looking for growth without the dense law


def growth(device, look=growth_of):
    """As a reading of the device would see it."""
    prepared = LINEAR.prepare(board_of(device))
    programmed = prepared.program(stacked([device.array]), None)
    coefficients, rest = programmed.settled(batch_of(device))
    structure = prepared.structure
    shares = structure.shares(coefficients, SHARE * float(device.time_constant))
    steps = structure.stepping(structure.blocks({**coefficients, **rest.slopes}), shares, 1)
    return look(steps, sum(group.count for group in structure.capacitors))[0]


@pytest.mark.parametrize("look", [growth_of, growth_of_all])
@pytest.mark.parametrize("name", GROWING)
def test_growth_is_seen_without_the_dense_law(name, look):
    assert growth(GROWING[name], look) > 1e-3


@pytest.mark.parametrize("lowest", [-0.1, -0.01])
def test_slight_growth_is_seen_among_many_modes(lowest):
    """One of 216 grows at a hundredth of what the largest decays with."""
    hardware = quiet(load_hardware("bench"))
    system = spd_system(72, 8)
    values, vectors = np.linalg.eigh(system.A)
    matrix = (vectors * np.where(np.arange(72) == 0, lowest, values)) @ vectors.T
    device = load(array_of(hardware, matrix), system.b, hardware, 0.05)
    assert growth(device) > 1e-4


@ALL
def test_arrays_that_decay_are_not_suspected(case):
    assert growth(case.device()) < 0
    assert growth(case.device(), growth_of_all) <= 0


@pytest.mark.parametrize("gain_bandwidth", [5e6, 2e6, 1e6, 5e5, 2e5])
def test_cascades_that_decay_while_they_turn_are_not_suspected(gain_bandwidth):
    (case,) = (case for case in CASES if case.name == "three arrays, real amplifiers")
    hardware = cascade(gain_bandwidth)
    assert growth(load(program_array(case.system, hardware), case.system.b, hardware, case.scale)) < 0


# What a board remembers


def proving_board(hardware, first):
    """A board, and what reads a device on it at rest."""
    prepared = LINEAR.prepare(Board(hardware, populated(first.circuit, hardware)))

    def read(device, time=inf):
        programmed = prepared.program(stacked([device.array]), None)
        return programmed.read(batch_of(device), np.array([time * float(device.time_constant)]), np.zeros(1, dtype=int))

    return prepared, read


@pytest.fixture
def looks(monkeypatch):
    """Sizes of the batches whose modes were looked at."""
    found = []
    monkeypatch.setattr("solvers.network.programmed.growth_of", lambda s, n: found.append(s.batch) or growth_of(s, n))
    return found


@pytest.mark.parametrize("time", [inf, 2.0])
@pytest.mark.parametrize(
    "matrix", [[[0.5, 1.0], [1.0, 0.5]], [[0.1, 1.0], [-1.0, 0.1]]], ids=["indefinite", "rotating"]
)
def test_a_faster_array_that_decays_excuses_no_indefinite_or_rotating_one(matrix, time):
    slow = Amplifier(model="macromodel", dc_gain=1e5, gain_bandwidth="1 MHz")
    hardware = quiet(load_hardware("paper")).model_copy(update={"amplifier": slow})
    fast = load(array_of(hardware, np.array([[1.0, 0.9], [0.9, 1.0]])), np.ones(2), hardware, 0.1)
    prepared, read = proving_board(hardware, fast)
    read(fast, time)
    assert driven(fast.array, hardware) <= prepared.decaying
    # The input lies along a mode that decays.
    growing = load(array_of(hardware, np.array(matrix)), np.ones(2), hardware, 0.1)
    assert np.linalg.norm(growing.drift, 2) < np.linalg.norm(fast.drift, 2)
    assert driven(growing.array, hardware) <= prepared.decaying
    with pytest.raises(InputError, match="the array is unstable"):
        read(growing, time)
    read(fast, time)


def grows(device):
    return np.linalg.eigvals(space_of(device.circuit, None, True).law.drift).real.min() < 0


@pytest.mark.parametrize("preset", ["bench", "rram", "factored"])
def test_arrays_of_one_board_are_refused_just_where_the_dense_law_grows(preset, looks):
    """Random ones one after the other on slower and slower amplifiers; what the strongest decay with is relied on."""
    rng, refused, relied, growing = np.random.default_rng(0), 0, 0, 0
    for gain_bandwidth in (2e4, 1e5, 3e5):
        base = cascade(gain_bandwidth) if preset == "factored" else quiet(load_hardware(preset))
        amplifier = base.amplifier.model_copy(update={"gain_bandwidth": gain_bandwidth})
        hardware, read = base.model_copy(update={"amplifier": amplifier}), None
        for _ in range(16):
            B, root = rng.normal(size=(3, 5)) * rng.uniform(0.1, 3), rng.normal(size=(3, 3))
            damping, H = float(rng.uniform(0.05, 2)), root @ root.T * rng.uniform(0.1, 3)
            if preset == "factored":
                array = program_array(GgnSystem(B, damping, np.ones(5), H), hardware)
            else:
                array = array_of(hardware, B.T @ B + damping * np.eye(5))
            device = load(array, np.ones(5), hardware, 1e-3)
            if read is None:
                prepared, read = proving_board(hardware, device)
            assert prepared.decaying >= 0
            before = len(looks)
            if grows(device):
                growing += 1
                with pytest.raises(InputError, match="the array is unstable"):
                    read(device)
                refused += 1
            else:
                read(device)
                relied += before == len(looks)
    assert refused == growing
    assert growing > 3 if preset == "factored" else relied > 24


def test_smaller_blocks_are_tried_where_the_strongest_arrays_grow():
    """As if arrays grew that drive more than a quarter of what all cells of a board can."""
    bench = quiet(load_hardware("bench"))
    most = 4.5 * bench.array.G_max
    found = decaying_drive(bench, 16, lambda array: driven(array, bench) - most)
    assert bench.array.G_max < found < most


def test_a_board_whose_every_array_grows_excuses_none():
    assert proving_board(exchanged(), GROWING["exchanged pins"])[0].decaying == 0


@pytest.mark.parametrize("preset", ["bench", "vendor"])
def test_whether_an_array_is_looked_at_does_not_depend_on_those_before_it(preset, looks):
    """A strong array that decays, read before, excuses none: weaker ones are looked at as on a board of their own."""
    hardware, counts = quiet(load_hardware(preset)), []
    weak, strong = (
        load(array_of(hardware, np.array([[1.0, b], [b, 1.0]])), np.ones(2), hardware, 0.1) for b in (0, 0.9)
    )
    for earlier in ((), (strong,)):
        prepared, read = proving_board(hardware, weak)
        assert prepared.decaying >= 0
        for device in earlier:
            read(device)
        before = len(looks)
        read(weak)
        counts.append(len(looks) - before)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("time", [inf, 2.0])
@pytest.mark.parametrize("preset", ["paper", "bench"])
def test_samples_that_lose_their_definiteness_are_refused_in_one_line(preset, time):
    """Resistors 5 % off an eigenvalue of 0.02: some samples grow. Each is read alone on one board."""
    hardware = quiet(load_hardware(preset))
    spread = {"array_resistor": {"local": {"tolerance": "5 %", "meaning": "sigma"}}}
    variation = type(hardware.variation).model_validate(spread)
    hardware = hardware.model_copy(update={"variation": variation})
    matrix = np.array([[1.0, 0.98], [0.98, 1.0]])
    device = load(array_of(hardware, matrix), np.array([1.0, -1.0]), hardware, 0.005)
    board = board_of(device)
    samples, prepared = samples_of(board, 12), LINEAR.prepare(board)
    seconds = np.array([time * float(device.time_constant)])
    growing = []
    for k in range(12):
        drift = space_of(table_of(board, device, samples, k), None, True).law.drift
        growing.append(bool(np.linalg.eigvals(drift).real.min() < 0))
        programmed = prepared.program(stacked([device.array]), chosen(samples, [k]))
        if not growing[-1]:
            assert programmed.read(batch_of(device), seconds, np.zeros(1, dtype=int)).failures == ("",)
            continue
        with pytest.raises(InputError, match="the array is unstable") as error:
            programmed.read(batch_of(device), seconds, np.zeros(1, dtype=int))
        assert "\n" not in str(error.value)
    assert 0 < sum(growing) < 12
    with pytest.raises(InputError, match="the array is unstable"):
        prepared.program(stacked([device.array]), samples).read(
            batch_of(device), np.full(12, seconds[0]), np.zeros(12, dtype=int)
        )

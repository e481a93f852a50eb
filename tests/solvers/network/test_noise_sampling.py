"""The covariance of drawn noise against the dense law of the circuit."""

import numpy as np
import pytest
from scipy.stats import chi2

from experiments.shared.systems import spd_system
from netlists.device import batch_of, load, program_array, stacked
from solvers.network import Network
from solvers.network.by_text import space_of
from solvers.network.noise import sampled
from spu_circuit.amplifier import Amplifier
from spu_circuit.hardware import load_hardware
from tests.cases import CASES, board_of, relative, volts_of

BANDWIDTH = 1e10
LARGEST = "three arrays, real amplifiers"


class Unit:
    """In place of random scores one after the other is 1 and all others are 0, however many calls draw them."""

    def __init__(self, which):
        self.which, self.size = which, 0

    def standard_normal(self, shape):
        found = np.zeros(int(np.prod(shape)))
        if self.size <= self.which < self.size + len(found):
            found[self.which - self.size] = 1.0
        self.size += len(found)
        return found.reshape(shape)


def drawn_covariance(device, seconds):
    """Of what ``sampled`` returns, which is linear in its scores: exactly, without sampling."""
    roots = drawn_roots(device, seconds)
    return roots.T @ roots


def drawn_roots(device, seconds, chunk=400):
    """What each of the scores makes of the outputs."""
    engine = Network(linearise=True, readout_bandwidth=BANDWIDTH)
    prepared = engine.prepare(board_of(device))
    hardware = device.hardware

    def noise(units):
        programmed = prepared.program(stacked([device.array] * len(units)), None)
        coefficients, rest = programmed.settled(batch_of(device))
        slopes = {key: np.broadcast_to(own, (len(units), own.shape[1])) for key, own in rest.slopes.items()}
        return sampled(
            prepared.structure,
            coefficients,
            prepared.structure.blocks({**coefficients, **slopes}),
            prepared.pace,
            np.full((len(units), 1), seconds),
            np.array([hardware.temperature]) if hardware.noise.thermal else None,
            np.atleast_1d(device.array.injected_noise_density(hardware)) if hardware.noise.injected else None,
            units,
            BANDWIDTH,
        )

    first = Unit(0)
    rows = [noise([first])]
    for start in range(1, first.size, chunk):
        rows.append(noise([Unit(k) for k in range(start, min(start + chunk, first.size))]))
    return np.concatenate(rows)


@pytest.mark.parametrize(
    ("case", "time"),
    [
        pytest.param(case, time, id=f"{case.name}-{time}", marks=[pytest.mark.slow] * (case.name == LARGEST))
        for case in CASES
        if case.hardware.noise.thermal
        for time in (0.2, 2.0, 30.0)
    ],
)
def test_drawn_noise_has_the_standard_error_of_the_dense_law(case, time):
    """1 % of each cell's, and 2 % of the largest variance between cells; nothing is sampled here."""
    device = case.device()
    seconds = time * float(device.time_constant)
    found = drawn_covariance(device, seconds)
    expected = space_of(device.circuit, case.hardware.temperature, True, BANDWIDTH).covariance(seconds)
    np.testing.assert_allclose(np.sqrt(found.diagonal() / expected.diagonal()), 1, atol=0.01)
    assert np.abs(found - expected).max() < 0.02 * expected.diagonal().max()


@pytest.mark.parametrize("name", ["noisy", "bench", "passive", "factored"])
def test_drawn_noise_behind_wires_has_the_standard_error_of_all_their_nodes(name):
    (case,) = (case for case in CASES if case.name == name)
    wired = case.hardware.array.model_copy(update={"wire_resistance": 20.0})
    test_drawn_noise_has_the_standard_error_of_the_dense_law(case.changed(array=wired), 2.0)


@pytest.mark.parametrize("name", ["noisy", "factored"])
def test_no_score_is_drawn_that_no_output_answers_to(name):
    """Neither the nodes that sources hold nor those that ideal amplifiers hold."""
    (case,) = (case for case in CASES if case.name == name)
    device = case.device()
    assert drawn_roots(device, 2 * float(device.time_constant)).any(axis=1).all()


@pytest.mark.parametrize("name", ["paper", "passive", "three arrays"])
def test_injected_noise_is_drawn_as_the_dense_law_says(name):
    (case,) = (case for case in CASES if case.name == name)
    case = case.changed(noise=case.hardware.noise.model_copy(update={"thermal": False, "injected": 1e-3}))
    device = case.device()
    seconds = 3 * float(device.time_constant)
    expected = space_of(device.circuit, None, True, BANDWIDTH).covariance(seconds)
    assert relative(drawn_covariance(device, seconds), expected) < 0.02


@pytest.mark.parametrize("name", ["noisy", "bench", "passive", "factored"])
def test_readings_of_many_seeds_have_the_law_s_covariance(name):
    """2,000 seeds in batches, whitened jointly by the dense law: chi-square, false alarms 1 in 10⁴.

    The drawn covariance may be 2 % off, see above: the bounds are taken as much wider.
    """
    (case,) = (case for case in CASES if case.name == name)
    device, count = case.device(), 2000
    seconds = 2 * float(device.time_constant)
    engine = Network(linearise=True, readout_bandwidth=BANDWIDTH)
    programmed = engine.prepare(board_of(device)).program(stacked([device.array] * 500), None)
    found = np.concatenate(
        [
            programmed.read(batch_of(device), np.full(500, seconds), np.arange(start, start + 500)).volts
            for start in range(0, count, 500)
        ]
    )
    space = space_of(device.circuit, case.hardware.temperature, True, BANDWIDTH)
    away = found - space.mean(np.array([seconds]))
    white = np.linalg.solve(np.linalg.cholesky(space.covariance(seconds)), away.T)
    low, high = chi2.ppf([5e-5, 1 - 5e-5], white.size)
    assert 0.98 * low < (white**2).sum() < 1.02 * high
    # Means of cells, each with a standard error of 1 / √2000: 4.5 of them in any of seven is 5 in 10⁵.
    assert np.abs(white.mean(axis=1)).max() < 4.5 / np.sqrt(count)


def test_a_seed_draws_the_same_and_another_draws_another():
    (case,) = (case for case in CASES if case.name == "noisy")
    device = case.device()
    seconds = float(device.time_constant)
    first, again, other = (volts_of(Network(), device, seconds, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).min() > 0


SNUBBED = """.subckt amp 1 2 3
G1 0 p 1 2 1m
R1 p 0 1G
C1 p 0 3p
RS p a 10k
CS a b 1p
RB b 0 10k
E1 q 0 p 0 1
R2 q r 1u
{parasitic}
R3 r 3 50
C9 3 0 1p
.ends
"""


def test_a_parasitic_mode_beyond_rounding_changes_no_noise(tmp_path):
    """1 µΩ and 1 fF, as vendors' models have: in steps that short 10 kΩ are nothing beside 1 pF. Drawn to 1 % each."""
    found = []
    for name, parasitic in (("plain", ""), ("fast", "C2 r 0 1f")):
        (tmp_path / f"{name}.lib").write_text(SNUBBED.format(parasitic=parasitic))
        part = Amplifier(
            model="subckt",
            library=str(tmp_path / f"{name}.lib"),
            subcircuit="amp",
            pins=("plus", "minus", "output"),
            input_noise=0.0,
            input_current_noise=0.0,
        )
        hardware = load_hardware("bench").model_copy(update={"amplifier": part})
        device = load(program_array(spd_system(2, 8), hardware), np.ones(2), hardware, 0.1)
        found.append(drawn_covariance(device, float(device.time_constant)))
    plain, fast = found
    np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-2 * plain.diagonal().min())

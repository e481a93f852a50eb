"""The noise of libraries' amplifiers against closed forms and ngspice's small-signal analysis of whole boards."""

from math import log, pi, sqrt

import numpy as np
import pytest
from scipy.constants import Boltzmann, elementary_charge
from scipy.stats import chi2

from experiments.amplifier.bench import Bench
from experiments.amplifier.measure import bias
from experiments.shared.systems import spd_system
from solvers.amplifier_noise import AmplifierNoise, Level, noise_of, note_of, with_noise
from solvers.ideal import law_of
from solvers.network import Network, state_space
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.amplifier import Amplifier
from spu_circuit.hardware import Noise, load_hardware
from spu_circuit.problem import LinearSystem
from tests.amplifiers.styles import facts_of_all, part_of

FACTS = facts_of_all()
KELVIN = 300.15
BANDWIDTH = 3e6
"""Hz, of the readout: it ends the resistors' noise that goes past the capacitors through an output's resistance."""


def part(name, **noise):
    return part_of(FACTS[name], **noise)


def board(amplifier, **values):
    """Of the preset vendor."""
    return load_hardware("vendor").model_copy(update={"amplifier": amplifier, **values})


def own(tmp_path, *lines):
    """An amplifier of these lines behind nodes p and m, with the output o, that follows ``e(p) - e(m)``."""
    (tmp_path / "own.lib").write_text("\n".join([".subckt own p m o", *lines, ".ends", ""]))
    pins = ("plus", "minus", "output")
    return Amplifier(model="subckt", library=str(tmp_path / "own.lib"), subcircuit="own", pins=pins)


@pytest.mark.parametrize("name", ["OPA1611", "OPA187", "OPA170"])
def test_noise_is_what_the_model_was_made_for(name):
    """Models of the style make it of one resistor; its amplifier's gain leaves 1e-3."""
    found = noise_of(part(name), KELVIN)
    assert found.voltage.white == pytest.approx(FACTS[name].noise, rel=1e-3)
    assert found.current.white == 0


@pytest.mark.parametrize("name", ["uA741", "NE5534", "AD8055", "LT1007"])
def test_noise_current_of_bipolar_inputs_is_the_shot_noise_of_their_bias(name):
    """2 q I (Schottky 1918). Of the base current GMIN's share, 1e-3 and less, has no noise in ngspice."""
    amplifier = part(name)
    expected = sqrt(2 * elementary_charge * abs(bias(Bench(amplifier))))
    assert noise_of(amplifier, KELVIN).current.white == pytest.approx(expected, rel=5e-3)


def test_noise_current_of_junction_fets_is_nothing():
    assert noise_of(part("TL072"), KELVIN).current == Level(0.0)


def test_white_level_and_corner_are_those_of_a_diode(tmp_path):
    """A current I through it has 2qI + KF I / f, which makes a voltage on its n k T / q I; then a gain of 1e5.

    The second resistor's noise at the output is 4kT · 1 kΩ there, nothing at the input.
    """
    current, factor = 1e-6, 3.2e-16
    amplifier = own(
        tmp_path,
        f"Ibias 0 n DC {current!r}",
        "Dn n 0 dn",
        f".model dn D(IS=1e-14 KF={factor!r} AF=1)",
        "Cn blocked n 1",
        "Rn blocked 0 1e9 noisy=0",
        "Rin m 0 1e6",
        "E1 x 0 p m 1e5",
        "E2 o1 x blocked 0 1e5",
        "Ro o1 o 1e3",
    )
    found = noise_of(amplifier, KELVIN)
    slope = Boltzmann * KELVIN / elementary_charge / current
    assert found.voltage.white == pytest.approx(sqrt(2 * elementary_charge * current) * slope, rel=2e-3)
    assert found.voltage.corner == pytest.approx(factor / (2 * elementary_charge), rel=2e-3)
    assert found.current.white == pytest.approx(sqrt(4 * Boltzmann * KELVIN / 1e6), rel=2e-3)


def test_data_sheets_noise_takes_the_place_of_the_models():
    given = with_noise(board(part("OPA1611", input_noise="5 nV/√Hz"))).amplifier
    assert given.input_noise == pytest.approx(5e-9)
    assert given.input_current_noise == 0
    silent = board(part("OPA1611", input_noise=0.0, input_current_noise="2 pA/√Hz"))
    assert with_noise(silent) == silent
    quiet = board(part("OPA1611"), noise=Noise(thermal=False))
    assert with_noise(quiet) == quiet


def test_noise_that_is_not_white_is_told_where_it_counts(monkeypatch):
    """White S in the band of a cell is S/4τ, and S f_c/f from 1/2πt to 1/2πτ is S f_c ln(t/τ).

    Of S (f/f_r)² the mean up to 1/2πτ is a third of what it is there.
    """
    noise = AmplifierNoise(Level(1e-8, 1e3, 1e5), Level(0.0))
    monkeypatch.setattr("solvers.amplifier_noise.noise_of", lambda amplifier, kelvin: noise)
    hardware = with_noise(board(part("OPA1611")))
    assert hardware.amplifier.input_noise == 1e-8
    tau = 4e-5
    share = 4 * tau * 1e3 * log(10)
    note = note_of(hardware, 10 * tau, tau)
    assert f"flicker noise (below 1 kHz), about {100 * share:.2g} % of it" in note
    assert "later stages" not in note
    fast = tau / 100
    note = note_of(hardware, 10 * fast, fast)
    assert f"later stages (above 100 kHz), about {100 / 3 / (2 * pi * fast * 1e5) ** 2:.2g} % of it" in note
    assert "flicker" not in note
    assert note_of(hardware, 10 * tau / 8, tau / 8) == ""
    given = board(part("OPA1611", input_noise="5 nV/√Hz"))
    assert note_of(given, 10 * tau, tau) == ""


def test_model_without_noise_is_told(tmp_path):
    hardware = with_noise(board(own(tmp_path, "Rin p m 1e9 noisy=0", "E1 o 0 p m 1e6")))
    assert hardware.amplifier.input_noise == 0
    assert "has no noise; give amplifier.input_noise" in note_of(hardware, 1e-3, 1e-5)


# Boards


def device_of(amplifier):
    """At voltages that no amplifier minds, with its noise."""
    return Spu(board(amplifier), Ngspice()).program(spd_system(2, 8), 0.05)


@pytest.mark.parametrize("name", ["NE5532", "TL072", "AD8055", "OPA134", "LT1057", "OPA209", "AD8610"])
def test_noise_of_a_board_in_network_is_that_of_the_small_signal_analysis(name):
    """Whose parts make their own noise there. In the band of the cells, which the white level is for; 1 %.

    What is left are later stages' noise at higher frequencies, and what load and gain do to the bias.
    """
    found = {}
    for what, noise in (("all", {}), ("board", {"input_noise": 0.0, "input_current_noise": 0.0})):
        device = device_of(part(name, **noise))
        top = 3 / (2 * pi * float(device.time_constant))
        frequencies, expected = Ngspice().noise_density(device, (top / 1e4, top), 20, "v0")
        space = state_space(device, Network(linearise=True, readout_bandwidth=BANDWIDTH))
        found[what] = np.trapezoid(space.noise_density(frequencies)[:, 0], frequencies)
    assert found["all"] == pytest.approx(np.trapezoid(expected, frequencies), rel=0.01)
    assert found["board"] < 0.85 * found["all"]


def cell_of(amplifier):
    """A single cell at rest at 0 V."""
    return Spu(board(amplifier), Ngspice()).program(LinearSystem(np.eye(1), np.zeros(1)), 0.05)


@pytest.mark.parametrize(
    "name",
    ["NE5532", *(pytest.param(name, marks=pytest.mark.slow) for name in ("TL072", "AD8055", "LT1057", "OPA209"))],
)
def test_transient_has_the_amplifiers_noise(name):
    """Variance over a long transient of a cell against the exact law of held noise, to 10 %; false alarms 1 in 10⁴.

    Samples are two time constants apart, and bounds 4 % wider, as in the test of the macromodel; offsets have settled.
    """
    device = cell_of(part(name))
    tau, count, begin = float(device.time_constant), 3000, 15
    run = Ngspice(points=10).simulate(device, law_of(device), 2 * tau * (count + begin), 3)
    at = 2 * tau * (begin + np.arange(count))
    samples = np.interp(at, run.waveform.seconds, run.waveform.volts[:, 0])
    expected = run.covariance()[0, 0]
    low, high = chi2.ppf([5e-5, 1 - 5e-5], count - 1)
    assert low / 1.04 < samples.var() * count / expected < high * 1.04
    silent = law_of(cell_of(part(name, input_noise=0.0, input_current_noise=0.0))).stationary_covariance()
    assert expected > 2 * silent[0, 0]

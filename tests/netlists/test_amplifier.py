"""Amplifiers against closed forms: the shipped library model, a vendor's macromodel, noise and current limit."""

from math import inf, pi, sqrt, tanh

import numpy as np
import pytest
from pydantic import ValidationError
from PySpice.Spice.Netlist import Circuit
from scipy.constants import Boltzmann
from scipy.stats import chi2

from experiments.shared.systems import spd_system
from netlists.amplifier import NAME, AmplifierCircuit
from netlists.deck import lines_of
from netlists.device import load, program_array
from netlists.spice import empty_circuit
from solvers.ideal import law_of
from solvers.network import Network, state_space
from solvers.ngspice import Ngspice
from solvers.ngspice_process import run_deck
from solvers.spu import Spu
from spu_circuit.amplifier import Amplifier
from spu_circuit.errors import InputError
from spu_circuit.hardware import Noise, load_hardware
from spu_circuit.noise import WHITE
from spu_circuit.problem import LinearSystem
from tests.cases import quiet, relative, volts_of

KELVIN = 300.15
PINS = ("plus", "minus", "positive_supply", "negative_supply", "output")


def with_amplifier(preset, thermal=True, **fields):
    amplifier = Amplifier(**fields)
    return load_hardware(preset).model_copy(update={"amplifier": amplifier, "noise": Noise(thermal=thermal)})


# The shipped model in the array


def same_numbers(**more):
    """The macromodel with the shipped model's numbers, but without its limits."""
    numbers = {"dc_gain": 200e3, "gain_bandwidth": "3 MHz", "offset": "3 mV", "output_resistance": "125 Ω"}
    return with_amplifier("bench", **numbers, model="macromodel", **more)


def device_of(hardware, size=6, scale=0.3, state=None):
    system = spd_system(size, 8)
    return load(program_array(system, hardware), system.b, hardware, scale, state)


@pytest.mark.parametrize("engine", [Ngspice(), Network()])
def test_bias_current_flows_through_the_feedback(engine):
    """One cell of 1: the current into the amplifier's input comes from its output, through 1 kΩ.

    A gain of 1e9 leaves 2e-9 of the value, ngspice's gmin of 1e-12 S as much.
    """
    numbers = {"model": "macromodel", "dc_gain": 1e9}
    volts = [
        volts_of(engine, device_of(with_amplifier("ideal", False, bias_current=current, **numbers), size=1), inf)[0]
        for current in (0.0, 1e-6)
    ]
    assert volts[1] - volts[0] == pytest.approx(1e-3, rel=1e-6)


def test_array_of_shipped_models_rests_where_the_macromodel_does():
    """65 pA of bias into 500 Ω is 30 nV of volts; tanh of 3 mV over 0.69 V costs 6e-6 of the loop's error of 1e-4."""
    one, other = device_of(quiet(load_hardware("vendor"))), device_of(same_numbers(thermal=False))
    found = volts_of(Ngspice(), one, inf)
    assert relative(found, volts_of(Ngspice(), other, inf)) < 1e-6
    linear = volts_of(Network(linearise=True), one, inf)
    assert relative(linear, found) < 1e-6


@pytest.mark.parametrize("time", [0.3, 2.0])
def test_precharged_array_starts_at_its_state_and_goes_on_as_the_network_does(time):
    """Row by row with initial voltages. The two find the amplifiers' inner states at time 0 in different ways.

    The largest voltage is 0.6 V, where tanh of the input pair, some 10 mV, bends by 1e-4.
    """
    state = np.linspace(-2, 2, 6)
    device = device_of(quiet(load_hardware("vendor")), state=state)
    law, seconds = law_of(device), time * device.time_constant
    wave = Ngspice(points=2000).simulate(device, law, seconds, 0).waveform
    space = state_space(device)
    # An output is its capacitor's voltage above a virtual ground, which 3 mV of offset and the load lift by millivolts.
    assert np.abs(space.mean(np.zeros(1))[0] - device.initial_volts).max() < 5e-3
    expected = space.mean(wave.seconds[1:])
    assert np.abs(wave.volts[1:] - expected).max() < 1e-3 * np.abs(expected).max()


# A vendor's macromodel in the style of Boyle, Cohn, Pederson, Solomon (IEEE J. Solid-State Circuits 9:353, 1974)

BOYLE = """* JFET-input operational amplifier, Boyle macromodel
* connections: in+ in- vcc vee out
.subckt jfetamp 1 2 3 4 5
C1 11 12 3.5e-12
C2 6 7 15e-12
DC 5 53 DX
DE 54 5 DX
DLP 90 91 DX
DLN 92 90 DX
DP 4 3 DX
EGND 99 0 POLY(2) (3,0) (4,0) 0 .5 .5
FB 7 99 POLY(5) VB VC VE VLP VLN 0 5e6 -5e6 5e6 5e6 -5e6
GA 6 0 11 12 2.8e-4
GCM 0 6 10 99 9e-9
ISS 3 10 DC 200e-6
HLIM 90 0 VLIM 1k
J1 11 2 10 JX
J2 12 1 10 JX
R2 6 9 100e3
RD1 4 11 3.5e3
RD2 4 12 3.5e3
RO1 8 5 150
RO2 7 99 150
RP 3 4 2.2e3
RSS 10 99 1e6
VB 9 0 DC 0
VC 3 53 DC 2.2
VE 54 4 DC 2.2
VLIM 7 8 DC 0
VLP 91 0 DC 25
VLN 0 92 DC 25
.model DX D(IS=800e-18)
.model JX PJF(IS=15e-12 BETA=270e-6 VTO=-1)
.ends jfetamp
"""


@pytest.fixture
def boyle(tmp_path):
    (tmp_path / "vendor.lib").write_text(BOYLE)
    fields = {"library": str(tmp_path / "vendor.lib"), "subcircuit": "jfetamp", "pins": PINS, "supply": "15 V"}

    def build(preset, thermal=True):
        return with_amplifier(preset, thermal, model="subckt", **fields)

    return build


BOYLE_TRANSCONDUCTANCE = 2 * sqrt(270e-6 * 100e-6)
"""Of the input pair, 2 √(β I_D) with half of the tail current in each."""
BOYLE_GAIN = BOYLE_TRANSCONDUCTANCE * 3.5e3 * 2.8e-4 * 5e6 * 150
"""g_m R_D · GA R_2 · FB R_O2 / R_2: 2.4e5."""
BOYLE_OFFSET = 9e-9 * (1.0 - sqrt(100e-6 / 270e-6)) / (BOYLE_TRANSCONDUCTANCE * 3.5e3 * 2.8e-4)
"""What GCM makes of the sources' 0.39 V, at the input: 11 µV."""


def test_vendor_macromodel_misses_the_solution_by_its_closed_form(boyle):
    """One cell, 1 mS each way: KCL of the loaded amplifier with gain, offset and 300 Ω of output resistance.

    It misses by 2.6e-5 of the value, at 0.6 V per unit. RSS takes 0.2 % of the tail current; 2 % is asked.
    """
    solution = Spu(boyle("ideal"), Ngspice()).solve(LinearSystem(np.eye(1), np.ones(1)))
    offset = BOYLE_OFFSET / solution.statistics.volts_per_unit
    matrix = np.array([[1.0, -2.0], [-(1 + 0.3), -BOYLE_GAIN + 0.3]])
    expected = np.linalg.solve(matrix, np.array([1.0, -BOYLE_GAIN * offset]))[0]
    assert abs(1 - expected) == pytest.approx(2.57e-5, rel=0.02)
    assert 1 - solution.value[0] == pytest.approx(1 - expected, rel=0.02)


def test_array_of_vendor_macromodels_is_that_of_a_macromodel_with_its_numbers(boyle):
    """At rest and on the way there, from charges at both signs; GBW = g_m R_D GA / (2π C2) makes the lag.

    At rest 1e-5, the part of the 3e-5 of gain and offset that the numbers leave open. On the way, 3 MHz of amplifier
    under an array of 400 kHz, the second pole at C1 and RO1 counts: a hundredth, of the way from precharge on.
    """
    numbers = {"dc_gain": BOYLE_GAIN, "offset": BOYLE_OFFSET, "output_resistance": 300.0}
    bandwidth = BOYLE_TRANSCONDUCTANCE * 3.5e3 * 2.8e-4 / (2 * pi * 15e-12)
    plain = with_amplifier("bench", False, model="macromodel", gain_bandwidth=bandwidth, **numbers)
    own = boyle("bench", thermal=False)
    assert relative(*(volts_of(Ngspice(), d, inf) for d in map(device_of, (own, plain)))) < 1e-5
    state = np.linspace(-2, 2, 6)
    one, other = (device_of(hardware, state=state) for hardware in (own, plain))
    law, seconds = law_of(one), 2 * float(one.time_constant)
    found = Ngspice(points=1000).simulate(one, law, seconds, 0)
    assert relative(found.volts, volts_of(Ngspice(points=1000), other, seconds)) < 1e-2
    early = found.waveform.seconds < 0.01 * one.time_constant
    assert early.sum() > 5
    assert np.abs(found.waveform.volts[early] - one.initial_volts).max() < 0.05


# A behavioural model in PSpice's language

PSPICE = """* behavioural amplifier for PSpice
.SUBCKT BAMP INP INN SD VCC VEE OUT NULL1 OPTIONAL: DGND=$G_DGND PARAMS: GM=1m
GIN 0 P VALUE = {LIMIT(GM*V(INP,INN), -390u, 390u)}
RP P 0 200MEG
CP P 0 50p
EO O 0 VALUE = { LIMIT(V(P), V(VEE)+1.5, V(VCC)-1.5) }
SD O DGND SD DGND SHUT
RO O OUT 125
RN NULL1 P 1G
.MODEL SHUT VSWITCH(RON=1e12 ROFF=1 VON=2 VOFF=0.8)
.ENDS
"""
PSPICE_PINS = ("plus", "minus", "positive_supply", "positive_supply", "negative_supply", "output", "float", "ground")


def pspice_device(tmp_path, state=None, text=PSPICE):
    (tmp_path / "bamp.lib").write_text(text)
    fields = {"library": str(tmp_path / "bamp.lib"), "subcircuit": "bamp", "pins": PSPICE_PINS, "supply": "15 V"}
    return device_of(with_amplifier("bench", False, model="subckt", **fields), state=state)


@pytest.mark.parametrize("engine", [Ngspice(), Network(linearise=True)])
def test_array_of_limited_amplifiers_rests_where_the_macromodel_does(tmp_path, engine):
    """Gain 1 mS · 200 MΩ; the null pin's 2 GΩ to ground take a tenth: 1.8e5. ngspice's gmin leaves 1e-6.

    ngspice's own LIMIT() is another function, by which an amplifier has no gain.
    """
    gain = 1e-3 * 1 / (1 / 200e6 + 1 / 2e9)
    plain = with_amplifier("bench", False, model="macromodel", dc_gain=gain, output_resistance=125.0)
    found, expected = (volts_of(engine, device, inf) for device in (pspice_device(tmp_path), device_of(plain)))
    assert relative(found, expected) < 1e-6


def test_array_of_limited_amplifiers_settles_as_the_macromodel_does(tmp_path):
    """GBW = 1 mS / (2π 50 pF); the starts differ by the macromodel's charged pole, 1e-3 after two time constants."""
    state = np.linspace(-2, 2, 6)
    numbers = {"dc_gain": 1.8e5, "output_resistance": 125.0, "gain_bandwidth": 1e-3 / (2 * pi * 50e-12)}
    devices = (
        pspice_device(tmp_path, state),
        device_of(with_amplifier("bench", False, model="macromodel", **numbers), state=state),
    )
    seconds = 2 * float(devices[0].time_constant)
    assert relative(*(volts_of(Ngspice(points=1000), device, seconds) for device in devices)) < 1e-3


def test_a_follower_of_limited_amplifiers_stops_at_its_supplies(tmp_path):
    """1.5 V below ±15 V, whatever is asked of it; without load."""
    text = pspice_device(tmp_path).hardware.amplifier.library_text
    bench = ["bench", text, "Vp p 0 15", "Vn n 0 -15", "Va a 0 20", "X1 a o p p n o u 0 BAMP", "Ru u 0 1G"]
    lines = [*bench, ".save v(o)", ".print op v(o)", ".options temp=27 tnom=27", ".op", ".end", ""]
    assert run_deck("\n".join(lines), 60.0)[-1]["v(o)"][0] == pytest.approx(13.5, rel=1e-6)


def test_network_refuses_what_it_cannot_read_of_pspice_by_line(tmp_path):
    device = pspice_device(tmp_path, text=PSPICE.replace("LIMIT(V(P)", "DDT(V(P))*LIMIT(V(P)"))
    with pytest.raises(InputError, match=r"is not understood.*use ngspice"):
        volts_of(Network(), device, inf)


# The macromodel's noise and current limit

ONE = LinearSystem(np.eye(1), np.ones(1))


def circuit_of(hardware, noise_hold):
    circuit = empty_circuit()
    AmplifierCircuit(hardware).define(circuit, noise_hold)
    return "\n".join(lines_of(circuit))


def test_resistor_of_the_input_noise_is_there_only_with_thermal_noise():
    noisy = {"model": "macromodel", "input_noise": "18 nV/√Hz", "input_current_noise": "1 pA/√Hz"}
    for name in ("noise", "current"):
        assert f"R{name}" in circuit_of(with_amplifier("bench", **noisy), None)
        assert f"I{name}" in circuit_of(with_amplifier("bench", **noisy), 1e-6)
        assert name not in circuit_of(with_amplifier("bench", thermal=False, **noisy), 1e-6)


@pytest.mark.parametrize("hold", [None, WHITE, 1e-6])
def test_library_has_sources_for_its_noise_where_its_own_parts_are_silent(hold):
    """In small-signal analyses they make their own noise."""
    vendor = load_hardware("vendor").amplifier.model_dump(exclude={"library_text"}, exclude_defaults=True)
    noisy = vendor | {"input_noise": "18 nV/√Hz", "input_current_noise": "1 pA/√Hz"}
    text = circuit_of(with_amplifier("vendor", **noisy), hold)
    assert ("Rnoise" in text) == ("Rcurrent" in text) == (hold is not None)
    assert ("Inoise" in text) == ("Icurrent" in text) == bool(hold)
    silent = vendor | {"input_noise": 0.0, "input_current_noise": 0.0}
    assert circuit_of(with_amplifier("vendor", **silent), hold) == circuit_of(with_amplifier("vendor", **vendor), None)


def variance(b1, b0, a2, a1, a0):
    """∫₀^∞ |H|² df of H = (b1 s + b0) / (a2 s² + a1 s + a0) (James, Nichols, Phillips, Theory of Servomechanisms)."""
    return (b1**2 * a0 + b0**2 * a2) / (4 * a0 * a1 * a2)


def test_noise_of_one_cell_is_the_integral_over_its_one_pole_amplifier():
    """From v = (ω/s)(e − g) and KCL at g: the amplifier's e_n and the resistors' current, to rounding and 1/A₀."""
    density, bandwidth = 100e-9, 3e6
    hardware = with_amplifier("paper", model="macromodel", dc_gain=1e12, gain_bandwidth=bandwidth, input_noise=density)
    device = load(program_array(ONE, hardware), ONE.b, hardware, 0.5)
    found = state_space(device).stationary_covariance()[0, 0]
    G, total, C, omega = 1e-3, 2e-3, 1e-9, 2 * pi * bandwidth
    loop = (C, total + omega * C, omega * G)
    from_amplifier = density**2 * variance(omega * C, omega * total, *loop)
    from_resistors = 4 * Boltzmann * hardware.temperature * total * variance(0, omega, *loop)
    assert from_amplifier > 10 * from_resistors
    assert found == pytest.approx(from_amplifier + from_resistors, rel=1e-6)
    assert Ngspice().noise_variance(device, law_of(device))[0] == pytest.approx(found, rel=1e-3)


def test_noise_current_adds_to_that_of_the_resistors():
    """One cell, whose law and network are exact: (4kTG + i²) / 4GC, with i fifty times that of the resistors."""
    noisy = {"gain_bandwidth": "3 GHz", "input_noise": None, "input_current_noise": "300 pA/√Hz"}
    hardware = with_amplifier("paper", model="macromodel", dc_gain=1e12, **noisy)
    device = load(program_array(ONE, hardware), ONE.b, hardware, 0.5)
    G, C = 1e-3, 1e-9
    expected = (4 * Boltzmann * hardware.temperature * 2 * G + 300e-12**2) / (4 * G * C)
    assert law_of(device).stationary_covariance()[0, 0] == pytest.approx(expected, rel=1e-6)
    assert state_space(device).stationary_covariance()[0, 0] == pytest.approx(expected, rel=1e-3)
    assert Ngspice().noise_variance(device, law_of(device))[0] == pytest.approx(expected, rel=1e-3)


def test_noise_of_an_array_with_noisy_amplifiers_is_that_of_the_small_signal_analysis():
    """Inverting stages included; neither samples, and ngspice's band and points leave 1e-4."""
    numbers = {"dc_gain": 2e5, "gain_bandwidth": "3 MHz", "rail": "13.5 V", "input_noise": "18 nV/√Hz"}
    device = device_of(with_amplifier("bench", model="macromodel", **numbers), 4)
    found = state_space(device).stationary_covariance().diagonal()
    np.testing.assert_allclose(Ngspice().noise_variance(device, law_of(device)), found, rtol=1e-3)
    silent = device_of(with_amplifier("bench", model="macromodel", **numbers | {"input_noise": None}), 4)
    assert (found > 10 * state_space(silent).stationary_covariance().diagonal()).all()


@pytest.mark.parametrize(("resistance", "error"), [(0.0, 0.01), (125.0, 0.12)])
def test_standard_error_counts_the_amplifiers_noise(resistance, error):
    """The law's in-band part and the direct part, one above the other, beside all of it in the exact network.

    Without output resistance only the array's rates over GBW are left open, 0.7 % at 24 cells. With it, what reaches an
    output from the other amplifiers through the resistance is: 8 to 11 %. Without the amplifiers the law says 2 µV.
    """
    numbers = {"dc_gain": 2e5, "gain_bandwidth": "3 MHz", "input_noise": "18 nV/√Hz"}
    hardware = with_amplifier("bench", model="macromodel", output_resistance=resistance, **numbers)
    device = device_of(hardware, 24)
    seconds = 3 * device.time_constant
    variances = law_of(device).covariance(seconds).diagonal() + device.array.direct_noise(hardware)
    exact = state_space(device, Network(linearise=True, readout_bandwidth=1e7)).covariance(seconds).diagonal()
    np.testing.assert_allclose(np.sqrt(variances / exact), 1, atol=error)
    silent = device_of(hardware.model_copy(update={"noise": Noise(thermal=False)}), 24)
    assert not law_of(silent).diffusion.any()
    assert not silent.array.direct_noise(silent.hardware).any()


def test_transient_has_the_amplifiers_held_noise():
    """Variance over a long transient of one cell against the exact law of held noise; false alarms 1 in 10⁴.

    Samples are two time constants apart; neighbours are correlated by e⁻² = 0.14 in volts, 0.02 in squares, which
    widens the spread by 2 %: the bounds are taken 4 % wider.
    """
    hardware = with_amplifier("paper", model="macromodel", dc_gain=1e9, gain_bandwidth="3 MHz", input_noise="2 µV/√Hz")
    device = load(program_array(ONE, hardware), 0 * ONE.b, hardware, 0.5)
    tau, count = device.time_constant, 1500
    hold = tau / 8
    engine = Ngspice(points=10, noise_hold=hold / tau)
    wave = engine.simulate(device, law_of(device), 2 * tau * (count + 3), 3).waveform
    samples = np.interp(2 * tau * (3 + np.arange(count)), wave.seconds, wave.volts[:, 0])
    space = state_space(device)
    expected = float((space.output @ space.law.held_covariance(hold) @ space.output.T)[0, 0])
    low, high = chi2.ppf([5e-5, 1 - 5e-5], count)
    assert low / 1.04 < (samples**2).sum() / expected < high * 1.04
    # Without the amplifiers' noise it is a thousandth of that.
    assert expected > 1e3 * Boltzmann * KELVIN / hardware.cell.capacitance


def test_current_limit_saturates_smoothly_at_its_value():
    """Into 1 Ω, driven to 13.5 V: I_max tanh((13.5 V − V) / (R_out I_max)), within 1e-3 of 26 mA; into 1 MΩ nothing."""
    numbers = {"dc_gain": 2e5, "output_resistance": 125.0, "rail": 13.5, "current_limit": 26e-3}
    circuit = Circuit("limit")
    AmplifierCircuit(with_amplifier("bench", model="macromodel", **numbers)).define(circuit)
    circuit.V("in", "in", circuit.gnd, "DC 1")
    for name, ohms in (("a", 1.0), ("b", 1e6)):
        circuit.X(name, NAME, "in", circuit.gnd, name)
        circuit.R(name, name, circuit.gnd, ohms)
    lines = [".title limit", *lines_of(circuit), ".save v(a) v(b)", ".print op v(a) v(b)", ".op", ".end", ""]
    (plot,) = run_deck("\n".join(lines), 60.0)
    volts = 0.026
    for _ in range(20):
        volts = 0.026 * tanh((13.5 - volts) / (125 * 0.026))
    assert plot["v(a)"][0] == pytest.approx(volts, rel=1e-4)
    assert plot["v(a)"][0] == pytest.approx(0.026, rel=1e-3)
    assert plot["v(b)"][0] == pytest.approx(13.5 * 1e6 / (1e6 + 125), rel=1e-4)


def test_auto_ranging_keeps_outputs_below_the_current_limit():
    """V G ≤ 0.9 I_max with G what the output drives: 5 mA into (1.6 mS × 4.5 + 0.1 mS) is 0.62 V, of 10 V of ADC."""
    numbers = {"dc_gain": 2e5, "gain_bandwidth": "3 MHz", "output_resistance": "125 Ω", "rail": "13.5 V"}
    hardware = with_amplifier("bench", model="macromodel", current_limit="5 mA", **numbers)
    system = LinearSystem(0.5 * np.eye(8) + 0.5 * np.ones((8, 8)), np.random.default_rng(0).normal(size=8))
    for engine in (Ngspice(), Network(linearise=True)):
        solution = Spu(hardware, engine).solve(system)
        peak = np.abs(solution.value).max() * solution.statistics.volts_per_unit
        assert 0.2 < peak <= 0.9 * 5e-3 / (1.6e-3 * 4.5 + 1e-4) * (1 + 1e-3)
        assert solution.statistics.saturated_nodes == 0
        # 1 % rounding of the levels, and the tangent's loop error of 1e-4.
        assert relative(solution.value, np.linalg.solve(system.A, system.b)) < 0.05


def test_current_limit_needs_a_resistance_to_act_on():
    with pytest.raises(ValidationError, match="current_limit needs an output_resistance above 0"):
        Amplifier(model="macromodel", current_limit="26 mA")

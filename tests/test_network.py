"""The exact network engine against hand-made analysis, closed forms, and ngspice."""

import re
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySpice.Spice.Netlist import Circuit
from scipy.constants import Boltzmann
from scipy.linalg import expm
from scipy.stats import chi2

from experiments.benchmarks.systems import spd_system
from netlists.active import active
from netlists.deck import NoiseSpectrum, OperatingPoint, write_deck
from netlists.netlist import Netlist
from solvers.circuit_reader import read_lines
from solvers.mna import NodalAnalysis
from solvers.moments import moments
from solvers.network import Network, moments_of_draws, read_device, read_netlist
from solvers.ngspice import Ngspice
from solvers.ngspice_process import run_deck
from solvers.ornstein_uhlenbeck import law_of
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.active import ActiveArray
from spu_circuit.errors import InputError
from spu_circuit.hardware import Amplifier, Noise, load_hardware
from spu_circuit.problem import LinearSystem
from spu_circuit.program import load, program_array

KELVIN = 300.15


def relative(value, reference):
    return np.linalg.norm(value - reference) / np.linalg.norm(reference)


def device_of(hardware, size=6, condition=8):
    system = spd_system(size, condition)
    return load(program_array(system, hardware), system.b, hardware, 0.5, np.linspace(-1, 1, size))


def reduce_lines(text, outputs, **options):
    """A circuit given as SPICE lines, reduced."""
    return NodalAnalysis(read_lines(text.strip().splitlines()), outputs).reduce(**options)


# Hand-made analysis


def test_one_cell_by_hand():
    """R from a source to a capacitor: M = 1/RC, u = V/RC, D = (4kT/R) / 4C² = kT/(R C²)."""
    found = reduce_lines("V1 in 0 DC 3\nR1 in out 2000\nC1 out 0 1e-9 ic=0.5", ["out"], temperature=KELVIN)
    np.testing.assert_allclose(found.drift[0], [[5e5]], rtol=1e-13)
    np.testing.assert_allclose(found.rate[0], [1.5e6], rtol=1e-13)
    np.testing.assert_allclose(found.diffusion[0], [[Boltzmann * KELVIN / 2000 / 1e-18]], rtol=1e-13)
    np.testing.assert_allclose(found.output[0], [[1.0]], rtol=1e-13)


def dense_two_cells(gain, resistances, capacitances, volts):
    """Two integrators, the first with an inverting stage, written out equation by equation and solved densely.

    Unknowns: g0 v0 g1 v1 h n, then the currents that leave v0 through C0 and v1 through C1.
    """
    gin0, gin1, g00, g11, g01, g10, ga, gb = 1 / np.array(resistances)
    A = np.zeros((8, 8))
    # KCL at g0: R_in0, R00 from v0, R01 from v1; C0's current comes in.
    A[0] = [gin0 + g00 + g01, -g00, 0, -g01, 0, 0, -1, 0]
    # KCL at g1: R_in1, R11 from v1, R10 from n.
    A[1] = [0, 0, gin1 + g11 + g10, -g11, 0, -g10, 0, -1]
    A[2] = [0, -ga, 0, 0, ga + gb, -gb, 0, 0]
    A[3, [0, 1]] = A[4, [2, 3]] = A[5, [4, 5]] = [gain, 1]
    A[6, [0, 1]] = A[7, [2, 3]] = [-1, 1]
    known = np.zeros((8, 6))  # columns: z0 z1 1, noise currents into g0 g1 h
    known[6, 0] = known[7, 1] = 1
    known[0, 2], known[1, 2] = gin0 * volts[0], gin1 * volts[1]
    known[0, 3] = known[1, 4] = known[2, 5] = 1
    currents = np.linalg.solve(A, known)[6:] / np.array(capacitances)[:, None]
    density = 4 * Boltzmann * KELVIN * np.diag([gin0 + g00 + g01, gin1 + g11 + g10, ga + gb])
    return -currents[:, :2], currents[:, 2], currents[:, 3:] @ density @ currents[:, 3:].T / 4


def test_two_cells_with_an_inverting_stage_are_the_dense_equations():
    """Rounding over six eliminations leaves 1e-12 of the largest entry; gain 100 shows in every entry."""
    resistances, capacitances, volts = [1e3, 2e3, 3e3, 4e3, 5e3, 6e3, 7e3, 8e3], [1e-9, 2e-9], [0.3, -0.7]
    r = dict(zip(("in0", "in1", "00", "11", "01", "10", "a", "b"), resistances, strict=True))
    text = f"""
        .subckt opamp plus minus output
        Eout output 0 plus minus 100
        .ends
        Vin0 i0 0 DC {volts[0]}
        Vin1 i1 0 {volts[1]} AC 1
        Rin0 i0 g0 {r["in0"]}
        Rin1 i1 g1 {r["in1"]}
        R00 v0 g0 {r["00"]}
        R11 v1 g1 {r["11"]}
        R01 v1 g0 {r["01"]}
        R10 n g1 {r["10"]}
        Ra v0 h {r["a"]}
        Rb h n {r["b"]}
        C0 v0 g0 1n
        C1 v1 g1 2n
        X0 0 g0 v0 opamp
        X1 0 g1 v1 opamp
        Xn 0 h n opamp
    """
    found = reduce_lines(text, ["v0", "v1"], temperature=KELVIN)
    M, u, D = dense_two_cells(100.0, resistances, capacitances, volts)
    for value, reference in ((found.drift[0], M), (found.rate[0], u), (found.diffusion[0], D)):
        np.testing.assert_allclose(value, reference, rtol=1e-12, atol=1e-12 * np.abs(reference).max())


def test_all_controlled_sources_by_hand():
    """A 1 A/V, 2 V/V, 3 V/A and 4 A/A source each drive 1 Ω from a 1 V source that gives 1 A into 1 Ω."""
    text = """
        V1 a 0 DC 1
        R1 a 0 1
        Ggain 0 g a 0 1
        Rg g 0 1
        Egain e 0 a 0 2
        Re e 0 1
        Hgain h 0 V1 3
        Rh h 0 1
        Fgain 0 f V1 4
        Rf f 0 1
        I1 0 i DC 5
        Ri i 0 1
        Rc a c 1
        C1 c 0 1
    """
    found = reduce_lines(text, list("gehfi"))
    # At z = 1 V no current goes to C1, so V1 carries −1 A, as SPICE counts from + to − through the source.
    volts = found.output[0] @ [1.0] + found.offset[0]
    np.testing.assert_allclose(volts, [1, 2, -3, -4, 5], rtol=1e-13)


def test_noise_of_a_resistor_between_two_capacitors_is_anticorrelated():
    """D = (kT/R) [[1/C1², −1/(C1 C2)], [., 1/C2²]] plus the leaks' own; stationary variances are kT/C, and no more."""
    text = "R1 a b 1000\nC1 a 0 1e-9\nC2 b 0 2e-9\nRa a 0 5000\nRb b 0 7000"
    analysis = read_lines(text.splitlines())
    reduced = NodalAnalysis(analysis, ["a", "b"]).reduce(temperature=KELVIN)
    shared = Boltzmann * KELVIN / 1000
    assert reduced.diffusion[0][0, 1] == pytest.approx(-shared / 2e-18, rel=1e-12)
    circuit = Circuit("two")
    circuit.R("1", "a", "b", 1000.0)
    circuit.R("a", "a", circuit.gnd, 5000.0)
    circuit.R("b", "b", circuit.gnd, 7000.0)
    circuit.C("1", "a", circuit.gnd, 1e-9)
    circuit.C("2", "b", circuit.gnd, 2e-9)
    covariance = read_netlist(Netlist(circuit, ("a", "b"), "", ()), KELVIN).state_space().stationary_covariance()
    # Equipartition: the network is passive and at one temperature.
    np.testing.assert_allclose(covariance, Boltzmann * KELVIN * np.diag([1e9, 5e8]), rtol=1e-10, atol=1e-24)


# Against the ideal law


@pytest.mark.parametrize("time", [0.3, 2.0, 8.0])
def test_ideal_hardware_is_the_ideal_law(noisy, time):
    """Amplifier gain 1e15 times a noise gain of about 10 leaves 1e-14; 1e-10 is asked, where rounding ends."""
    device = device_of(noisy, 12)
    law, space = law_of(device), read_device(device).state_space()
    seconds = time * device.time_constant
    start = law.mean(np.array([seconds]), device.initial_volts)
    assert relative(space.mean(np.array([seconds])), start) < 1e-10
    assert relative(space.covariance(seconds), law.covariance(seconds)) < 1e-10
    assert relative(space.stationary_covariance(), law.stationary_covariance()) < 1e-10
    assert relative(space.operating_point(), law.fixed_point()) < 1e-10


def test_what_separates_ideal_hardware_from_the_ideal_law_is_its_gain(noisy):
    """A thousand times the gain leaves a thousandth."""
    apart = []
    for gain in (1e6, 1e9):
        amplifier = Amplifier(model="macromodel", dc_gain=gain)
        device = device_of(noisy.model_copy(update={"amplifier": amplifier}), 12)
        apart.append(relative(read_device(device).state_space().operating_point(), law_of(device).fixed_point()))
    assert 1e-6 < apart[0] < 1e-4
    assert apart[0] / apart[1] == pytest.approx(1000, rel=1e-3)


def test_injected_noise_alone_has_covariance_kappa_times_the_inverse(noisy):
    hardware = noisy.model_copy(update={"noise": Noise(thermal=False, injected="1 mV")})
    device = device_of(hardware)
    covariance = read_device(device).state_space().stationary_covariance()
    assert relative(covariance, 1e-6 * np.linalg.inv(device.array.matrix)) < 1e-10


def test_facade_with_ideal_hardware_is_the_ideal_sde(ideal):
    """The same 1e-10 as above, through programming, ranging and readout, none of which rounds on ideal hardware."""
    system = spd_system(8, 50)
    for time in (0.7, 5.0, inf):
        found = Spu(ideal, Network()).solve(system, time)
        assert relative(found.value, Sde().solve(system, time).value) < 1e-10


# Against ngspice


@pytest.mark.parametrize("preset", ["ideal", "paper", "rram", "bench"])
@pytest.mark.parametrize("size", [3, 16])
def test_operating_point_is_that_of_ngspice(preset, size):
    """1e-6 for linear circuits as asked; linearised ones solve the same tanh by Newton, which ngspice ends at 1e-6."""
    device = device_of(load_hardware(preset), size)
    law = law_of(device)
    found = Network(linearise=True).simulate(device, law, inf, 0).volts
    assert relative(found, Ngspice().simulate(device, law, inf, 0).volts) < 1e-6


@pytest.mark.parametrize("time", [0.2, 1.0, 4.0])
def test_transient_mean_is_that_of_ngspice(ideal, time):
    """ngspice's step control at reltol 1e-4 leaves 1e-5; 1e-3 is asked."""
    device = device_of(ideal, 8)
    law, seconds = law_of(device), time * device.time_constant
    found = Network().simulate(device, law, seconds, 0)
    assert relative(found.volts, Ngspice(points=1000).simulate(device, law, seconds, 0).volts) < 1e-3
    assert found.waveform.volts.shape == (101, 8)
    # The waveform steps where ``mean`` starts over at every time: rounding, gathered over 100 steps.
    direct = read_device(device).state_space().mean(found.waveform.seconds)
    np.testing.assert_allclose(found.waveform.volts, direct, atol=1e-11)


@pytest.mark.parametrize("time", [0.5, 3.0])
def test_linearised_transient_of_slow_amplifiers_is_that_of_ngspice(time):
    """Bench amplifiers stay below a tenth of their rails here, where tanh departs from its tangent by 1e-4."""
    hardware = load_hardware("bench").model_copy(update={"noise": Noise(thermal=False)})
    device = device_of(hardware, 4)
    law, seconds = law_of(device), time * device.time_constant
    found = Network(linearise=True).simulate(device, law, seconds, 0).volts
    assert relative(found, Ngspice(points=2000).simulate(device, law, seconds, 0).volts) < 1e-3


@pytest.mark.parametrize("preset", ["noisy", "rram"])
def test_stationary_variance_is_that_of_the_small_signal_analysis(preset, noisy):
    """Neither side samples; ngspice's band and its 40 points a decade leave 1e-4, as for the closed form."""
    device = device_of(noisy if preset == "noisy" else load_hardware(preset), 5)
    space = read_device(device).state_space(linearise=True)
    assert np.allclose(
        space.stationary_covariance().diagonal(), Ngspice().noise_variance(device, law_of(device)), rtol=1e-3
    )


def spice_noise(netlist, probe, temperature, band):
    plots = run_deck(write_deck(netlist, NoiseSpectrum(*band, 40, probe), temperature), 60.0)
    return plots[0]["frequency"], plots[0]["onoise_spectrum"] ** 2, plots[-1]["v(onoise_total)"][0] ** 2


def test_noise_density_of_bench_amplifiers_is_that_of_ngspice():
    """Point by point, white part included, 1e-5: ngspice linearises about an operating point of relative error 1e-6."""
    device = device_of(load_hardware("bench"), 3)
    frequency, density, _ = spice_noise(active(device), "v1", device.hardware.temperature, (10.0, 1e9))
    space = read_device(device).state_space(linearise=True)
    np.testing.assert_allclose(space.noise_density(frequency)[:, 1], density, rtol=1e-5)


def test_white_noise_past_the_capacitors_needs_a_readout_bandwidth():
    """R_out lets noise through to the output; its density times the bandwidth is what the readout adds."""
    device = device_of(load_hardware("bench"), 3)
    equations = read_device(device)
    with pytest.raises(InputError, match=r"V/√Hz goes straight to 'v0'.*readout_bandwidth"):
        equations.state_space(linearise=True).stationary_covariance()
    few, many = (equations.state_space(True, band).stationary_covariance() for band in (1e8, 3e8))
    density = equations.state_space(linearise=True).noise_density(np.array([1e12]))[0]
    np.testing.assert_allclose((many - few).diagonal(), density * 2e8, rtol=1e-6)


@st.composite
def networks(draw):
    """Random connected RC networks: a resistor tree to ground, more resistors, some capacitors, two sources."""
    size = draw(st.integers(2, 7))
    ohms = st.floats(10, 1e5)
    resistors = [(k, draw(st.integers(0, k - 1)), draw(ohms)) for k in range(1, size + 1)]
    extra = st.tuples(st.integers(1, size), st.integers(0, size), ohms)
    resistors += [r for r in draw(st.lists(extra, max_size=6)) if r[0] != r[1]]
    capacitors = draw(st.dictionaries(st.integers(1, size), st.floats(1e-12, 1e-6), min_size=1, max_size=size))
    source = draw(st.tuples(st.integers(1, size), st.floats(-5, 5)))
    return size, resistors, capacitors, source, draw(st.floats(0.01, 1))


def spice_network(network):
    size, resistors, capacitors, (driven, volts), amperes = network
    circuit = Circuit("random network")
    name = [circuit.gnd, *(f"x{k}" for k in range(1, size + 1))]
    circuit.V("in", "source", circuit.gnd, f"DC {volts!r} AC 1")
    circuit.R("in", "source", name[driven], 50.0)
    circuit.I("bias", circuit.gnd, name[size], f"DC {amperes * 1e-3!r}")
    for k, (a, b, ohms) in enumerate(resistors):
        circuit.R(str(k), name[a], name[b], ohms)
    for node, farads in capacitors.items():
        circuit.C(str(node), name[node], circuit.gnd, farads)
    return Netlist(circuit, tuple(name[1:]), "Vin", ())


RANDOM = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@RANDOM
@given(networks())
def test_random_networks_have_the_operating_point_of_ngspice(network):
    """ngspice iterates to reltol 1e-4, yet a linear circuit is solved directly: rounding times the spread of values."""
    netlist = spice_network(network)
    (plot,) = run_deck(write_deck(netlist, OperatingPoint(), KELVIN), 60.0)
    expected = np.array([plot[f"v({node})"][0] for node in netlist.outputs])
    found = read_netlist(netlist, None).state_space().operating_point()
    assert np.abs(found - expected).max() <= 1e-6 * max(np.abs(expected).max(), 1e-9)


@settings(RANDOM, max_examples=5)
@given(networks())
def test_random_networks_have_the_noise_density_of_ngspice(network):
    """At every frequency, nodes without capacitor included, where the variance is infinite; no sampling error."""
    netlist = spice_network(network)
    node = netlist.outputs[0]
    frequency, density, _ = spice_noise(netlist, node, KELVIN, (1.0, 1e9))
    np.testing.assert_allclose(
        read_netlist(netlist, KELVIN).state_space().noise_density(frequency)[:, 0], density, rtol=1e-6
    )


# The law


def test_moments_of_non_normal_drift_are_van_loan_block_exponentials():
    """Σ from expm of [[−M, 2D], [0, Mᵀ]] (Van Loan 1978); a published package fails the first matrix."""
    rng = np.random.default_rng(0)
    M = np.stack([[[1.0, -3.0], [3.0, 2.0]], rng.normal(size=(2, 2)) + 2 * np.eye(2), [[1.0, 50.0], [0.0, 1.5]]])
    D = np.stack([np.eye(2), [[2.0, 1.0], [1.0, 1.0]], np.diag([0.0, 1.0])])
    u, start = rng.normal(size=(3, 2)), np.array([1.0, -2.0])
    for time in (0.0, 0.01, 1.0, 30.0):
        mean, covariance = moments(M, u, D, start, time)
        for k in range(3):
            block = np.block([[-M[k], 2 * D[k]], [np.zeros((2, 2)), M[k].T]])
            step = expm(-M[k] * time)
            rest = np.linalg.solve(M[k], u[k])
            np.testing.assert_allclose(mean[k], rest + step @ (start - rest), rtol=1e-11, atol=1e-11)
            # The block's upper right is Σ e^{Mᵀt}, which overflows precision at 30: there the doubled short one is.
            if time <= 1:
                expected = expm(block * time)[:2, 2:] @ step.T
                np.testing.assert_allclose(covariance[k], expected, rtol=1e-10, atol=1e-10)
    at_one = moments(M[:1], u[:1], D[:1], start, 1.0)[1][0]
    np.testing.assert_allclose(at_one, [[0.692, -0.087], [-0.087, 0.604]], atol=5e-4)


def unsymmetric_device(noisy):
    """A programmed array whose matrix is far from symmetric: its eigenvalues are complex."""
    A = np.array([[1.0, -0.8, 0.1], [0.9, 0.7, -0.5], [0.2, 0.6, 0.8]])
    g = noisy.array.G_max
    array = ActiveArray(g * np.maximum(A, 0), g * np.maximum(-A, 0), g, np.ones(len(A)), 0)
    return load(array, np.array([1.0, -0.5, 0.3]), noisy, 0.5)


def test_autocorrelation_and_modes_of_unsymmetric_drift(noisy):
    device = unsymmetric_device(noisy)
    law, space = law_of(device), read_device(device).state_space()
    lags = np.array([0.0, 0.5, 2.0]) * device.time_constant
    found = space.autocorrelation(lags)
    for lag, value in zip(lags, found, strict=True):
        assert relative(value, expm(-law.drift * lag) @ law.stationary_covariance()) < 1e-7
    rates = np.array([mode.rate for mode in space.modes])
    assert relative(np.sort_complex(rates), np.sort_complex(law.rates)) < 1e-7
    assert np.abs(rates.imag).max() > 0
    assert space.modes[0].time_constant == max(mode.time_constant for mode in space.modes)


def test_settling_time_is_when_the_mean_stays_within_the_error(noisy):
    """One resistor: ln(1/ε) time constants from 0 V. Unsymmetric: the error is ε then, and less ever after."""
    hardware = noisy
    one = load(program_array(LinearSystem(np.eye(1), np.ones(1)), hardware), np.ones(1), hardware, 1.0)
    assert read_device(one).state_space().settling_time(1e-3) == pytest.approx(
        np.log(1e3) * one.time_constant, rel=1e-7
    )
    device = unsymmetric_device(noisy)
    space = read_device(device).state_space()
    settled = space.settling_time(0.01)
    rest = space.operating_point()
    later = np.linspace(settled, 5 * settled, 200)
    away = np.linalg.norm(space.mean(later) - rest, axis=1) / np.linalg.norm(rest)
    assert away[0] == pytest.approx(0.01, rel=1e-6)
    assert away[1:].max() < 0.01


def test_sampled_trajectories_have_the_law_s_covariance(noisy):
    """Whitened values of 400 seeds at two times jointly: chi-square of 2400, false alarms 1 in 10⁴."""
    device = unsymmetric_device(noisy)
    space = read_device(device).state_space()
    times = np.array([0.4, 1.5]) * device.time_constant
    paths = np.array([space.sample(times, np.random.default_rng(seed)) for seed in range(400)])
    first, second = space.covariance(times[0]), space.covariance(times[1])
    M = law_of(device).drift
    across = expm(-M * (times[1] - times[0])) @ first
    joint = np.block([[first, across.T], [across, second]])
    white = np.linalg.solve(np.linalg.cholesky(joint), (paths - space.mean(times)).reshape(400, -1).T)
    low, high = chi2.ppf([5e-5, 1 - 5e-5], white.size)
    assert low < (white**2).sum() < high


def test_same_seed_gives_the_same_volts_bit_for_bit(noisy):
    spu, system = Spu(noisy, Network()), spd_system(5, 5)
    first, again, other = (spu.solve(system, 2.0, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.waveform.volts, again.waveform.volts)
    assert np.abs(first.waveform.volts[-1] - other.waveform.volts[-1]).max() > 0


# A batch of draws


def draws_of(equations, count, spread=0.05):
    circuit = equations.analysis.circuit
    rng = np.random.default_rng(1)
    values = np.tile(circuit.values, (count, 1))
    for kind in ("R", "C"):
        where = circuit.positions(kind)
        values[:, where] *= np.exp(spread * rng.standard_normal((count, len(where))))
    return values


@pytest.mark.parametrize("preset", ["noisy", "rram"])
def test_a_batch_is_a_loop_over_its_draws(preset, noisy):
    """The same arithmetic in the same order but for the doublings, which the fastest draw of a chunk sets: 1e-12."""
    device = device_of(noisy if preset == "noisy" else load_hardware(preset), 5)
    equations = read_device(device)
    values, seconds = draws_of(equations, 7), 1.5 * device.time_constant
    means, covariances = moments_of_draws(equations, values, seconds, linearise=True, chunk=3)
    for k in range(7):
        mean, covariance = moments_of_draws(equations, values[k : k + 1], seconds, linearise=True)
        assert relative(means[k], mean[0]) < 1e-12
        assert relative(covariances[k], covariance[0]) < 1e-12
    assert relative(means[0], means[1]) > 1e-3


def test_a_draw_is_the_circuit_with_its_values(noisy):
    """Written back into the netlist and solved there, by the other code for one law at a time: 1e-9."""
    device = device_of(noisy, 4)
    equations = read_device(device)
    values, seconds = draws_of(equations, 1), 1.5 * device.time_constant
    netlist = active(device)
    for element, value in zip(equations.analysis.circuit.elements, values[0], strict=True):
        if element.kind == "R":
            netlist.circuit.element(element.name).resistance = float(value)
        if element.kind == "C":
            netlist.circuit.element(element.name).capacitance = float(value)
    space = read_netlist(netlist, noisy.temperature).state_space()
    means, covariances = moments_of_draws(equations, values, seconds)
    assert relative(means[0], space.mean(np.array([seconds]))[0]) < 1e-9
    assert relative(covariances[0], space.covariance(seconds)) < 1e-9
    assert moments_of_draws(equations, values, seconds, covariance=False)[1] is None


def test_values_of_another_structure_are_refused(noisy):
    equations = read_device(device_of(noisy, 2))
    with pytest.raises(InputError, match=r"values have shape \(3, 2\)"):
        equations.analysis.reduce(np.ones((3, 2)))


def test_an_open_resistor_in_a_draw_is_the_circuit_without_it(noisy):
    """An infinite resistance drops out exactly; the other draw of the batch is not touched."""
    device = device_of(noisy, 3)
    equations = read_device(device)
    values = np.tile(equations.analysis.circuit.values, (2, 1))
    values[1, equations.analysis.circuit.position("Rin1")] = inf
    means, _ = moments_of_draws(equations, values, device.time_constant)
    unplugged = replace(device, dac_volts=device.dac_volts * [1, 0, 1])
    assert relative(means[1], read_device(unplugged).state_space().mean(np.array([device.time_constant]))[0]) < 1e-7
    assert relative(means[0], read_device(device).state_space().mean(np.array([device.time_constant]))[0]) < 1e-12


@pytest.mark.parametrize(("name", "value"), [("Rin1", -1.0), ("C0", inf), ("C0", np.nan)])
def test_a_draw_with_an_impossible_value_is_refused_by_name(noisy, name, value):
    equations = read_device(device_of(noisy, 2))
    values = np.tile(equations.analysis.circuit.values, (2, 1))
    values[1, equations.analysis.circuit.position(name)] = value
    with pytest.raises(InputError, match=f"draw 1: {name} is {value:g}"):
        moments_of_draws(equations, values, 1e-6)


def test_a_draw_that_needs_other_pivots_gets_them():
    """In the first draw a huge gain holds node b, in the second it is 0 and the resistor does."""
    lines = "V1 a 0 DC 1\nR1 a x 1000\nE1 x 0 a b 1e6\nR2 a b 1000\nR3 b c 1000\nC1 c 0 1e-9"
    analysis = NodalAnalysis(read_lines(lines.splitlines()), ["x", "c"])
    values = np.tile(analysis.circuit.values, (2, 1))
    values[1, analysis.circuit.position("E1")] = 0.0
    both = analysis.reduce(values)
    for k in range(2):
        alone = NodalAnalysis(analysis.circuit, ["x", "c"]).reduce(values[k : k + 1])
        np.testing.assert_allclose(both.drift[k], alone.drift[0], rtol=1e-12)
        np.testing.assert_allclose(both.output[k], alone.output[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(both.drift[1], 1 / (2000 * 1e-9), rtol=1e-12)


# Bad input


CELL = "V1 in 0 DC 1\nR1 in out 1000\nC1 out 0 1e-9\n"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (CELL + "D1 out 0 model", r"D1: the network engine does not know this element \('D1 out 0 model'\).*ngspice"),
        (CELL + ".tran 1n 1u", r"line '.tran 1n 1u': .* reads elements and subcircuits only"),
        (CELL + "D1 out 0 model\n.model model D", r"D1: the network engine does not know this element"),
        (CELL + "R2 out 0 1k m=2", r"R2: m is not known here \('R2 out 0 1k m=2'\); put what it does into the value"),
        (CELL + "R2 out 0 1k noisy=0", r"R2: noisy is not known here"),
        (CELL + "R2 out 0 1k temp=100 tc=0.01", r"R2: temp is not known here"),
        (CELL + "C2 out 0 1n m=2", r"C2: m is not known here"),
        (CELL + "G2 out 0 out 0 1m m=2", r"G2: m is not known here"),
        (".subckt a p\nR1 p 0 1\n.ends\n" + CELL + "X1 out a m=2", r"X1: m is not known here .*write the copies out"),
        (CELL + "C2 in 0 1e-9", r"C2 closes a loop of capacitors or voltage sources over nodes 0, in; put a resistor"),
        (CELL + "C2 0 x 1 ic=1\nC3 x 0 1 ic=1", r"C3 and C2 are parallel, but one begins at -1 V and the other at 1 V"),
        (CELL + "V2 in 0 DC 2", r"V2 closes a loop of voltage sources over nodes 0, in"),
        (CELL + "C2 out x 1e-9\nC3 x y 1e-9", r"no DC path to ground from x, y; join each"),
        (CELL + "X1 out 0 amp", r"X1: no subcircuit 'amp'"),
        (".subckt a p\nX1 p a\n.ends\n" + CELL + "X1 out a", r"subcircuit a contains itself"),
        (".subckt a p\nR1 p 0 1\n.ends\n" + CELL + "X1 out 0 a", r"X1: 2 nodes for the 1 pins \(p\) of 'a'"),
        (CELL + "I1 0 out SIN(0 1 1k)", r"I1: its value changes with time"),
        (CELL + "F1 0 out V9 2", r"F1: no voltage source 'v9'"),
        (CELL + "R2 out 0 0", r"R2: 0 must be above 0"),
        (CELL + "G1 0 g out 0 1", r"does not determine the voltage of node 'g'"),
        (CELL + "B1 b 0 v=tanh(V(out))\nR2 b 0 1", r"B1 is not linear \('B1 b 0 v=tanh\(V\(out\)\)'\).*linearise"),
        ("V1 in 0 DC 1\nR1 in 0 1000", r"no capacitor"),
    ],
)
def test_circuits_that_cannot_be_solved_are_refused_by_name(lines, message):
    with pytest.raises(InputError, match=message) as error:
        reduce_lines(lines, ["in"])
    assert "\n" not in str(error.value)


def test_values_are_those_that_ngspice_reads():
    """Operating points of dividers; on the way options of a value, units, an inch's thousandth."""
    lines = """V1 in 0 ac 1 dc 2
R1 in a 1k
R2 a 0 1k tc=0.01 ac=5
R3 in b 1mil
R4 b 0 20u
R5 in c 1kohm
R6 c 0 3k
X1 in d half m=2
.subckt half a b m=1
R1 a b {m*1k}
.ends
.model unused d
R7 d 0 1k
C1 a 0 10nF"""
    deck = f".title dividers\n{lines}\n.options temp=27 tnom=27\n.save v(a) v(b) v(c) v(d)\n.op\n.end\n"
    (plot,) = run_deck(deck, 60)
    nodes = ["a", "b", "c", "d"]
    ours = reduce_lines(lines, nodes)
    rest = ours.output[0] @ np.linalg.solve(ours.drift[0], ours.rate[0]) + ours.offset[0]
    np.testing.assert_allclose(rest, [plot[f"v({node})"][0] for node in nodes], rtol=1e-6)  # gmin of ngspice


def test_unknown_functions_are_named_when_linearised():
    with pytest.raises(InputError, match=r"'gauss\(control_0\)' is not understood"):
        reduce_lines(CELL + "B1 b 0 v=gauss(V(out))\nR2 b 0 1", ["b"], linearise=True)


def test_bench_hardware_is_refused_unless_linearised(bench):
    device = device_of(bench, 2)
    with pytest.raises(InputError, match=r"Xv0.Bout is not linear .*linearise=True"):
        Network().simulate(device, law_of(device), inf, 0)


def test_an_unstable_array_names_its_mode_and_the_damping_that_cures_it(noisy):
    """Eigenvalues 1.5 and −0.5: λ above 0.5 cures it. With gain 1e15 the growth is known to 1e-14."""
    A = np.array([[0.5, 1.0], [1.0, 0.5]])
    g = noisy.array.G_max

    def device(damping):
        matrix = A + damping * np.eye(2)
        array = ActiveArray(g * np.maximum(matrix, 0), g * np.maximum(-matrix, 0), g, np.ones(2), 0)
        return load(array, np.ones(2), noisy, 0.5)

    growing = device(0.0)
    rate = 0.5 / growing.time_constant
    growth = re.escape(f"grows at {rate:.3g} 1/s; add a damping λ above 0.5 ")
    with pytest.raises(InputError, match=rf"unstable.*mostly C\d, {growth}"):
        Network().simulate(growing, law_of(growing), 1e-6, 0)
    cured = device(0.51)
    assert np.isfinite(Network().simulate(cured, law_of(cured), inf, 0).volts).all()


def test_slow_amplifiers_that_make_the_array_unstable_are_blamed():
    """An array that rotates more than it decays has no phase to spare for an amplifier's pole."""
    amplifier = Amplifier(model="macromodel", dc_gain=1e5, gain_bandwidth="1 MHz")
    hardware = load_hardware("paper").model_copy(update={"amplifier": amplifier})
    g = hardware.array.G_max
    array = ActiveArray(
        g * np.array([[0.1, 1.0], [0.0, 0.1]]), g * np.array([[0.0, 0.0], [1.0, 0.0]]), g, np.ones(2), 0
    )
    device = load(array, np.ones(2), hardware, 0.5)
    with pytest.raises(InputError, match=r"unstable.*amplifiers are too slow.*gain_bandwidth"):
        Network().simulate(device, law_of(device), inf, 0)


def test_saturated_amplifiers_read_their_rails_so_that_ranging_can_halve():
    """5 V wanted of 0.4 V rails: ngspice's own operating point, where the slope of tanh underflows to 0."""
    amplifier = Amplifier(model="macromodel", rail="0.4 V")
    hardware = load_hardware("ideal").model_copy(update={"amplifier": amplifier})
    device = replace(
        load(program_array(LinearSystem(np.eye(1), np.ones(1)), hardware), np.ones(1), hardware, 0.9),
        dac_volts=np.array([-5.0]),
    )
    found = Network(linearise=True).simulate(device, law_of(device), inf, 0).volts
    assert found[0] == pytest.approx(0.4, rel=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_arrays_that_saturate_on_the_way_are_ranged_as_in_ngspice(seed):
    """Condition 100 drives several bench amplifiers to their rails at once, where Newton's method alone cycles."""
    spu, reference = Spu(load_hardware("bench"), Network(linearise=True)), Spu(load_hardware("bench"), Ngspice())
    system = spd_system(8, 100, seed)
    found, expected = spu.solve(system), reference.solve(system)
    assert found.statistics.range_changes == expected.statistics.range_changes > 0
    assert found.statistics.volts_per_unit == expected.statistics.volts_per_unit
    assert relative(found.value, expected.value) < 1e-4  # a code of the ADC may round the other way

"""Modified nodal analysis of SPICE lines against hand-made equations and ngspice, and in batches."""

from math import inf

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.constants import Boltzmann

from experiments.shared.systems import spd_system
from netlists.deck import circuit_of, lines_of
from netlists.device import load, program_array
from solvers.moments import moments
from solvers.network.by_text import analysis_of, start_of
from solvers.network.nodal import NodalAnalysis
from solvers.network.reader import read_lines
from solvers.network.state_space import StateSpace
from solvers.ngspice_process import run_deck
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from spu_circuit.errors import InputError
from spu_circuit.hardware import load_hardware
from tests.cases import relative

KELVIN = 300.15


def reduce_lines(text, outputs, **options):
    """A circuit given as SPICE lines, reduced."""
    return NodalAnalysis(read_lines(text.strip().splitlines()), outputs).reduce(**options)


def space_of_lines(lines, outputs, temperature=None):
    """The law of a circuit given as SPICE lines."""
    analysis = NodalAnalysis(read_lines(lines), outputs)
    found = analysis.reduce(temperature=temperature)
    law = OrnsteinUhlenbeck(found.drift[0], found.input_rate[0], found.diffusion[0])
    start = start_of(analysis, found, False)[0]
    return StateSpace(law, start, found.output[0], found.offset[0], found.noise[0], analysis.states, analysis.outputs)


# Hand-made analysis


def test_one_cell_by_hand():
    """R from a source to a capacitor: M = 1/RC, u = V/RC, D = (4kT/R) / 4C² = kT/(R C²)."""
    found = reduce_lines("V1 in 0 DC 3\nR1 in out 2000\nC1 out 0 1e-9 ic=0.5", ["out"], temperature=KELVIN)
    np.testing.assert_allclose(found.drift[0], [[5e5]], rtol=1e-13)
    np.testing.assert_allclose(found.input_rate[0], [1.5e6], rtol=1e-13)
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
    for value, reference in ((found.drift[0], M), (found.input_rate[0], u), (found.diffusion[0], D)):
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
    lines = "R1 a b 1000\nC1 a 0 1e-9\nC2 b 0 2e-9\nRa a 0 5000\nRb b 0 7000".splitlines()
    space = space_of_lines(lines, ["a", "b"], KELVIN)
    shared = Boltzmann * KELVIN / 1000
    assert space.law.diffusion[0, 1] == pytest.approx(-shared / 2e-18, rel=1e-12)
    # Equipartition: the network is passive and at one temperature.
    expected = Boltzmann * KELVIN * np.diag([1e9, 5e8])
    np.testing.assert_allclose(space.stationary_covariance(), expected, rtol=1e-10, atol=1e-24)


# Against ngspice


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
    """Its lines and its nodes."""
    size, resistors, capacitors, (driven, volts), amperes = network
    name = ["0", *(f"x{k}" for k in range(1, size + 1))]
    lines = [
        f"Vin source 0 DC {volts!r} AC 1",
        f"Rin source {name[driven]} 50.0",
        f"Ibias 0 {name[size]} DC {amperes * 1e-3!r}",
        *(f"R{k} {name[a]} {name[b]} {ohms!r}" for k, (a, b, ohms) in enumerate(resistors)),
        *(f"C{node} {name[node]} 0 {farads!r}" for node, farads in capacitors.items()),
    ]
    return lines, name[1:]


def run_lines(lines, *analysis):
    celsius = repr(KELVIN - 273.15)
    options = f".options temp={celsius} tnom={celsius} reltol=1e-4"
    return run_deck("\n".join([".title random network", *lines, options, *analysis, ".end", ""]), 60.0)


RANDOM = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@RANDOM
@given(networks())
def test_random_networks_have_the_operating_point_of_ngspice(network):
    """ngspice iterates to reltol 1e-4, yet a linear circuit is solved directly: rounding times the spread of values."""
    lines, nodes = spice_network(network)
    shown = " ".join(f"v({node})" for node in nodes)
    (plot,) = run_lines(lines, f".save {shown}", f".print op {shown}", ".op")
    expected = np.array([plot[f"v({node})"][0] for node in nodes])
    found = space_of_lines(lines, nodes).operating_point()
    assert np.abs(found - expected).max() <= 1e-6 * max(np.abs(expected).max(), 1e-9)


@settings(RANDOM, max_examples=5)
@given(networks())
def test_random_networks_have_the_noise_density_of_ngspice(network):
    """At every frequency, nodes without capacitor included, where the variance is infinite; no sampling error."""
    lines, nodes = spice_network(network)
    plot = run_lines(lines, ".print noise onoise_spectrum", f".noise v({nodes[0]}) Vin dec 40 1.0 1e9")[0]
    density = space_of_lines(lines, nodes, KELVIN).noise_density(plot["frequency"])[:, 0]
    np.testing.assert_allclose(density, plot["onoise_spectrum"] ** 2, rtol=1e-6)


# A batch of draws


def device_of(hardware, size=6, condition=8):
    system = spd_system(size, condition)
    return load(program_array(system, hardware), system.b, hardware, 0.5, np.linspace(-1, 1, size))


def draws_of(analysis, count, spread=0.05):
    circuit = analysis.circuit
    rng = np.random.default_rng(1)
    values = np.tile(circuit.values, (count, 1))
    for kind in ("R", "C"):
        where = circuit.positions(kind)
        values[:, where] *= np.exp(spread * rng.standard_normal((count, len(where))))
    return values


def moments_of(analysis, values, seconds):
    """Mean and covariance of the outputs of each draw."""
    found = analysis.reduce(values, KELVIN, linearise=True)
    start = start_of(analysis, found, False)
    mean, covariance = moments(found.drift, found.input_rate, found.diffusion, start, seconds)
    output = found.output
    return (output @ mean[:, :, None])[:, :, 0] + found.offset, output @ covariance @ output.transpose(0, 2, 1)


@pytest.mark.parametrize("preset", ["noisy", "rram"])
def test_a_batch_is_a_loop_over_its_draws(preset, noisy):
    """The same arithmetic in the same order but for the doublings, which the fastest draw of a batch sets: 1e-12."""
    device = device_of(noisy if preset == "noisy" else load_hardware(preset), 5)
    analysis = analysis_of(device.circuit)
    values, seconds = draws_of(analysis, 7), 1.5 * float(device.time_constant)
    means, covariances = moments_of(analysis, values, seconds)
    for k in range(7):
        mean, covariance = moments_of(analysis, values[k : k + 1], seconds)
        assert relative(means[k], mean[0]) < 1e-12
        assert relative(covariances[k], covariance[0]) < 1e-12
    assert relative(means[0], means[1]) > 1e-3


def test_a_draw_is_the_circuit_with_its_values(noisy):
    """Written back into the lines and solved there, by the other code for one law at a time: 1e-9."""
    device = device_of(noisy, 4)
    analysis = analysis_of(device.circuit)
    values, seconds = draws_of(analysis, 1), 1.5 * float(device.time_constant)
    own = dict(zip((e.name for e in analysis.circuit.elements), values[0].tolist(), strict=True))
    changed = {
        group.label: np.array([own.get(name, inf) for name in group.names])
        for group in device.circuit.elements
        if group.kind in "RC"
    }
    table = device.circuit.filled(changed)
    other = analysis_of(table)
    found = other.reduce(temperature=KELVIN)
    law = OrnsteinUhlenbeck(found.drift[0], found.input_rate[0], found.diffusion[0])
    start = start_of(other, found, False)[0]
    means, covariances = moments_of(analysis, values, seconds)
    expected = found.output[0] @ law.mean(np.array([seconds]), start)[0] + found.offset[0]
    assert relative(means[0], expected) < 1e-9
    assert relative(covariances[0], found.output[0] @ law.covariance(seconds) @ found.output[0].T) < 1e-9


def test_values_of_another_structure_are_refused(noisy):
    with pytest.raises(InputError, match=r"values have shape \(3, 2\)"):
        analysis_of(device_of(noisy, 2).circuit).reduce(np.ones((3, 2)))


def test_an_open_resistor_in_a_draw_is_the_circuit_without_it(noisy):
    """An infinite resistance drops out exactly; the other draw of the batch is not touched."""
    device = device_of(noisy, 3)
    analysis = analysis_of(device.circuit)
    values = np.tile(analysis.circuit.values, (2, 1))
    values[1, analysis.circuit.position("Rin1")] = inf
    both = analysis.reduce(values)
    without = [line for line in lines_of(circuit_of(device.circuit)) if not line.startswith("Rin1 ")]
    unplugged = NodalAnalysis(read_lines(without), device.circuit.probes).reduce()
    for k, reference in enumerate((analysis.reduce(), unplugged)):
        assert relative(both.drift[k], reference.drift[0]) < 1e-12
        assert relative(both.input_rate[k], reference.input_rate[0]) < 1e-12


@pytest.mark.parametrize(("name", "value"), [("Rin1", -1.0), ("C0", inf), ("C0", np.nan)])
def test_a_draw_with_an_impossible_value_is_refused_by_name(noisy, name, value):
    analysis = analysis_of(device_of(noisy, 2).circuit)
    values = np.tile(analysis.circuit.values, (2, 1))
    values[1, analysis.circuit.position(name)] = value
    with pytest.raises(InputError, match=f"draw 1: {name} is {value:g}"):
        analysis.reduce(values)


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


def test_parallel_capacitors_add_up():
    """1 nF and 3 nF, the second turned around, on 1 kΩ: one state of 4 µs that begins at 0.5 V; a draw changes both."""
    text = "V1 in 0 1\nR1 in a 1k\nC1 a 0 1n ic=0.5\nC2 0 a 3n ic=-0.5"
    analysis = NodalAnalysis(read_lines(text.splitlines()), ["a"])
    assert analysis.states == ("C1",)
    np.testing.assert_array_equal(analysis.start, [0.5])
    values = np.stack([analysis.circuit.values] * 2)
    values[1, [analysis.circuit.position("C1"), analysis.circuit.position("C2")]] *= 2
    np.testing.assert_allclose(analysis.reduce(values).drift[:, 0, 0], [1 / 4e-6, 1 / 8e-6], rtol=1e-13)


# Bad input


CELL = "V1 in 0 DC 1\nR1 in out 1000\nC1 out 0 1e-9\n"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (CELL + "T1 out 0 in 0 z0=50", r"T1: the network engine does not know this element \('T1 out .*ngspice"),
        (CELL + "D1 out 0 model", r"D1: no model of a semiconductor \('D1 out 0 model'\).*ngspice"),
        (CELL + ".tran 1n 1u", r"line '.tran 1n 1u': .* reads elements and subcircuits only"),
        (
            CELL + "D1 out 0 model\n.model model D",
            r"D1#d: semiconductors .* have no tangents element by element; .*ngspice",
        ),
        (CELL + "R2 out 0 1k m=2", r"R2: m is not known here \('R2 out 0 1k m=2'\); put what it does into the value"),
        (CELL + "R2 out 0 1k scale=2", r"R2: scale is not known here"),
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
        (CELL + "C2 out 0 0", r"C2: 0 must be above 0 .*; leave it out"),
        (CELL + "G1 0 g out 0 1", r"does not determine the voltage of node 'g'"),
        (CELL + "B1 b 0 v=tanh(V(out))\nR2 b 0 1", r"B1 is not linear \('B1 b 0 v=tanh\(V\(out\)\)'\).*linearise"),
        ("V1 in 0 DC 1\nR1 in 0 1000", r"no capacitor"),
    ],
)
def test_circuits_that_cannot_be_solved_are_refused_by_name(lines, message):
    with pytest.raises(InputError, match=message) as error:
        reduce_lines(lines, ["in"])
    assert "\n" not in str(error.value)

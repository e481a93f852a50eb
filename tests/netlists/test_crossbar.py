"""Wires with resistance, and leaking capacitors, in ngspice and in the exact network."""

from math import inf, sqrt

import numpy as np
import pytest

from experiments.shared.systems import ggn_system, spd_system
from netlists.crossbar import crossbar, laid_out
from netlists.device import load, program_array
from solvers.ideal import law_of
from solvers.network import Network, state_space
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.hardware import changed_hardware, load_hardware
from spu_circuit.problem import LinearSystem
from tests.cases import volts_of


def short_circuit_currents(conductances, volts, wire):
    """Current into each grounded row wire, by dense nodal analysis of the resistors of a crossbar that is laid out."""
    added = [
        (name, a, b, ohms)
        for group in laid_out(crossbar("Rx", conductances, "v", "g", wire_resistance=wire))
        for name, a, b, ohms in zip(group.names, *(nodes.names for nodes in group.nodes), group.value, strict=True)
        if ohms < inf
    ]
    assert len({name for name, *_ in added}) == len(added)
    columns, rows = [f"v{j}" for j in range(len(volts))], [f"g{i}" for i in range(len(conductances))]
    known = dict(zip(columns, volts, strict=True)) | dict.fromkeys(rows, 0.0)
    inner = sorted({node for _, a, b, _ in added for node in (a, b)} - set(known))
    index = {node: k for k, node in enumerate(inner)}
    G, current = np.zeros((len(inner), len(inner))), np.zeros(len(inner))
    for _, a, b, resistance in added:
        for here, there in ((a, b), (b, a)):
            if here in index:
                G[index[here], index[here]] += 1 / resistance
                if there in index:
                    G[index[here], index[there]] -= 1 / resistance
                else:
                    current[index[here]] += known[there] / resistance
    at = known | dict(zip(inner, np.linalg.solve(G, current) if inner else [], strict=True))
    total = dict.fromkeys(rows, 0.0)
    for _, a, b, resistance in added:
        for here, there in ((a, b), (b, a)):
            if here in total:
                total[here] += (at[there] - at[here]) / resistance
    return np.array(list(total.values()))


def test_without_wire_resistance_currents_are_the_product():
    G, volts = np.array([[1.0, 0.0, 2.0], [3.0, 4.0, 0.0]]), np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(short_circuit_currents(G, volts, 0.0), G @ volts, rtol=1e-12)


def test_two_resistors_on_one_row_wire_by_hand():
    """Both branches meet a segment away from the virtual ground; the second one has a segment more of row wire."""
    near, far, wire = 5.0, 7.0, 0.3
    found = short_circuit_currents(np.array([[1 / near, 1 / far]]), np.array([2.0, -1.0]), wire)
    first, second = 1 / (wire + near), 1 / (2 * wire + far)
    np.testing.assert_allclose(found, [(2 * first - second) / (1 + wire * (first + second))], rtol=1e-12)


def test_a_wire_passes_crossings_without_a_resistor():
    """A lone resistor at (1, 2) lies behind two segments of column wire and three of row wire."""
    G = np.zeros((2, 3))
    G[1, 2] = 1 / 10
    np.testing.assert_allclose(short_circuit_currents(G, np.array([0, 0, 1.0]), 0.5), [0, 1 / 12.5], rtol=1e-12)


def parasitic_device(preset, wire, leakage):
    hardware = load_hardware(preset)
    hardware = hardware.model_copy(
        update={
            "array": hardware.array.model_copy(update={"wire_resistance": wire}),
            "cell": hardware.cell.model_copy(update={"leakage_resistance": leakage}),
        }
    )
    system = spd_system(5, 5)
    A = system.A + (np.diag(np.abs(system.A).sum(axis=1)) if preset == "passive" else 0)
    return load(program_array(LinearSystem(A, system.b), hardware), system.b, hardware, 0.05)


@pytest.mark.parametrize("preset", ["paper", "passive"])
def test_wires_and_leakage_agree_between_ngspice_and_network(preset):
    device = parasitic_device(preset, wire=2.0, leakage=20e3)
    law, space = law_of(device), state_space(device)
    settled = volts_of(Ngspice(), device, inf)
    # Two direct solutions of one linear circuit.
    np.testing.assert_allclose(space.operating_point(), settled, rtol=1e-10)
    assert np.abs(law.fixed_point() / settled - 1).max() > 1e-4, "the wires make no difference"
    variances = Ngspice().noise_variance(device, law)
    # .noise integrates over a finite band with 40 points a decade.
    np.testing.assert_allclose(space.stationary_covariance().diagonal(), variances, rtol=1e-3)


@pytest.mark.parametrize("wire", ["0.01 Ω", "0.1 Ω"])
def test_amplifiers_that_saturate_rest_behind_small_wires_as_in_ngspice(wire):
    """Wires of little resistance leave rounding of 1e-9 V in every step of Newton's method."""
    system = ggn_system(8, 24, 0.5, 0).dual()
    hardware = changed_hardware("bench", {"array": {"wire_resistance": wire}})
    network, theirs = (Spu(hardware, engine).solve(system).value for engine in (Network(linearise=True), Ngspice()))
    # Half a code of 16 bits is 1.5e-5 of the largest voltage, and a rounded reading may be one code off.
    np.testing.assert_allclose(network, theirs, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize("preset", ["ideal", "passive"])
def test_leakage_is_part_of_the_law(preset):
    """A leaking cell decays faster by 1 / (R C): with ideal amplifiers law and circuit stay the same."""
    device = parasitic_device(preset, wire=0.0, leakage=5e3)
    alone = parasitic_device(preset, wire=0.0, leakage=None)
    faster = 1 / (5e3 * device.hardware.cell.capacitance)
    np.testing.assert_allclose(law_of(device).rates, law_of(alone).rates + faster, rtol=1e-12)
    # The gain of 1e9 and more leaves this to the circuit's operating point.
    np.testing.assert_allclose(state_space(device).operating_point(), law_of(device).fixed_point(), 1e-6)


def test_passive_cells_with_leakage_keep_their_equipartition():
    law = law_of(parasitic_device("passive", wire=0.0, leakage=5e3))
    expected = 2 * 1.380649e-23 * 300.15 / 1e-9
    np.testing.assert_allclose(law.stationary_covariance(), expected * np.eye(5), atol=1e-12 * expected)


def test_transient_noise_behind_wires_has_the_networks_variance():
    """Each resistor's noise current at its own place; wires as large as the resistors make the lumped sum wrong."""
    device = parasitic_device("paper", wire=1e3, leakage=None)
    law, space = law_of(device), state_space(device)
    rates = np.real(space.law.rates)
    slowest, fastest = float(rates.min()), float(rates.max())
    apart, per_run, runs = 3 / slowest, 30, 8
    hold = apart / np.ceil(apart * fastest / 0.4)
    engine = Ngspice(points=10, noise_hold=float(hold * np.abs(law.rates).max()))
    waves = [engine.simulate(device, law, apart * per_run, seed).waveform for seed in range(runs)]
    near = [np.searchsorted(w.seconds, apart * np.arange(2, per_run + 1) * (1 - 1e-9)) for w in waves]
    drawn = np.concatenate([w.volts[k] - space.mean(w.seconds[k]) for w, k in zip(waves, near, strict=True)])
    expected = (space.output @ space.law.held_covariance(hold) @ space.output.T).diagonal()
    deviations = ((drawn**2).mean(axis=0) / expected - 1) / sqrt(2 / len(drawn))
    # Five cells: 3.3 standard errors in any of them has a probability of 0.5 %.
    assert np.abs(deviations).max() < 3.3
    lumped = law.held_covariance(hold).diagonal()
    assert np.abs(lumped / expected - 1).min() > 0.2, "the lumped noise would pass as well"

"""Capacitors whose voltage moves their capacitance: against the closed form of one cell, and ngspice."""

import numpy as np
import pytest

from experiments.shared.systems import dominant_system, ggn_system, spd_system
from netlists.board import Board
from netlists.capacitors import bend, bent_charge
from netlists.device import batch_of, load, program_array
from solvers.behaviour import Question, in_network
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.hardware import changed_hardware
from spu_circuit.problem import LinearSystem
from spu_circuit.sampling import Sample, Sampling, draw
from tests.cases import relative

QUIET = {"noise": {"thermal": False}}
CERAMIC = {"linear_voltage_coefficient": "-15 %/V", "quadratic_voltage_coefficient": "-20 %/V²"}
A, B = -0.15, -0.2
LINEAR = Network(linearise=True)


def bending(base, **more):
    """A preset of ± 1 V whose capacitors lose a third at full scale."""
    converter = {"bits": 24, "full_scale": "1 V"}
    changes = {"cell": CERAMIC, "dac": converter, "adc": converter, **QUIET, **more}
    return changed_hardware(base, changes)


def straight(hardware):
    none = {"linear_voltage_coefficient": 0.0, "quadratic_voltage_coefficient": 0.0}
    return hardware.model_copy(update={"cell": hardware.cell.model_copy(update=none)})


def passed(volts, start, rest):
    """G t / C of the one cell C (1 + a V + b V²) dV/dt = −G (V − V*), in closed form."""
    y, y0 = volts - rest, start - rest
    return -((1 + A * rest + B * rest**2) * np.log(y / y0) + (A + 2 * B * rest) * (y - y0) + B / 2 * (y**2 - y0**2))


ONE = LinearSystem(np.array([[1.0]]), np.array([1.0]))
START, REST = -0.7, 0.8


def one_cell():
    hardware = bending("paper")
    return load(program_array(ONE, hardware), ONE.b, hardware, REST, np.array([START / REST]))


def read(engine, device, times):
    batch = batch_of(device)
    programmed = engine.prepare(Board(device.hardware, device.circuit)).program(batch.array, None)
    tau = float(device.time_constant)
    return np.array([programmed.read(batch, np.array([t * tau]), np.zeros(1, np.uint64)).volts[0, 0] for t in times])


@pytest.mark.parametrize(("engine", "error"), [(Network(), 1e-7), (Ngspice(points=1000, reltol=1e-6), 1e-5)])
def test_one_cell_goes_as_its_closed_form_says(engine, error):
    device, times = one_cell(), np.array([0.1, 0.5, 1.0, 3.0])
    volts = read(engine, device, times)
    # The conductance of the cell's entry is the unit of the matrix, so G t / C is the time in units of tau. Network
    # integrates to 1e-8 of the way; the trapezoidal rule of ngspice leaves (1/1000)² / 12 times some tens.
    start, rest = float(device.initial_volts[0]), float(device.at_rest()[0])
    np.testing.assert_allclose(passed(volts, start, rest), times, rtol=0, atol=10 * error)
    plain = rest + (start - rest) * np.exp(-times)
    assert np.abs(volts - plain).max() > 0.02


def test_charge_is_the_integral_of_capacitance():
    volts = np.linspace(-2.5, 2.5, 501)
    given = (np.array(A), np.array(B), np.array(1.5))
    slope = np.gradient(bent_charge(volts, *given), volts, edge_order=2)
    # Central differences of a cubic with steps of 0.01 V are off by b h² / 3, at its ends by twice that.
    inner = np.abs(np.abs(volts) - 1.5) > 0.02  # but for where the law ends
    np.testing.assert_allclose(slope[inner], bend(volts, *given)[inner], atol=2e-5)
    assert bend(np.array(9.0), *given) == bend(np.array(1.5), *given)


CASES = {
    "active": (bending("paper"), spd_system(4, 8)),
    "passive": (bending("passive", array={"G_min": "1 nS", "G_max": "50 µS"}), dominant_system(4, 8)),
    "factored": (bending("factored"), ggn_system(3, 5, 0.3)),
    "behind wires": (bending("paper", array={"wire_resistance": "20 Ω"}), spd_system(4, 8)),
    "real amplifiers": (
        bending("paper", amplifier={"model": "macromodel", "dc_gain": 2e4, "gain_bandwidth": "50 MHz"}),
        spd_system(4, 8),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_engines_agree_on_the_way_and_rest_sees_nothing(name):
    hardware, system = CASES[name]
    ngspice = Spu(hardware, Ngspice(points=800, reltol=1e-6)).solve(system, 1.0).value
    network = Spu(hardware, LINEAR).solve(system, 1.0)
    # ngspice's steps leave 1e-6, twice the 24 bits of the ADC 1e-7.
    assert relative(network.value, ngspice) < 5e-6
    without = Spu(straight(hardware), LINEAR)
    assert relative(network.value, without.solve(system, 1.0).value) > (1e-4 if name == "passive" else 2e-3)
    np.testing.assert_array_equal(Spu(hardware, LINEAR).solve(system).value, without.solve(system).value)


def test_precharged_boards_of_a_library_bend_too():
    mild = {"linear_voltage_coefficient": "-4 %/V", "quadratic_voltage_coefficient": "-0.1 %/V²"}
    hardware, system, engine = bending("vendor", cell=mild), spd_system(3, 8), Ngspice(points=400)
    bent, plain = (Spu(one, engine).solve(system, 1.0).value for one in (hardware, straight(hardware)))
    assert relative(Spu(hardware, LINEAR).solve(system, 1.0).value, bent) < 5e-6
    assert relative(bent, plain) > 2e-3


def test_settling_time_is_that_of_the_closed_form():
    device = one_cell()
    board = Board(device.hardware, device.circuit)
    nothing = draw(device.hardware.variation, 300.0, board.places, range(1), Sampling(0))
    found = in_network(Network().prepare(board), device, nothing, Question(settling_error=0.01))
    start, rest = float(device.initial_volts[0]), float(device.at_rest()[0])
    expected = passed(rest * (1 - 0.01), start, rest) * float(device.time_constant)
    assert found.settling_seconds[0] == pytest.approx(expected, rel=1e-5)
    assert found.volts[0, 0] == pytest.approx(rest, rel=1e-12)


def test_copies_differ_in_how_much_their_capacitors_bend():
    spread = {"lot": {"tolerance": "20 %", "meaning": "sigma", "distribution": "lognormal"}}
    hardware = bending("paper", variation={"capacitor_curve": spread})
    sample, system = Sample(Sampling(3), 1), spd_system(3, 8)
    drawn = Spu(hardware, LINEAR, sample=sample)
    nominal = Spu(hardware, LINEAR)
    assert relative(drawn.solve(system, 1.0).value, nominal.solve(system, 1.0).value) > 3e-4
    inside = Spu(hardware, Ngspice(points=800, reltol=1e-6), sample=sample).solve(system, 1.0).value
    assert relative(drawn.solve(system, 1.0).value, inside) < 5e-6
    np.testing.assert_array_equal(drawn.solve(system).value, nominal.solve(system).value)


def test_noise_is_that_of_the_capacitances_at_rest():
    hardware = bending("paper", noise={"thermal": True})
    device = load(program_array(ONE, hardware), ONE.b, hardware, REST)
    batch = batch_of(device)
    programmed = Network().prepare(Board(hardware, device.circuit)).program(batch.array, None)
    reading = programmed.read(batch, np.array([20 * float(device.time_constant)]), np.zeros(1, np.uint64))
    plain = straight(hardware)
    other = Network().prepare(Board(plain, load(program_array(ONE, plain), ONE.b, plain, REST).circuit))
    expected = other.program(batch.array, None).read(
        batch, np.array([20 * float(device.time_constant)]), np.zeros(1, np.uint64)
    )
    ratio = reading.covariances[0]()[0, 0] / expected.covariances[0]()[0, 0]
    rest = float(device.at_rest()[0])
    # kT/C: of the capacitance at rest.
    assert ratio == pytest.approx(1 / (1 + A * rest + B * rest**2), rel=1e-6)


def test_what_is_not_known_is_refused():
    with pytest.raises(InputError, match=r"leave -5\.8 of a capacitor at 13.5 V"):
        changed_hardware("bench", {"cell": {"linear_voltage_coefficient": "-50 %/V"}})
    with pytest.raises(InputError, match="keep their capacitance"):
        Spu(bending("paper"), Network()).sensitivity(ONE, np.ones(1), 1.0)
    spread = {"lot": {"tolerance": "5 %", "meaning": "sigma"}}
    plain = Spu(changed_hardware("paper", {"variation": {"capacitor_curve": spread}}), Network())
    with pytest.raises(InputError, match=r"capacitor_curve.* has no such part"):
        plain.of_samples([Sample(Sampling(0), 0)]).solve(ONE)

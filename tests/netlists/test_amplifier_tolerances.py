"""What supply and temperature make of amplifiers: rejection with a spread, bias currents that double."""

import numpy as np
import pytest

from experiments.shared.hardware import supplied
from experiments.shared.systems import spd_system
from experiments.sweeps.analyses import sets_of
from experiments.sweeps.analyses.first_order import FirstOrder, explain, first_order
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.group import Group
from netlists.board import Board
from netlists.device import load, program_array
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.documents import from_document
from spu_circuit.errors import InputError
from spu_circuit.hardware import changed_hardware
from spu_circuit.sampling import Sample, Sampling, corners, draw
from tests.cases import relative

AMPLIFIER = {"supply": "15 V", "offset": "0 V", "bias_current": "2 µA"}
REJECTION = {"amplifier_rejection": {"local": {"tolerance": "100 µV/V", "meaning": "sigma"}}}
WARM = {
    "amplifier_bias": {"local": {"tolerance": "0.5 µA", "meaning": "sigma"}, "doubling": "10 K"},
    "reference_temperature": "25 °C",
}
SYSTEM = spd_system(4, 6)


def bench(variation, **more):
    changes = {"amplifier": AMPLIFIER, "noise": {"thermal": False}, "variation": variation}
    return changed_hardware("bench", changes | more)


def values_of(hardware, count):
    device = load(program_array(SYSTEM, hardware), SYSTEM.b, hardware, 0.1)
    board = Board(hardware, device.circuit)
    samples = draw(hardware.variation, hardware.temperature, board.places, range(count), Sampling(3))
    return board.values(samples, {}), board


def test_each_amplifier_follows_the_supply_in_a_direction_of_its_own():
    nominal = bench(REJECTION | {"capacitor": {"local": {"tolerance": "1 %", "meaning": "sigma"}}})
    found, _ = values_of(nominal, 2)
    assert not any(key.endswith("offset") for key in found)
    low, high = (values_of(supplied(nominal, share), 4000)[0] for share in (0.9, 1.1))
    for label in ("Xv", "Xn"):
        offsets = low[f"{label}.offset"]
        # 1.5 V less at 100 µV/V; σ of 16,000 is known to 0.6 %.
        assert offsets.std() == pytest.approx(150e-6, rel=0.03)
        assert abs(offsets.mean()) < 5 * 150e-6 / 4000**0.5
        np.testing.assert_allclose(high[f"{label}.offset"], offsets, rtol=1e-12)
    both = REJECTION | {"amplifier_offset": {"local": {"tolerance": "200 µV", "meaning": "sigma"}}}
    together = values_of(supplied(bench(both), 0.9), 4000)[0]["Xv.offset"]
    assert together.std() == pytest.approx(np.hypot(150e-6, 200e-6), rel=0.03)


def test_bias_currents_double_with_their_kelvins():
    found, board = values_of(bench(WARM, temperature="85 °C"), 3)
    cold, _ = values_of(bench(WARM, temperature="25 °C"), 3)
    assert board.places["amplifier_bias"].nominal == 2e-6
    # Six doublings, of the mean and of what each is off.
    np.testing.assert_allclose(2e-6 + found["Xv.bias"], 64 * (2e-6 + cold["Xv.bias"]), rtol=1e-12)
    hardware = bench({**WARM, "temperature": {"tolerance": "10 K", "meaning": "sigma"}}, temperature="25 °C")
    device = load(program_array(SYSTEM, hardware), SYSTEM.b, hardware, 0.1)
    board = Board(hardware, device.circuit)
    ends = corners(hardware.variation, hardware.temperature, board.places, {"temperature": np.array([[-1.0], [1.0]])})
    np.testing.assert_allclose(2e-6 + board.values(ends, {})["Xv.bias"][:, 0], [2e-6 / 8, 16e-6], rtol=1e-12)


@pytest.mark.parametrize("case", ["rejection", "bias"])
def test_engines_agree(case):
    hardware = supplied(bench(REJECTION), 0.8) if case == "rejection" else bench(WARM, temperature="55 °C")
    sample = Sample(Sampling(1), 2)
    network, ngspice, plain = (
        Spu(hardware, engine, sample=drawn).solve(SYSTEM).value
        for engine, drawn in ((Network(), sample), (Ngspice(reltol=1e-6), sample), (Network(), None))
    )
    # The ADC's step is 1e-5 of the largest voltage at worst.
    assert relative(network, ngspice) < 3e-5
    assert relative(network, plain) > 2e-4


def test_what_temperature_does_to_bias_is_in_the_contributions():
    variation = {
        "amplifier_bias": {"local": {"tolerance": "20 nA", "meaning": "sigma"}, "doubling": "10 K"},
        "temperature": {"tolerance": "0.2 K", "meaning": "sigma"},
        "reference_temperature": "25 °C",
    }
    hardware = {"base": "bench", "temperature": "45 °C", "amplifier": AMPLIFIER, "variation": variation}
    document = {
        "name": "bias",
        "hardware": hardware,
        "workload": {"kind": "random", "size": 5, "condition": 5},
        "analysis": {"kind": "monte carlo", "samples": 256},
    }
    asked = from_document(Sweep, document, "test")
    (copies,) = sets_of(asked).values()
    group = Group((0, "copies"), {}, asked, copies, tuple(evaluate(asked, copies, range(copies.samples), "network")))
    first = first_order(asked)
    assert isinstance(first, FirstOrder)
    # 0.2 K are 1.4 % of a current, which leaves squares of 1e-4 of it.
    assert 0.98 < explain(group, first).explained <= 1
    shares = {one.kind: one.share for one in first.additions if not one.part}
    assert set(shares) == {"amplifier_bias", "temperature"}
    assert min(shares.values()) > 0.05


def test_what_hardware_has_no_such_part_is_refused():
    doubling = {"amplifier_bias": {"doubling": "10 K"}, "temperature": {"tolerance": "5 K", "meaning": "sigma"}}
    hardware = changed_hardware("bench", {"variation": doubling})
    with pytest.raises(InputError, match=r"variation\.amplifier_bias: hardware 'bench' has no such part"):
        Spu(hardware, Network()).solve(SYSTEM)
    ideal = changed_hardware(
        "ideal", {"variation": {"amplifier_rejection": {**REJECTION["amplifier_rejection"], "supply_change": "1 V"}}}
    )
    with pytest.raises(InputError, match=r"amplifier_rejection: hardware 'ideal' has no such part"):
        Spu(ideal, Network()).solve(SYSTEM)

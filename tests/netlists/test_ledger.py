"""What a board takes from its supplies, by hand."""

import numpy as np
import pytest

from experiments.shared.systems import spd_system
from netlists.ledger import dissipation, junction_rise, output_power, parts, supply_current, supply_power
from solvers.ideal import IdealLaw
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.hardware import changed_hardware

THERMAL = {"amplifier_package": {"value": "100 K/W", "source": "a test", "amplifiers": 2}}
SUPPLIED = {"amplifier": {"supply": "15 V"}, "costs": THERMAL}


def board(changes=SUPPLIED, cells=4):
    made = Spu(changed_hardware("bench", changes), IdealLaw()).ranged(spd_system(cells, 3.0))
    return made, made.at_rest()


def loads(made, volts):
    """Current out of every output and its inverse, element by element."""
    inverter = 1 / made.hardware.cell.inverter_resistance
    direct = [
        volts[j] * (sum(made.array.direct[i, j] for i in range(len(volts))) + inverter) for j in range(len(volts))
    ]
    inverse = [
        -volts[j] * (sum(made.array.inverted[i, j] for i in range(len(volts))) + inverter) for j in range(len(volts))
    ]
    return np.array(direct), np.array(inverse), made.dac_volts / made.hardware.cell.input_resistance


def test_an_output_takes_its_current_from_a_whole_supply():
    made, volts = board()
    currents = np.concatenate(loads(made, volts))
    assert output_power(made, volts[None]) == pytest.approx(15 * np.abs(currents).sum(), rel=1e-12)
    assert output_power(made, volts[None]) > dissipation(made, volts[None])


def test_without_a_supply_the_heat_of_the_resistors_is_all_that_is_known():
    made, volts = board({})
    assert output_power(made, volts[None]) == dissipation(made, volts[None])
    for law in (supply_power, supply_current, junction_rise):
        with pytest.raises(InputError, match=r"amplifier\.supply is not in this hardware description"):
            law(made, volts[None])


def test_a_board_takes_amplifiers_at_idle_outputs_and_converters():
    made, volts = board()
    assert parts(made)["amplifier"] == 8
    converters = 4 * 0.7e-6 / 10e-6 + 4 * 62.5e-9 / 5e-6
    wanted = 8 * 42e-3 + converters + float(output_power(made, volts[None])[0])
    assert supply_power(made, volts[None]) == pytest.approx(wanted, rel=1e-12)


def test_each_supply_gives_the_currents_of_one_sign_and_what_amplifiers_take_at_idle():
    made, volts = board()
    currents = np.concatenate(loads(made, volts))
    busier = max(currents[currents > 0].sum(), -currents[currents < 0].sum())
    assert supply_current(made, volts[None]) == pytest.approx(8 * 42e-3 / 30 + busier, rel=1e-12)


def test_junctions_are_heated_by_what_the_outputs_drop():
    made, volts = board()
    direct, inverse, _ = loads(made, volts)
    dropped = max(np.max((15 - np.abs(volts)) * np.abs(each)) for each in (direct, inverse))
    assert junction_rise(made, volts[None]) == pytest.approx(100 * 2 * (42e-3 + dropped), rel=1e-12)


def test_a_rail_above_the_supply_is_refused():
    with pytest.raises(InputError, match=r"rail 13.5 V is above supply 12 V; lower it"):
        changed_hardware("bench", {"amplifier": {"supply": "12 V"}})

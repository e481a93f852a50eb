"""A step on the device of a random system of its size."""

from dataclasses import replace

import pytest

from experiments.cost.ledger import COLUMNS, digital, ledger
from experiments.cost.machines import MACHINES
from optim.cost import DIGITAL, Work
from spu_circuit.errors import InputError
from spu_circuit.hardware import load_hardware

GPU = MACHINES["gpu"]
WORK = Work(parameters=40, samples=4, rows=3)


def parts(name, work=WORK):
    return {item.part: item for item in ledger(load_hardware(name), work, 6.0, GPU).items}


def test_the_mapping_decides_how_many_cells_there_are():
    assert parts("bench")["program"].name == "writing 18 resistors"
    primal = replace(WORK, parameters=5, mapping="primal")
    assert parts("bench", primal)["program"].name == "writing 50 resistors"
    # Both rails of both copies of B, and a damping for each of the N cells.
    assert parts("factored", primal)["program"].name == f"writing {2 * 2 * 3 * 5 + 5} resistors"


def test_a_large_model_has_the_array_of_a_smaller_one():
    many = replace(WORK, parameters=10**12)
    few = replace(WORK, parameters=COLUMNS * WORK.rows)
    large, small = parts("bench", many), parts("bench", few)
    assert {name: item for name, item in large.items() if name != "digital"} == {
        name: item for name, item in small.items() if name != "digital"
    }
    assert large["digital"].seconds > small["digital"].seconds
    with pytest.raises(InputError, match="lower one of them"):
        ledger(load_hardware("factored"), many, 6.0, GPU)


def test_resistors_alone_have_no_static_power_and_known_energies():
    found = ledger(load_hardware("passive"), WORK, 6.0, GPU)
    assert "static" not in {item.part for item in found.items}
    assert found.together.joules == pytest.approx(sum(item.joules for item in found.items))


def test_every_digital_optimizer_is_on_every_machine():
    found = digital(WORK, list(MACHINES.values()))
    assert len(found) == len(MACHINES) * len(DIGITAL)

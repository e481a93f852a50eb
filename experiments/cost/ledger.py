"""The ledger of a step on devices of several sizes, beside digital computers."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.shared.systems import dominant_system, ggn_system
from optim.cost import DIGITAL, ONCE, Effort, Item, Machine, Work, device_step, digital_step, landauer, total
from solvers.ideal import IdealLaw
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.hardware import Hardware
from spu_circuit.problem import System

DAMPING = 0.5
COLUMNS = 8
"""Parameters for each cell, at most, of the random system that stands for a larger one: dual matrices are alike."""
LARGEST = 2**31
"""Bytes that its factor and the array may take together."""


@dataclass(frozen=True)
class Ledger:
    """A step on one device, or without one.

    Args:
        items: its parts; ``together`` their sum.
        bound: kT ln 2 for each bit that is read, J; None: none is.
    """

    hardware: str
    items: list[Item]
    bound: float | None = None

    @property
    def together(self) -> Item:
        return total(self.items, self.hardware)


def ledger(
    hardware: Hardware, work: Work, analog_time: float | None, machine: Machine, effort: Effort = ONCE
) -> Ledger:
    """Solve a random system of the step's size on the device, and sum up what the step takes.

    The system is Gaussian, at rest after a solve: array power depends on the voltages, which auto-ranging sets.

    Raises:
        InputError: see ``optim.cost.device_step``; or the device cannot hold such a system, or this machine cannot.
    """
    solution = Spu(hardware, IdealLaw()).solve(_system(hardware, work))
    assert solution.device is not None
    items = device_step(solution.device, analog_time, work, machine, effort)
    return Ledger(hardware.name, items, landauer(solution.device))


def digital(work: Work, machines: Sequence[Machine]) -> list[tuple[str, Item]]:
    """Every optimizer that needs no device, on every machine."""
    return [(machine.name, digital_step(name, work, machine)) for machine in machines for name in DIGITAL]


def _system(hardware: Hardware, work: Work) -> System:
    cells, factored = work.cells, hardware.topology == "factored"
    whole = factored or work.mapping == "primal"
    columns = work.parameters if whole else min(work.parameters, COLUMNS * work.rows)
    array = 0 if factored else cells
    needed = 8 * (work.rows * columns + 4 * array**2)
    if needed > LARGEST:
        raise InputError(
            f"cells, parameters: {work.rows} × {columns} numbers of 8 bytes and an array of {array} cells need "
            f"{needed / 2**30:.3g} GiB, above {LARGEST / 2**30:g} GiB; lower one of them"
        )
    if hardware.topology == "passive":
        return dominant_system(cells, 10.0)
    system = ggn_system(work.rows, columns, DAMPING)
    return system if whole else system.dual()

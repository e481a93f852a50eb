"""The ledger of a step on devices of several sizes, beside digital computers."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.shared.systems import dominant_system, ggn_system
from optim.cost import DIGITAL, Item, Machine, Work, device_step, digital_step, landauer, total
from solvers.ideal import IdealLaw
from solvers.spu import Spu
from spu_circuit.hardware import Hardware
from spu_circuit.problem import System

DAMPING = 0.5


@dataclass(frozen=True)
class Ledger:
    """A step on one device.

    Args:
        items: its parts; ``together`` their sum.
        bound: kT ln 2 for each bit that is read, J.
    """

    hardware: str
    items: list[Item]
    bound: float

    @property
    def together(self) -> Item:
        return total(self.items, self.hardware)


def ledger(hardware: Hardware, work: Work, analog_time: float, machine: Machine) -> Ledger:
    """Solve a random system of the step's size on the device, and sum up what the step takes.

    The system is Gaussian, at rest after a solve: array power depends on the voltages, which auto-ranging sets.

    Raises:
        InputError: see ``optim.cost.device_step``; or the device cannot hold such a system.
    """
    solution = Spu(hardware, IdealLaw()).solve(_system(hardware, work))
    assert solution.device is not None
    return Ledger(hardware.name, device_step(solution.device, analog_time, work, machine), landauer(solution.device))


def digital(work: Work, machines: Sequence[Machine]) -> list[tuple[str, Item]]:
    """Every optimizer that needs no device, on every machine."""
    return [(machine.name, digital_step(name, work, machine)) for machine in machines for name in DIGITAL]


def _system(hardware: Hardware, work: Work) -> System:
    if hardware.topology == "passive":
        return dominant_system(work.rows, 10.0)
    system = ggn_system(work.rows, work.parameters, DAMPING)
    return system if hardware.topology == "factored" else system.dual()

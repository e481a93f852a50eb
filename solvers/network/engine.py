"""The exact network as an engine: the netlist that ngspice runs, prepared once and solved for whole batches."""

from dataclasses import dataclass
from typing import ClassVar

from netlists.board import Board
from netlists.device import Device, batch_of
from solvers.network.preparation import Settings
from solvers.network.programmed import PreparedNetwork
from solvers.network.state_space import StateSpace


@dataclass(frozen=True)
class Network(Settings):
    """A device's circuit, exactly where it is linear, and with saturating amplifiers at rest."""

    name: str = "network"
    bytes_per_resistor: ClassVar[float] = 600.0

    def prepare(self, board: Board) -> PreparedNetwork:
        """See ``Engine``.

        Raises:
            InputError: an element is unknown, a loop, or a node floats.
        """
        return PreparedNetwork(self, board)


def state_space(device: Device, engine: Network | None = None) -> StateSpace:
    """The dense law of one device's circuit, its parts nominal."""
    engine = engine or Network(linearise=True)
    one = batch_of(device)
    return engine.prepare(Board(device.hardware, device.circuit)).program(one.array).space(one)

"""The circuit of a device, nominal or a drawn copy."""

from netlists.netlist import Netlist
from netlists.parts import board_of, copies_on
from netlists.topologies import nominal_netlist
from spu_circuit.program import Device


def build_netlist(device: Device, noise_hold: float | None = None) -> Netlist:
    """The circuit of a programmed device, with the parts of its copy where it is one.

    Args:
        noise_hold: seconds for which each value of the noise currents is held; None: no noise sources.
    """
    if device.copy is None:
        return nominal_netlist(device, noise_hold)
    board = board_of(device, noise_hold)
    return board.drawn(board.values(copies_on(board, device.copy)), 0)

"""The circuit of a device, by its topology."""

from collections.abc import Callable

from netlists.active import active
from netlists.collection import paused_collection
from netlists.factored import factored
from netlists.netlist import Netlist
from netlists.passive import passive
from spu_circuit.program import Device

TOPOLOGIES: dict[str, Callable[[Device, float | None], Netlist]] = {
    "active": active,
    "factored": factored,
    "passive": passive,
}


def build_netlist(device: Device, noise_hold: float | None = None) -> Netlist:
    """The circuit of a programmed device.

    Args:
        noise_hold: seconds for which each value of the noise currents is held; None: no noise sources.
    """
    with paused_collection():
        return TOPOLOGIES[device.hardware.topology](device, noise_hold)

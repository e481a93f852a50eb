"""The circuit of a device, by its topology."""

from collections.abc import Callable

from netlists import active, factored, passive
from netlists.collection import paused_collection
from netlists.netlist import Netlist
from spu_circuit.program import Device

TOPOLOGIES: dict[str, Callable[[Device, float | None], Netlist]] = {
    "active": active.active,
    "factored": factored.factored,
    "passive": passive.passive,
}
PARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "active": active.PARTS,
    "factored": factored.PARTS,
    "passive": passive.PARTS,
}
"""Names of the elements that are parts of a kind."""


def nominal_netlist(device: Device, noise_hold: float | None = None) -> Netlist:
    """The circuit of a programmed device whose parts are as they should be.

    Args:
        noise_hold: seconds for which each value of the noise currents is held; None: no noise sources.
    """
    with paused_collection():
        return TOPOLOGIES[device.hardware.topology](device, noise_hold)

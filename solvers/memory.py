"""How much memory a device takes in an engine, before anything is built."""

from netlists.device import topology_of
from solvers.engine import Engine
from spu_circuit.hardware import Hardware
from spu_circuit.memory import refuse_beyond_memory

PER_POINT = 32.0
"""Bytes of a cell at one point of a waveform: the voltages, their path among all states, and copies."""


def bytes_needed(hardware: Hardware, engine: Engine, unknowns: int, rows: int | None = None, devices: int = 1) -> float:
    """About how much memory devices take that solve systems together.

    Args:
        unknowns: of a system, N.
        rows: of its factor B, K; None: it has none, or the topology takes none.
    """
    resistors = topology_of(hardware).resistors(unknowns, rows)
    if hardware.array.wire_resistance:
        # Wires make resistors of outputs among themselves, and of virtual grounds, of either sign.
        resistors += 4 * (unknowns**2 + (rows or 0) ** 2)
    return devices * (engine.bytes_per_resistor * resistors + PER_POINT * engine.points * unknowns)


def refuse_oversize(
    hardware: Hardware, engine: Engine, unknowns: int, rows: int | None = None, devices: int = 1
) -> None:
    """Raise InputError where devices need more than this machine has, with the estimate; see ``bytes_needed``."""
    what = f"a batch of {devices} devices" if devices > 1 else "a device"
    refuse_beyond_memory(
        bytes_needed(hardware, engine, unknowns, rows, devices),
        f"{what} of {unknowns} cells on hardware {hardware.name!r} in engine {engine.name!r}",
        "take fewer cells or points, or solve the dual of a system that has a factor",
    )

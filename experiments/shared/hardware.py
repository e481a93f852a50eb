"""Hardware as configs write it: a preset or file as ``base``, and fields that differ from it."""

from collections.abc import Mapping
from math import inf
from typing import Any

from spu_circuit.errors import InputError
from spu_circuit.hardware import Hardware, changed_hardware

HardwareTable = dict[str, Any]
"""``base`` and nested changes."""


def supplied(hardware: Hardware, share: float) -> Hardware:
    """A device whose amplifiers have so much of their supply.

    Outputs keep their distance from the supply, and offsets follow it: by ``supply_rejection`` all in one direction, by
    ``amplifier_rejection`` of the variation each in its own.
    Where the description gives no supply, the rail follows it in proportion.

    Raises:
        InputError: nothing is known of the supply, or it is too low for any output.
    """
    amplifier = hardware.amplifier
    if share == 1:
        return hardware
    if amplifier.supply is None and amplifier.rail is None:
        raise InputError(
            f"supply is {share:.4g} of its nominal value, but hardware {hardware.name!r} has no amplifier.supply and "
            "no amplifier.rail that would follow; give one, or leave supply out"
        )
    rail = amplifier.rail
    if rail is not None:
        rail = share * rail if amplifier.supply is None else rail - (1 - share) * amplifier.supply
        if rail <= 0:
            raise InputError(f"supply is {share:.4g} of its nominal value, which leaves outputs no voltage; raise it")
    moved: dict[str, float | None] = {"rail": rail}
    variation = hardware.variation
    if amplifier.supply is not None:
        moved["supply"] = share * amplifier.supply
        change = (share - 1) * amplifier.supply
        rejection = hardware.variation.amplifier_rejection.model_copy(update={"supply_change": change})
        variation = hardware.variation.model_copy(update={"amplifier_rejection": rejection})
        moved["offset"] = amplifier.offset + (share - 1) * amplifier.supply / (amplifier.supply_rejection or inf)
    return hardware.model_copy(update={"amplifier": amplifier.model_copy(update=moved), "variation": variation})


def hardware_of(table: Mapping[str, Any]) -> Hardware:
    """What a table describes. Raises InputError where a field is wrong."""
    return changed_hardware(str(table["base"]), {name: value for name, value in table.items() if name != "base"})

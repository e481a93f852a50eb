"""Hardware as configs write it: a preset or file as ``base``, and fields that differ from it."""

from collections.abc import Mapping
from typing import Any

from spu_circuit.hardware import Hardware, changed_hardware

HardwareTable = dict[str, Any]
"""``base`` and nested changes."""


def hardware_of(table: Mapping[str, Any]) -> Hardware:
    """What a table describes. Raises InputError where a field is wrong."""
    return changed_hardware(str(table["base"]), {name: value for name, value in table.items() if name != "base"})

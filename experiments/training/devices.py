"""Which hardware the optimizers of a config have: each names its own, and a table changes fields of all."""

from collections.abc import Mapping
from typing import Any

from experiments.training.optimizers import OPTIMIZERS
from experiments.training.settings import NONE
from spu_circuit.documents import merged
from spu_circuit.errors import InputError


def spelled(document: Mapping[str, Any]) -> dict[str, Any]:
    """A config's document with every optimizer's hardware as a table, so that a grid can set its fields."""
    optimizers = document.get("optimizers")
    if not isinstance(optimizers, dict):
        return dict(document)
    found = {
        name: {**own, "hardware": table_of(own["hardware"])} if isinstance(own, dict) and "hardware" in own else own
        for name, own in optimizers.items()
    }
    return {**document, "optimizers": found}


def table_of(hardware: Any) -> Any:
    """A preset or file that is named alone, as a table; anything else as it is."""
    return {"base": hardware} if isinstance(hardware, str) else hardware


def with_changes(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A config's document whose table ``hardware`` went into the hardware of every optimizer that has a device.

    Raises:
        InputError: the table is none, names a base, or no optimizer has a device.
    """
    own = {name: value for name, value in spelled(document).items() if name != "hardware"}
    if "hardware" not in document:
        return own
    changes, optimizers = document["hardware"], own.get("optimizers")
    if not isinstance(changes, dict):
        raise InputError(f"{where}: hardware is {changes!r}; write a table of fields that differ in all devices")
    if "base" in changes:
        raise InputError(
            f"{where}: hardware.base: every optimizer names its own, as optimizers.NAME.hardware; leave it out"
        )
    if not isinstance(optimizers, dict):
        return own  # which is refused where optimizers are read
    having = {name: table for name, table in optimizers.items() if isinstance(table, dict) and _has_device(table)}
    if not having:
        raise InputError(f"{where}: hardware changes devices, and no optimizer has one; leave it out")
    changed = {name: {**table, "hardware": merged(_hardware(table), changes)} for name, table in having.items()}
    return {**own, "optimizers": {**optimizers, **changed}}


def _hardware(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's hardware, its kind's where it names none."""
    return {"base": OPTIMIZERS[str(optimizer["kind"])].hardware, **optimizer.get("hardware", {})}


def _has_device(optimizer: Mapping[str, Any]) -> bool:
    kind = OPTIMIZERS.get(str(optimizer.get("kind")))
    if kind is None or "hardware" not in kind.takes or not isinstance(optimizer.get("hardware", {}), dict):
        return False
    return bool(_hardware(optimizer)["base"] != NONE)


def disturbs(name: str) -> bool:
    """Whether the dotted name of a field leads into a device: to a field of its hardware, or its noise."""
    *path, last = name.split(".")
    return "hardware" in path or last == "injected_noise"

"""Which engines there are. The module of an engine loads when it is named."""

from dataclasses import fields
from importlib import import_module
from typing import Any

from solvers.engine import Engine
from spu_circuit.errors import InputError, did_you_mean

ENGINES = {
    "network": ("solvers.network", "Network"),
    "ngspice": ("solvers.ngspice", "Ngspice"),
    "sde": ("solvers.ideal", "IdealLaw"),
}
"""What can compute the voltages: module and class of each, whose fields are its settings."""


def engine_named(name: str, **settings: Any) -> Engine:
    """An engine with these settings, each a field of it; what is None keeps its default.

    Raises:
        InputError: no such engine, or it has no such setting; lists the known ones.
    """
    if name not in ENGINES:
        raise InputError(f"engine: no {name!r}; {did_you_mean(name, sorted(ENGINES), 'engines')}")
    given = {key: value for key, value in settings.items() if value is not None}
    known = settings_of(name)
    for key in given:
        if key not in known:
            raise InputError(f"engine {name!r} has no {key!r}; leave it out; it takes {', '.join(known) or 'nothing'}")
    engine: Engine = _class_of(name)(**given)
    return engine


def settings_of(name: str) -> tuple[str, ...]:
    """Fields of an engine that a user sets."""
    return tuple(f.name for f in fields(_class_of(name)) if f.name != "name")


def _class_of(name: str) -> Any:
    module, kind = ENGINES[name]
    return getattr(import_module(module), kind)

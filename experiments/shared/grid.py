"""Grids of configs: dotted names of fields and the values that each takes. Every combination is a point.

A config of several grids has the points of each: what another one names is there as the config says.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import product
from math import prod
from typing import Any

from spu_circuit.errors import InputError

MOST_POINTS = 10_000
"""Of a grid: each is checked before anything is computed, in some milliseconds."""
Grid = Mapping[str, list[Any]]
Setting = dict[str, Any]
"""What a grid sets at one point: values by dotted name."""


def without_grid(document: Mapping[str, Any], where: str) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """A config's document apart from its table ``[grid]``, and that table.

    Raises:
        InputError: a grid that is none.
    """
    grid = document.get("grid", {})
    check_grid(grid, where)
    return {name: value for name, value in document.items() if name != "grid"}, grid


def without_grids(document: Mapping[str, Any], where: str) -> tuple[dict[str, Any], tuple[Grid, ...]]:
    """A config's document apart from its table ``[grid]`` or tables ``[[grid]]``, and these; none where there are none.

    Raises:
        InputError: a grid that is none, or two that name the same field.
    """
    given = document.get("grid", [])
    grids = given if isinstance(given, list) and all(isinstance(grid, dict) for grid in given) else [given]
    names: set[str] = set()
    for grid in grids:
        check_grid(grid, where)
        if twice := sorted(names & grid.keys()):
            raise InputError(f"{where}: grid.{twice[0]} is in two tables [[grid]]; name it in one")
        names |= grid.keys()
    if len(grids) > 1 and not all(grids):
        raise InputError(f"{where}: one of the tables [[grid]] is empty; leave it out")
    return {name: value for name, value in document.items() if name != "grid"}, tuple(filter(None, grids))


def check_grid(grid: Any, where: str) -> None:
    """Raise InputError for a grid that is none."""
    if not isinstance(grid, dict):
        raise InputError(f"{where}: grid is {grid!r}; write a table [grid] of names and lists")
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise InputError(f"{where}: grid.{name} is {values!r}; write a list of at least one value")
        if len({json.dumps(value) for value in values}) < len(values):
            raise InputError(f"{where}: grid.{name} repeats a value; list each once")
    count = prod(len(values) for values in grid.values())
    if count > MOST_POINTS:
        raise InputError(
            f"{where}: grid has {count:.3g} points, and at most {MOST_POINTS:,} are prepared; shorten its lists"
        )


def points(document: Mapping[str, Any], grid: Grid) -> Iterator[tuple[Setting, dict[str, Any]]]:
    """Every point of a grid, the last name fastest: what is set there, and the document that this makes.

    Raises:
        InputError: a name leads through a field that is no table.
    """
    for values in product(*grid.values()):
        setting = dict(zip(grid, values, strict=True))
        own = deepcopy(dict(document))
        for name, value in setting.items():
            _set(own, name.split("."), value, name)
        yield setting, own


def names_of(grids: Iterable[Grid]) -> list[str]:
    """The dotted names of several grids, in their order."""
    return [name for grid in grids for name in grid]


def setting_text(setting: Setting) -> str:
    """What the grid sets at a point, in one line."""
    return ", ".join(f"{axis_name(name)} = {value_text(value)}" for name, value in setting.items())


def axis_name(name: str) -> str:
    """The dotted name of a field as people read it, without what says nothing beside the other names."""
    for common in ("hardware.", "variation.", "optimizers."):
        name = name.removeprefix(common)
    return name.replace("_", " ").replace(".", " ")


def value_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False).replace("Infinity", "inf")


def _set(document: dict[str, Any], path: list[str], value: Any, name: str) -> None:
    *outer, last = path
    for key in outer:
        document = document.setdefault(key, {})
        if not isinstance(document, dict):
            raise InputError(f"grid.{name!r}: {key!r} is not a table; check the name")
    document[last] = value

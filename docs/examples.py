"""What shipped configs give a key: the examples of the reference."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from experiments.shared.grid import points, without_grids
from experiments.shared.toml import inline
from spu_circuit.documents import read_toml
from spu_circuit.hardware import hardware_tables, presets

LONGEST = 90
"""Characters of an example."""
ANY = "KEY"
"""In a path: whatever the name is."""
Document = Mapping[str, Any]


def example(documents: Iterable[Document], path: str) -> str:
    """The first value that is short, as TOML has it; "" where no document gives one.

    Args:
        path: dotted; ``ANY`` for any name.
    """
    values = (inline(value) for document in documents for value in _values(document, path.split(".")))
    return next((f"`{text}`" for text in values if len(text) <= LONGEST), "")


@cache
def configs(mark: str) -> tuple[Document, ...]:
    """The shipped configs with a certain key: "task" of trainings, "analysis" of sweeps, "specification" of designs.

    What a grid sets is as at its first point.
    """
    found = []
    for path in sorted(Path(str(files("experiments") / "configs")).glob("*.toml")):
        document, grids = without_grids(read_toml(path.read_bytes(), path.name), path.name)
        for grid in grids:
            _, document = next(points(document, grid))
        if mark in document:
            found.append(document)
    return tuple(found)


@cache
def catalogue() -> Document:
    """The catalogue that comes with the package."""
    path = Path(str(files("spu_circuit") / "catalogues" / "standard.toml"))
    return read_toml(path.read_bytes(), path.name)


@cache
def hardware() -> tuple[Document, ...]:
    """The presets, and what shipped configs change of them."""
    changed = [document["hardware"] for mark in ("analysis", "specification") for document in configs(mark)]
    return (*(hardware_tables(name) for name in presets()), *changed)


def within(documents: Iterable[Document], names: Iterable[str]) -> list[Document]:
    """The tables of these names in documents."""
    names = list(names)
    return [document[name] for document in documents for name in names if isinstance(document.get(name), Mapping)]


def _values(document: Any, path: list[str]) -> Iterator[Any]:
    if not path:
        yield document
    elif isinstance(document, Mapping):
        first, *rest = path
        for name in document if first == ANY else [first]:
            if name in document:
                yield from _values(document[name], rest)

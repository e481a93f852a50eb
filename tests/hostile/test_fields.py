"""Every field of shipped configs and presets with values that no field should have: read, or refused in one line."""

import copy
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

from experiments.shared.grid import points, without_grid
from experiments.sweeps.study import study_of
from experiments.training.config import read_experiment
from spu_circuit.documents import from_document, read_toml
from spu_circuit.errors import InputError
from spu_circuit.hardware import Hardware, presets
from tests.hostile.makers import SWEEPING, TRAINING

STRANGE = (
    *(-1, 0, 2**63, 10**400, -1e308, 1e308, 1e-308, float("nan"), float("inf"), True),
    *("", " ", "nan", "1,5 nF", "1e999 F", "x" * 10_000, "../../../etc/passwd", "/dev/zero", "$(id)", "\ud800"),
    *("a\n.control\nshell id\n.endc\n*", "\x00", "é µ τ", [], [[]], [None], {}, {"a": {"b": 1}}, [{}] * 3),
)
READERS = {
    "training": lambda document: [read_experiment(own, "test") for _, own in points(*without_grid(document, "test"))],
    "sweep": lambda document: study_of(*without_grid(document, "test"), "test"),
    "hardware": lambda document: from_document(Hardware, document, "test"),
}


def documents() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name in presets():
        text = (resources.files("spu_circuit") / "presets" / f"{name}.toml").read_bytes()
        yield "hardware", name, read_toml(text, name)
    yield "training", "training", read_toml(TRAINING.encode(), "training")
    yield "sweep", "sweep", read_toml(SWEEPING.encode(), "sweep")


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of every value in a document, tables and lists too."""
    if path:
        yield path
    for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield from places(node[key], (*path, key))


def changed(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    found = copy.deepcopy(document)
    inner: Any = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return found


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name, _ in documents()])
def test_a_strange_value_in_any_field_is_read_or_refused_in_one_line(kind, name):
    document = next(own for found, called, own in documents() if (found, called) == (kind, name))
    READERS[kind](document)
    refused = 0
    for path in places(document):
        for value in STRANGE:
            try:
                READERS[kind](changed(document, path, value))
            except InputError as error:
                refused += 1
                told = str(error)
                wrong = "\n" in told or len(told) >= 1200
                assert not wrong, f"{path} = {str(value)[:40]!r}: {told[:100]!r}, {len(told)} characters"
    assert refused > 0.5 * len(list(places(document))) * len(STRANGE)

"""The page about extending runs as it stands."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from netlists.topologies import TOPOLOGIES
from solvers.engines import ENGINES, engine_named
from spu_circuit.amplifiers import AMPLIFIERS
from spu_circuit.errors import InputError
from spu_circuit.hardware import changed_hardware

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


def run(section: str, blocks: int, module: str = "extending") -> dict[str, Any]:
    """The names that a section's blocks of Python make, in a module of this name."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(found) == blocks
    names: dict[str, Any] = vars(sys.modules.get(module, ModuleType(module)))
    for block in found:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_the_page_adds_a_topology_in_one_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(TOPOLOGIES, "grounded", TOPOLOGIES["passive"])  # so that it is gone again afterwards
    names = run("A topology in one file", blocks=4)
    assert TOPOLOGIES["grounded"] is names["GroundedArray"]


def test_the_page_adds_an_amplifier_in_one_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(AMPLIFIERS, "two_pole", AMPLIFIERS["ideal"])  # likewise
    names = run("An amplifier in one file", blocks=3)
    assert AMPLIFIERS["two_pole"] is names["TWO_POLE"]
    with pytest.raises(InputError, match="a two_pole amplifier has no offset; leave it out or"):
        changed_hardware("bench", {"amplifier": {"model": "two_pole", "offset": "1 mV"}})


def test_the_page_adds_an_engine_in_one_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(ENGINES, "euler", ENGINES["sde"])  # likewise
    monkeypatch.setitem(sys.modules, "solvers.euler", ModuleType("solvers.euler"))
    names = run("An engine in one file", blocks=2, module="solvers.euler")
    assert type(engine_named("euler")) is names["Euler"]
    with pytest.raises(InputError, match="engine 'euler' has no 'reltol'; leave it out; it takes steps"):
        engine_named("euler", reltol=1e-3)

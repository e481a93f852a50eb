"""The page about extending runs as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest

from netlists.topologies import TOPOLOGIES
from spu_circuit.amplifiers import AMPLIFIERS
from spu_circuit.errors import InputError
from spu_circuit.hardware import changed_hardware

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


def run(section: str, blocks: int) -> dict[str, Any]:
    """The names that a section's blocks of Python make."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(found) == blocks
    names: dict[str, Any] = {"__name__": "extending"}
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

"""The page about extending runs as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest

from netlists.topologies import TOPOLOGIES

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


def test_the_page_adds_a_topology_in_one_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(TOPOLOGIES, "grounded", TOPOLOGIES["passive"])  # so that it is gone again afterwards
    section, _ = PAGE.read_text(encoding="utf-8").split("\n## A training task")
    blocks = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, Any] = {"__name__": "extending"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert TOPOLOGIES["grounded"] is names["GroundedArray"]

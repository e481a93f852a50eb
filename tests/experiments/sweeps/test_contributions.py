"""The sweep that shares the error of copies out among parts, to first order."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.sweeps.analyses import sets_of
from experiments.sweeps.analyses.contributions import additions, explain, first_order
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.group import Group
from spu_circuit.errors import InputError
from spu_circuit.hardware import from_document

SIGMA = {"tolerance": "0.3 %", "meaning": "sigma"}


def sweep(**more: Any) -> Sweep:
    variation = {
        "array_resistor": {"local": SIGMA, "lot": SIGMA},
        "input_resistor": {"local": SIGMA},
        "amplifier_offset": {"local": {"tolerance": "0.5 mV", "meaning": "sigma"}},
        "capacitor": {"local": SIGMA},
    }
    document = {
        "name": "shares",
        "hardware": {"base": "bench", "variation": variation},
        "workload": {"kind": "random", "size": 8, "condition": 5},
        "analysis": {"kind": "contributions", "samples": 256},
    }
    return from_document(Sweep, document | more, "test")


def test_first_order_is_what_the_copies_do() -> None:
    asked = sweep()
    (copies,) = sets_of(asked).values()
    rows = evaluate(asked, copies, range(copies.samples), "network")
    told = explain(Group((0, "copies"), {}, asked, copies, tuple(rows)))
    # Deviations of 0.3 % leave squares of some 1e-5 beside changes of some 0.5 %.
    assert 0.98 < told.explained <= 1
    # The interval is one of 95 %; twice as wide, one of 99.99 %.
    low, high = told.interval
    assert abs(told.expected - told.measured) < high - low
    assert [one.kind for one in told.kinds if one.share == 0] == ["capacitor"]
    assert sum(one.share for one in told.kinds) == pytest.approx(1)
    assert told.parts == tuple(sorted(told.parts, key=lambda one: -one.share))


def test_parts_of_a_kind_add_to_their_kind_but_for_its_lot() -> None:
    found = first_order(sweep()).found
    every = list(additions(found))
    for kind in ("input_resistor", "amplifier_offset"):
        whole = next(one for one in every if one.kind == kind and not one.part)
        assert sum(one.share for one in every if one.kind == kind and one.part) == pytest.approx(whole.share)
    assert found.common.keys() == {"array_resistor"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"time": 3}, "leave time out"),
        ({"workload": {"kind": "random", "size": 4, "systems": 2}}, "workload.systems = 1"),
        ({"metrics": ["power"]}, "add it to metrics"),
    ],
)
def test_what_first_order_cannot_share_out_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sets_of(sweep(**more))


def test_the_command_prints_and_writes_the_shares(tmp_path: Path) -> None:
    config = tmp_path / "shares.toml"
    config.write_text(
        """name = "shares"
hardware = { base = "ideal", variation = { array_resistor = { local = { tolerance = "1 %", meaning = "sigma" } } } }
workload = { kind = "random", size = 4, condition = 3 }
analysis = { kind = "contributions", samples = 64 }
"""
    )
    folder = tmp_path / "run"
    result = CliRunner().invoke(app, ["sweep", str(config), "--output", str(folder), "--workers", "1"])
    assert result.exit_code == 0, result.output
    assert "100.0 %" in result.output
    with (folder / "contributions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["part"] == ""
    assert np.isclose(sum(float(row["share [1]"]) for row in rows[1:]), 1)
    page = (folder / "report.html").read_text()
    assert 'id="contributions"' in page
    assert "Array resistor adds most" in page
    told = json.loads((folder / "summary.json").read_text())["findings"]
    assert [(table["point"], table["metric"]) for table in told] == [(0, "relative_error")]
    assert told[0]["rows"][0]["adds to the error"] == "array_resistor"
    assert told[0]["rows"][0]["share"]["value"] == pytest.approx(1)
    assert told[0]["rows"][-1]["share"]["value"] > 0.9

"""The sweep that shares the error of copies out among parts, to first order."""

import csv
import json
import re
import tomllib
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.sweeps.analyses import ANALYSES, sets_of
from experiments.sweeps.analyses.contributions import ranked
from experiments.sweeps.analyses.first_order import FirstOrder, explain, first_order
from experiments.sweeps.bars import WEAK
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.findings import Findings
from experiments.sweeps.group import Group
from experiments.sweeps.sentences import answer
from experiments.sweeps.study import study_of
from spu_circuit.documents import from_document
from spu_circuit.errors import InputError, SimulationError

SIGMA = {"tolerance": "0.3 %", "meaning": "sigma"}


HARDWARE = {
    "base": "bench",
    "variation": {
        "array_resistor": {"local": SIGMA, "lot": SIGMA},
        "input_resistor": {"local": SIGMA},
        "amplifier_offset": {"local": {"tolerance": "0.5 mV", "meaning": "sigma"}},
        "capacitor": {"local": SIGMA},
    },
}


def sweep(**more: Any) -> Sweep:
    document = {
        "name": "shares",
        "hardware": HARDWARE,
        "workload": {"kind": "random", "size": 8, "condition": 5},
        "analysis": {"kind": "contributions", "samples": 256},
    }
    return from_document(Sweep, document | more, "test")


def finished(asked: Sweep) -> Group:
    (copies,) = sets_of(asked).values()
    rows = evaluate(asked, copies, range(copies.samples), asked.engine)
    return Group((0, "copies"), {}, asked, copies, tuple(rows))


def known(asked: Sweep) -> FirstOrder:
    first = first_order(asked)
    assert isinstance(first, FirstOrder), first
    return first


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"time": 3.0, "linearise": True},
        {"workload": {"kind": "random", "size": 5, "condition": 5, "systems": 3}},
        {"analysis": {"kind": "monte carlo", "samples": 256}},
        {"analysis": {"kind": "monte carlo", "samples": 256, "design": "sobol"}},
    ],
)
def test_first_order_is_what_the_copies_do(more: dict[str, Any]) -> None:
    group = finished(sweep(**more))
    first = known(group.sweep)
    told = explain(group, first)
    # Deviations of 0.3 % leave squares of some 1e-5 beside changes of some 0.5 %.
    assert 0.98 < told.explained <= 1
    kinds, parts = ranked(first.additions)
    if group.sweep.workload.systems == 1:  # else the samples have the largest of several
        # The interval is one of 95 %; twice as wide, one of 99.99 %.
        low, high = told.interval
        assert abs(first.expected - told.measured) < high - low
    assert [one.kind for one in kinds if one.share == 0] == ["capacitor"] * (group.sweep.time == inf)
    assert sum(one.share for one in kinds) == pytest.approx(1)
    assert parts == sorted(parts, key=lambda one: -one.share)


def test_errors_of_memory_cells_are_shared_out() -> None:
    variation = {
        "array_programming": {"local": {"tolerance": "60 nS", "meaning": "sigma"}},
        "array_drift": {"exponent": 1e-3, "spread": 3e-4, "age": "1e6 s", "reference": "10 s"},
        "array_noise": {"read": "0.2 %", "flicker": 1e-7, "age": "1e6 s", "time": "1 µs"},
    }
    group = finished(sweep(hardware={"base": "rram", "array": {"bits": 16}, "variation": variation}))
    first = known(group.sweep)
    told = explain(group, first)
    # Deviations of some 0.4 % leave squares of some 2e-5 beside changes of some 0.5 %.
    assert 0.97 < told.explained <= 1
    low, high = told.interval
    assert abs(first.expected - told.measured) < high - low
    kinds = {one.kind: one.share for one in ranked(first.additions)[0]}
    assert set(kinds) == set(variation)
    # σ of noise is 0.26 %, of drift 3e-4 ln 1e5 = 0.35 %.
    assert kinds["array_noise"] / kinds["array_drift"] == pytest.approx(
        (0.002**2 + 1e-7 * np.log(1e12)) / (3e-4 * np.log(1e5)) ** 2, rel=0.02
    )


def test_weighted_copies_have_the_shares_of_plain_ones() -> None:
    asked = sweep(analysis={"kind": "importance", "samples": 512, "inflation": 2.0})
    group = finished(asked)
    plain, told = known(sweep()), explain(group, weighted := first_order(asked, 2.0))
    assert isinstance(weighted, FirstOrder)
    assert weighted.additions == plain.additions
    # Lots are drawn twice as wide, of which squares are four times as large.
    assert 0.97 < told.explained <= 1
    low, high = told.interval
    assert abs(weighted.expected - told.measured) < high - low
    # Without weights it would be as much more as lots are wider.
    assert np.sqrt(np.mean(group.column("relative_error") ** 2)) > high
    (said,) = ANALYSES["importance"].answer({"copies": group})
    assert "adds most to the relative error" in said
    assert ANALYSES["importance"].files([group]).keys() == {"contributions.csv"}


def test_shares_of_several_systems_are_the_means_of_their_squares() -> None:
    workload = {"kind": "random", "size": 4, "condition": 5}
    both = known(sweep(workload=workload | {"systems": 2}))
    one, other = (known(sweep(workload=workload | {"seed": seed})) for seed in (0, 1))
    assert both.total == pytest.approx((one.total + other.total) / 2)
    for several, first, second in zip(*(ranked(found.additions)[0] for found in (both, one, other)), strict=True):
        if several.kind == first.kind == second.kind:
            assert several.rms**2 == pytest.approx((first.rms**2 + second.rms**2) / 2)
    np.testing.assert_array_equal(both.predicted, np.maximum(one.predicted, other.predicted))


def test_parts_of_a_kind_add_to_their_kind_but_for_its_lot() -> None:
    every = known(sweep()).additions
    for kind in ("input_resistor", "amplifier_offset", "array_resistor"):
        whole = next(one for one in every if one.kind == kind and not one.part)
        parts = sum(one.share for one in every if one.kind == kind and one.part)
        assert (parts == pytest.approx(whole.share)) == (kind != "array_resistor")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"metrics": ["power"]}, "is not among the metrics"),
        ({"precision": {"refine": 2}}, "refines that"),
    ],
)
def test_what_first_order_cannot_share_out_is_refused_or_said(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"analysis.kind 'contributions': .*{message}"):
        sets_of(sweep(**more))
    plain = sweep(**more, analysis={"kind": "monte carlo", "samples": 8})
    point = {"copies": finished(plain)}
    (said,) = ANALYSES["monte carlo"].answer(point)
    assert re.match(f"What each part adds .* is not known to first order, since .*{message}", said)
    assert ANALYSES["monte carlo"].tables(point) == []
    assert ANALYSES["monte carlo"].files(list(point.values())) == {}


def test_a_device_without_an_operating_point_is_said_to_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: Any) -> None:
        raise SimulationError("no operating point; check the rail")

    monkeypatch.setattr("experiments.sweeps.analyses.first_order.adjoint_of", lost)
    point = {"copies": finished(sweep(seed=99, analysis={"kind": "monte carlo", "samples": 8}))}
    (said,) = ANALYSES["monte carlo"].answer(point)
    assert said.endswith("is not known to first order, since no operating point; check the rail.")


def test_mismatch_is_blamed_where_no_mean_goes_with_the_error() -> None:
    """Each resistor for itself: of their mean nothing depends."""
    text = """
name = "mismatch"
hardware = { base = "paper", variation = { array_resistor = { local = { tolerance = "1 %", meaning = "sigma" } } } }
workload = { kind = "random", size = 8, condition = 5 }
analysis = { kind = "monte carlo", samples = 256 }
limits.relative_error.max = "1.5 %"
"""
    made = study_of(tomllib.loads(text), {}, "test")
    ((key, asked, copies),) = made.sets()
    rows = evaluate(asked, copies, range(copies.samples), "network")
    found = Findings(made, (Group(key, {}, asked, copies, tuple(rows)),), {})
    assert found.bars is not None
    assert found.bars.of["relative_error"][0].size < WEAK
    said = " ".join(answer(found))
    assert "Array resistor adds most to the relative error: 100.0 % of the mean square" in said
    assert "alone decides" not in said


@pytest.mark.parametrize("kind", ["contributions", "monte carlo"])
def test_the_command_prints_and_writes_the_shares(kind: str, tmp_path: Path) -> None:
    config = tmp_path / "shares.toml"
    config.write_text(
        """name = "shares"
hardware = { base = "ideal", variation = { array_resistor = { local = { tolerance = "1 %", meaning = "sigma" } } } }
workload = { kind = "random", size = 4, condition = 3 }
analysis = { kind = "KIND", samples = 64 }
""".replace("KIND", kind)
    )
    folder = tmp_path / "run"
    result = CliRunner().invoke(app, ["sweep", str(config), "--output", str(folder), "--workers", "1"])
    assert result.exit_code == 0, result.output
    assert "100.0 %" in result.output
    assert "Array resistor adds most" in result.output
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

"""Where tangents of amplifiers do not hold, rows, terminal, page, summary and export of a sweep say so."""

import json
from math import inf

import pytest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.sweeps.analyses import sets_of
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.export import table
from experiments.sweeps.findings import findings, study_in
from experiments.sweeps.store import open_sweep
from experiments.sweeps.study import study_of
from solvers.network.tangents import NOTICED_RATE
from spu_circuit.documents import from_document
from spu_circuit.errors import InputError
from tests.amplifiers.styles import facts_of_all

SPREAD = {"capacitor": {"lot": {"tolerance": "5 %", "meaning": "sigma"}}}
FAST = {"base": "bench", "cell": {"capacitance": "1 nF"}, "variation": SPREAD}
"""The array is faster than its amplifiers' outputs can be."""


def document(hardware, **more):
    return {
        "name": "fast",
        "hardware": hardware,
        "linearise": True,
        "time": 2.0,
        "workload": {"kind": "random", "size": 3, "condition": 5},
        "analysis": {"kind": "monte carlo", "samples": 4},
        "limits": {"relative_error": {"max": "50 %"}},
        **more,
    }


def rows_of(asked):
    (copies,) = sets_of(asked).values()
    return evaluate(asked, copies, range(copies.samples), asked.engine)


@pytest.mark.parametrize(
    ("more", "off"),
    [
        ({}, True),
        ({"time": inf, "linearise": False}, False),
        ({"hardware": {"base": "paper", "variation": SPREAD}}, False),
        ({"engine": "ngspice"}, False),
    ],
    ids=["fast", "at rest", "linear", "ngspice"],
)
def test_rows_say_how_far_tangents_are_off_on_the_way(more, off):
    asked = document(FAST) | more
    if asked.get("engine") == "ngspice":
        del asked["linearise"]
    rows = rows_of(from_document(Sweep, asked, "test"))
    assert [row.status for row in rows] == ["ok"] * 4
    assert all((row.rates_off > NOTICED_RATE) is off for row in rows)


def test_a_rail_that_is_near_at_rest_is_noticed():
    tight = {"base": "bench", "amplifier": {"rail": "1 V"}, "variation": SPREAD}
    near = rows_of(from_document(Sweep, document(tight, time=inf, linearise=False, supply="30 %"), "test"))
    far = rows_of(from_document(Sweep, document(FAST, time=inf, linearise=False), "test"))
    assert max(row.bent for row in far) < 1e-3 < min(row.bent for row in near)


def part(name):
    """A vendor's amplifier as hardware has it."""
    facts = facts_of_all()[name]
    return {
        "model": "subckt",
        "library": str(facts.file),
        "subcircuit": facts.subcircuit,
        "pins": list(facts.pins),
        "supply": f"{facts.supply} V",
        "rail": f"{facts.supply - facts.swing} V",
        "output_resistance": f"{facts.resistance} Ω",
        "current_limit": f"{0.8 * facts.short} A",
    }


def test_temperatures_that_semiconductors_do_not_follow_are_refused_before_anything_is_computed():
    """Of every copy they would fail; a grid of temperatures, and ngspice, have them."""
    warm = SPREAD | {"temperature": {"tolerance": "10 K", "meaning": "sigma"}}
    asked = document({"base": "bench", "amplifier": part("OP07"), "variation": warm}, time=inf, linearise=False)
    with pytest.raises(InputError, match=r"variation.temperature: semiconductors .* hardware.temperature in \[grid\]"):
        study_of(asked, {}, "test")
    asked["hardware"]["variation"] = SPREAD
    study_of(asked, {"hardware.temperature": ["27 °C", "50 °C"]}, "test")


def test_steep_amplifiers_that_slew_fail_with_their_reason():
    slow = {"base": "bench", "amplifier": part("OP07"), "variation": SPREAD}
    rows = rows_of(from_document(Sweep, document(slow, time=0.5), "test"))
    assert all(row.status == "failed" and "amplifiers slew or saturate" in row.reason for row in rows)


def test_terminal_page_summary_and_export_say_how_many_and_the_worst(tmp_path):
    toml = tmp_path / "fast.toml"
    toml.write_text(
        'name = "fast"\nlinearise = true\ntime = 2.0\n[hardware]\nbase = "bench"\ncell = { capacitance = "1 nF" }\n'
        '[hardware.variation.capacitor]\nlot = { tolerance = "5 %", meaning = "sigma" }\n'
        '[workload]\nkind = "random"\nsize = 3\ncondition = 5\n[analysis]\nkind = "monte carlo"\nsamples = 4\n'
        '[limits]\nrelative_error = { max = "50 %" }\n'
    )
    folder = tmp_path / "run"
    shown = CliRunner().invoke(app, ["sweep", str(toml), "--output", str(folder)])
    assert shown.exit_code == 0, shown.output
    said = "In 4 of 4 copies amplifiers slew or saturate on the way"
    assert said in shown.output
    assert said in (folder / "report.html").read_text()
    (point,) = json.loads((folder / "summary.json").read_text())["points"]
    assert point["tangents"]["rates_off"]["copies"] == 4
    assert point["tangents"]["bent"] == {"copies": 0, "worst": pytest.approx(0, abs=1e-3)}
    store = open_sweep(folder)
    exported = table(findings(study_in(store), store))
    store.close()
    assert min(exported["rates_off"].to_pylist()) > NOTICED_RATE

"""Tables of copies for other programs."""

import csv
import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest

from experiments.shared.files import FORMULA
from experiments.sweeps.export import WRITERS, export, table
from experiments.sweeps.findings import findings
from experiments.sweeps.rows import Row
from experiments.sweeps.run import run
from experiments.sweeps.store import SweepStore
from experiments.sweeps.study import study_of
from spu_circuit.errors import InputError

DOCUMENT = {
    "name": "exported",
    "hardware": {
        "base": "ideal",
        "variation": {"capacitor": {"lot": {"tolerance": "5 %", "meaning": "sigma"}}},
    },
    "metrics": ["relative_error", "settling_time", "angle"],
    "workload": {"kind": "random", "size": 2},
    "analysis": {"kind": "monte carlo", "samples": 6},
}
GRID = {"seed": [1, 2], "hardware.variation.capacitor.lot.tolerance": ["5 %", "10 %"]}


@pytest.fixture
def store(tmp_path):
    """Four points of six copies; one more is unstable, one failed."""
    made = study_of(DOCUMENT, GRID, "test")
    with closing(SweepStore(tmp_path / "run")) as opened:
        opened.claim(made.config, {"spu-circuit": "1"})
        nothing = (np.nan,) * 3
        rows = [Row(0, "unstable", "", 1.0, nothing), Row(1, "failed", "ngspice, it said:\nno", 1.0, nothing)]
        opened.commit((3, "copies"), [*rows, Row(2, "ok", "", 1.0, (0.5, np.inf, 1.0))])
        run(made, opened)
        yield opened


def test_parquet_has_every_copy_exactly_with_units_and_meanings(store, tmp_path):
    assert export(store, tmp_path / "copies.parquet") == 24
    table = pyarrow.parquet.read_table(tmp_path / "copies.parquet")
    rows = table.to_pylist()
    for row in rows:
        stored = next(r for r in store.rows((row["point"], "copies")) if r.sample == row["sample"])
        assert (row["status"], row["reason"], row["weight"]) == (stored.status, stored.reason, stored.weight)
        found = [row["relative_error"], row["angle"], row["settling_time"]]
        if stored.status == "ok":
            assert found == list(stored.metrics)
        else:
            assert found == [None, None, None]
    assert {(row["seed"], row["hardware.variation.capacitor.lot.tolerance"]) for row in rows} == {
        (1.0, "5 %"),
        (1.0, "10 %"),
        (2.0, "5 %"),
        (2.0, "10 %"),
    }
    assert table.schema.field("settling_time").metadata[b"unit"] == b"s"
    assert table.schema.field("relative_error").metadata[b"unit"] == b"1"  # a share, not percent
    assert b"until the outputs stay" in table.schema.field("settling_time").metadata[b"meaning"]
    assert json.loads(table.schema.metadata[b"sweep"])["document"]["name"] == "exported"
    assert json.loads(table.schema.metadata[b"versions"]) == {"spu-circuit": "1"}


def test_csv_has_units_in_its_head_and_all_digits(store, tmp_path):
    assert export(store, tmp_path / "copies.csv") == 24
    with (tmp_path / "copies.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert {"settling_time [s]", "relative_error [1]", "angle [°]", "status"} <= set(rows[0])
    stored = store.rows((0, "copies"))[5].metrics
    assert float(rows[5]["settling_time [s]"]) == stored[2]
    odd = rows[18:21]
    assert [row["relative_error [1]"] for row in odd] == ["", "", "0.5"]
    assert [row["reason"] for row in odd] == ["", "ngspice, it said:\nno", ""]


def test_refusals_name_the_cure_and_leave_nothing_behind(store, tmp_path):
    with pytest.raises(InputError, match=r"copies.xlsx' ends in '.xlsx'; name a file that ends in .parquet or .csv"):
        export(store, tmp_path / "copies.xlsx")
    with pytest.raises(InputError, match=r"nowhere/copies.csv' cannot be written"):
        export(store, tmp_path / "nowhere" / "copies.csv")
    with (
        closing(SweepStore(tmp_path / "empty")) as empty,
        pytest.raises(InputError, match="holds no sweep yet"),
    ):
        export(empty, tmp_path / "copies.csv")
    assert {path.name for path in tmp_path.iterdir()} == {"run", "empty"}


FORMULAS = ("=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\r=1")


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_spreadsheet_finds_no_formula(formula, tmp_path):
    """In values of the grid, heads of columns and reasons of failures; numbers stay numbers."""
    grid = {"question": [formula, "plain"], f"hardware.variation.correlation.{formula}": [0.5]}
    document = DOCUMENT | {"analysis": {"kind": "monte carlo", "samples": 2}}
    with pytest.raises(InputError):
        study_of(document, grid, "test")
    made = study_of(document, {"question": [formula, "plain"]}, "test")
    # No field has such a name, so a column gets one by hand.
    renamed = replace(made, settings=[{formula: setting["question"]} for setting in made.settings])
    with closing(SweepStore(tmp_path / "run")) as store:
        store.claim(made.config, {})
        store.commit(
            (0, "copies"), [Row(0, "failed", formula, 1.0, (np.nan,) * 3), Row(1, "ok", "", 1.0, (-0.5, 1, 2))]
        )
        with (tmp_path / "copies.csv").open("wb") as file:
            WRITERS[".csv"](table(findings(renamed, store)), file)
        export(store, tmp_path / "copies.parquet")
    with (tmp_path / "copies.csv").open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    cells = [*head, *(cell for row in rows for cell in row)]
    assert cells.count(f"'{formula}") == 1 + 2 + 1
    assert [cell for cell in cells if cell.startswith(FORMULA)] == ["-0.5"]
    assert float(rows[1][head.index("relative_error [1]")]) == -0.5
    # Parquet has types, so its texts are as they are.
    kept = pyarrow.parquet.read_table(tmp_path / "copies.parquet").to_pylist()
    assert (kept[0]["question"], kept[0]["reason"]) == (formula, formula)

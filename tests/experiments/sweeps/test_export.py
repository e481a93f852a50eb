"""Tables of copies for other programs."""

import csv
import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pandas
import pyarrow.parquet
import pytest

from experiments.shared.files import FORMULA
from experiments.sweeps.bench import benches
from experiments.sweeps.evaluate import drawn_samples
from experiments.sweeps.export import WRITERS, export, table
from experiments.sweeps.findings import findings, study_in
from experiments.sweeps.rows import Row
from experiments.sweeps.run import run
from experiments.sweeps.store import SweepStore, open_sweep
from experiments.sweeps.study import study_of
from spu_circuit.errors import InputError
from tests.terminal import spu

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
    with closing(SweepStore(tmp_path / "begun")) as begun:
        begun.claim(study_of(DRAWN, {}, "test").config, {})
        with pytest.raises(InputError, match="holds no finished copy yet"):
            export(begun, tmp_path / "copies.csv")
    assert {path.name for path in tmp_path.iterdir()} == {"run", "empty", "begun"}


DRAWN = {
    "name": "drawn",
    "hardware": {
        "base": "ideal",
        "variation": {
            "capacitor": {name: {"tolerance": "5 %", "meaning": "sigma"} for name in ("lot", "local")},
            "array_resistor": {"local": {"tolerance": "2 %", "meaning": "sigma"}, "stuck_open": 0.2},
            "dac_offset": {"local": {"tolerance": "1 mV", "meaning": "sigma"}},
            "temperature": {"tolerance": "10 K", "meaning": "sigma"},
        },
    },
    "metrics": ["relative_error"],
    "workload": {"kind": "random", "size": 3},
    "analysis": {"kind": "monte carlo", "samples": 70},
    "limits": {"relative_error": {"max": "4 %"}, "settling_time": {"max": "20 µs"}},
}
GRID_OF_DRAWN = {"hardware.temperature": ["-40 °C", "25 °C"], "workload.size": [2, 3]}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A sweep of four points as commands leave it, and its tables: .csv and .parquet."""
    folder = tmp_path_factory.mktemp("drawn")
    made = study_of(DRAWN, GRID_OF_DRAWN, "test")
    with closing(SweepStore(folder / "run")) as opened:
        opened.claim(made.config, {})
        run(made, opened)
    parts = ("--parts", "array_resistor", "--parts", "dac_offset")
    for name in ("copies.csv", "copies.parquet"):
        assert spu("export", "run", "--to", name, *parts, cwd=folder).returncode == 0
    with closing(open_sweep(folder / "run")) as opened:
        yield folder, findings(study_in(opened), opened)


def test_pandas_reads_what_was_drawn(drawn):
    folder, found = drawn
    copies = pandas.read_parquet(folder / "copies.parquet")
    assert len(copies) == 4 * 70
    for group in found.every:
        own = copies[copies["point"] == group.key[0]]
        (bench,) = benches(group.sweep, "network")
        samples = drawn_samples(group.sweep, group.copies, bench, range(70))
        np.testing.assert_array_equal(own["drawn.temperature"], samples.temperature)
        capacitors = samples.relative["capacitor"] - 1
        np.testing.assert_allclose(own["drawn.capacitor.mean"], capacitors.mean(axis=1), rtol=1e-12)
        np.testing.assert_allclose(own["drawn.capacitor.spread"], capacitors.std(axis=1), rtol=1e-12)
        np.testing.assert_array_equal(own["drawn.resistors_stuck.open"], samples.open.sum(axis=1))
        offsets = [f"drawn.dac_offset.{name}" for name in bench.board.names("dac_offset")]
        np.testing.assert_array_equal(own[offsets], samples.absolute["dac_offset"])
        resistors = own[[f"drawn.array_resistor.{name}" for name in bench.board.names("array_resistor")]]
        np.testing.assert_array_equal(np.isinf(resistors), samples.open)
        np.testing.assert_array_equal(resistors, np.where(samples.open, np.inf, samples.relative["array_resistor"] - 1))
    # What the smaller boards lack is null there, and there alone.
    (lacking,) = [name for name in copies if name.startswith("drawn.dac_offset.") and copies[name].isna().any()]
    assert set(copies["workload.size"][copies[lacking].isna()]) == {2.0}
    schema = pyarrow.parquet.read_schema(folder / "copies.parquet")
    units = {name: schema.field(f"drawn.{name}").metadata[b"unit"] for name in ("temperature", "capacitor.mean")}
    assert units == {"temperature": b"K", "capacitor.mean": b"1"}


def test_pandas_reads_which_limits_are_kept(drawn):
    folder, found = drawn
    copies = pandas.read_csv(folder / "copies.csv")
    assert set(copies["hardware.temperature"]) == {"-40 °C", "25 °C"}
    error, time = copies["relative_error [1]"] <= 0.04, copies["settling_time [s]"] <= 20e-6
    stable = copies["status"] == "ok"
    pandas.testing.assert_series_equal(copies["keeps_relative_error"], error & stable, check_names=False)
    pandas.testing.assert_series_equal(copies["keeps_settling_time"], time & stable, check_names=False)
    pandas.testing.assert_series_equal(copies["keeps_limits"], error & time & stable, check_names=False)
    assert 0 < copies["keeps_relative_error"].sum() < len(copies)
    assert copies["keeps_relative_error"].sum() != copies["keeps_limits"].sum()
    assert copies["keeps_limits"].sum() == sum(int(group.good.sum()) for group in found.every)
    assert copies["drawn.capacitor.mean [1]"].dtype == np.float64
    np.testing.assert_array_equal(
        copies.filter(like="drawn."), pandas.read_parquet(folder / "copies.parquet").filter(like="drawn.")
    )


def test_polars_reads_the_same(drawn):
    polars = pytest.importorskip("polars", reason="polars is not installed")
    folder, _ = drawn
    for copies in (polars.read_parquet(folder / "copies.parquet"), polars.read_csv(folder / "copies.csv")):
        assert len(copies) == 4 * 70
        assert copies["keeps_limits"].dtype == polars.Boolean
        assert all(copies[name].dtype.is_numeric() for name in copies.columns if name.startswith("drawn."))


def test_parts_that_do_not_vary_are_refused(drawn, monkeypatch):
    folder, _ = drawn
    refused = spu("export", "run", "--to", "no.csv", "--parts", "capacitors", cwd=folder)
    assert refused.returncode == 2
    assert refused.stderr == "error: parts: 'capacitors' does not vary in this sweep; did you mean 'capacitor'?\n"
    monkeypatch.setattr("experiments.sweeps.export.MOST_PARTS", 100)
    refused = spu("export", "run", "--to", "no.csv", "--parts", "capacitor", cwd=folder)
    assert refused.stderr == "error: parts: 700 drawn values are above 100; export fewer kinds, or fewer copies\n"
    assert not (folder / "no.csv").exists()


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
    cells = [*head, *(cell for row in rows for name, cell in zip(head, row, strict=True) if "drawn." not in name)]
    assert cells.count(f"'{formula}") == 1 + 2 + 1
    assert [cell for cell in cells if cell.startswith(FORMULA)] == ["-0.5"]
    assert float(rows[1][head.index("relative_error [1]")]) == -0.5
    # Parquet has types, so its texts are as they are.
    kept = pyarrow.parquet.read_table(tmp_path / "copies.parquet").to_pylist()
    assert (kept[0]["question"], kept[0]["reason"]) == (formula, formula)

"""The pages show what was measured: no figure is typed."""

import re

import pytest

from docs import tables

PAGES = {page.name: page for page in tables.PAGES}


@pytest.mark.parametrize("name", PAGES)
def test_tables_of_a_page_are_those_that_the_results_make(name):
    text = PAGES[name].read_text(encoding="utf-8")
    assert tables.filled(text) == text, "run: make figures"


def test_every_table_is_on_a_page():
    shown = {
        name for page in PAGES.values() for name in re.findall(r"<!-- table ([\w-]+) -->", page.read_text("utf-8"))
    }
    assert shown == set(tables.TABLES)


NUMBERS = {
    0.0: "0",
    1.4014e-13: "1.4e-13",
    0.0387: "0.039",
    0.00194: "0.00194",
    2.31: "2.3",
    112.8: "113",
    2787.9: "2,800",
    1e4: "10,000",
    -0.5: "-0.5",
}


@pytest.mark.parametrize(("value", "text"), NUMBERS.items())
def test_numbers_have_the_digits_that_a_reader_needs(value, text):
    assert tables.number(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1.065, "×", "1.06×"), (4090.0, "1/s", "4,100 /s"), (1e-5, "relative", "1e-5"), (2.31, "ms", "2.3 ms")],
)
def test_quantities_have_their_units(value, unit, text):
    assert tables.quantity(value, unit) == text


def test_a_figure_that_misses_what_is_wanted_is_bold(monkeypatch, tmp_path):
    monkeypatch.setattr(tables, "DATA", tmp_path / "data")
    (tmp_path / "data").mkdir()
    lines = ["figure,value,unit,wanted,reached,how", "a,1.5,ms,≤ 2,yes,one way", "b | c,3.0,ms,≤ 2,NO,other way"]
    (tmp_path / "data" / "bench.csv").write_text("\n".join(lines), encoding="utf-8")
    assert tables.bench().replace(tables.NO_BREAK, " ").splitlines()[2:] == [
        "| a | 1.5 ms | ≤ 2 | one way |",
        "| b \\| c | **3 ms** | ≤ 2 | other way |",
    ]


def test_claims_that_were_run_alone_leave_the_other_verdicts(monkeypatch, tmp_path):
    monkeypatch.setattr(tables, "HERE", tmp_path)
    monkeypatch.setattr(tables, "PAGES", ())
    (tmp_path / "data").mkdir()
    (tmp_path / "runs" / "claims").mkdir(parents=True)
    data, taken = tmp_path / "data" / "claims.csv", tmp_path / "runs" / "claims" / "claims.csv"
    data.write_text("claim,verdict\ngone,open\ninterpolation,old\nrefinement,old\n", encoding="utf-8")
    taken.write_text("claim,verdict\nrefinement,new\nresidual-state,new\n", encoding="utf-8")
    tables.main(tmp_path / "runs")
    lines = ["claim,verdict", "interpolation,old", "residual-state,new", "refinement,new"]
    assert data.read_text(encoding="utf-8").splitlines() == lines
    data.unlink()
    tables.main(tmp_path / "runs")
    assert data.read_text(encoding="utf-8").splitlines() == ["claim,verdict", "residual-state,new", "refinement,new"]


def test_results_of_the_commands_are_taken_over_where_there_are_any(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tables, "HERE", tmp_path)
    monkeypatch.setattr(tables, "PAGES", ())
    (tmp_path / "data").mkdir()
    (tmp_path / "runs" / "bench").mkdir(parents=True)
    (tmp_path / "runs" / "bench" / "bench.csv").write_text("figure\n", encoding="utf-8")
    tables.main(tmp_path / "runs")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["bench.csv"]
    assert "took over" in capsys.readouterr().out

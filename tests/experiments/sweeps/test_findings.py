"""One layer of findings: terminal, page, summary.json and export say the same about one store."""

import csv
import json
import re
import sys
from contextlib import closing
from html import unescape

import numpy as np
import pytest
from rich.console import Console

from experiments import cli
from experiments.sweeps import commands
from experiments.sweeps.analyses import ANALYSES
from experiments.sweeps.findings import findings, study_in
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.store import open_sweep
from experiments.sweeps.units import yield_share
from experiments.sweeps.workloads import WORKLOADS

CONFIG = """
name = "same"
metrics = ["relative_error", "settling_time"]
linearise = true
[hardware]
base = "bench"
[hardware.variation]
temperature = { distribution = "uniform", tolerance = "10 K", meaning = "limit" }
[hardware.variation.array_resistor]
local = { tolerance = "1 %", meaning = "sigma" }
lot = { tolerance = "1 %", meaning = "sigma" }
temperature_coefficient = "35 ppm/K"
[hardware.variation.capacitor]
lot = { tolerance = "5 %", meaning = "sigma" }
[workload]
kind = "random"
size = 4
[limits]
relative_error = { max = "1 %" }
[analysis]
kind = "KIND"
"""
SAMPLED = set(ANALYSES) - {"corners", "worst case"}


def command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["spu-circuit", *map(str, arguments)])
    monkeypatch.setattr(commands, "console", Console(width=200))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", ANALYSES)
def test_terminal_page_summary_and_export_agree(kind, tmp_path, monkeypatch, capsys):
    config, folder = tmp_path / "same.toml", tmp_path / "run"
    config.write_text(CONFIG.replace("KIND", kind) + "samples = 64\n" * (kind in SAMPLED))
    printed = command(monkeypatch, capsys, "sweep", config, "--output", folder, "--workers", 1)
    command(monkeypatch, capsys, "export", folder, "--to", tmp_path / "copies.csv")
    page = unescape((folder / "report.html").read_text())
    summary = json.loads((folder / "summary.json").read_text())
    with closing(open_sweep(folder)) as store:
        found = findings(study_in(store), store)
    with (tmp_path / "copies.csv").open(newline="") as file:
        copies = list(csv.DictReader(file))

    # Every cell of every table is on the terminal, on the page, and as a number in the summary.
    tables = found.tables.get(0, [])
    assert tables
    for table, kept in zip(tables, summary["findings"], strict=True):
        for row, cells, plain in zip(table.rows, table.texts(), kept["rows"], strict=True):
            assert re.search(r"\s+".join(map(re.escape, " ".join(cells).split())), printed)
            assert re.search(r"\s*(</?t[hdr][^>]*>\s*)+".join(map(re.escape, filter(None, cells))), page)
            for name, cell in zip(table.head, row, strict=True):
                if hasattr(cell, "number"):
                    value = plain[name]["value"]
                    assert value == cell.number if np.isfinite(cell.number) else value is None

    # What the exported copies add up to is what is said of them.
    for group in found.every:
        mine = [row for row in copies if row["case"] == group.key[1]]
        kept = [row["keeps_limits"] for row in mine if row["keeps_limits"]]
        said = next(point for point in summary["points"] if point["case"] == group.key[1])
        assert (said["yield"]["good"], said["yield"]["tried"]) == (kept.count("true"), len(kept))
        errors = np.sort([float(row["relative_error [1]"]) for row in mine])
        if not group.copies.weighted:
            assert said["metrics"]["relative_error"]["median"]["value"] == errors[(len(errors) - 1) // 2]
        if group in found.shown and group.copies.drawn and kind != "one at a time":
            given = f"{yield_share(said['yield']['share'])} of the copies keep all limits"
            assert given in page
            assert given in re.sub(r"\s+", " ", printed)

    # The bars of the picture are the numbers of the tables.
    if kind in ("one at a time", "variance based"):
        table = next(table for table in tables if table.metric == "relative_error")
        bars = {bar["name"]: bar for bar in summary["sensitivity"]["metrics"]["relative_error"]}
        for row in table.rows:
            low, high = bars[row[0].replace("_", " ")]["low"], bars[row[0].replace("_", " ")]["high"]
            if kind == "one at a time":
                assert (low, high) == (row[3].number, row[4].number)
            else:
                assert low + high == row[2].number


def test_a_new_metric_workload_or_analysis_is_one_entry():
    """Nothing else names them: the registries have all fields that the others ask for."""
    for metric in METRICS.values():
        assert metric.of in {workload.gives for workload in WORKLOADS.values()}
    for workload in WORKLOADS.values():
        assert (workload.systems is None) != (workload.measure is None)
        assert set(workload.needs) <= set(workload.takes)
    for analysis in ANALYSES.values():
        assert bool(analysis.title) == (analysis.tables is not type(analysis).tables)

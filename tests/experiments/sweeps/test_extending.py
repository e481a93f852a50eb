"""What is new in a sweep is one entry: a metric, a workload, an analysis, a figure, with their page and files."""

import csv
import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.shared.figures import FigureEntry
from experiments.sweeps import report
from experiments.sweeps.analyses import ANALYSES
from experiments.sweeps.analyses.kind import AnalysisKind
from experiments.sweeps.export import export
from experiments.sweeps.metrics import METRICS, Metric
from experiments.sweeps.report import write_report
from experiments.sweeps.run import run
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.store import SweepStore
from experiments.sweeps.study import study_of
from experiments.sweeps.tables import Table, Value
from experiments.sweeps.workloads import WORKLOADS, WorkloadKind
from spu_circuit.errors import InputError
from spu_circuit.problem import LinearSystem
from spu_circuit.sampling import Sampling

DOCUMENT = {
    "name": "new",
    "hardware": {"base": "ideal", "variation": {"array_resistor": {"lot": {"tolerance": "5 %", "meaning": "sigma"}}}},
    "metrics": ["peak"],
    "limits": {"peak": {"max": "1 V"}},
    "workload": {"kind": "identity", "size": 3},
    "analysis": {"kind": "halves", "samples": 8},
}


def halves(sweep):
    return {name: SampleSet(sweep.analysis.samples // 2, Sampling(sweep.seed + k)) for k, name in enumerate("ab")}


def tables(point):
    rows = tuple((name, Value(float(group.column("peak").mean()), "V")) for name, group in point.items())
    return [Table("peak", "Means of two halves.", ("half", "mean"), rows)]


def means(found):
    figure = Figure()
    axes = figure.subplots()
    axes.bar([group.key[1] for group in found.shown], [group.column("peak").mean() for group in found.shown])
    return figure, f"{len(found.shown)} halves"


@pytest.fixture
def extended(monkeypatch):
    measure = lambda answers: np.abs(answers.behaviour.settled).max(axis=1)  # noqa: E731
    monkeypatch.setitem(METRICS, "peak", Metric("V", "largest voltage at rest", measure))
    systems = lambda given: [LinearSystem(np.eye(given.size), np.ones(given.size))]  # noqa: E731
    monkeypatch.setitem(WORKLOADS, "identity", WorkloadKind(("size",), systems=systems))
    monkeypatch.setitem(ANALYSES, "halves", AnalysisKind(("samples",), halves, tables=tables, title="Halves"))
    monkeypatch.setattr(report, "FIGURES", (*report.FIGURES, FigureEntry("means", "Means", "Of both halves.", means)))


def test_new_entries_are_all_that_a_sweep_needs(extended, tmp_path):
    made = study_of(DOCUMENT, {}, "test")
    with closing(SweepStore(tmp_path)) as store:
        store.claim(made.config, {})
        run(made, store)
        write_report(store)
        export(store, tmp_path / "copies.csv")
    with (tmp_path / "copies.csv").open(newline="") as file:
        copies = list(csv.DictReader(file))
    assert [copy["case"] for copy in copies] == ["a"] * 4 + ["b"] * 4
    peaks = np.array([float(copy["peak [V]"]) for copy in copies])
    summary = json.loads((tmp_path / "summary.json").read_text())
    said = [row["mean"]["value"] for row in summary["findings"][0]["rows"]]
    assert said == pytest.approx([peaks[:4].mean(), peaks[4:].mean()])
    assert summary["units"] == {"peak": "V"}
    page = (tmp_path / "report.html").read_text()
    assert 'id="halves"' in page
    assert 'id="means"' in page
    assert "largest voltage at rest" in page
    assert (tmp_path / "means.png").read_bytes().startswith(b"\x89PNG")


def test_entries_that_do_not_go_together_are_refused_by_their_names(extended, monkeypatch):
    for changes, words in (
        ({"workload": {"kind": "identity", "condition": 3}}, "kind 'identity' has no 'condition'; it takes kind, size"),
        ({"workload": {"kind": "identiti", "size": 3}}, r"workload\.kind is 'identiti'; did you mean 'identity'"),
        ({"analysis": {"kind": "half"}}, r"analysis\.kind is 'half'; did you mean 'halves'"),
        ({"analysis": {"kind": "halves", "design": "lhs"}}, "kind 'halves' has no 'design'"),
        ({"metrics": ["final_accuracy"]}, "metric 'final_accuracy' is of training, which workload 'identity'"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            study_of(DOCUMENT | changes, {}, "test")
        assert "\n" not in str(caught.value)
    monkeypatch.setitem(METRICS, "peak", replace(METRICS["peak"], of="training"))
    with pytest.raises(InputError, match="metric 'peak' is of training"):
        study_of(DOCUMENT, {}, "test")

"""A task of one's own: one file and one line, then everything names it as it should."""

import csv
import importlib
import json
import re
import sys
import tomllib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from experiments.training import progress
from experiments.training.config import read_experiment, single
from experiments.training.report import write_reports
from experiments.training.run import prepare, run
from experiments.training.store import open_existing
from experiments.training.task import Measure
from experiments.training.tasks import TASKS
from spu_circuit.errors import InputError

PAGE = Path(__file__).parents[3] / "docs" / "extending.md"
CONFIG = """
name = "wave"
task = "wave"
steps = 30
batch_size = 16
seeds = [1, 2]
evaluate_every = 5
[data]
train = 100
validation = 50
test = 50
noise = 0.05
[network]
degree = 5
[optimizers.tngd]
kind = "tngd"
learning_rates = [0.05, 0.5]
damping = 0.01
hardware = "ideal"
engine = "sde"
[optimizers.ngd]
kind = "ngd"
learning_rates = [0.5]
damping = 0.01
[optimizers.adam]
kind = "adam"
learning_rates = [0.02]
"""


@pytest.fixture
def wave(tmp_path, monkeypatch):
    """The file, as the page about extending shows it, and the line."""
    section = PAGE.read_text(encoding="utf-8").split("## A training task in one file")[1]
    (code,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    (tmp_path / "wave_task.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(TASKS, "wave", importlib.import_module("wave_task").TASK)
    yield tomllib.loads(CONFIG)
    del sys.modules["wave_task"]


def trained(document, folder):
    training = single(read_experiment(document, "test"))
    run(training, prepare(training, None), folder, None, lambda latest: None, workers=1)
    with closing(open_existing(folder)) as store:
        return store.history(), store.latest(), write_reports(store)


def test_adding_a_task_takes_one_file_and_one_line(wave, tmp_path):
    """A regression judged by its RMS error, of which less is better; nothing speaks of images or of accuracy."""
    history, latest, sentences = trained(wave, tmp_path / "run")
    assert {count for count, _ in latest.values()} == {30}
    # It learns: the wave has 0.7 V, its noise 0.05 V.
    finals = {trial.optimizer: step.score for trial, (_, step) in latest.items()}
    assert max(finals["ngd"], finals["tngd"]) < 0.2
    assert [step.score is None for step in history[:5]] == [True] * 4 + [False]
    systems = {step.trial.optimizer for step in history if step.solve_error is not None}
    assert systems == {"tngd", "ngd"}

    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["score"] == {"name": "RMS error", "unit": "V", "better": "lower"}
    entry = summary["optimizers"]["tngd"]
    own = [step for step in history if (step.optimizer, step.learning_rate) == ("tngd", entry["learning_rate"])]
    best = [min(step.score for step in own if step.seed == seed and step.score is not None) for seed in (1, 2)]
    assert entry["best_score"]["mean"] == pytest.approx(np.mean(best))
    assert entry["final_score"]["mean"] >= entry["best_score"]["mean"]

    reached = Measure("RMS error", "V").text(*entry["final_score"].values())
    assert any(f"reaches a test RMS error of {reached} (mean and standard error over 2 seeds)" in s for s in sentences)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Test RMS error" in page
    assert "final test RMS error" in page
    assert "over the seeds, lower is better" in page
    assert "100 training, 50 validation and 50 test points; 30 steps of 16 points" in page
    assert not [word for word in ("ccuracy", "images", "nats", "correctly") if word in page]
    assert (tmp_path / "run" / "score.png").is_file()
    with (tmp_path / "run" / "history.csv").open() as file:
        assert {float(row["score"]) for row in csv.DictReader(file) if row["score"]} == {
            step.score for step in history if step.score is not None
        }
    (step,) = [step for trial, (_, step) in latest.items() if (trial.optimizer, trial.seed) == ("adam", 1)]
    assert progress.shown([step], Measure(**summary["score"])).startswith(
        f"loss {step.loss:.3f}  RMS error {step.score:.4g} V"
    )


def test_a_task_has_fields_of_its_own(wave, tmp_path):
    noisy = wave | {"data": wave["data"] | {"noise": 0.5}, "optimizers": {"ngd": wave["optimizers"]["ngd"]}}
    _, latest, _ = trained(noisy, tmp_path / "noisy")
    assert min(step.score for _, step in latest.values()) > 0.4
    with pytest.raises(InputError, match=r"test: unknown key 'data\.noises'; did you mean 'noise'"):
        read_experiment(wave | {"data": wave["data"] | {"noises": 1}}, "test")
    with pytest.raises(InputError, match=r"test: unknown key 'network\.hidden'; known are degree"):
        read_experiment(wave | {"network": {"hidden": [4]}}, "test")


def test_another_task_is_another_run(wave, tmp_path):
    only = wave | {"optimizers": {"adam": wave["optimizers"]["adam"]}}
    trained(only, tmp_path)
    other = only | {"data": only["data"] | {"noise": 0.06}}
    with pytest.raises(InputError, match=r"holds a run with data\.noise = 0\.05, this config has 0\.06"):
        trained(other, tmp_path)


def test_a_measure_is_written_in_its_unit():
    accuracy, error = Measure("accuracy", "%", "higher"), Measure("RMS error", "V")
    assert accuracy.text(0.97216, 0.001) == "97.22 ± 0.10 %"
    assert error.text(0.0123456, 0.0005) == "0.01235 ± 0.0005 V"
    assert Measure("RMS error").text(12.0) == "12"
    assert accuracy.text(None) == "–"
    assert (accuracy.best([0.1, 0.3]), error.best([0.1, 0.3]), error.best([])) == (0.3, 0.1, None)
    assert (accuracy.title, Measure("RMS error").title) == ("accuracy (%)", "RMS error")

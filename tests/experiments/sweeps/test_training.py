"""Sweeps whose workload comes from training: recorded systems, and whole runs on drawn copies."""

import shutil
import tomllib
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from experiments.sweeps.findings import study_in
from experiments.sweeps.run import run
from experiments.sweeps.store import SweepStore, open_sweep
from experiments.sweeps.study import study_of
from experiments.sweeps.workloads import systems_of
from experiments.training.config import read_experiment, single
from experiments.training.recording import read_systems
from experiments.training.run import prepare
from experiments.training.run import run as run_training
from experiments.training.task import Measure
from experiments.training.tasks import TASKS
from spu_circuit.errors import InputError

TRAINING = """
name = "tiny"
task = "digits"
steps = 4
batch_size = 8
seeds = [0]
workers = 1
evaluate_every = 4
record_systems = true
[data]
train = 64
validation = 20
test = 40
[network]
kind = "mlp"
hidden = [4]
[optimizers.tngd]
kind = "tngd"
learning_rates = [0.3]
damping = 1.0
curvature_samples = 1
hardware = "paper"
engine = "network"
"""
SWEEP = """
name = "boards"
[hardware]
base = "paper"
[hardware.variation.array_resistor]
local = { tolerance = "5 %", meaning = "sigma" }
[workload]
kind = "recorded"
folder = "FOLDER"
systems = 3
[analysis]
kind = "monte carlo"
samples = 8
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    training = single(read_experiment(tomllib.loads(TRAINING), "test"))
    run_training(training, prepare(training, None), folder, None, lambda latest: None)
    return folder


def rows_of(text, folder):
    document = tomllib.loads(text)
    planned = study_of(document, {}, "test")
    with closing(SweepStore(folder)) as store:
        store.claim(planned.config, {})
        run(planned, store)
        return store.rows((0, "copies"))


def test_recorded_systems_are_those_of_the_run(recorded):
    """A sample of ten classes makes nine rows of B; the model has 64·4 + 4 + 4·10 + 10 parameters."""
    systems = read_systems(recorded, 4)
    assert [system.B.shape for system in systems] == [(9, 310)] * 4
    assert {system.damping for system in systems} == {1.0}
    assert not np.array_equal(systems[0].gradient, systems[3].gradient)
    with pytest.raises(InputError, match=r"workload\.systems: 5 are asked for, .* has 4 recorded"):
        read_systems(recorded, 5)


def test_a_copy_solves_recorded_systems_and_the_worst_counts(recorded, tmp_path):
    text = SWEEP.replace("FOLDER", str(recorded))
    three = rows_of(text, tmp_path / "three")
    one = rows_of(text.replace("systems = 3", "systems = 1"), tmp_path / "one")
    assert all(row.status == "ok" for row in three)
    errors, single = (np.array([row.metrics[0] for row in rows]) for rows in (three, one))
    # Each of some 81 resistors is 5 % off: an error of the order of a percent.
    assert (errors > 0.001).all()
    assert (errors < 0.2).all()
    assert (errors >= single - 1e-12).all()


def test_recorded_systems_are_kept_without_their_run(recorded, tmp_path):
    shutil.copytree(recorded, tmp_path / "run")
    text = SWEEP.replace("FOLDER", str(tmp_path / "run"))
    rows_of(text, tmp_path / "sweep")
    theirs = read_systems(tmp_path / "run", 3)
    shutil.rmtree(tmp_path / "run")
    with closing(open_sweep(tmp_path / "sweep")) as store:
        kept = systems_of(study_in(store).sweeps[0].workload)
    assert len(kept) == 3
    for mine, other in zip(kept, theirs, strict=True):
        np.testing.assert_array_equal(mine.A, other.dual().A)
        np.testing.assert_array_equal(mine.b, other.dual().b)


def test_whole_training_runs_on_drawn_copies(tmp_path, monkeypatch):
    config = tmp_path / "tiny.toml"
    config.write_text(TRAINING)
    text = SWEEP.replace('kind = "recorded"\nfolder = "FOLDER"\nsystems = 3', f'kind = "training"\nconfig = "{config}"')
    text = text.replace('name = "boards"', 'name = "boards"\nmetrics = ["final_accuracy"]').replace(
        "samples = 8", "samples = 2"
    )
    text = text.replace("[analysis]", 'optimizer = "tngd"\n[analysis]')
    rows = rows_of(text, tmp_path / "out")
    assert [row.status for row in rows] == ["ok", "ok"]
    with closing(open_sweep(tmp_path / "out")) as store:
        config.rename(tmp_path / "elsewhere.toml")
        assert study_in(store).sweeps[0].workload.kind == "training"
        (tmp_path / "elsewhere.toml").rename(config)
    # 40 test images: accuracies are multiples of 1/40, up to single precision.
    accuracies = np.array([row.metrics[0] for row in rows])
    np.testing.assert_allclose(40 * accuracies, np.rint(40 * accuracies), atol=1e-4)
    with pytest.raises(InputError, match=r"'tngdd' is no tngd of .*; take tngd"):
        rows_of(text.replace('"tngd"', '"tngdd"'), tmp_path / "other")
    monkeypatch.setitem(TASKS, "digits", replace(TASKS["digits"], score=Measure("RMS error")))
    with pytest.raises(InputError, match=r"is judged by its RMS error, and final_accuracy is of tasks"):
        rows_of(text, tmp_path / "other")

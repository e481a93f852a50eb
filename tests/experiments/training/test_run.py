"""A run of several trials: together, stopped, resumed, and with one that fails."""

import json
import os
import subprocess
import sys
import tomllib
from contextlib import closing
from dataclasses import replace
from math import inf
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.training import methods, run
from experiments.training.config import load_training, read_experiment, single
from experiments.training.report import write_reports
from experiments.training.store import Failure, Store, Trial, open_existing
from optim.seeds import step_seed
from solvers.sde import Sde
from solvers.solution import solve_each
from spu_circuit.errors import InputError, MappingError
from tests.experiments.training.small import SMALL

TEXT = (
    """
name = "together"
task = "digits"
steps = 4
batch_size = 8
seeds = [0, 1, 2]
evaluate_every = 2
"""
    + SMALL
    + """
[optimizers.tngd]
kind = "tngd"
learning_rates = [0.3, 0.6]
curvature_samples = 1
hardware = "bench"
engine = "network"
[optimizers.adam]
kind = "adam"
learning_rates = [0.03]
"""
)
UNSUITABLE = "entry of row 3 is negative; take another topology"


class Refusing(Sde):
    """Refuses what the trials with seed 1 ask for in their third step."""

    def solve_batch(self, systems, analog_time=inf, initial_states=None, seeds=None):
        if step_seed(1, 2) in seeds:
            raise MappingError(UNSUITABLE)
        return solve_each(self, systems, analog_time, initial_states, seeds)


@pytest.fixture
def training(monkeypatch):
    monkeypatch.setattr(run, "_METHODS", {})
    monkeypatch.setattr(run, "CHUNK_SECONDS", 0.0)  # a step at a time
    return single(read_experiment(tomllib.loads(TEXT), "test"))


def go(training, folder, progress=lambda latest: None, workers=1):
    return run.run(training, run.prepare(training, None), folder, None, progress, workers)


def untimed(folder):
    with closing(open_existing(folder)) as store:
        history, latest = store.history(), store.latest()
        states = {trial: store.state(trial)[1] for trial in latest}
    return [replace(step, wall_seconds=0.0) for step in history], states


@pytest.mark.slow
def test_a_stopped_run_ends_as_if_nothing_had_been_with_other_workers(training, tmp_path):
    """Its groups are others after the stop, since some trials are ahead; the same numbers come out, to the last bit."""
    go(training, tmp_path / "whole")
    calls = []

    def stop(latest):
        calls.append(latest)
        if len(calls) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(training, tmp_path / "stopped", stop)
    steps = len(untimed(tmp_path / "stopped")[0])
    assert 0 < steps < 36
    # A kill between two trials of a group: one of them has nothing yet.
    with closing(Store(tmp_path / "stopped")) as store:
        last = store.state(Trial(0, "tngd", 0.3, 0))[0]
        store._connection.execute("DELETE FROM history WHERE learning_rate = 0.6 AND seed = 2")
    assert last is not None
    go(training, tmp_path / "stopped", workers=2)
    (steps, states), (again, others) = untimed(tmp_path / "whole"), untimed(tmp_path / "stopped")
    assert len(steps) == 36
    assert again == steps
    for one, state in states.items():
        assert all(np.array_equal(state[key], others[one][key], equal_nan=True) for key in state)


def train_adam(folder):
    """What a process of its own runs."""
    experiment = read_experiment(tomllib.loads(TEXT), "test")
    go(single(experiment.model_copy(update={"optimizers": {"adam": experiment.optimizers["adam"]}})), Path(folder))


@pytest.mark.slow
def test_a_run_goes_on_in_its_own_precision_alone(training, tmp_path):
    config = run.prepare(training, None)
    with jax.enable_x64(True):
        double = run.prepare(training, None)
    with closing(Store(tmp_path)) as store:
        store.claim(config, {})
        with pytest.raises(InputError, match="double_precision = False, this config has True"):
            store.claim(double, {})
    job = run.Job(training.experiments[0], (), None, None, config["data_sha256"], 1, double_precision=True)
    with pytest.raises(InputError, match="JAX_ENABLE_X64: a worker computes in another precision"):
        run.advanced(job)


def test_what_a_process_computed_before_changes_no_bit(tmp_path):
    """A notebook, or a worker of a foreign cluster, may have computed with JAX before it trains."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    histories = []
    for name, before in (("fresh", ""), ("used", "import jax; jax.numpy.ones(3).sum()")):
        script = f"{before}\nfrom tests.experiments.training import test_run\ntest_run.train_adam({name!r})"
        subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, env=environment)
        histories.append(untimed(tmp_path / name))
    (steps, states), (again, others) = histories
    assert len(steps) == 12
    assert again == steps
    for one, state in states.items():
        assert all(np.array_equal(state[key], others[one][key]) for key in state)


def test_a_trial_that_fails_is_named_and_the_others_are_finished(training, tmp_path, monkeypatch):
    monkeypatch.setattr(methods, "build_solver", lambda settings, *_: Refusing() if settings.kind == "tngd" else None)
    words = rf"tngd, learning rate 0\.3, seed 1, step 2: {UNSUITABLE}; 1 more failed"
    for _ in range(2):
        with pytest.raises(MappingError, match=words) as caught:
            go(training, tmp_path)
        assert "\n" not in str(caught.value)
    with closing(open_existing(tmp_path)) as store:
        expected = {Trial(0, "tngd", rate, 1): Failure(2, UNSUITABLE) for rate in (0.3, 0.6)}
        assert store.failures() == expected
        counts = {one: count for one, (count, _) in store.latest().items()}
        assert counts == {one: 2 if one in expected else 4 for one in run.trials(training)}
        assert any(f"seed 1 failed in step 2: {UNSUITABLE}" in line for line in write_reports(store))
    failed = json.loads((tmp_path / "summary.json").read_text())["failed"]
    trial = {"optimizer": "tngd", "learning_rate": 0.3, "seed": 1, "copy": 0}
    assert failed[0] == {**trial, "step": 2, "error": UNSUITABLE}
    # With the cause out of the way the same command goes on, and nothing is left of the failure.
    monkeypatch.setattr(methods, "build_solver", lambda settings, *_: Sde() if settings.kind == "tngd" else None)
    monkeypatch.setattr(run, "_METHODS", {})
    assert go(training, tmp_path)
    with closing(open_existing(tmp_path)) as store:
        assert store.failures() == {}
        assert {count for count, _ in store.latest().values()} == {4}


def test_a_failure_in_the_first_step_leaves_a_report(training, tmp_path, monkeypatch):
    class Never(Sde):
        def solve_batch(self, systems, *_):
            raise MappingError(UNSUITABLE)

    only = training.changed(optimizers={"tngd": training.experiments[0].optimizers["tngd"]})
    monkeypatch.setattr(methods, "build_solver", lambda settings, *_: Never())
    with pytest.raises(MappingError, match=r"tngd, learning rate 0\.3, seed 0, step 0: .*; 5 more failed"):
        go(only, tmp_path)
    with closing(open_existing(tmp_path)) as store:
        assert write_reports(store)
        assert len(store.failures()) == 6


def test_a_report_says_what_more_precision_took(training, tmp_path):
    document = tomllib.loads(TEXT)
    del document["optimizers"]["adam"]
    document["optimizers"]["tngd"] |= {
        "learning_rates": [0.3],
        "damping": 0.1,
        "precision": {"refine": 2, "tolerance": 1e-6, "rotate": 3},
    }
    go(single(read_experiment(document | {"seeds": [0]}, "test")), tmp_path)
    with closing(open_existing(tmp_path)) as store:
        steps = store.history()
        sentences = write_reports(store)
    summary = json.loads((tmp_path / "summary.json").read_text())["optimizers"]["tngd"]
    ends = [step.refinement for step in steps]
    assert summary["refinements"] == {end: ends.count(end) for end in set(ends)}
    assert summary["median_device_solves_of_a_step"] == np.median([step.solves for step in steps])
    assert summary["median_programs_of_a_step"] == 1
    assert summary["median_flops_of_a_step"] == np.median([step.flops for step in steps])
    assert "TNGD (network, bench, 2 corrections by refinement, eigenvectors of every 3 steps)" in sentences[0]
    assert "1 programs and" in sentences[0]
    head = (tmp_path / "history.csv").read_text().splitlines()[0].split(",")
    assert {"solves", "programs", "dac_words", "adc_words", "flops", "refinement", "estimated_error"} <= {*head}


def test_a_process_builds_the_solver_of_an_optimizer_once(training, tmp_path, monkeypatch):
    config, built = run.prepare(training, None), []

    def counting(settings, *hardware):
        built.append(settings.kind)
        return Sde() if settings.kind == "tngd" else None

    monkeypatch.setattr(methods, "build_solver", counting)
    run.run(training, config, tmp_path, None, lambda latest: None, 1)
    assert sorted(built) == ["adam", "tngd"]


SHARED = (
    """
name = "shared"
task = "digits"
steps = 3
batch_size = 8
seeds = [0, 1]
"""
    + SMALL
    + """
[optimizers.sgd]
kind = "sgd"
learning_rates = [0.1]
[optimizers.adam]
kind = "adam"
learning_rates = [0.03]
[[grid]]
"optimizers.sgd.momentum" = [0.0, 0.5]
[[grid]]
"optimizers.sgd.learning_rates" = [[0.1], [0.3]]
"""
)


def test_what_is_alike_at_several_points_is_computed_once_and_shown_at_all(tmp_path):
    path = tmp_path / "shared.toml"
    path.write_text(SHARED)
    shared = load_training(path)
    assert go(shared, tmp_path)
    steps, _ = untimed(tmp_path)
    assert {(step.point, step.optimizer) for step in steps} == {(0, "sgd"), (1, "sgd"), (3, "sgd"), (0, "adam")}
    with closing(open_existing(tmp_path)) as store:
        sentences = write_reports(store)
    points = json.loads((tmp_path / "summary.json").read_text())["points"]
    losses = {name: [point["optimizers"][name]["final_loss"]["mean"] for point in points] for name in ("sgd", "adam")}
    assert len(set(losses["adam"])) == 1
    assert losses["sgd"][2] == losses["sgd"][0]
    assert len(set(losses["sgd"])) == 3
    assert not any("not finished" in sentence for sentence in sentences)
    rows = (tmp_path / "history.csv").read_text().splitlines()
    assert rows[0].startswith("point,optimizers.sgd.momentum,optimizers.sgd.learning_rates,optimizer")
    assert {row.rsplit("sgd", 1)[0] for row in rows if ",sgd," in row} == {"0,0.0,,", "1,0.5,,", "3,,[0.3],"}

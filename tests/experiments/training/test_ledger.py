"""Time and energy of trainings, against their parts by hand and in the report of a run."""

import json
import tomllib
from contextlib import closing

import numpy as np
import pytest

from experiments.cost.machines import MACHINES
from experiments.training import run
from experiments.training.config import read_experiment, single
from experiments.training.ledger import StepSizes, planned, step_of, taken
from experiments.training.report import write_reports
from experiments.training.settings import Settings
from experiments.training.store import open_existing
from optim.cost import Effort, Work, gradient, prepared
from spu_circuit.hardware import load_hardware
from tests.experiments.training.small import SMALL
from tests.stores import edit

GPU = MACHINES["gpu"]
SIZES = StepSizes(parameters=1000, samples=64, outputs=10, rows=6, matrices=[(10, 50)])
WORK = Work(1000, 64, 6)
BENCH = load_hardware("bench")
TEXT = (
    """
name = "costs"
task = "digits"
steps = 6
batch_size = 8
seeds = [0, 1]
evaluate_every = 3
targets = [50.0, 1e-6]
workers = 1
"""
    + SMALL
    + """
[optimizers.tngd]
kind = "tngd"
learning_rates = [0.3]
curvature_samples = 1
hardware = "bench"
engine = "network"
linearise = true
readout_bandwidth = "1 GHz"
analog_time = 6.0
[optimizers.paper]
kind = "tngd"
learning_rates = [0.3]
curvature_samples = 1
hardware = "paper"
engine = "network"
[optimizers.adam]
kind = "adam"
learning_rates = [0.03]
"""
)


def settings(kind, **fields):
    return Settings(kind=kind, learning_rates=(0.1,), **fields)


def flop(own):
    """Of a step without a device."""
    (item,) = step_of(own, None, SIZES, GPU).items
    return item.seconds * GPU.rate


def test_digital_work_of_each_kind_by_hand():
    N = 1000
    first = gradient(WORK)
    assert flop(settings("sgd")) == pytest.approx(first + 2 * N)
    assert flop(settings("sgd", momentum=0.9)) == pytest.approx(first + 4 * N)
    assert flop(settings("adam")) == pytest.approx(first + 12 * N)
    assert flop(settings("muon", momentum=0.9)) == pytest.approx(first + 6 * N + 5 * (4 * 10 * 10 * 50 + 2 * 10**3))
    begun, dual = prepared(WORK) + 2 * N, 36 * N + 24 * N + 2 * N
    woodbury = begun + dual + 6**3 / 3 + 2 * 36
    assert flop(settings("ngd", solver="woodbury", mapping="primal")) == pytest.approx(woodbury)
    assert flop(settings("ngd", solver="cholesky", mapping="dual")) == pytest.approx(woodbury)
    whole = begun + 6 * N**2 + N**3 / 3 + 2 * N**2
    assert flop(settings("ngd", solver="cholesky", mapping="primal")) == pytest.approx(whole)
    iterated = {"solver": "cg", "cg_iterations": 7}
    assert flop(settings("ngd", mapping="primal", **iterated)) == pytest.approx(begun + 7 * (4 * 6 + 10) * N)
    assert flop(settings("ngd", mapping="dual", **iterated)) == pytest.approx(begun + dual + 7 * (2 * 6 + 10) * 6)


@pytest.mark.parametrize(
    ("own", "hardware", "lacks", "said"),
    [
        (settings("kfac"), None, "digital work", "nobody has counted the digital work of kind 'kfac'"),
        (settings("ngd", solver="cg", mapping="primal"), None, "digital work", "cg_iterations: none is given"),
        (settings("tngd", mapping="dual", analog_time=6.0), None, "hardware", "the ideal equation has no parts"),
        (settings("tngd", mapping="dual"), BENCH, "analog_time", "the array is read at rest"),
        (
            *(settings("tngd", mapping="dual", analog_time=6.0), load_hardware("ideal")),
            *("costs.transfer_rate", "costs.transfer_rate is not in this hardware"),
        ),
    ],
)
def test_what_is_not_known_is_named_and_makes_no_sum(own, hardware, lacks, said):
    found = step_of(own, hardware, SIZES, GPU).together
    assert found.seconds is None
    assert found.joules is None
    assert lacks in found.lacks
    assert said in found.missing


def test_a_step_with_adam_on_top_has_its_operations():
    plain, adam = (settings("tngd", mapping="dual", analog_time=6.0, adam=adam) for adam in (False, True))
    digital = [step_of(own, BENCH, SIZES, GPU).items[0].seconds * GPU.rate for own in (plain, adam)]
    assert digital[1] - digital[0] == pytest.approx(10 * 1000)


def test_precision_asks_more_of_a_device_before_it_is_trained():
    work = Work(1000, 64, 6)
    assert planned(settings("tngd"), work) == Effort()
    refined = planned(settings("tngd", precision={"refine": 3, "estimate": True}), work)
    assert refined == Effort(programs=1, reads=5, flop=3 * 2 * 36)
    averaged = planned(settings("tngd", precision={"reads": 2, "programs": 4}), work)
    assert averaged == Effort(programs=4, reads=8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("costs")
    training = single(read_experiment(tomllib.loads(TEXT), "test"))
    run.run(training, run.prepare(training, None), folder, None, lambda latest: None, 1)
    return folder


def reported(folder):
    with closing(open_existing(folder)) as store:
        sentences, history = write_reports(store), store.history()
    summary = json.loads((folder / "summary.json").read_text())
    return sentences, history, summary["optimizers"], (folder / "report.html").read_text()


def test_a_report_has_time_and_energy_of_steps_and_of_the_training(trained):
    sentences, history, found, page = reported(trained)
    entry = found["tngd"]["costs"]["gpu"]
    step = entry["step"]
    assert set(step["parts"]) == {"digital", "transfer", "program", "convert", "settle", "static"}
    for name in ("seconds", "joules"):
        assert step[name] == pytest.approx(sum(part[name] for part in step["parts"].values()))
        assert entry["training"][name] == pytest.approx(6 * step[name])
        assert entry["to"]["50"][name] == pytest.approx(5 * step[name])  # below from the first batch: five are needed
        assert entry["to"]["1e-06"] == {"reached": False, "seconds": None, "joules": None}
    own = [each for each in history if each.optimizer == "tngd"]
    reads = sum(each.adc_words for each in own) / 9 / len(own)
    relaxed = sum(each.analog_seconds for each in own if each.step == 5) / sum(each.solves for each in own)
    assert step["parts"]["settle"]["seconds"] == pytest.approx(reads * relaxed)
    assert step["parts"]["static"]["joules"] == pytest.approx(reads * relaxed * 18 * 42e-3)
    adam = found["adam"]["costs"]
    assert set(adam["gpu"]["step"]["parts"]) == {"digital"}
    assert adam["cpu"]["step"]["seconds"] > adam["gpu"]["step"]["seconds"]
    assert any("With a GPU for digital work a step takes" in sentence for sentence in sentences)
    assert "Time and energy" in page
    assert MACHINES["cpu"].source in page


def test_a_report_names_what_a_preset_does_not_say(trained):
    sentences, _, found, page = reported(trained)
    step = found["paper"]["costs"]["gpu"]["step"]
    assert step["joules"] is None
    assert {"costs.write_energy", "costs.dac_energy", "costs.amplifier_power", "analog_time"} <= {*step["not_known"]}
    assert step["parts"]["digital"]["joules"] > 0
    assert "not known" in page
    assert "costs.write_energy" in page
    assert any("Not known are" in sentence and "costs.write_energy" in sentence for sentence in sentences)


def test_a_run_without_sizes_says_so(trained, tmp_path):
    copy = tmp_path / "older"
    copy.mkdir()
    (copy / "run.sqlite").write_bytes((trained / "run.sqlite").read_bytes())
    edit(copy, "DELETE FROM config WHERE name = 'sizes'", name="run.sqlite")
    *_, found, _ = reported(copy)
    assert found["adam"]["costs"]["gpu"]["why_not_known"].startswith("sizes: the run was begun by a version")
    assert found["adam"]["costs"]["gpu"]["step"]["seconds"] is None


def test_no_steps_on_a_device_are_no_effort(trained):
    with closing(open_existing(trained)) as store:
        history = store.history()
    assert taken([step for step in history if step.optimizer == "adam"], WORK) is None
    effort = taken([step for step in history if step.optimizer == "tngd"], Work(310, 8, 9))
    assert effort.programs == 1
    assert effort.reads >= 1
    assert np.isfinite(effort.seconds)

"""K-FAC as an optimizer of trainings."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest

from experiments.shared import extras
from experiments.training.config import read_experiment
from experiments.training.run import resolve
from experiments.training.stepping import Place
from experiments.training.store import Trial
from experiments.training.tasks import task_named
from experiments.training.trial import advance
from spu_circuit.errors import InputError

DOCUMENT = tomllib.loads("""
name = "kfac"
task = "digits"
steps = 12
batch_size = 32
seeds = [0, 1, 2]
[data]
train = 200
validation = 20
test = 20
[network]
kind = "cnn"
hidden = [8]
channels = 2
[optimizers.kfac]
kind = "kfac"
learning_rates = [0.1]
damping = 0.03
momentum = 0.5
curvature = "sampled fisher"
schedules.damping = { shape = "exponential", end = 0.1 }
""")
EXPERIMENT = read_experiment(DOCUMENT, "test")


def test_a_missing_package_is_named_before_the_first_step(monkeypatch):
    monkeypatch.setattr(extras, "_installed", lambda module: module != "kfac_jax")
    with pytest.raises(InputError, match=r"optimizers\.kfac: .*kind 'kfac' needs kfac_jax; .*'spu-circuit\[kfac\]'"):
        resolve(EXPERIMENT)


@pytest.fixture(scope="module")
def data():
    pytest.importorskip("kfac_jax", reason="extra kfac is not installed")
    return task_named("digits").load(EXPERIMENT.data, None)


def advanced(seeds, sizes, data):
    """Steps of every seed without wall times, and the states after them, in chunks of these sizes."""
    places = [Place(Trial(0, "kfac", 0.1, seed)) for seed in seeds]
    steps = [[] for _ in seeds]
    for size in sizes:
        chunks = advance(EXPERIMENT, places, data, size)
        places = [Place(chunk.trial, chunk.steps[-1], chunk.state) for chunk in chunks]
        for own, chunk in zip(steps, chunks, strict=True):
            own += [replace(step, wall_seconds=0.0) for step in chunk.steps]
    return steps, [place.state for place in places]


def test_it_trains_and_neither_chunks_nor_neighbours_change_a_bit(data):
    together, states = advanced([0, 1, 2], [12], data)
    alone, lone_states = advanced([1], [5, 7], data)
    assert together[1] == alone[0]
    assert all(np.array_equal(states[1][key], lone_states[0][key]) for key in states[1])
    losses = np.array([[step.loss for step in own] for own in together])
    assert losses[:, -3:].mean() < 0.8 * losses[:, :3].mean()
    assert {(step.solves, step.damping, step.solve_error) for step in alone[0]} == {(0, None, None)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizers": {"kfac": {"kind": "kfac", "learning_rates": [0.1], "curvature": "fisher"}}}, "not 'fisher'"),
        ({"task": "poisson", "data": {"train": 66, "validation": 66, "test": 9}, "network": {}}, "in no dense layer"),
        (
            {"task": "characters", "data": {"train": 64, "validation": 8, "test": 8}, "network": {"kind": "gru"}},
            "in no dense layer",
        ),
    ],
)
def test_what_it_cannot_estimate_is_refused_before_the_first_step(changes, said, data):
    with pytest.raises(InputError, match=said):
        resolve(read_experiment({**DOCUMENT, **changes}, "test"))

"""Curvatures that no memory holds."""

import re

import pytest

from experiments.training import size
from experiments.training.config import read_experiment, single
from experiments.training.methods import factor_of
from experiments.training.run import prepare
from experiments.training.size import PER_ENTRY, PER_PAIR
from spu_circuit.errors import InputError

CONFIG = {
    "name": "large",
    "task": "digits",
    "steps": 2,
    "batch_size": 32,
    "seeds": [0],
    "data": {"train": 100, "validation": 20, "test": 20},
    "network": {"kind": "mlp", "hidden": [8]},
}
NATURAL = {"kind": "ngd", "learning_rates": [0.1]}


def holding(rows, parameters):
    """Bytes."""
    return PER_ENTRY * rows * parameters + PER_PAIR * rows**2


def experiment(**settings):
    return read_experiment(CONFIG | {"optimizers": {"natural": NATURAL | settings}}, "test")


@pytest.mark.parametrize(
    ("settings", "fitting", "cure"),
    [
        ({}, 100, "curvature_samples = 11"),  # nine rows a sample
        ({}, 3, "a sampled fisher"),
        ({"curvature": "sampled fisher", "draws": 8}, 100, "draws = 3 or curvature_samples = 12"),
        ({"curvature": "sampled fisher", "draws": 8}, 20, "curvature_samples = 2"),
        ({"curvature": "fisher"}, 5, "curvature_samples = 5"),
        ({"curvature": "fisher", "kind": "tngd", "mapping": "kernel"}, 5, "batch_size = 5"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(monkeypatch, settings, fitting, cure):
    large = experiment(**settings)
    rows, parameters = factor_of(large, "natural").shape
    monkeypatch.setattr(size, "machine_memory", lambda: holding(fitting, parameters) + 1)
    words = rf"optimizers\.natural: K = {rows} rows of {parameters} parameters need .* for K = {fitting}; take {cure}$"
    with pytest.raises(InputError, match=words) as caught:
        prepare(single(large), None)
    assert "\n" not in str(caught.value)
    # What is named does fit.
    taken = {field: int(number) for field, number in re.findall(r"(draws|curvature_samples) = (\d+)", cure)}
    for field, number in taken.items():
        assert factor_of(experiment(**settings | {field: number}), "natural").shape[0] <= fitting


def test_one_draw_of_fewer_samples_where_neither_alone_fits(monkeypatch):
    sampled = {"curvature": "sampled fisher", "draws": 64}
    large = experiment(**sampled)
    parameters = factor_of(large, "natural").shape[1]
    monkeypatch.setattr(size, "machine_memory", lambda: holding(20, parameters) + 1)
    with pytest.raises(InputError, match=r"for K = 20; take draws = 1 and curvature_samples = 20$"):
        prepare(single(large), None)
    taken = experiment(**sampled | {"draws": 1, "curvature_samples": 20})
    assert factor_of(taken, "natural").shape[0] == 20
    monkeypatch.setattr(size, "machine_memory", lambda: 1000)
    with pytest.raises(InputError, match=r"take fewer parameters$"):
        prepare(single(large), None)


def test_what_fits_is_taken(monkeypatch):
    large = experiment()
    monkeypatch.setattr(size, "machine_memory", lambda: holding(*factor_of(large, "natural").shape))
    assert prepare(single(large), None)

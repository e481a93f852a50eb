"""The configs that come with the package."""

from contextlib import closing
from importlib.resources import files
from math import inf

import pytest

from experiments.design.config import read_design
from experiments.sweeps.config import read_sweep
from experiments.sweeps.study import points
from experiments.training.config import Training, load_training
from experiments.training.report import write_reports
from experiments.training.run import prepare, run
from experiments.training.store import open_existing
from tests.experiments.training.images import write_idx

SHIPPED = {path.name.removesuffix(".toml"): path for path in files("experiments").joinpath("configs").iterdir()}


def read(name):
    """What the command that takes the config reads it with; nothing is computed."""
    text = SHIPPED[name].read_text()
    if "[specification" in text:
        return read_design(name)
    return points(*read_sweep(name), name) if "[analysis" in text else load_training(name)


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_shipped_configs_are_read(name):
    assert read(name)


def test_there_are_trainings_and_sweeps_of_both_kinds_of_data():
    trainings = {found.experiments[0].task for name in SHIPPED if isinstance(found := read(name), Training)}
    assert trainings == {"digits", "mnist", "fashion", "poisson", "regression", "characters", "qa"}
    assert len(SHIPPED) > len(trainings)


@pytest.mark.parametrize(
    ("name", "score", "least", "largest"),
    [
        ("digits", "accuracy", 0, 1),
        pytest.param("fashion", "accuracy", 0, 1, marks=pytest.mark.slow),
        pytest.param("poisson", "relative L2 error", 0, inf, marks=pytest.mark.slow),
        ("regression", "R²", -inf, 1),
        pytest.param("characters", "cost", 0, inf, marks=pytest.mark.slow),
    ],
)
def test_two_steps_of_a_shipped_training_are_taken_and_reported(tmp_path, name, score, least, largest):
    data = None
    training = load_training(name).changed(steps=2, seeds=(0,), evaluate_every=1)
    if name == "fashion":
        data = write_idx(tmp_path / "data", train=100, t10k=40)
        sizes = training.experiments[0].data.model_copy(update={"train": 80, "validation": 20, "test": 40})
        training = training.changed(data=sizes)
    config = prepare(training, data)
    assert run(training, config, tmp_path / "run", data, lambda latest: None, workers=1)
    with closing(open_existing(tmp_path / "run")) as store:
        assert {count for count, _ in store.latest().values()} == {2}
        assert all(least <= step.score <= largest for step in store.history())
        said = write_reports(store)
    assert any(f"reaches a test {score} of" in line for line in said)

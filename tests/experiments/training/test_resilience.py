"""What is said of noise resilience: from made numbers, and from a run of a small grid to its page."""

import csv
import json
from contextlib import closing
from math import inf

import numpy as np
import pytest

from experiments.training import run
from experiments.training.config import load_training
from experiments.training.figures import GRID, Across
from experiments.training.report import write_reports
from experiments.training.resilience import Bearing, Level, axes, bearings, harms, interval, onset, sentences, table
from experiments.training.store import Failure, Trial, open_existing
from experiments.training.task import Measure
from tests.experiments.training.small import SMALL

ACCURACY = Measure("accuracy", "%", "higher")


def bearing(score, scores, failed=(0, 0, 0, 0)):
    """Of four levels, whose losses are those of the scores."""
    levels = [
        Level(value, dict(enumerate(own)), dict(enumerate(own)), 0.25, wrong, len(own))
        for value, own, wrong in zip((10, 6, 4, 2), scores, failed, strict=True)
    ]
    return Bearing("hardware.array.bits", "tngd", score, 1, tuple(levels))


def test_it_hurts_from_the_first_level_whose_mean_loses_a_point():
    scores = [[0.95, 0.96, 0.97], [0.95, 0.955, 0.965], [0.94, 0.95, 0.96], [0.5, 0.6, 0.7]]
    found = bearing(ACCURACY, scores).by_score
    assert (found.level, found.earliest, found.latest) == (2, 2, 2)
    said = "Array bits: tngd bears 6, starts to hurt at 4 (95 % interval 4 to 4) and loses 1.0 points there."
    assert sentences([bearing(ACCURACY, scores)]) == [said]


def test_the_interval_of_a_level_tells_how_seeds_disagree():
    """One of four seeds loses four points at the second level, all lose three at the third."""
    worse = np.array([[0.0] * 4, [0.0, 0.0, 0.0, 0.04], [0.03] * 4])
    found = onset(worse, 0.01)
    # The seed that loses is in a draw with a chance of 1 − (3/4)⁴ = 68 %.
    assert (found.level, found.earliest, found.latest) == (1, 1, 2)


def test_scores_that_are_lower_when_better_may_be_a_tenth_worse():
    scores = [[1.0, 2.0], [1.05, 2.05], [1.2, 2.2], [3.0, 4.0]]
    assert bearing(Measure("error"), scores).by_score.level == 2
    assert bearing(ACCURACY, scores).by_loss.level == 2


def test_a_trial_that_fails_loses_all():
    scores = [[0.95, 0.96], [0.95, 0.96], [0.95, -inf], [0.9, 0.9]]
    one = bearing(ACCURACY, scores, (0, 0, 1, 0))
    assert one.by_score.level == 2
    assert "starts to hurt at 4 (95 % interval 4 to 2) and 1 of 2 fail" in sentences([one])[0]
    assert table([one])[0][-1] == "1 of 8"


def test_who_is_never_hurt_bears_all():
    one = bearing(ACCURACY, [[0.95, 0.96]] * 4)
    assert sentences([one]) == ["Array bits: tngd bears all, to 2."]
    assert table([one])[0][2:5] == ["2", "none", "none"]


def test_harm_is_paired_by_seed_and_seeds_that_a_level_lacks_are_left_out():
    worse = harms([{0: 0.9, 1: 0.8, 2: 0.7}, {1: 0.7, 0: 0.85}], -1.0)
    np.testing.assert_allclose(worse, [[0.0, 0.0], [0.05, 0.1]])


def test_intervals_are_students_over_seeds():
    mean, low, high = interval({0: 1.0, 1: 2.0, 2: 3.0})
    assert mean == 2.0
    # t of 2 degrees of freedom is 4.303; the standard error is 1 / √3.
    np.testing.assert_allclose([low, high], [2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5], rtol=1e-6)


def test_only_what_leads_into_a_device_is_a_disturbance():
    grid = {
        "hardware.array.bits": [10, 4],
        "optimizers.tngd.damping": [0.5, 1.0],
        "optimizers.tngd.hardware": ["a", "b"],
    }
    points = [
        {"setting": dict(zip(grid, (bits, damping, base), strict=True))}
        for bits in (10, 4)
        for damping in (0.5, 1.0)
        for base in "ab"
    ]
    assert list(axes({"grid": [grid], "points": points})) == [("hardware.array.bits", [0, 4])]


TEXT = (
    """
name = "small"
task = "digits"
steps = 3
batch_size = 8
seeds = [0, 1]
"""
    + SMALL
    + """
[optimizers.tngd]
kind = "tngd"
learning_rates = [0.3]
damping = 0.3
curvature_samples = 2
copies = 2
engine = "network"
[optimizers.digital]
kind = "ngd"
learning_rates = [0.3]
damping = 0.3
curvature_samples = 2
hardware = "bench"
[optimizers.adam]
kind = "adam"
learning_rates = [0.03]
[[grid]]
"hardware.array.bits" = [10, 2]
[[grid]]
"hardware.variation.array_resistor.stuck_open" = [0.0, 0.01]
"""
)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resilience")
    (folder / "small.toml").write_text(TEXT)
    training = load_training(folder / "small.toml")
    run.run(training, run.prepare(training, None), folder, None, lambda latest: None, 1)
    with closing(open_existing(folder)) as store:
        said = write_reports(store)
        history = store.history()
    return folder, said, history


def test_a_run_of_a_grid_says_what_its_optimizers_bear(reported):
    folder, said, history = reported
    assert said[0].startswith("Array bits: tngd ")
    assert "; digital " in said[0]
    assert said[1].startswith("Array resistor stuck open: tngd ")
    assert not any("adam" in sentence for sentence in said[:2])
    page = (folder / "report.html").read_text()
    assert said[0].split(";")[0] in page
    assert "Noise resilience" in page
    assert {path.name for path in folder.glob("resilience*")} == {
        *("resilience.csv", "resilience-0.png", "resilience-1.png"),
    }
    rows = list(csv.DictReader((folder / "resilience.csv").open()))
    assert len(rows) == 8
    summary = json.loads((folder / "summary.json").read_text())["resilience"]
    assert [(one["field"], one["optimizer"], len(one["levels"])) for one in summary] == [
        (field, name, 2)
        for field in ("hardware.array.bits", "hardware.variation.array_resistor.stuck_open")
        for name in ("tngd", "digital")
    ]
    # Every number can be found again in the history: here the mean of a level, and how often λ was raised there.
    coarse = [step for step in history if (step.point, step.optimizer) == (1, "tngd")]
    assert len(coarse) == 2 * 2 * 3
    last = [step.score for step in coarse if step.step == 2]
    level = next(row for row in rows if (row["optimizer"], row["level"]) == ("tngd", "2"))
    assert float(level["score"]) == pytest.approx(np.mean(last))
    assert float(level["raised_damping"]) == pytest.approx(np.mean([step.doublings > 0 for step in coarse]))
    assert level["trials"] == "4"


def test_trials_that_fail_in_their_first_step_are_counted(reported):
    """They have no step in the history: of two seeds one is left, or none."""
    folder, _, _ = reported
    with closing(open_existing(folder)) as store:
        history, config = store.history(), store.claimed()["experiment"]
    point = next(p for p in config["points"] if p["setting"]["hardware.array.bits"] == 2)["trained_at"]["digital"]
    for seeds in ([1], [0, 1]):
        failures = {Trial(point, "digital", 0.3, seed): Failure(0, "no") for seed in seeds}
        left = [step for step in history if step.trial not in failures]
        found, _ = bearings(left, config, failures)
        (one,) = (one for one in found if (one.field, one.optimizer) == ("hardware.array.bits", "digital"))
        assert [(level.failed, level.trials) for level in one.levels] == [(0, 2), (len(seeds), 2)]
        assert one.by_score.level == 1


def test_the_shipped_study_moves_one_error_at_a_time_from_none():
    training = load_training("resilience")
    assert [len(values) for grid in training.grids for values in grid.values()] == [6, 6, 6, 6]
    # The four undisturbed points are one.
    first = [at["tngd"] for at in training.trained_at]
    assert [first[k] for k in (0, 6, 12, 18)] == [0, 0, 0, 0]
    assert {at["adam"] for at in training.trained_at} == {0}
    trials = run.trials(training)
    assert len(trials) == 5 * (21 * 5 + 1)


def test_fields_that_move_apart_have_panels_of_their_own():
    settings = [{"a.x": 1}, {"a.x": 2}, {"hardware.b": "3 %"}, {"hardware.b": "4 %"}, {"hardware.b": "5 %"}]
    reached = {"tngd": [{"mean": 0.1 * (k + 1), "standard_error": 0.01} for k in range(5)]}
    figure, _ = GRID.draw(Across(Measure("accuracy", "%", "higher"), settings, reached, {"tngd": "k"}))
    panels = figure.axes
    assert [panel.get_xlabel() for panel in panels] == ["a x", "b"]
    assert [[tick.get_text() for tick in panel.get_xticklabels()] for panel in panels] == [
        ["1", "2"],
        ["3 %", "4 %", "5 %"],
    ]
    drawn = [panel.containers[0].lines[0].get_ydata() for panel in panels]
    assert [list(y) for y in drawn] == [pytest.approx([10, 20]), pytest.approx([30, 40, 50])]

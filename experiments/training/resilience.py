"""How much of a disturbance each optimizer bears: along one axis of a grid, from its first value on, which is none."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, isinf, nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from experiments.shared.grid import axis_name, value_text
from experiments.training.devices import disturbs
from experiments.training.store import Failure, Step, Trial
from experiments.training.summary import Result, of_seeds, results, shares
from experiments.training.task import Measure

Array = NDArray[np.float64]

POINT = 0.01
"""Of a score that is a share: who loses that much is hurt."""
SHARE = 0.1
"""Of a loss, or of a score that is no share: who is so much worse is hurt."""
DRAWS = 2000
"""Of the seeds, with replacement, for the interval of the level at which it starts to hurt."""


@dataclass(frozen=True)
class Level:
    """An optimizer at one level of a disturbance, after training.

    Args:
        value: what the grid sets.
        scores, losses: of each seed, means over its copies, of the test and of the validation samples; infinite where a
            trial failed.
        raised: share of the steps whose matrix the device could not hold, so that λ was doubled; None: nothing is
            programmed.
        failed: trials that diverged or whose solve failed.
        trials: how many were begun.
    """

    value: Any
    scores: Mapping[int, float]
    losses: Mapping[int, float]
    raised: float | None
    failed: int
    trials: int


@dataclass(frozen=True)
class Onset:
    """Where it starts to hurt: numbers of levels; one beyond the last: nowhere.

    Args:
        level: the first at which the mean over seeds is worse by the margin than without disturbance.
        earliest, latest: the 95 % interval of that, by drawing seeds.
    """

    level: int
    earliest: int
    latest: int


@dataclass(frozen=True)
class Bearing:
    """What one optimizer bears of one disturbance.

    Args:
        field: that is disturbed, its dotted name.
        score: what the scores are.
        copies: of the device, that each seed has.
    """

    field: str
    optimizer: str
    score: Measure
    copies: int
    levels: tuple[Level, ...]

    @cached_property
    def lost(self) -> Array:
        """Of the score, against the first level: (levels, seeds); infinite where a trial failed."""
        return harms([level.scores for level in self.levels], -1.0 if self.score.better == "higher" else 1.0)

    @cached_property
    def by_score(self) -> Onset:
        return onset(self.lost, POINT if self.score.unit == "%" else SHARE * _mean(self.levels[0].scores))

    @cached_property
    def by_loss(self) -> Onset:
        values = [level.losses for level in self.levels]
        return onset(harms(values, 1.0), SHARE * _mean(values[0]))


def bearings(
    history: Sequence[Step], config: Mapping[str, Any], failures: Mapping[Trial, Failure]
) -> tuple[list[Bearing], list[Bearing]]:
    """What the optimizers of a grid bear, by disturbance.

    Args:
        config: with its points, as stores keep it.

    Returns:
        Of those that the disturbance reaches; and of those that are the same at all levels.
    """
    points, reached, alike = config["points"], list[Bearing](), list[Bearing]()
    parts = shares(history, points)
    found = [{one.optimizer: one for one in results(own, point)} for own, point in zip(parts, points, strict=True)]
    for field, numbers in axes(config):
        score = Measure(**points[numbers[0]]["score"])
        for name in points[numbers[0]]["optimizers"]:
            trials = [_trials(found[number].get(name), name, points[number], failures) for number in numbers]
            if name not in found[numbers[0]] or not all(trials):
                continue
            levels = tuple(
                _level(points[number], points[number]["setting"][field], own, failures)
                for number, own in zip(numbers, trials, strict=True)
            )
            one = Bearing(field, name, score, found[numbers[0]][name].copies, levels)
            same = len({points[number]["trained_at"][name] for number in numbers}) == 1
            (alike if same else reached).append(one)
    return reached, alike


def axes(config: Mapping[str, Any]) -> Iterator[tuple[str, list[int]]]:
    """The disturbances of a grid: their fields, and the points at which nothing else of the grid is disturbed."""
    for grid in config["grid"]:
        first = {field: values[0] for field, values in grid.items()}
        for field, values in grid.items():
            if disturbs(field) and len(values) > 1:
                wanted = [{**first, field: value} for value in values]
                known = [point["setting"] for point in config["points"]]
                yield field, [known.index(setting) for setting in wanted]


def harms(values: Sequence[Mapping[int, float]], sign: float) -> Array:
    """How much worse each seed is at each level than at the first, (levels, seeds); infinite where it failed.

    Args:
        sign: 1 where larger values are worse, else −1.
    """
    seeds = sorted(set.intersection(*(set(own) for own in values)))
    table = np.array([[own[seed] for seed in seeds] for own in values], dtype=np.float64).reshape(len(values), -1)
    with np.errstate(invalid="ignore"):
        worse = sign * (table - table[0])
    return np.where(np.isfinite(table), worse, inf)


def onset(worse: Array, margin: float) -> Onset:
    """See ``Onset``.

    Args:
        worse: (levels, seeds), at the first level 0.
    """
    levels, seeds = worse.shape
    if not seeds:
        return Onset(levels, levels, levels)
    drawn = np.random.default_rng(0).integers(seeds, size=(DRAWS, seeds))
    found = _first(worse[:, drawn].mean(axis=-1), margin)
    earliest, latest = np.quantile(found, (0.025, 0.975), method="nearest")
    return Onset(int(_first(worse.mean(axis=1)[:, None], margin)[0]), int(earliest), int(latest))


def interval(values: Mapping[int, float] | Sequence[float]) -> tuple[float, float, float]:
    """Mean of seeds with its 95 % interval, Student's; NaN where one is not finite, and the ends of a single one."""
    own = np.array(list(values.values() if isinstance(values, Mapping) else values), dtype=np.float64)
    if not len(own) or not np.isfinite(own).all():
        return nan, nan, nan
    mean = float(own.mean())
    if len(own) == 1:
        return mean, nan, nan
    half = float(student.ppf(0.975, len(own) - 1) * own.std(ddof=1) / sqrt(len(own)))
    return mean, mean - half, mean + half


def sentences(found: Sequence[Bearing]) -> list[str]:
    """The answer for each disturbance: what every optimizer bears of it, and where it starts to hurt."""
    said = []
    for field in dict.fromkeys(one.field for one in found):
        told = [_told(one) for one in found if one.field == field]
        said.append(f"{axis_name(field).capitalize()}: {'; '.join(told)}.")
    return said


def rule(score: Measure) -> str:
    """What hurt means, in words."""
    much = "1 point" if score.unit == "%" else f"{100 * SHARE:g} %"
    return (
        f"It hurts where the mean over seeds loses {much} of test {score.name}, or where the validation loss is "
        f"{100 * SHARE:g} % higher, each against the same seeds without the disturbance; a trial that fails loses all. "
        f"Intervals have 95 %: of means Student's over seeds, of levels from drawing the seeds {DRAWS:,} times."
    )


HEAD = (
    *("disturbance", "optimizer", "bears", "hurts from", "95 % interval", "loss from", "95 % interval"),
    *("λ raised, most", "failed"),
)


def table(found: Sequence[Bearing]) -> list[list[str]]:
    """Rows for the page, under ``HEAD``."""
    rows = []
    for one in found:
        raised = [level.raised for level in one.levels if level.raised is not None]
        failed = sum(level.failed for level in one.levels)
        rows.append(
            [
                axis_name(one.field),
                one.optimizer,
                level_text(one, one.by_score.level - 1),
                *_shown(one, one.by_score),
                *_shown(one, one.by_loss),
                f"{100 * max(raised):.3g} %" if raised else "–",
                f"{failed} of {sum(level.trials for level in one.levels)}",
            ]
        )
    return rows


def entries(found: Sequence[Bearing]) -> list[dict[str, Any]]:
    """For ``summary.json``."""
    return [
        {
            "field": one.field,
            "optimizer": one.optimizer,
            "seeds": len(one.levels[0].scores),
            "copies": one.copies,
            "hurts_from": {"score": _entry(one, one.by_score), "validation_loss": _entry(one, one.by_loss)},
            "levels": [dict(zip(COLUMNS[3:], row[3:], strict=True)) for row in rows([one])],
        }
        for one in found
    ]


COLUMNS = (
    *("field", "optimizer", "number", "level", "score", "score_low", "score_high", "lost_score", "lost_score_low"),
    *("lost_score_high", "loss", "loss_low", "loss_high", "raised_damping", "failed", "trials"),
)


def rows(found: Sequence[Bearing]) -> Iterator[list[Any]]:
    """For ``resilience.csv``, under ``COLUMNS``: every level, with 95 % intervals over seeds."""
    for one in found:
        for number, level in enumerate(one.levels):
            numbers = (*interval(level.scores), *interval(one.lost[number].tolist()), *interval(level.losses))
            shown = [value if isfinite(value) else None for value in numbers]
            start = [one.field, one.optimizer, number, value_text(level.value)]
            yield [*start, *shown, level.raised, level.failed, level.trials]


def level_text(one: Bearing, number: int) -> str:
    """A level as people read it; beyond the last: none."""
    return value_text(one.levels[number].value) if number < len(one.levels) else "none"


def _told(one: Bearing) -> str:
    found, last = one.by_score, len(one.levels)
    if found.level == last:
        doubt = f" (95 % interval: hurt from {level_text(one, found.earliest)})" if found.earliest < last else ""
        return f"{one.optimizer} bears all, to {level_text(one, last - 1)}{doubt}"
    failed = one.levels[found.level].failed
    lost = float(one.lost[found.level].mean())
    points = f"{100 * lost:.1f} points" if one.score.unit == "%" else f"{lost:.3g}"
    what = f"{failed} of {one.levels[found.level].trials} fail" if failed else f"loses {points} there"
    between = f"95 % interval {level_text(one, found.earliest)} to {level_text(one, found.latest)}"
    bears = f"bears {level_text(one, found.level - 1)}, starts to hurt at" if found.level > 1 else "hurts from"
    return f"{one.optimizer} {bears} {level_text(one, found.level)} ({between}) and {what}"


def _shown(one: Bearing, found: Onset) -> tuple[str, str]:
    ends = f"{level_text(one, found.earliest)} … {level_text(one, found.latest)}"
    return level_text(one, found.level), ends if found.earliest != found.latest else level_text(one, found.latest)


def _entry(one: Bearing, found: Onset) -> dict[str, Any]:
    names = {"level": found.level, "earliest": found.earliest, "latest": found.latest}
    last = len(one.levels)
    return {name: one.levels[number].value if number < last else None for name, number in names.items()}


def _trials(
    result: Result | None, name: str, config: Mapping[str, Any], failures: Mapping[Trial, Failure]
) -> dict[Trial, Sequence[Step]]:
    """The trials of an optimizer at a point with their steps, and those that failed before their first."""
    found: dict[Trial, Sequence[Step]] = {} if result is None else dict(result.trials)
    for trial in failures:
        here = (trial.optimizer, trial.point) == (name, config["trained_at"][name])
        if here and (result is None or trial.learning_rate == result.learning_rate):
            found.setdefault(trial, ())
    return found


def _level(
    config: Mapping[str, Any], value: Any, trials: Mapping[Trial, Sequence[Step]], failures: Mapping[Trial, Failure]
) -> Level:
    failed = {trial for trial, own in trials.items() if trial in failures or own[-1].diverged}
    whole = {trial: own[-1] for trial, own in trials.items() if trial not in failed and len(own) == config["steps"]}
    worst = -inf if Measure(**config["score"]).better == "higher" else inf
    scores = {trial: last.score for trial, last in whole.items()} | dict.fromkeys(failed, worst)
    losses = {trial: last.validation_loss for trial, last in whole.items()} | dict.fromkeys(failed, inf)
    solved = [step.doublings > 0 for own in trials.values() for step in own if step.settled_fraction is not None]
    raised = float(np.mean(solved)) if solved else None
    return Level(value, of_seeds(scores), of_seeds(losses), raised, len(failed), len(trials))


def _mean(values: Mapping[int, float]) -> float:
    known = [value for value in values.values() if not isinf(value)]
    return float(np.mean(known)) if known else nan


def _first(means: Array, margin: float) -> NDArray[np.intp]:
    """Number of the first level that is worse by the margin, (draws,), of means (levels, draws)."""
    hurt = means[1:] >= margin
    return np.where(hurt.any(axis=0), hurt.argmax(axis=0) + 1, len(means))

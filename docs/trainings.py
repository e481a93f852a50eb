"""The tables of trainings, from the summaries of their runs."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from docs.markdown import keep, number, percent, result, table
from experiments.shared.grid import axis_name
from experiments.training.report import steps_text
from experiments.training.task import Measure

BATCH = 64
"""Images of a batch of the config `cells`."""


def take_resilience(source: Path, target: Path) -> None:
    """What a grid's optimizers bear, of all that a summary holds."""
    keep(target, json.loads(source.read_text(encoding="utf-8"))["resilience"])


def take_points(source: Path, target: Path) -> None:
    """What each point of a grid reached, of all that a summary holds."""
    points = json.loads(source.read_text(encoding="utf-8"))["points"]
    wanted = ("seeds", "final_score", "validation_loss_of_each_learning_rate", "median_relative_solve_error")
    kept = [
        {
            "setting": point["setting"],
            "score": point["score"],
            "steps": point["steps"],
            "optimizers": {
                name: {field: found[field] for field in wanted} for name, found in point["optimizers"].items()
            },
        }
        for point in points
    ]
    keep(target, kept)


def digits() -> str:
    """Scores of the demonstration."""
    summary = result("digits.json")
    score = Measure(**summary["score"])

    def rows() -> Iterator[Sequence[str]]:
        for name, found in summary["optimizers"].items():
            error, seeds = found["median_relative_solve_error"], len(found["seeds"])
            yield (
                f"`{name}`",
                *(steps_text(own, seeds) for own in found["steps_to"].values()),
                score.text(found["final_score"]["mean"], found["final_score"]["standard_error"]),
                str(seeds),
                str(found["solves"] or "–"),
                "–" if error is None else percent(error),
            )

    targets = [f"steps to a loss of {target}" for target in next(iter(summary["optimizers"].values()))["steps_to"]]
    head = ("optimizer", *targets, f"test {score.name}", "seeds", "linear solves", "median error of the solves")
    return table(head, rows())


def tasks() -> str:
    """Scores of the shipped trainings of other tasks than digits."""

    def rows() -> Iterator[Sequence[str]]:
        for name in ("fashion", "poisson", "regression", "characters"):
            summary = result(f"{name}.json")
            score = Measure(**summary["score"])
            for optimizer, found in summary["optimizers"].items():
                error, seeds = found["median_relative_solve_error"], len(found["seeds"])
                mean, deviation = map(score.shown, found["final_score"].values())
                reached = f"{mean:.3g} ± {number(deviation)}"
                yield (
                    f"`{name}`: {score.title}",
                    f"`{optimizer}`",
                    reached,
                    f"{found['learning_rate']:g}",
                    str(seeds),
                    "–" if error is None else f"{number(100 * error)} %",
                )

    head = ("config: test score", "optimizer", "reached", "learning rate", "seeds", "median error of the solves")
    return table(head, rows())


def resilience() -> str:
    """From which level on each disturbance of the study hurts."""

    def rows() -> Iterator[Sequence[str]]:
        for one in result("resilience.json"):
            levels = one["levels"]
            score, loss = (_hurts(one["hurts_from"][name]) for name in ("score", "validation_loss"))
            raised = [level["raised_damping"] for level in levels if level["raised_damping"] is not None]
            failed, trials = (sum(level[name] for level in levels) for name in ("failed", "trials"))
            most = f"{percent(max(raised), 0)}" if raised else "–"
            yield axis_name(one["field"]), f"`{one['optimizer']}`", *score, *loss, most, f"{failed} of {trials}"

    head = ("disturbance", "optimizer", "hurts from", "95 % interval", "loss from", "95 % interval", "λ raised, most")
    return table((*head, "failed"), rows())


def _hurts(found: dict[str, Any]) -> tuple[str, str]:
    """The level from which it hurts, and its interval."""
    level, earliest, latest = (
        "none" if found[name] is None else str(found[name]) for name in ("level", "earliest", "latest")
    )
    return level, earliest if earliest == latest else f"{earliest} … {latest}"


def cells() -> str:
    """Score and loss by the number of cells."""

    def rows() -> Iterator[Sequence[str]]:
        shown = set()
        for point in result("cells.json"):
            images = point["setting"].get("optimizers.tngd.curvature_samples", BATCH)
            labels = point["setting"].get("optimizers.tngd.draws", 1)
            if (images, labels) in shown:  # without a change in either table of the grid
                continue
            shown.add((images, labels))
            (found,) = point["optimizers"].values()
            (loss,) = found["validation_loss_of_each_learning_rate"].values()
            mean, deviation = map(Measure(**point["score"]).shown, found["final_score"].values())
            error = number(100 * found["median_relative_solve_error"])
            count = [str(each) for each in (images * labels, images, labels)]
            yield *count, f"{loss:.3f}", f"{mean:.1f} ± {number(deviation)}", f"{error} %"

    head = ("cells", "images", "labels each", "validation loss", "test accuracy (%)", "median error of the solves")
    return table(head, iter(sorted(rows(), key=lambda row: int(row[0]))))

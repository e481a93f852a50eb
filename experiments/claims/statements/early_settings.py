"""Settings of optimizers on digits, as many of each, and which of them do best on tuning seeds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from experiments.claims.claim import Row
from experiments.claims.given import Given
from experiments.claims.statements.digits import experiment_of, last_step, trainings
from experiments.claims.statements.reached import field_of, reached, targets_of
from experiments.claims.statements.tuning import FORGOTTEN, Cost, Range, settings, tuned

NATURAL, ADAM, MUON, MOMENTUM = "NGD with memory, exact", "Adam", "Muon", "SGD with momentum"
RIVALS = (ADAM, MUON, MOMENTUM)
Setting = dict[str, Any]
SEARCHED: dict[str, Setting] = {
    NATURAL: {
        "kind": "ngd",
        "curvature": "sampled fisher",
        "learning_rates": [Range(0.03, 3.0)],
        "damping": Range(0.03, 3.0),
        "memory": FORGOTTEN,
    },
    ADAM: {
        "kind": "adam",
        "learning_rates": [Range(0.003, 0.3)],
        "betas": [FORGOTTEN, Range(0.001, 0.1, forgotten=True)],
    },
    MUON: {"kind": "muon", "learning_rates": [Range(0.005, 0.5)], "momentum": FORGOTTEN},
    MOMENTUM: {"kind": "sgd", "learning_rates": [Range(0.03, 3.0)], "momentum": FORGOTTEN},
}
"""Tables of optimizers."""


@dataclass(frozen=True)
class Tuning:
    """Trainings of a network on digits, to choose settings by.

    Args:
        count: settings of each optimizer.
        targets: training losses, the steps to which are counted.
        kind: of the network.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    steps: int = 100
    targets: tuple[float, ...] = (0.3, 0.1)
    count: int = 64
    batch: int = 64
    hidden: int = 32
    kind: str = "mlp"


QUICK = Tuning(seeds=(0,), steps=60, targets=(0.5,), count=4)


def trained(tuning: Tuning, name: str, setting: Setting, seeds: Sequence[int], part: str) -> Iterator[Row]:
    """A row for each seed: steps to the targets, None where one is not reached, and the loss of the validation samples
    at the end, None where the training broke off."""
    experiment = experiment_of(setting, seeds, tuning.steps, tuning.hidden, tuning.batch, kind=tuning.kind)
    for seed, chunk in trainings(experiment):
        row: dict[str, Any] = {"optimizer": name, "part": part, "settings": told_of(setting), "seed": seed}
        row |= reached(tuning.targets, [step.loss for step in chunk.steps])
        last = last_step(chunk, tuning.steps)
        yield row | {
            "all_steps": tuning.steps,
            "validation_loss": last.validation_loss if last else None,
            "score": last.score if last else None,
            "doublings": sum(step.doublings for step in chunk.steps),
            "error": str(chunk.error or ""),
        }


def told_of(setting: Setting) -> str:
    """A setting in words."""
    (rate,) = setting["learning_rates"]
    rest = [f"{field} {setting[field]}" for field in ("damping", "memory", "betas", "momentum") if field in setting]
    return ", ".join([f"rate {rate:g}", *rest])


def steps_needed(row: Row) -> float:
    """In the mean over the targets; one that is not reached counts as one more than all."""
    return fmean(row[field_of(target)] or row["all_steps"] + 1 for target in targets_of([row]))


def loss_at_the_end(row: Row) -> float | None:
    """Of the validation samples; None where the training broke off."""
    loss: float | None = row["validation_loss"]
    return loss


def chosen(tuning: Tuning, given: Given, name: str, costs: Sequence[Cost]) -> tuple[list[Row], list[Setting]]:
    """Rows of all settings of an optimizer on the tuning seeds, and the best setting, for each cost."""
    tried = [
        (setting, given.kept(trained, tuning, name, setting, tuning.seeds, "tuning"))
        for setting in settings(SEARCHED[name], tuning.count)
    ]
    return [row for _, rows in tried for row in rows], [tuned(tried, cost)[1] for cost in costs]

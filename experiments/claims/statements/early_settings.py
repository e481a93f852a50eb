"""Settings of optimizers on digits, the same number of each, and which of them do best on tuning seeds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf
from typing import Any

import numpy as np

from experiments.claims.claim import Row, Rows, column
from experiments.claims.given import Given
from experiments.claims.statements.digits import experiment_of, last_step, trainings
from experiments.claims.statements.reached import mean_steps, reached
from experiments.claims.statements.tuning import tuned

NATURAL, ADAM, MUON, MOMENTUM = "NGD with memory, exact", "Adam", "Muon", "SGD with momentum"
RIVALS = (ADAM, MUON, MOMENTUM)
Setting = dict[str, Any]


@dataclass(frozen=True)
class Tuning:
    """What is tried on tuning seeds: each pair of an optimizer's two lists is a setting of it.

    Args:
        rates, dampings: of natural gradients.
        targets: training losses, the steps to which are counted.
        memory: of natural gradients, in every setting.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    steps: int = 100
    targets: tuple[float, ...] = (0.3, 0.1)
    rates: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8, 1.6)
    dampings: tuple[float, ...] = (0.1, 0.3, 1.0)
    adam_rates: tuple[float, ...] = (0.01, 0.02, 0.04, 0.08, 0.16)
    adam_betas: tuple[float, ...] = (0.8, 0.9, 0.95)
    muon_rates: tuple[float, ...] = (0.02, 0.04, 0.08, 0.16, 0.32)
    muon_momenta: tuple[float, ...] = (0.8, 0.9, 0.95)
    sgd_rates: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8, 1.6)
    sgd_momenta: tuple[float, ...] = (0.6, 0.8, 0.9)
    memory: float = 0.9
    batch: int = 64
    hidden: int = 32


QUICK = Tuning(
    seeds=(0,),
    steps=60,
    targets=(0.5,),
    rates=(0.1, 0.2),
    dampings=(0.3,),
    adam_rates=(0.01, 0.03),
    adam_betas=(0.9,),
    muon_rates=(0.02, 0.04),
    muon_momenta=(0.9,),
    sgd_rates=(0.2, 0.4),
    sgd_momenta=(0.8,),
)


def settings_of(tuning: Tuning) -> dict[str, list[Setting]]:
    """What is tried of each optimizer."""
    natural = {"kind": "ngd", "memory": tuning.memory, "curvature": "sampled fisher"}
    return {
        NATURAL: [
            {**natural, "learning_rates": [rate], "damping": damping}
            for damping, rate in product(tuning.dampings, tuning.rates)
        ],
        ADAM: [
            {"kind": "adam", "learning_rates": [rate], "betas": [beta, 0.999]}
            for beta, rate in product(tuning.adam_betas, tuning.adam_rates)
        ],
        MUON: [
            {"kind": "muon", "learning_rates": [rate], "momentum": momentum}
            for momentum, rate in product(tuning.muon_momenta, tuning.muon_rates)
        ],
        MOMENTUM: [
            {"kind": "sgd", "learning_rates": [rate], "momentum": momentum}
            for momentum, rate in product(tuning.sgd_momenta, tuning.sgd_rates)
        ],
    }


def trained(tuning: Tuning, name: str, setting: Setting, seeds: Sequence[int], part: str) -> Iterator[Row]:
    """A row for each seed: steps to the targets, None where one is not reached, and the loss of the validation samples
    at the end, None where the training broke off."""
    experiment = experiment_of(setting, seeds, tuning.steps, tuning.hidden, tuning.batch)
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
    tuned_too = [f"{field} {setting[field]}" for field in ("damping", "betas", "momentum") if field in setting]
    return ", ".join([f"rate {rate:g}", *tuned_too])


def steps_needed(rows: Rows) -> float:
    """In the mean over the targets."""
    return mean_steps(rows, rows[0]["all_steps"])


def loss_at_the_end(rows: Rows) -> float:
    """Of the validation samples, in the mean; infinite where a training broke off."""
    return float(np.mean(np.nan_to_num(column(rows, "validation_loss"), nan=inf)))


def chosen(
    tuning: Tuning, given: Given, name: str, costs: Sequence[Callable[[Rows], float]]
) -> tuple[list[Row], list[Setting]]:
    """Rows of all settings of an optimizer on the tuning seeds, and the setting of least cost, for each cost."""
    tried = [
        (setting, given.kept(trained, tuning, name, setting, tuning.seeds, "tuning"))
        for setting in settings_of(tuning)[name]
    ]
    return [row for _, rows in tried for row in rows], [tuned(tried, cost)[1] for cost in costs]

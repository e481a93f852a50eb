"""Whether natural gradients with a memory, on as many cells as a batch has samples, are ahead of tuned Adam."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from experiments.claims.claim import FRESH, Claim, Row, Rows, column, grouped
from experiments.claims.rules import Condition
from experiments.claims.statements.digits import experiment_of, trainings
from experiments.claims.statements.reached import drawn, field_of, mean_steps, reached, targets_of
from experiments.claims.statements.tuning import tuned
from experiments.shared.figures import FigureEntry
from experiments.training.summary import SMOOTH

SPRING, ADAM, CIRCUIT = "NGD with memory, exact", "Adam", "NGD with memory, bench"


@dataclass(frozen=True)
class Protocol:
    """Trainings on digits: settings are chosen on the tuning seeds, verdicts come from the others.

    Args:
        seeds: of the verdict.
        tuning: seeds that choose.
        rates, dampings: of natural gradients; each pair is one setting.
        adam_rates, adam_betas: as many settings of Adam.
        targets: training losses.
    """

    seeds: tuple[int, ...]
    tuning: tuple[int, ...]
    steps: int
    rates: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8, 1.6)
    dampings: tuple[float, ...] = (0.1, 0.3, 1.0)
    adam_rates: tuple[float, ...] = (0.01, 0.02, 0.04, 0.08, 0.16)
    adam_betas: tuple[float, ...] = (0.8, 0.9, 0.95)
    targets: tuple[float, ...] = (0.3, 0.1)
    memory: float = 0.9
    batch: int = 64
    hidden: int = 32


Setting = dict[str, Any]


def _settings(protocol: Protocol) -> dict[str, list[Setting]]:
    """What is tried of each optimizer: the same number."""
    curved = {"memory": protocol.memory, "curvature": "sampled fisher"}
    natural = [
        {"kind": "ngd", "learning_rates": [rate], "damping": damping, **curved}
        for damping, rate in product(protocol.dampings, protocol.rates)
    ]
    adam = [
        {"kind": "adam", "learning_rates": [rate], "betas": [beta, 0.999]}
        for beta, rate in product(protocol.adam_betas, protocol.adam_rates)
    ]
    return {SPRING: natural, ADAM: adam}


def _measure(protocol: Protocol) -> Rows:
    found: list[Row] = []
    chosen: dict[str, Setting] = {}
    for name, settings in _settings(protocol).items():
        rows, chosen[name] = tuned(
            ((setting, _trained(protocol, name, setting, protocol.tuning, "tuning")) for setting in settings),
            lambda rows: mean_steps(rows, protocol.steps),
        )
        found += rows
    device = {"hardware": "bench", "engine": "network", "mapping": "dual"}
    chosen[CIRCUIT] = {**chosen[SPRING], "kind": "tngd", **device}
    for name, setting in chosen.items():
        found += _trained(protocol, name, setting, protocol.seeds, "verdict")
    return found


def _trained(protocol: Protocol, name: str, setting: Setting, seeds: Sequence[int], part: str) -> Iterator[Row]:
    """A row for each seed: steps to the targets, and the loss of the validation samples at the end."""
    (rate,) = setting["learning_rates"]
    told = ", ".join(f"{field} {setting[field]}" for field in ("damping", "betas") if field in setting)
    experiment = experiment_of(setting, seeds, protocol.steps, protocol.hidden, protocol.batch)
    for seed, chunk in trainings(experiment):
        row: dict[str, Any] = {"optimizer": name, "part": part, "rate": rate, "settings": told, "seed": seed}
        row |= reached(protocol.targets, [step.loss for step in chunk.steps])
        whole = len(chunk.steps) == protocol.steps and chunk.error is None
        last = chunk.steps[-1] if whole else None
        yield row | {
            "validation_loss": last.validation_loss if last else None,
            "score": last.score if last else None,
            "doublings": sum(step.doublings for step in chunk.steps),
            "error": str(chunk.error or ""),
        }


def _conditions(rows: Rows) -> list[Condition]:
    judged = grouped([row for row in rows if row["part"] == "verdict"], "optimizer")
    points = {field_of(target): f"steps to {target}" for target in targets_of(rows)}
    points["validation_loss"] = "validation loss at the end"
    return [
        Condition(
            name,
            point,
            tuple(np.subtract(column(judged[name,], field), column(judged[ADAM,], field)).tolist()),
            0.0,
            "below",
        )
        for name in (SPRING, CIRCUIT)
        for field, point in points.items()
    ]


def _finding(rows: Rows) -> str:
    told = []
    for (name,), own in grouped([row for row in rows if row["part"] == "verdict"], "optimizer").items():
        steps = ", ".join(f"{np.mean(column(own, field_of(target))):.1f} to {target}" for target in targets_of(own))
        loss, score = (float(np.mean(column(own, field))) for field in ("validation_loss", "score"))
        raised = f", λ doubled {sum(row['doublings'] for row in own)} times" if name == CIRCUIT else ""
        best = f"rate {own[0]['rate']:g}, {own[0]['settings']}"
        told.append(f"{name} ({best}): {steps} steps, validation loss {loss:.3f}, test {100 * score:.1f} %{raised}")
    return f"Means over seeds. {'; '.join(told)}."


CLAIM = Claim(
    name="early-lead",
    statement="Natural gradients with a memory and a sampled Fisher matrix, on 64 cells, reach training losses of 0.3 "
    "and 0.1 in fewer steps than tuned Adam, and end lower.",
    source="method of arXiv 2401.10190 (SPRING); that TNGD beats Adam is the claim of arXiv 2405.13817",
    method="Digits, a network of 2,410 parameters, batches of 64, constant rates. The same number of settings of both "
    "is tried on tuning seeds; the fewest steps to all targets choose. On other seeds: Adam, exact solves, and the "
    f"bench circuit at rest with the settings of the exact ones. Training loss: mean of {SMOOTH} batches.",
    rule="The difference from Adam lies below 0 in the mean over seeds, paired: of the steps to each loss, and of the "
    "validation loss at the end, exact and on the circuit. A target that is not reached makes its condition fail.",
    full=Protocol(FRESH[50:60], (0, 1, 2, 3, 4), 100),
    quick=Protocol((3, 4, 5), (0,), 60, (0.1, 0.2), (0.3,), (0.01, 0.03), (0.9,), (0.5,)),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry("early-lead", "Steps to a training loss", "Geometric means over seeds, 95 % intervals.", drawn),
)

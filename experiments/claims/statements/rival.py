"""How many fewer steps a convolutional network takes on a circuit than with first-order optimizers."""

from dataclasses import dataclass

import numpy as np

from experiments.claims.claim import FRESH, Claim, Row, Rows, column, grouped
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.early_settings import (
    ADAM,
    MOMENTUM,
    NATURAL,
    Tuning,
    chosen,
    steps_needed,
    trained,
)
from experiments.claims.statements.reached import drawn, field_of, targets_of
from experiments.shared.figures import FigureEntry
from experiments.training.summary import SMOOTH

CIRCUIT = "natural gradients, bench"
LEFT = {MOMENTUM: 1 - 0.26, ADAM: 1 - 0.61}
"""Share of the first-order optimizer's epochs that the rival's circuit takes."""
DEVICE = {"kind": "tngd", "hardware": "bench", "engine": "network", "mapping": "dual"}


@dataclass(frozen=True)
class Protocol:
    """Trainings of a convolutional network on digits: settings are chosen on the tuning seeds, the others judge.

    Args:
        seeds: of the verdict.
    """

    seeds: tuple[int, ...]
    tuning: Tuning


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    for name in (NATURAL, *LEFT):
        rows, (setting,) = chosen(protocol.tuning, given, name, [steps_needed])
        judged = (CIRCUIT, {**setting, **DEVICE}) if name == NATURAL else (name, setting)
        found += [*rows, *given.kept(trained, protocol.tuning, *judged, protocol.seeds, "verdict")]
    return found


def _conditions(rows: Rows) -> list[Condition]:
    judged = grouped([row for row in rows if row["part"] == "verdict"], "optimizer")
    return [
        Condition(
            f"beside {name}",
            f"to a loss of {target}",
            tuple(np.divide(column(judged[CIRCUIT,], field_of(target)), _counted(judged[name,], target)).tolist()),
            left,
            "below",
            logarithmic=True,
        )
        for name, left in LEFT.items()
        for target in targets_of(rows)
    ]


def _counted(rows: Rows, target: str) -> tuple[float, ...]:
    """Steps of a first-order optimizer; all of the training where it does not reach the loss, which is too few."""
    return tuple(float(row["all_steps"] if row[field_of(target)] is None else row[field_of(target)]) for row in rows)


def _finding(rows: Rows) -> str:
    told = []
    for (name,), own in grouped([row for row in rows if row["part"] == "verdict"], "optimizer").items():
        steps = ", ".join(f"{np.mean(column(own, field_of(target))):.1f} to {target}" for target in targets_of(rows))
        score = 100 * float(np.mean(column(own, "score")))
        told.append(f"{name} ({own[0]['settings']}): {steps} steps, test {score:.1f} %")
    ratios = []
    for condition in _conditions(rows):
        if condition.failed:
            ratios.append(f"{condition.group} {condition.point}: not reached by all")
        else:
            mean, low, high = (100 * (1 - value) for value in condition.interval)
            ratios.append(f"{condition.group} {condition.point}: {mean:.0f} % fewer ({high:.0f} to {low:.0f} %)")
    return f"Means over seeds. {'; '.join(told)}. {'; '.join(ratios)}."


CLAIM = Claim(
    name="rival",
    statement="Second-order training on analog circuits takes 26 % fewer epochs than SGD with momentum, and 61 % fewer "
    "than Adam.",
    source="arXiv 2512.05342, with resistive memory, a convolutional network of two layers, and handwritten letters",
    method="Digits in the place of letters; a network of one convolution and two dense layers; batches of 64, constant "
    "rates. Natural gradients with a memory and a sampled Fisher matrix, 64 cells. The settings of early-lead, 64 of "
    "each optimizer, are tried on tuning seeds, of natural gradients by exact solves; the fewest steps to both losses "
    f"choose. On other seeds the bench circuit solves, at rest. Training loss: mean of {SMOOTH} batches.",
    rule="The steps over those of the first-order optimizer are below 0.74, and 0.39, in the geometric mean over "
    "seeds, paired, for each loss. A loss that the circuit does not reach makes its condition fail; a "
    "rival that does not reach it counts with all steps.",
    full=Protocol(FRESH[410:440], Tuning((0, 1, 2, 3, 4, 5), 150, kind="cnn")),
    quick=Protocol((3, 4, 5), Tuning((0,), 60, (0.5,), 2, kind="cnn")),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry("rival", "Steps to a training loss", "Geometric means over seeds, 95 % intervals.", drawn),
)

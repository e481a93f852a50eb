"""How many fewer steps a convolutional network takes on a circuit than with first-order optimizers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from experiments.claims.claim import FRESH, Claim, Row, Rows, column, grouped
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.digits import experiment_of, trainings
from experiments.claims.statements.reached import drawn, field_of, mean_steps, reached, targets_of
from experiments.claims.statements.tuning import tuned
from experiments.shared.figures import FigureEntry
from experiments.training.summary import SMOOTH

CIRCUIT, MOMENTUM, ADAM = "natural gradients, bench", "SGD with momentum", "Adam"
LEFT = {MOMENTUM: 1 - 0.26, ADAM: 1 - 0.61}
"""Share of the first-order optimizer's epochs that the rival's circuit takes."""
DEVICE = {"kind": "tngd", "hardware": "bench", "engine": "network", "mapping": "dual"}
Setting = dict[str, Any]


@dataclass(frozen=True)
class Protocol:
    """Trainings of a convolutional network on digits: settings are chosen on the tuning seeds, the others judge.

    Args:
        rates, dampings: of natural gradients; each pair is one setting.
        sgd_rates, momenta, adam_rates, betas: as many of SGD with momentum and of Adam.
        targets: training losses.
    """

    seeds: tuple[int, ...]
    tuning: tuple[int, ...]
    steps: int = 150
    rates: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8)
    dampings: tuple[float, ...] = (0.1, 0.3, 1.0)
    sgd_rates: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    momenta: tuple[float, ...] = (0.6, 0.8, 0.9)
    adam_rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    betas: tuple[float, ...] = (0.6, 0.8, 0.9)
    targets: tuple[float, ...] = (0.3, 0.1)
    batch: int = 64


def _settings(protocol: Protocol) -> dict[str, list[Setting]]:
    """What is tried of each optimizer: the same number. Natural gradients are tuned by exact solves."""
    curved = {"kind": "ngd", "memory": 0.9, "curvature": "sampled fisher"}
    return {
        CIRCUIT: [
            {**curved, "learning_rates": [rate], "damping": damping}
            for damping, rate in product(protocol.dampings, protocol.rates)
        ],
        MOMENTUM: [
            {"kind": "sgd", "learning_rates": [rate], "momentum": momentum}
            for momentum, rate in product(protocol.momenta, protocol.sgd_rates)
        ],
        ADAM: [
            {"kind": "adam", "learning_rates": [rate], "betas": [beta, 0.999]}
            for beta, rate in product(protocol.betas, protocol.adam_rates)
        ],
    }


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    for name, settings in _settings(protocol).items():
        rows, chosen = tuned(
            (
                (setting, given.kept(_trained, protocol, name, setting, protocol.tuning, "tuning"))
                for setting in settings
            ),
            lambda rows: mean_steps(rows, protocol.steps),
        )
        found += rows
        judged = {**chosen, **DEVICE} if name == CIRCUIT else chosen
        found += given.kept(_trained, protocol, name, judged, protocol.seeds, "verdict")
    return found


def _trained(protocol: Protocol, name: str, setting: Setting, seeds: Sequence[int], part: str) -> Iterator[Row]:
    """A row for each seed: steps to the targets, None where one is not reached."""
    told = ", ".join(f"{field} {setting[field]}" for field in ("damping", "momentum", "betas") if field in setting)
    experiment = experiment_of(setting, seeds, protocol.steps, batch=protocol.batch, kind="cnn")
    for seed, chunk in trainings(experiment):
        yield {
            "optimizer": name,
            "part": part,
            "rate": setting["learning_rates"][0],
            "settings": told,
            "seed": seed,
            **reached(protocol.targets, [step.loss for step in chunk.steps]),
            "steps": protocol.steps,
            "score": chunk.steps[-1].score if chunk.steps else None,
            "raised": sum(step.doublings > 0 for step in chunk.steps),
            "error": str(chunk.error or ""),
        }


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
    return tuple(float(row["steps"] if row[field_of(target)] is None else row[field_of(target)]) for row in rows)


def _finding(rows: Rows) -> str:
    told = []
    for (name,), own in grouped([row for row in rows if row["part"] == "verdict"], "optimizer").items():
        steps = ", ".join(f"{np.mean(column(own, field_of(target))):.1f} to {target}" for target in targets_of(rows))
        score = 100 * float(np.mean(column(own, "score")))
        told.append(f"{name} (rate {own[0]['rate']:g}, {own[0]['settings']}): {steps} steps, test {score:.1f} %")
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
    "rates. Natural gradients with a memory and a sampled Fisher matrix, 64 cells. The same number of settings of each "
    "optimizer is tried on tuning seeds, of natural gradients by exact solves; the fewest steps to both losses choose. "
    f"On other seeds the bench circuit solves, at rest. Training loss: mean of {SMOOTH} batches.",
    rule="The steps over those of the first-order optimizer are below 0.74, and 0.39, in the geometric mean over "
    "seeds, paired, for each loss. A loss that the circuit does not reach makes its condition fail; a "
    "rival that does not reach it counts with all steps.",
    full=Protocol(FRESH[100:130], (0, 1, 2)),
    quick=Protocol((3, 4, 5), (0,), 60, (0.2, 0.4), (0.3,), (0.1, 0.3), (0.9,), (0.01, 0.03), (0.9,), (0.5,)),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry("rival", "Steps to a training loss", "Geometric means over seeds, 95 % intervals.", drawn),
)

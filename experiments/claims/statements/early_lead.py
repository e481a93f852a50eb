"""Whether natural gradients with a memory, on as many cells as a batch has samples, are ahead of tuned rivals."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import FRESH, Claim, Row, Rows, column, grouped
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.early_settings import (
    NATURAL,
    QUICK,
    RIVALS,
    SEARCHED,
    Tuning,
    chosen,
    loss_at_the_end,
    steps_needed,
    trained,
)
from experiments.claims.statements.reached import drawn, field_of, targets_of
from experiments.claims.statements.tuning import Cost, rank
from experiments.shared.figures import FigureEntry
from experiments.training.summary import SMOOTH

STEPS, END = "steps", "end"
COSTS: dict[str, Cost] = {STEPS: steps_needed, END: loss_at_the_end}
"""What is asked, and what chooses the settings that answer it."""


@dataclass(frozen=True)
class Protocol:
    """Trainings on digits: settings are chosen on the tuning seeds, verdicts come from the others.

    Args:
        seeds: of the verdict.
        devices: presets whose circuits train with the settings of exact solves.
    """

    seeds: tuple[int, ...]
    tuning: Tuning
    devices: tuple[str, ...] = ("paper", "bench", "rram")


def circuit(device: str) -> str:
    """What natural gradients of a preset's circuit are called."""
    return f"NGD with memory, {device}"


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    for name in SEARCHED:
        rows, best = chosen(protocol.tuning, given, name, list(COSTS.values()))
        found += rows
        for asked, setting in zip(COSTS, best, strict=True):
            judged: dict[str, dict[str, Any]] = {name: setting}
            if name == NATURAL:
                engine = {"kind": "tngd", "engine": "network", "mapping": "dual"}
                judged |= {circuit(device): {**setting, **engine, "hardware": device} for device in protocol.devices}
            for own, table in judged.items():
                verdicts = given.kept(trained, protocol.tuning, own, table, protocol.seeds, "verdict")
                found += [{**row, "asked": asked} for row in verdicts]
    return found


def _judged(rows: Rows, asked: str) -> dict[str, list[Row]]:
    """Of the verdict's seeds, by optimizer, those with the settings that answer this."""
    own = [row for row in rows if row["part"] == "verdict" and row["asked"] == asked]
    return {name: some for (name,), some in grouped(own, "optimizer").items()}


def best_rival(rows: Rows, asked: str) -> str:
    """The first-order optimizer that does best on the tuning seeds, by what chose its setting."""
    tried = grouped([row for row in rows if row["part"] == "tuning"], "optimizer", "settings")
    ranks = {key: rank(own, COSTS[asked]) for key, own in tried.items() if key[0] in RIVALS}
    return str(min(ranks, key=lambda key: ranks[key])[0])


def _conditions(rows: Rows) -> list[Condition]:
    fields = {STEPS: {field_of(target): f"steps to {target}" for target in targets_of(rows)}}
    fields[END] = {"validation_loss": "validation loss at the end"}
    found = []
    for asked, points in fields.items():
        judged, rival = _judged(rows, asked), best_rival(rows, asked)
        for name, own in judged.items():
            if name in RIVALS:
                continue
            for field, point in points.items():
                values = _apart(own, judged[rival], field)
                found.append(Condition(name, f"{point}, beside {rival}", values, 0.0, "below"))
    return found


def _apart(rows: Rows, rivals: Rows, field: str) -> tuple[float, ...]:
    """Less those of a rival, which counts with all its steps where it does not reach a loss, and with no end where it
    breaks off."""
    theirs = [row["all_steps"] if row[field] is None and field != "validation_loss" else row[field] for row in rivals]
    pairs = zip(column(rows, field), theirs, strict=True)
    found = tuple(own - float(other) for own, other in pairs if other is not None)
    return found if len(found) > 1 else (np.nan, np.nan)


def _finding(rows: Rows) -> str:
    told = []
    early, late = _judged(rows, STEPS), _judged(rows, END)
    for name, own in early.items():
        steps = ", ".join(f"{np.mean(column(own, field_of(target))):.1f} to {target}" for target in targets_of(own))
        loss, score = (float(np.mean(column(late[name], field))) for field in ("validation_loss", "score"))
        raised = sum(row["doublings"] for row in [*own, *late[name]])
        doubled = f", λ doubled {raised} times" if raised else ""
        told.append(
            f"{name}: {steps} steps ({own[0]['settings']}), validation loss {loss:.3f}, test {100 * score:.1f} % "
            f"({late[name][0]['settings']}){doubled}"
        )
    return f"Means over seeds, nan where one did not get there. {'; '.join(told)}."


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    return drawn([row for row in rows if row["part"] == "verdict" and row["asked"] == STEPS])


CLAIM = Claim(
    name="early-lead",
    statement="Natural gradients with a memory and a sampled Fisher matrix, on 64 cells, reach training losses of 0.3 "
    "and 0.1 in fewer steps than the best of tuned Adam, Muon and SGD with momentum, and end lower.",
    source="method of arXiv 2401.10190 (SPRING); that TNGD beats Adam is the claim of arXiv 2405.13817",
    method="Digits, a network of 2,410 parameters, batches of 64, constant rates. Of each optimizer 64 settings are "
    "tried on tuning seeds, points of Sobol's sequence in its learning rate and all else that it has: the fewest steps "
    "to both losses choose those that steps are judged by, the least validation loss at the end those that ends are. "
    "On other seeds: all of them, and the circuits of three presets at rest with the settings of the exact solves. "
    f"Training loss: mean of {SMOOTH} batches.",
    rule="The difference from the rival that does best on the tuning seeds lies below 0 in the mean over seeds, "
    "paired: of the steps to each loss, and of the validation loss at the end, exact and on each circuit. A loss that "
    "is not reached, or a training that breaks off, makes its condition fail; a rival that does not reach a loss "
    "counts with all steps, and seeds in which it breaks off have no end.",
    full=Protocol(FRESH[312:322], Tuning()),
    quick=Protocol((3, 4, 5), QUICK, ("bench",)),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry("early-lead", "Steps to a training loss", "Geometric means over seeds, 95 % intervals.", _draw),
)

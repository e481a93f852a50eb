"""Whether trainings that relax for 50 τ end as low as with exact natural gradients, each with its own learning rate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import FRESH, Claim, Row, Rows, column, grouped
from experiments.claims.figures import curves
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.devices import ENGINE, IDEAL
from experiments.claims.statements.digits import STANDARD, trained
from experiments.claims.statements.early_settings import loss_at_the_end
from experiments.claims.statements.tuning import Range, settings, tuned
from experiments.shared.figures import FigureEntry

MARGIN = 1.1
"""Times the validation loss of exact NGD that is near it."""
RATES = Range(0.005, 3.0)
CLAIMED = 50.0
"""τ by which TNGD is near NGD."""
EXACT = "exact NGD"
Table = dict[str, Any]


@dataclass(frozen=True)
class Protocol:
    """Trainings on digits. Each time, and exact NGD, has its own learning rate, chosen on the tuning seeds.

    Args:
        seeds: of the verdict.
        tuning: seeds that choose.
        count: of learning rates, the same for all.
        times: of a relaxation from a cold start, τ.
        cases: mapping and λ.
        circuits: presets that train in the dual mapping, with the rates of the ideal equation.
    """

    seeds: tuple[int, ...]
    tuning: tuple[int, ...]
    steps: int = 100
    count: int = 16
    times: tuple[float, ...] = (0.5, 1.0, 5.0, CLAIMED)
    cases: tuple[tuple[str, float], ...] = (("primal", 0.01), ("dual", 0.5))
    circuits: tuple[str, ...] = ("bench",)


class Way(NamedTuple):
    """What is trained: mapping and λ in words, what solves, and for how many τ."""

    case: str
    device: str
    time: float


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    for mapping, damping in protocol.cases:
        case = f"{mapping}, λ = {damping:g}"
        common: Table = {**STANDARD, "damping": damping, "learning_rates": [RATES]}
        rows, _ = _chosen(protocol, given, Way(case, EXACT, inf), {**common, "kind": "ngd"})
        found += rows
        for time in protocol.times:
            relaxed = {**common, "kind": "tngd", "mapping": mapping, "analog_time": time, "hardware": "none"}
            rows, setting = _chosen(protocol, given, Way(case, IDEAL, time), relaxed)
            found += rows
            for circuit in protocol.circuits if mapping == "dual" else ():
                table = {**setting, "hardware": circuit, **ENGINE}
                found += given.kept(_trained, protocol, Way(case, circuit, time), table, protocol.seeds, "verdict")
    return found


def _chosen(protocol: Protocol, given: Given, way: Way, table: Table) -> tuple[list[Row], Table]:
    """Rows of the tuning seeds at every rate and of the verdict's at the best, and its setting."""
    rows, best = tuned(
        (
            (setting, given.kept(_trained, protocol, way, setting, protocol.tuning, "tuning"))
            for setting in settings(table, protocol.count)
        ),
        loss_at_the_end,
    )
    return [*rows, *given.kept(_trained, protocol, way, best, protocol.seeds, "verdict")], best


def _trained(protocol: Protocol, way: Way, setting: Table, seeds: Sequence[int], part: str) -> Iterator[Row]:
    """A row for each seed: what it ends at."""
    (rate,) = setting["learning_rates"]
    told = {"case": way.case, "device": way.device, "time_tau": str(way.time), "rate": rate, "part": part}
    for row in trained(setting, seeds, protocol.steps):
        yield told | row


def _ratios(rows: Rows) -> dict[tuple[str, str, float], tuple[float, ...]]:
    """Validation losses at the end over those of exact NGD, by case, device and time; without seeds in which exact NGD
    breaks off."""
    judged = grouped([row for row in rows if row["part"] == "verdict"], "case", "device", "time_tau")
    found = {}
    for (case, device, time), own in judged.items():
        if device == EXACT:
            continue
        exact = column(judged[case, EXACT, str(inf)], "validation_loss")
        pairs = zip(column(own, "validation_loss"), exact, strict=True)
        values = tuple(loss / best for loss, best in pairs if np.isfinite(best))
        found[case, device, float(time)] = values if len(values) > 1 else (np.nan, np.nan)
    return found


def _compared(rows: Rows) -> dict[tuple[str, str, float], Condition]:
    """Every time beside exact NGD."""
    return {
        (case, device, time): Condition(f"{device}, {case}", f"{time:g} τ", values, MARGIN, "below", logarithmic=True)
        for (case, device, time), values in _ratios(rows).items()
    }


def _conditions(rows: Rows) -> list[Condition]:
    return [condition for (_, _, time), condition in _compared(rows).items() if time == CLAIMED]


def _finding(rows: Rows) -> str:
    judged = grouped([row for row in rows if row["part"] == "verdict"], "case", "device", "time_tau")
    told = []
    for (case, device, time), own in judged.items():
        if device == EXACT:
            loss, score = (float(np.mean(column(own, field))) for field in ("validation_loss", "score"))
            told.append(f"exact NGD, {case} ends at {loss:.3f}, test {100 * score:.1f} % (rate {own[0]['rate']:g})")
            continue
        condition = _compared(rows)[case, device, float(time)]
        mean, low, high = condition.interval
        times = f"{mean:.2f} times that ({low:.2f} to {high:.2f})"
        ends = f"broke off in {condition.failed} of {len(condition.values)} seeds" if condition.failed else times
        told.append(f"{condition.group} after {condition.point} {ends}, rate {own[0]['rate']:g}")
    return f"Validation losses at the end, geometric means over seeds of what they are to exact NGD: {'; '.join(told)}."


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    shown = [
        {"case": f"{device}, {case}", "time": time, "ratio": value}
        for (case, device, time), values in _ratios(rows).items()
        for value in values
    ]
    return curves(
        *(shown, "case", "time", "ratio", MARGIN),
        xlabel="time (τ)",
        ylabel="validation loss over that of exact NGD",
        xscale="log",
    )


CLAIM = Claim(
    name="near-ngd",
    statement="Trainings that relax for 50 τ in every step end near exact natural gradients, each with its own "
    "learning rate.",
    source="arXiv 2405.13817, sweep of t = 5, 10, 20, 50 τ at one learning rate and λ = 0.01",
    method="Digits, a network of 2,410 parameters, 72 cells, cold starts without noise: in the parameters at the "
    "paper's λ = 0.01, and dual at λ = 0.5, on the ideal equation. Exact NGD at the same λ. Each time and exact NGD "
    "has its own learning rate, of the same 16, chosen by the validation loss on tuning seeds. On other seeds the "
    "bench circuit, too, with its noise and the dual rates. Times below 50 τ are shown, and are no conditions.",
    rule=f"The validation loss at the end, after 50 τ in every step, is below {MARGIN:g} times that of exact NGD in "
    "the geometric mean over seeds, paired, for each mapping and device. A training that breaks off makes its "
    "condition fail; seeds in which exact NGD itself does count for nothing.",
    full=Protocol(FRESH[332:342], (0, 1, 2)),
    quick=Protocol((3, 4), (0,), 30, 4, (0.5, CLAIMED), (("dual", 0.5),)),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry("near-ngd", "How near NGD", "Geometric means over seeds, 95 % intervals.", _draw),
)

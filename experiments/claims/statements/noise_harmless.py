"""Which noise does no harm, at which learning rate and time: on the ideal equation, and on a circuit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import FRESH, Claim, Row, Rows, grouped
from experiments.claims.figures import PALETTE
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.devices import ENGINE, IDEAL
from experiments.claims.statements.digits import STANDARD, experiment_of, in_points, last_step, lost, trainings
from experiments.shared.figures import FigureEntry

MARGIN = 0.01
"""Of the test accuracy: one point."""
HARMLESS = 0.01
"""κ₀ that is claimed to do no harm, as all below it."""
REFERENCE = 0.01
"""V: noise that the circuit's voltages are known by."""
STROKES = ("-", "--", ":")
Table = dict[str, Any]
PRIMAL, DUAL, CIRCUIT = f"primal, {IDEAL}", f"dual, {IDEAL}", "dual, bench"
CASES: dict[str, Table] = {
    PRIMAL: {"mapping": "primal", "hardware": "none"},
    DUAL: {"mapping": "dual", "hardware": "none"},
    CIRCUIT: {"mapping": "dual", "hardware": "bench", **ENGINE},
}


@dataclass(frozen=True)
class Grid:
    """Times (τ) and κ₀ of one case, and how many of the seeds it takes."""

    case: str
    times: tuple[float, ...]
    noises: tuple[float, ...]
    seeds: int


@dataclass(frozen=True)
class Protocol:
    """Trainings on digits with every learning rate, time and κ₀.

    Args:
        tuning: seeds that say which volts are a κ₀.
    """

    seeds: tuple[int, ...]
    tuning: tuple[int, ...]
    grids: tuple[Grid, ...]
    steps: int = 100
    rates: tuple[float, ...] = (0.01, 0.1, 0.5)


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    for grid in protocol.grids:
        for rate, time in product(protocol.rates, grid.times):
            volts = 0.0
            if grid.case == CIRCUIT:
                rows = given.kept(_trained, protocol.steps, grid.case, rate, time, REFERENCE, protocol.tuning)
                volts = REFERENCE / float(np.sqrt(np.median([row["middle"] for row in rows])))
            for noise in (0.0, *grid.noises):
                added = noise**0.5 * volts if grid.case == CIRCUIT else noise
                rows = given.kept(_trained, protocol.steps, grid.case, rate, time, added, protocol.seeds[: grid.seeds])
                found += [{**row, "noise": noise} for row in rows]
    return found


def _trained(steps: int, case: str, rate: float, time: float, added: float, seeds: Sequence[int]) -> Iterator[Row]:
    """A row for each seed: test accuracy at the end, None where the training fails, and κ₀ of its steps.

    Args:
        added: κ₀, or on a circuit its root in volts.
    """
    optimizer: Table = {**STANDARD, **CASES[case], "kind": "tngd", "learning_rates": [rate], "analog_time": time}
    hardware = {"noise": {"injected": f"{added!r} V"}} if case == CIRCUIT else None
    if case != CIRCUIT:
        optimizer["injected_noise"] = added
    for seed, chunk in trainings(experiment_of(optimizer, seeds, steps, hardware=hardware)):
        last = last_step(chunk, steps)
        noises = [step.injected_noise for step in chunk.steps if step.injected_noise is not None]
        least, middle, most = np.percentile(noises, (10, 50, 90)).tolist() if noises else (None, None, None)
        yield {
            "case": case,
            "rate": rate,
            "time_tau": time,
            "volts": added if case == CIRCUIT else None,
            "least": least,
            "middle": middle,
            "most": most,
            "seed": seed,
            "score": last.score if last else None,
            "failure": str(chunk.error or ""),
        }


def _losses(rows: Rows) -> dict[tuple[str, float, float, float], tuple[float, ...]]:
    """What each seed loses by the noise: by case, rate, time and κ₀."""
    groups = grouped(rows, "case", "rate", "time_tau", "noise")
    return {key: lost(own, groups[*key[:3], 0.0]) for key, own in groups.items() if key[3] > 0}


def _conditions(rows: Rows) -> list[Condition]:
    return [
        Condition(f"{case}, η = {rate:g}", f"t = {time:g} τ, κ₀ = {noise:g}", values, MARGIN, "below")
        for (case, rate, time, noise), values in _losses(rows).items()
        if noise <= HARMLESS
    ]


def _finding(rows: Rows) -> str:
    told: dict[str, dict[str, dict[str, str]]] = {}
    for (case, rate, time, noise), values in _losses(rows).items():
        place = f"η = {rate:g}, t = {time:g} τ"
        told.setdefault(case, {}).setdefault(place, {})[f"{noise:g}"] = in_points(values)
    groups = ". ".join(
        f"{case.capitalize()}, κ₀ = {', '.join(next(iter(places.values())))}: "
        + "; ".join(f"{place}: {', '.join(points.values())}" for place, points in places.items())
        for case, places in told.items()
    )
    return f"Points of test accuracy that are lost, mean over seeds. {groups}.{_voltages(rows)}"


def _voltages(rows: Rows) -> str:
    """Which noise of the circuit the largest κ₀ of the claim is."""
    own = [row for row in rows if row["case"] == CIRCUIT and row["noise"] == HARMLESS and row["middle"]]
    if not own:
        return ""
    volts = [row["volts"] for row in own]
    least, middle, most = (float(np.median([row[field] for row in own])) for field in ("least", "middle", "most"))
    return (
        f" On the circuit κ₀ = {HARMLESS:g} is a noise of {min(volts):.1f} to {max(volts):.1f} V, where the range is "
        f"10 V. It keeps its volts, not its κ₀: with it four of five steps have κ₀ of {least:.2g} to {most:.2g}, the "
        f"middle one {middle:.2g}."
    )


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    losses = _losses(rows)
    if not losses:
        return None
    cases, rates, times = (list(dict.fromkeys(key[part] for key in losses)) for part in range(3))
    figure = Figure(figsize=(3.6 * len(cases) + 1.5, 4.2), layout="constrained")
    panels, told = figure.subplots(1, len(cases), sharex=True, sharey=True, squeeze=False)[0], []
    for panel, case in zip(panels, cases, strict=True):
        for k, (rate, time) in enumerate(product(rates, times)):
            points = {key[3]: values for key, values in losses.items() if key[:3] == (case, rate, time)}
            # Side by side, so that intervals do not hide each other.
            places = [noise * 1.06 ** (k - len(rates) * len(times) / 2) for noise in points]
            found = np.array([Condition("", "", own, MARGIN, "below").interval for own in points.values()])
            if not len(found):
                continue
            mean, low, high = 100 * found.T
            panel.errorbar(
                places, mean, [mean - low, high - mean], marker="o", ms=4, capsize=2,
                ls=STROKES[times.index(time) % len(STROKES)], color=PALETTE[rates.index(rate) % len(PALETTE)],
                label=f"η = {rate:g}, t = {time:g} τ",
            )  # fmt: skip
            told.append(f"{case}, η = {rate:g}, t = {time:g} τ: {mean[0]:.3g} to {mean[-1]:.3g}")
        panel.axhline(100 * MARGIN, color="k", lw=1, ls="--")
        panel.set(title=case, xlabel="κ₀", xscale="log", yscale="symlog")
    panels[0].set(ylabel="points of test accuracy lost")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure, f"Points of test accuracy lost against κ₀. {'; '.join(told)}"


CLAIM = Claim(
    name="noise-harmless",
    statement="Noise of κ₀ ≤ 0.01 has no visible effect on training.",
    source="arXiv 2405.13817, appendix E: at t = τ and its learning rate of 0.01",
    method="Digits, a network of 2,410 parameters, λ = 0.5, with and without noise on the same seeds, for several "
    "learning rates and times: by the ideal equation in the parameters, and in the dual mapping with 72 cells, by the "
    "ideal equation and the bench circuit. κ₀ is in units of what the cells hold. A circuit's noise is in volts, and "
    "the scale of its voltages follows the solution; the volts are those that are κ₀ in the middle step of trainings "
    "without it, on tuning seeds. Read with 10 MHz, the circuit has about 6 times the variance of the ideal law.",
    rule=f"Less than {100 * MARGIN:g} point of test accuracy is lost against the same seeds without noise, in the mean "
    f"over seeds, for each mapping, device, learning rate, time and κ₀ up to {HARMLESS:g}. A training that fails makes "
    "its condition fail.",
    full=Protocol(
        FRESH[245:293],
        (0, 1, 2),
        (
            Grid(PRIMAL, (1.0, 5.0, 50.0), (0.001, 0.01, 0.1), 48),
            Grid(DUAL, (1.0, 50.0), (0.0001, 0.001, 0.01), 16),
            Grid(CIRCUIT, (1.0, 50.0), (0.0001, 0.001, 0.01), 16),
        ),
    ),
    quick=Protocol(
        (0, 1, 2),
        (0,),
        (Grid(PRIMAL, (1.0,), (0.01, 0.1), 3), Grid(DUAL, (1.0,), (0.01,), 2), Grid(CIRCUIT, (1.0,), (0.01,), 2)),
        40,
        (0.01, 0.5),
    ),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry("noise-harmless", "What noise costs", "Means over seeds, with 95 % intervals.", _draw),
)

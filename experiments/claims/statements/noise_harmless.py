"""Which noise of the ideal device does no harm, at which learning rate and time."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import FRESH, Claim, Row, Rows, grouped
from experiments.claims.figures import curves
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.digits import STANDARD, lost, trained
from experiments.shared.figures import FigureEntry

MARGIN = 0.01
"""Of the test accuracy: one point."""
HARMLESS = 0.01
"""κ₀ that is claimed to do no harm, as all below it."""


@dataclass(frozen=True)
class Protocol:
    """Trainings on digits by the ideal equation, primal, with every learning rate, time (τ) and κ₀."""

    seeds: tuple[int, ...]
    steps: int = 100
    rates: tuple[float, ...] = (0.01, 0.1, 0.5)
    times: tuple[float, ...] = (1.0, 5.0, 50.0)
    noises: tuple[float, ...] = (0.001, 0.01, 0.1)


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    for rate, time, noise in product(protocol.rates, protocol.times, (0.0, *protocol.noises)):
        optimizer: dict[str, Any] = {
            **STANDARD,
            "kind": "tngd",
            "learning_rates": [rate],
            "hardware": "none",
            "mapping": "primal",
            "analog_time": time,
            "injected_noise": noise,
        }
        point = {"rate": rate, "time_tau": time, "noise": noise}
        found += [{**point, **row} for row in given.kept(trained, optimizer, protocol.seeds, protocol.steps)]
    return found


def _losses(rows: Rows) -> dict[tuple[float, float, float], tuple[float, ...]]:
    """What each seed loses by the noise: by rate, time and κ₀."""
    groups = grouped(rows, "rate", "time_tau", "noise")
    return {key: lost(own, groups[*key[:2], 0.0]) for key, own in groups.items() if key[2] > 0}


def _conditions(rows: Rows) -> list[Condition]:
    return [
        Condition(f"η = {rate:g}", f"t = {time:g} τ, κ₀ = {noise:g}", values, MARGIN, "below")
        for (rate, time, noise), values in _losses(rows).items()
        if noise <= HARMLESS
    ]


def _finding(rows: Rows) -> str:
    told = [
        f"η = {rate:g}, t = {time:g} τ, κ₀ = {noise:g}: {100 * np.mean(values):.1f}"
        for (rate, time, noise), values in _losses(rows).items()
        if noise >= HARMLESS
    ]
    return f"Points of test accuracy that are lost, mean over seeds: {'; '.join(told)}."


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    shown = [
        {"case": f"η = {rate:g}, t = {time:g} τ", "noise": noise, "points": 100 * value}
        for (rate, time, noise), values in _losses(rows).items()
        for value in values
    ]
    return curves(
        *(shown, "case", "noise", "points"),
        100 * MARGIN,
        logarithmic=False,
        xlabel="κ₀",
        ylabel="points of test accuracy lost",
        xscale="log",
        yscale="symlog",
    )


CLAIM = Claim(
    name="noise-harmless",
    statement="Noise of κ₀ ≤ 0.01 has no visible effect on training.",
    source="arXiv 2405.13817, appendix E: at t = τ and its learning rate of 0.01",
    method="Digits, a network of 2,410 parameters, λ = 0.5, the ideal equation in the parameters, with and without "
    "noise on the same seeds, for several learning rates and times.",
    rule=f"Less than {100 * MARGIN:g} point of test accuracy is lost against the same seeds without noise, in the mean "
    f"over seeds, for each learning rate, time and κ₀ up to {HARMLESS:g}. A training that fails makes its condition "
    "fail.",
    full=Protocol(FRESH[100:150]),
    quick=Protocol((0, 1, 2), 40, (0.01, 0.5), (1.0,), (0.01, 0.1)),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry("noise-harmless", "What noise costs", "Means over seeds, with 95 % intervals.", _draw),
)

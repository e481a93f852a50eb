"""Relaxing from the gradient leads from the gradient to the natural gradient, by the exponential law."""

from dataclasses import dataclass
from itertools import product
from math import inf
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.linalg import expm

from experiments.claims.claim import FRESH, Claim, Row, Rows, column, grouped
from experiments.claims.figures import curves
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.devices import IDEAL, NO_SOLUTION, distance, solver_named
from experiments.shared.figures import FigureEntry
from experiments.shared.systems import ggn_system
from optim.mapping import solve_mapped

MARGIN = 0.05
"""Distance to the law, of its length, that is as good as none."""


@dataclass(frozen=True)
class Protocol:
    """Systems of N parameters and K rows, each solved on every device for every time (in τ)."""

    seeds: tuple[int, ...]
    devices: tuple[str, ...] = (IDEAL, "paper", "bench", "rram")
    times: tuple[float, ...] = (0.0, 0.5, 2.0, 10.0, 50.0, inf)
    rows: int = 6
    parameters: int = 12
    dampings: tuple[float, ...] = (1.0, 0.2)


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    for seed, damping in product(protocol.seeds, protocol.dampings):
        system = ggn_system(protocol.rows, protocol.parameters, damping, seed)
        F, gradient = system.primal().A, system.gradient
        natural = np.linalg.solve(F, gradient)
        for time in protocol.times:
            law = natural + (expm(-F * time) @ (gradient - natural) if time < inf else 0.0)
            for device in protocol.devices:
                row: dict[str, Any] = {"device": device, "damping": damping, "time_tau": str(time), "seed": seed}
                try:
                    value = solve_mapped(solver_named(device), system, "primal", time, seed=seed).value
                except NO_SOLUTION as error:
                    found.append(row | {"off_law": None, "off_natural": None, "refused": str(error)})
                    continue
                off = {"off_law": distance(value, law), "off_natural": distance(value, natural)}
                found.append(row | off | {"refused": ""})
    return found


def _conditions(rows: Rows) -> list[Condition]:
    return [
        Condition(f"{device}, λ = {damping:g}", f"{float(time):g} τ", column(own, "off_law"), MARGIN, "below")
        for (device, damping, time), own in grouped(rows, "device", "damping", "time_tau").items()
    ]


def _finding(rows: Rows) -> str:
    told = []
    for (device, damping), own in grouped(rows, "device", "damping").items():
        values = [value for value in column(own, "off_law") if np.isfinite(value)]
        refused = len(own) - len(values)
        worst = f"{100 * max(values):.2g} %" if values else "none"
        told.append(f"{device} at λ = {damping:g} {worst}" + (f" ({refused} of {len(own)} refused)" if refused else ""))
    return f"Largest distance to the law of any seed and time: {', '.join(told)}."


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    moving = [row for row in rows if float(row["time_tau"]) < inf]
    shown = [
        {**row, "time_tau": float(row["time_tau"]), "case": f"{row['device']}, λ = {row['damping']:g}"}
        for row in moving
    ]
    return curves(
        *(shown, "case", "time_tau", "off_natural"),
        xlabel="time (τ)",
        ylabel="distance to the natural gradient",
        xscale="symlog",
        yscale="log",
    )


CLAIM = Claim(
    name="interpolation",
    statement="With the gradient as initial state, t = 0 gives the gradient, t → ∞ the natural gradient, and any t "
    "between them e^{−Ft} (g − F⁻¹g) + F⁻¹g.",
    source="arXiv 2405.13817, section 3",
    method="Random Gauss-Newton systems, primal mapping, on the ideal equation and on circuits with their "
    "noise, amplifiers in transients by their tangents at rest.",
    rule=f"The mean over seeds of ‖g̃ − law‖ / ‖law‖ lies below {100 * MARGIN:g} %, for each device, λ and time.",
    full=Protocol(FRESH[:10]),
    quick=Protocol(tuple(range(4))),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry(
        "interpolation", "From gradient to natural gradient", "Means over seeds, with 95 % intervals.", _draw
    ),
)

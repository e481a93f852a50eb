"""What a warm start keeps of the old state where the batch has no curvature."""

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import FRESH, Claim, Row, Rows, grouped
from experiments.claims.figures import curves
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.devices import IDEAL, NO_SOLUTION, solver_named
from experiments.shared.figures import FigureEntry
from experiments.shared.systems import ggn_system
from optim.mapping import solve_mapped

MARGIN = 0.1
"""Of the rate: how far from λ it may be."""
FAINTEST = 0.02
"""Share of the old state below which it is not told from noise and codes."""


@dataclass(frozen=True)
class Protocol:
    """Systems of N parameters and K < N rows; the state before is random."""

    seeds: tuple[int, ...]
    devices: tuple[str, ...] = (IDEAL, "paper", "bench", "rram")
    dampings: tuple[float, ...] = (1.0, 0.3, 0.1, 0.03)
    exponents: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    rows: int = 6
    parameters: int = 12


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    for seed in protocol.seeds:
        old = np.random.default_rng([seed, 1]).normal(size=protocol.parameters)
        for damping in protocol.dampings:
            system = ggn_system(protocol.rows, protocol.parameters, damping, seed)
            beyond = np.linalg.svd(system.B)[2][protocol.rows :]
            kept = beyond @ old
            for device in protocol.devices:
                solver = solver_named(device)
                for exponent in protocol.exponents:
                    row: dict[str, Any] = {"device": device, "damping": damping, "seed": seed, "lambda_t": exponent}
                    # Half the difference of two starts: what the gradient adds is the same in both.
                    try:
                        ends = [
                            solve_mapped(solver, system, "primal", exponent / damping, sign * old, seed).value
                            for sign in (1.0, -1.0)
                        ]
                    except NO_SOLUTION as error:
                        found.append(row | {"share": None, "refused": str(error)})
                        continue
                    share = float(kept @ beyond @ (ends[0] - ends[1]) / 2 / (kept @ kept))
                    found.append(row | {"share": share, "refused": ""})
    return found


def _rate(rows: Rows) -> float:
    """Slope of −log(share) in λt through the origin, less 1, by least squares; NaN where too little is left."""
    points = [(row["lambda_t"], row["share"]) for row in rows if row["share"] is not None]
    if len(points) < len(rows) or not all(share > FAINTEST for _, share in points):
        return float("nan")
    return sum(x * -log(share) for x, share in points) / sum(x * x for x, _ in points) - 1


def _conditions(rows: Rows) -> list[Condition]:
    return [
        Condition(
            device,
            f"λ = {damping:g}",
            tuple(_rate(one) for one in grouped(own, "seed").values()),
            MARGIN,
            "within",
        )
        for (device, damping), own in grouped(rows, "device", "damping").items()
    ]


def _finding(rows: Rows) -> str:
    told = []
    for condition in _conditions(rows):
        mean, low, high = (1 + value for value in condition.interval)
        if condition.failed:
            told.append(f"{condition.group}, {condition.point}: no rate in {condition.failed} seeds")
        else:
            told.append(f"{condition.group}, {condition.point}: {mean:.3f} ({low:.3f} to {high:.3f})")
    return f"Rate over λ: {'; '.join(told)}."


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    shown = [{**row, "case": f"{row['device']}, λ = {row['damping']:g}"} for row in rows if row["damping"] <= 0.1]
    return curves(
        *(shown, "case", "lambda_t", "share"),
        xlabel="λt",
        ylabel="share of the old state",
        yscale="log",
    )


CLAIM = Claim(
    name="residual-state",
    statement="With a warm start, the part of the old state in the null space of the batch decays as e^{−λt}.",
    source="prediction from the law of arXiv 2405.13817; it is how residual state and delay act as momentum",
    method="Random Gauss-Newton systems with fewer rows than parameters; each is relaxed from a random state and from "
    "its negative, and half the difference is projected onto the null space, for several λt.",
    rule=f"The rate, a slope through the origin of −log share in λt, is within {100 * MARGIN:g} % of λ in the mean "
    "over seeds, for each device and λ. A share that is not above "
    f"{FAINTEST:g} has no rate, and then the condition fails.",
    full=Protocol(FRESH[:10]),
    quick=Protocol(tuple(range(3)), dampings=(1.0, 0.1)),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry(
        "residual-state", "What is left of the old state", "Small λ; means over seeds, with 95 % intervals.", _draw
    ),
)

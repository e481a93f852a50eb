"""How many bits each solve of an iterative refinement wins, and until which condition number."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import FRESH, Claim, Row, Rows, column, grouped
from experiments.claims.figures import curves
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.devices import NO_SOLUTION
from experiments.shared.figures import FigureEntry
from experiments.shared.systems import spd_system
from netlists.device import program_array
from solvers.network import Network
from solvers.precision.refined import Refined
from solvers.spu import Spu
from spu_circuit.hardware import Hardware, load_hardware
from spu_circuit.problem import LinearSystem

BITS = 2.4
"""24 bits in ten solves."""
TOLERANCE = 2.0**-24


@dataclass(frozen=True)
class Protocol:
    """Systems of each condition number, refined on each device."""

    seeds: tuple[int, ...]
    devices: tuple[str, ...] = ("paper", "bench", "rram")
    conditions: tuple[float, ...] = (1.5, 3.0, 10.0, 100.0, 1000.0)
    cells: int = 16
    solves: int = 24


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    for device in protocol.devices:
        hardware = load_hardware(device)
        solver = Refined(Spu(hardware, Network()), protocol.solves - 1, TOLERANCE)
        for condition in protocol.conditions:
            for seed in protocol.seeds:
                system = spd_system(protocol.cells, condition, seed)
                row: dict[str, Any] = {"device": device, "condition": condition, "seed": seed}
                try:
                    refinement = solver.solve(system).refinement
                    law = -float(np.log2(_radius(hardware, system)))
                except NO_SOLUTION as error:
                    lost = {"bits_per_solve": None, "law": None, "solves": None, "outcome": f"refused: {error}"}
                    found.append(row | lost)
                    continue
                assert refinement is not None
                residuals = refinement.residuals
                count = int(np.argmin(residuals)) + 1
                won = -float(np.log2(residuals[count - 1])) / count
                found.append(row | {"bits_per_solve": won, "law": law, "solves": count, "outcome": refinement.outcome})
    return found


def _radius(hardware: Hardware, system: LinearSystem) -> float:
    """Spectral radius of I − M A, with the inverse M of the matrix that the resistors hold."""
    array = program_array(system, hardware)
    wanted = array.scaling[:, None] * system.A * array.scaling
    return float(np.abs(np.linalg.eigvals(np.eye(len(wanted)) - np.linalg.solve(array.matrix, wanted))).max())


def _conditions(rows: Rows) -> list[Condition]:
    return [
        Condition(device, f"condition {condition:g}", column(own, "bits_per_solve"), BITS, "above")
        for (device, condition), own in grouped(rows, "device", "condition").items()
    ]


def _finding(rows: Rows) -> str:
    told = []
    for condition, own in zip(_conditions(rows), grouped(rows, "device", "condition").values(), strict=True):
        reached = sum(row["outcome"] == "converged" for row in own)
        law = np.median([row["law"] for row in own if row["law"] is not None] or [np.nan])
        name = f"{condition.group} at {condition.point}"
        if condition.failed == len(own):
            told.append(f"{name} refused")
            continue
        bits = np.nanmedian(column(own, "bits_per_solve"))
        told.append(f"{name} {bits:.1f} (law {law:.1f}, {reached} of {len(own)} reach 24 bits)")
    return f"Bits a solve, medians: {'; '.join(told)}."


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    return curves(
        *(rows, "device", "condition", "bits_per_solve", BITS),
        logarithmic=False,
        xlabel="condition number",
        ylabel="bits won in each solve",
        xscale="log",
    )


CLAIM = Claim(
    name="refinement",
    statement="Iterative refinement reaches 24 bits in ten solves or fewer, also with eight levels.",
    source="Zuo et al., Nature Electronics 2025: 8 levels in 0.5 to 35 µS, 16×16, 24 bits in 9 to 10 iterations",
    method="Random symmetric positive definite systems of 16 cells by condition number, refined with a digital "
    "residual in double precision, at most 24 solves; beside them the law −log₂ ρ(I − MA) of the programmed matrix.",
    rule=f"The mean over seeds of the bits of the residual that a solve wins is {BITS:g} or more, for each device and "
    "condition number. A system that a device cannot hold makes the condition fail.",
    full=Protocol(FRESH[:10]),
    quick=Protocol(tuple(range(3)), conditions=(1.5, 10.0, 1000.0)),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry(
        "refinement", "Bits by condition number", "Means over seeds with 95 % intervals; dashed: ten solves.", _draw
    ),
)

"""Averages over programs whose levels are drawn: what is left is the square of the error of one program."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import Claim, Row, Rows, grouped
from experiments.claims.figures import curves
from experiments.claims.rules import Condition
from experiments.shared.figures import FigureEntry
from experiments.shared.systems import spd_system
from solvers.ideal import IdealLaw
from solvers.spu import Spu
from spu_circuit.hardware import Hardware, load_hardware
from spu_circuit.problem import LinearSystems

MARGIN = 0.3
"""How far from 2 the exponent may be."""


@dataclass(frozen=True)
class Protocol:
    """Systems whose matrix is programmed many times for each number of bits. Nothing but the levels is coarse."""

    seeds: tuple[int, ...]
    programs: int
    levels: tuple[str, ...] = ("paper", "bench", "rram")
    bits: tuple[int, ...] = (3, 4, 5, 6)
    cells: int = 8
    condition: float = 4.0


def _hardware(name: str, bits: int) -> Hardware:
    """Ideal but for levels like a preset's. The paper's lowest level is one step, whatever the step."""
    ideal, array = load_hardware("ideal"), load_hardware(name).array
    lowest = {"G_min": array.G_max / (2**bits - 1)} if name == "paper" else {}
    return ideal.model_copy(update={"array": array.model_copy(update={"bits": bits, **lowest})})


def _measure(protocol: Protocol) -> list[Row]:
    found = []
    count = protocol.programs
    for seed in protocol.seeds:
        system = spd_system(protocol.cells, protocol.condition, seed)
        exact = np.linalg.solve(system.A, system.b)
        stack = LinearSystems(np.tile(system.A, (count, 1, 1)), np.tile(system.b, (count, 1)))
        seeds = [seed * count + k for k in range(count)]
        for name in protocol.levels:
            for bits in protocol.bits:
                spu = Spu(_hardware(name, bits), IdealLaw(), rounding="stochastic")
                away = (spu.solve_batch(stack, seeds=seeds).values - exact) / np.linalg.norm(exact)
                # What chance adds to the square of the mean is known from the spread of the programs.
                chance = float(away.var(axis=0, ddof=1).sum()) / count
                square = float((away.mean(axis=0) ** 2).sum()) - chance
                one = float(np.sqrt((away**2).sum(axis=1).mean()))
                row: dict[str, Any] = {"levels": name, "bits": bits, "seed": seed, "error_of_one": one}
                left = float(np.sqrt(square)) if square > 0 else None
                found.append(row | {"chance": float(np.sqrt(chance)), "error_of_average": left})
    return found


def _exponent(rows: Rows) -> float:
    points = [(row["error_of_one"], row["error_of_average"]) for row in rows]
    if any(left is None for _, left in points):
        return float("nan")
    return float(np.polyfit(*np.log(points).T, 1)[0]) - 2


def _conditions(rows: Rows) -> list[Condition]:
    return [
        Condition(
            f"levels of {name}",
            "exponent 2",
            tuple(_exponent(one) for one in grouped(own, "seed").values()),
            MARGIN,
            "within",
        )
        for (name,), own in grouped(rows, "levels").items()
    ]


def _finding(rows: Rows) -> str:
    told = []
    for condition in _conditions(rows):
        mean, low, high = (2 + value for value in condition.interval)
        told.append(f"{condition.group} {mean:.2f} ({low:.2f} to {high:.2f})")
    return f"Exponents, with 95 % intervals: {', '.join(told)}."


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    return curves(
        *(rows, "levels", "bits", "error_of_average"),
        xlabel="bits of a resistor",
        ylabel="error of the average of all programs",
        yscale="log",
    )


CLAIM = Claim(
    name="averaging",
    statement="Averaging over programs whose levels are drawn lowers the error from ε to about ε².",
    source="arXiv 2401.16231",
    method="Random systems of condition 4 on devices that are ideal but for their levels, spaced as in a preset, with 3 "
    "to 6 bits, drawn anew for each program; the error of the mean of all programs, less what chance adds to it.",
    rule=f"The exponent of that error in ε is within {MARGIN:g} of 2 in the mean over seeds, for levels of each preset.",
    full=Protocol(tuple(range(10)), 1024),
    quick=Protocol(tuple(range(4)), 512, bits=(3, 4, 5)),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry(
        "averaging", "What averaging leaves", "Geometric means over seeds, with 95 % intervals.", _draw
    ),
)

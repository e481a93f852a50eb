"""Averages over programs whose levels are drawn: what is left is the square of the error of one program."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import FRESH, Claim, Row, Rows, grouped
from experiments.claims.figures import curves
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.devices import NO_SOLUTION
from experiments.shared.figures import FigureEntry
from experiments.shared.systems import spd_system
from solvers.held import child_seeds
from solvers.network import Network
from solvers.spu import Spu
from spu_circuit.hardware import Hardware, load_hardware
from spu_circuit.problem import LinearSystems

LEAST = 1.7
"""Exponent that is as good as 2."""


@dataclass(frozen=True)
class Protocol:
    """Systems whose matrix is programmed many times for each number of bits. Nothing but the levels is coarse.

    Args:
        systems: of a seed, over which squares of errors are averaged before anything is made of them.
        levels: presets with numbers of bits, at which one program is off by 4 to 25 %.
    """

    seeds: tuple[int, ...]
    programs: int
    systems: int = 3
    levels: tuple[tuple[str, tuple[int, ...]], ...] = (("paper", (3, 4, 5)), ("bench", (6, 7, 8)), ("rram", (3, 4, 5)))
    cells: int = 8
    condition: float = 2.0


def _hardware(name: str, bits: int) -> Hardware:
    """Ideal but for levels like a preset's. The paper's lowest level is one step, whatever the step."""
    ideal, array = load_hardware("ideal"), load_hardware(name).array
    lowest = {"G_min": array.G_max / (2**bits - 1)} if name == "paper" else {}
    return ideal.model_copy(update={"array": array.model_copy(update={"bits": bits, **lowest})})


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    for seed in protocol.seeds:
        for name, choices in protocol.levels:
            for bits in choices:
                row: dict[str, Any] = {"levels": name, "bits": bits, "seed": seed}
                spu = Spu(_hardware(name, bits), Network(), rounding="stochastic")
                try:
                    one, chance, left = _squares(spu, protocol, seed)
                except NO_SOLUTION as error:
                    lost = {"error_of_one": None, "chance": None, "error_of_average": None}
                    found.append(row | lost | {"refused": str(error)})
                    continue
                errors = {"error_of_one": one**0.5, "chance": chance**0.5}
                found.append(row | errors | {"error_of_average": left**0.5 if left > 0 else None, "refused": ""})
    return found


def _squares(spu: Spu, protocol: Protocol, seed: int) -> tuple[float, float, float]:
    """Mean squares over systems: of the error of one program, of what chance leaves in the average of all, and of the
    rest of that average, which chance cannot explain."""
    count, sums = protocol.programs, np.zeros(3)
    for k in range(protocol.systems):
        system = spd_system(protocol.cells, protocol.condition, seed * protocol.systems + k)
        exact = np.linalg.solve(system.A, system.b)
        stack = LinearSystems(np.tile(system.A, (count, 1, 1)), np.tile(system.b, (count, 1)))
        seeds = child_seeds(range(count), seed, k)
        away = (spu.solve_batch(stack, seeds=seeds).values - exact) / np.linalg.norm(exact)
        # What chance adds to the square of the mean is known from the spread of the programs.
        chance = float(away.var(axis=0, ddof=1).sum()) / count
        sums += (away**2).sum(axis=1).mean(), chance, (away.mean(axis=0) ** 2).sum() - chance
    one, chance, left = (sums / protocol.systems).tolist()
    return one, chance, left


def _exponent(rows: Rows) -> float:
    points = [(row["error_of_one"], row["error_of_average"]) for row in rows]
    if any(left is None for _, left in points):
        return float("nan")
    return float(np.polyfit(np.log([one for one, _ in points]), np.log([left for _, left in points]), 1)[0])


def _conditions(rows: Rows) -> list[Condition]:
    return [
        Condition(
            f"levels of {name}",
            "exponent",
            tuple(_exponent(one) for one in grouped(own, "seed").values()),
            LEAST,
            "above",
        )
        for (name,), own in grouped(rows, "levels").items()
    ]


def _finding(rows: Rows) -> str:
    told = []
    for condition in _conditions(rows):
        mean, low, high = condition.interval
        lost = f"none in {condition.failed} of {len(condition.values)} seeds"
        told.append(f"{condition.group} {lost if condition.failed else f'{mean:.2f} ({low:.2f} to {high:.2f})'}")
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
    statement="Averaging over programs whose levels are drawn lowers the error from ε to about ε² or less.",
    source="arXiv 2401.16231",
    method="Random systems of condition 2 on devices that are ideal but for their levels, spaced as in a preset, with "
    "three numbers of bits, drawn anew for each program; the error of the mean of all programs, less what chance adds "
    "to it.",
    rule=f"The exponent of that error in ε is {LEAST:g} or more in the mean over seeds, for levels of each preset. "
    "Where chance hides what is left at any number of bits the condition fails.",
    full=Protocol(FRESH[:6], 2048),
    quick=Protocol(tuple(range(3)), 1024, systems=2),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry("averaging", "What averaging leaves", "Geometric means over seeds, with 95 % intervals.", _draw),
)

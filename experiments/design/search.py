"""The search for the cheapest board: every board is predicted, and those that may do are listed by their price.

The first that is proved is the answer. Every cheaper one was simulated, too, or given up by its prediction, which
``predict.SLACK`` keeps far from what it could be, or by a board like it that failed.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.design.choices import ROOM, Choice, Parts, Table, amplifier, board_document, celsius, changes_of, told
from experiments.design.config import PREDICTED, Design, Specification
from experiments.design.nominal import Asked, examined, ranges_of
from experiments.design.predict import Sheet, bounds, sheet
from experiments.shared.executor import Executor
from experiments.sweeps.config import Sweep
from experiments.sweeps.metrics import METRICS
from spu_circuit.documents import from_document, merged
from spu_circuit.errors import InputError, SimulationError

Array = NDArray[np.float64]

STEP = 1.02
"""Boards are put in order so far above the cheapest that is left at a time."""


@dataclass(frozen=True)
class Candidate:
    """A board with what is predicted of it.

    Args:
        price: of all its parts.
        error: that the wanted share of the boards keeps.
        seconds: settling time.
        power: from the supplies, W.
    """

    price: float
    error: float
    seconds: float
    power: float
    sheet: Sheet
    board: int
    capacitor: int

    @property
    def chosen(self) -> list[Choice]:
        return self.sheet.chosen(self.board, self.capacitor)

    def changes(self, parts: Parts) -> Table:
        """Of the hardware description, at the temperature where drifts are largest."""
        more = {"temperature": celsius(parts.worst), "variation": {"reference_temperature": celsius(ROOM)}}
        return merged(changes_of(self.chosen, self.sheet.nominal.structure), more)

    @property
    def values(self) -> dict[str, float]:
        """Metric → what is predicted."""
        rise = self.sheet.nominal.rise
        found = (self.error, self.seconds, self.power, rise, self.power * self.seconds)
        return dict(zip(PREDICTED, found, strict=True))

    @property
    def predicted(self) -> dict[str, tuple[float, tuple[int, ...]]]:
        """Metric → what is predicted, and which boards the prediction misses alike: those of this sheet, and of this
        capacitor too where it matters."""
        own, with_capacitor = (id(self.sheet),), (id(self.sheet), self.capacitor)
        return {
            name: (value, with_capacitor if METRICS[name].needs == "settling" else own)
            for name, value in self.values.items()
        }


def explore(parts: Parts, computers: Executor, base: Table) -> list[Sheet]:
    """Every board that the catalogue allows, predicted. Raises InputError where a place has no part."""
    design = parts.design
    asked = design.specification
    adcs, dacs = parts.choices("adc"), parts.choices("dac")
    if parts.base.topology != "active":
        raise InputError("hardware.base: only boards of topology 'active' are designed; name one, such as 'bench'")
    structures, op_amps = parts.structures(), parts.of("amplifier")
    queue: deque[tuple[int, Asked]] = deque()
    for structure in structures:
        others = [
            parts.choices(slot, structure.smallest) for slot in ("input_resistor", "inverter_resistor", "capacitor")
        ]
        if not all(others):
            continue
        for name, part in op_amps.items():
            job = Asked(
                design.workload,
                base,
                structure,
                amplifier(parts, name, part, 0.0),
                tuple(each[0] for each in others),
                ranges_of(dacs, adcs),
                design.capacitances,
                asked.settling_error,
                parts.worst,
                bounds(asked)["relative_error"],
            )
            queue.append((len(queue), job))
    if not queue or not dacs or not adcs:
        raise InputError(f"catalogue: {_lacking(parts)}")
    found: dict[int, list[Any]] = {}
    for (number, _), nominals in computers.results(_examined, queue):
        if nominals is None:
            raise SimulationError(f"a process died twice of array and op-amp {number}; take fewer workers")
        found[number] = nominals
    sheets = (sheet(parts, nominal) for number in sorted(found) for nominal in found[number])
    return [each for each in sheets if each is not None]


def _examined(job: tuple[int, Asked]) -> list[Any]:
    return examined(job[1])


def _lacking(parts: Parts) -> str:
    asked = parts.design.specification
    where = f"from {asked.coldest - 273.15:g} to {asked.hottest - 273.15:g} °C (parts.PLACE, resistances, capacitances)"
    return f"{parts.catalogue.name!r} lacks a part for a place of the board {where}; add one, or ask for less"


def candidates(sheets: Sequence[Sheet], asked: Specification) -> Iterator[Candidate]:
    """Boards that may keep all limits, the cheapest first; of equal price the one with the smallest error."""
    largest = bounds(asked)
    priced = [_prices(each, largest) for each in sheets]
    below = -inf
    while isfinite(dearer := min((_least(prices, below) for prices in priced), default=inf)):
        bound = STEP * dearer
        found = [
            _candidate(each, int(board), int(capacitor), float(prices[board, capacitor]))
            for each, prices in zip(sheets, priced, strict=True)
            for board, capacitor in zip(*np.nonzero((prices > below) & (prices <= bound)), strict=True)
        ]
        yield from sorted(found, key=lambda one: (one.price, one.error))
        below = bound


def _least(prices: Array, below: float) -> float:
    """The smallest price above one."""
    return float(prices[prices > below].min(initial=inf))


def _prices(each: Sheet, largest: Mapping[str, float]) -> Array:
    """Of boards with each capacitor, (boards, capacitors); infinite where they surely miss a limit."""
    prices = each.price[:, None] + each.capacitor_prices
    may = each.may[:, None] & (each.seconds <= largest.get("settling_time", inf))
    may &= each.power[:, None] * each.seconds <= largest.get("supply_energy", inf)
    return np.where(may, prices, inf)


def _candidate(each: Sheet, board: int, capacitor: int, price: float) -> Candidate:
    error, power = float(each.error[board]), float(each.power[board])
    return Candidate(price, error, float(each.seconds[capacitor]), power, each, board, capacitor)


def sweep_of(parts: Parts, board: Candidate) -> Sweep:
    """The sweep that proves a board."""
    design = parts.design
    table = {"base": design.hardware["base"], **merged(design.changes, board.changes(parts))}
    return from_document(Sweep, sweep_document(design, table), f"design {design.name}")


def sweep_document(design: Design, hardware: Table) -> Table:
    """A sweep's config, as its file would say it."""
    asked = design.specification
    limits = {
        name: {end: _limit(name, value) for end, value in limit if np.isfinite(value)}
        for name, limit in asked.limits.items()
    }
    return {
        "name": design.name,
        "question": f"Does the board of {design.name} keep its limits?",
        "seed": design.seed,
        "linearise": True,
        "settling_error": told(asked.settling_error, "%"),
        "metrics": [name for name in RECORDED if METRICS[name].of == "systems"],
        "hardware": hardware,
        "workload": design.workload.model_dump(exclude_none=True, exclude_unset=True),
        "analysis": {"kind": "monte carlo", "samples": design.samples},
        "limits": limits,
    }


RECORDED = (
    "relative_error",
    "settling_time",
    "supply_power",
    "supply_energy",
    "supply_current",
    "junction_rise",
    "output_current",
)
"""Of every copy, beside what has a limit."""


def _limit(name: str, value: float) -> str | float:
    unit = METRICS[name].unit
    return told(value, unit) if unit else value


def documents(parts: Parts, base: Table, board: Candidate) -> Table:
    """The hardware description of a board."""
    asked = parts.design.specification
    names = ", ".join(dict.fromkeys(choice.name for choice in board.chosen))
    made = board_document(base, board.changes(parts))
    return {
        **made,
        "name": parts.design.name,
        "description": f"{names}; designed for {asked.coldest - 273.15:g} to {asked.hottest - 273.15:g} °C",
    }

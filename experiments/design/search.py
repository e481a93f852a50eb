"""The search for the cheapest board: every board is predicted, and the cheapest that may do are simulated in order.

The first that keeps the yield is the answer. Every cheaper one was simulated, too, or given up by its prediction, which
``predict.SLACK`` keeps far from what it could be, or by a board like it that failed.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from experiments.design.choices import ROOM, Choice, Parts, Table, amplifier, board_document, changes_of, told
from experiments.design.config import PREDICTED, Design, Specification
from experiments.design.nominal import Asked, examined, ranges_of
from experiments.design.predict import Sheet, bounds, sheet
from experiments.shared.executor import Executor
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.rows import Row
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.statistics import clopper_pearson, passes
from solvers.behaviour import BLOCK
from spu_circuit.errors import InputError
from spu_circuit.hardware import from_document, merged
from spu_circuit.sampling import Sampling

Array = NDArray[np.float64]

LOOKS = (BLOCK, 4 * BLOCK, 16 * BLOCK)
"""Copies after which a board that surely fails is given up."""
DOUBT = 1e-4
"""Probability that a board that keeps the yield is given up at a look."""
SAFE = 0.9
"""Share of every limit below which a board is expected to pass; the cheapest such says which are worth simulating."""
ALIKE = 0.005
"""By how much of a prediction boards of one sheet may be missed differently."""
TOGETHER = 4
"""Boards that are looked at at a time, and pieces of one that is proved."""
SEEN = 256
"""Boards among which those are chosen."""
PIECE = 4 * BLOCK
"""Copies that a process gets at a time of a board that is proved."""


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
        more = {"temperature": told(parts.worst, "K"), "variation": {"reference_temperature": told(ROOM, "K")}}
        return merged(changes_of(self.chosen, self.sheet.nominal.structure), more)

    @property
    def values(self) -> dict[str, float]:
        """Metric → what is predicted."""
        rise = self.sheet.nominal.rise
        found = (self.error, self.seconds, self.power, rise)
        return dict(zip(PREDICTED, found, strict=True))

    @property
    def predicted(self) -> dict[str, tuple[float, tuple[int, ...]]]:
        """Metric → what is predicted, and which boards the prediction misses alike: those of this sheet, and of this
        capacitor too where it matters."""
        own, with_capacitor = (id(self.sheet),), (id(self.sheet), self.capacitor)
        return {
            name: (value, with_capacitor if name == "settling_time" else own) for name, value in self.values.items()
        }


@dataclass(frozen=True)
class Tried:
    """A board that was simulated.

    Args:
        good: copies that kept all limits, of ``copies``.
        passed: whether the yield is surely kept.
        rows: the copies of one that was nearly proved, all of one that passed.
    """

    candidate: Candidate
    good: int
    copies: int
    passed: bool
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Trial:
    """Some copies of a board, for a worker."""

    sweep: Sweep
    numbers: range

    def rows(self) -> list[Row]:
        return evaluate(self.sweep, _set(self.sweep), self.numbers, "network")


@dataclass(frozen=True)
class Glance:
    """The first copies of a board, until it surely fails."""

    number: int
    sweep: Sweep
    share: float

    def rows(self) -> list[Row]:
        found: list[Row] = []
        for count in sorted({min(look, self.sweep.analysis.samples) for look in LOOKS}):
            found += evaluate(self.sweep, _set(self.sweep), range(len(found), count), "network")
            if not may_pass(int(passes(self.sweep, found).sum()), count, self.share):
                break
        return found


def may_pass(good: int, copies: int, share: float) -> bool:
    """Whether the yield is not surely too small."""
    return clopper_pearson(good, copies, 1 - 2 * DOUBT)[1] >= share


def can_prove(good: int, copies: int, wanted: int, share: float) -> bool:
    """Whether the yield is surely kept, with 95 % confidence, when no other of the copies is bad."""
    return clopper_pearson(wanted - (copies - good), wanted)[0] >= share


class Experience:
    """What simulated boards say of others: what they are off their predictions, and which are no better than one that
    failed."""

    def __init__(self, asked: Specification, copies: int) -> None:
        self._asked, self._copies = asked, copies
        self._ratios: dict[tuple[str, tuple[int, ...]], float] = {}
        self._failed: dict[int, float] = {}
        self._rows: set[tuple[int, int]] = set()

    def learn(self, board: Candidate, sweep: Sweep, rows: Sequence[Row], passed: bool) -> None:
        """From copies of a board: the value that the wanted share of all copies surely does not keep."""
        values = np.array([row.metrics for row in rows])
        bad = np.array([row.status != "ok" for row in rows])
        below = int(binom.ppf(DOUBT, len(rows), self._asked.least_yield))
        for name, (prediction, key) in board.predicted.items():
            if name in self._asked.limits and below >= 1 and prediction > 0:
                column = np.sort(np.where(bad, inf, values[:, sweep.recorded.index(name)]))
                ratio = float(column[below - 1]) / prediction
                self._ratios[name, key] = max(ratio, self._ratios.get((name, key), 0.0))
        # Capacitors change nothing at rest.
        kept = bad | (values[:, sweep.recorded.index("relative_error")] <= self._asked.limits["relative_error"].max)
        good, share = int(kept.sum()), self._asked.least_yield
        if not passed and not (may_pass(good, len(rows), share) and can_prove(good, len(rows), self._copies, share)):
            sheet = id(board.sheet)
            self._failed[sheet] = min(board.error, self._failed.get(sheet, inf))
            self._rows.add((sheet, board.board))

    def gives_up(self, board: Candidate) -> bool:
        """Whether a board surely fails, as one like it did."""
        sheet = id(board.sheet)
        if (sheet, board.board) in self._rows or board.error > self._failed.get(sheet, inf) * (1 + ALIKE):
            return True
        return any(
            prediction * self._ratios.get((name, key), 0.0) * (1 - ALIKE) > self._asked.limits[name].max
            for name, (prediction, key) in board.predicted.items()
            if name in self._asked.limits
        )


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
            raise InputError(f"workload: a process died of board {number}; give fewer workers, or a smaller system")
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
    time = bounds(asked).get("settling_time", inf)
    safe = {name: SAFE * asked.limits[name].max for name in bounds(asked)}
    below, bound = -inf, inf
    priced = [_prices(each, time) for each in sheets]
    for each, prices in zip(sheets, priced, strict=True):
        sure = each.may & (each.error <= safe["relative_error"]) & (each.power <= safe.get("supply_power", inf))
        quick = each.seconds <= safe.get("settling_time", inf)
        if each.nominal.rise <= safe.get("junction_rise", inf) and sure.any() and quick.any():
            bound = min(bound, float(prices[np.ix_(sure, quick)].min()))
    while True:
        found: list[Candidate] = []
        left = False
        for each, prices in zip(sheets, priced, strict=True):
            for board, capacitor in zip(*np.nonzero((prices > below) & (prices <= bound)), strict=True):
                found.append(_candidate(each, int(board), int(capacitor), float(prices[board, capacitor])))
            left |= bool((np.isfinite(prices) & (prices > bound)).any())
        yield from sorted(found, key=lambda one: (one.price, one.error))
        if not left:
            return
        below, bound = bound, 1.1 * bound


def _prices(each: Sheet, time: float) -> Array:
    """Of boards with each capacitor, (boards, capacitors); infinite where they surely miss a limit."""
    prices = each.price[:, None] + each.capacitor_prices
    return np.where(each.may[:, None] & (each.seconds <= time), prices, inf)


def _candidate(each: Sheet, board: int, capacitor: int, price: float) -> Candidate:
    error, power = float(each.error[board]), float(each.power[board])
    return Candidate(price, error, float(each.seconds[capacitor]), power, each, board, capacitor)


def tried(parts: Parts, boards: Iterator[Candidate], computers: Executor, inform: Callable[[Tried], None]) -> Tried:
    """Simulate boards, the cheapest first, until one keeps the yield.

    A few are looked at together, each of another sheet, so that each says most about those that are left. How many does
    not depend on who computes them, and neither does the answer.

    Raises:
        InputError: none does, or none of the first ``most_tried``.
    """
    design = parts.design
    share = design.specification.least_yield
    experience = Experience(design.specification, design.samples)
    waiting: deque[Candidate] = deque()
    seen: dict[int, list[Row]] = {}
    best, count = None, 0
    while count < design.most_tried:
        waiting = deque(board for board in waiting if id(board) in seen or not experience.gives_up(board))
        while len(waiting) < SEEN and (board := next(boards, None)) is not None:
            if not experience.gives_up(board):
                waiting.append(board)
        if not waiting:
            break
        fresh = [board for board in waiting if id(board) not in seen]
        if id(waiting[0]) not in seen:
            chosen = {id(board.sheet): board for board in reversed(fresh)}
            order = sorted(chosen.values(), key=fresh.index)[:TOGETHER]
            jobs = deque(Glance(k, sweep_of(parts, board), share) for k, board in enumerate(order))
            for job, rows in computers.results(Glance.rows, jobs):
                seen[id(order[job.number])] = rows or []
            for board in order:
                experience.learn(board, sweep_of(parts, board), seen[id(board)], False)
        board = waiting.popleft()
        rows, sweep = seen[id(board)], sweep_of(parts, board)
        count += 1
        good = int(passes(sweep, rows).sum())
        if may_pass(good, len(rows), share):
            found = proved(parts, board, computers)
            experience.learn(board, sweep, found.rows, found.passed)
        else:
            found = Tried(board, good, len(rows), False)
        inform(found)
        if found.passed:
            return found
        if best is None or found.good * best.copies > best.good * found.copies:
            best = found
    raise InputError(_failed(design.most_tried, count, best))


def _failed(most: int, count: int, best: Tried | None) -> str:
    if best is None:
        return (
            "specification.limits: by its prediction no board of this catalogue keeps them; loosen one, or add better "
            "parts, other resistances or capacitances"
        )
    cure = "loosen a limit, or raise most_tried" if count >= most else "loosen a limit, or add better parts"
    return (
        f"specification.limits: none of {count} boards keeps the yield; of the best one "
        f"{100 * best.good / best.copies:.2f} % of {best.copies} copies keep all limits; {cure}"
    )


def proved(parts: Parts, board: Candidate, computers: Executor) -> Tried:
    """All copies of a board, or as many as it takes to see that too many are bad."""
    design, sweep = parts.design, sweep_of(parts, board)
    share, wanted = design.specification.least_yield, design.samples
    rows: list[Row] = []
    # Looked at in pieces, so that a board that cannot pass any more is left at the same copy everywhere.
    each = TOGETHER * PIECE
    for start in range(0, wanted, each):
        numbers = range(start, min(start + each, wanted))
        queue = deque(Trial(sweep, numbers[k : k + PIECE]) for k in range(0, len(numbers), PIECE))
        for _, found in computers.results(Trial.rows, queue):
            rows += found or []
        good = int(passes(sweep, rows).sum())
        if not can_prove(good, len(rows), wanted, share):
            return Tried(board, good, len(rows), False, tuple(rows))
    rows.sort(key=lambda row: row.sample)
    return Tried(board, good, len(rows), len(rows) == wanted, tuple(rows))


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


RECORDED = ("relative_error", "settling_time", "supply_power", "supply_current", "junction_rise", "output_current")
"""Of every copy, beside what has a limit."""


def _limit(name: str, value: float) -> str | float:
    unit = METRICS[name].unit
    return told(value, unit) if unit else value


def _set(sweep: Sweep) -> SampleSet:
    count = sweep.analysis.samples
    return SampleSet(count, Sampling(sweep.seed, "plain", count))


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

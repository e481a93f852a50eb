"""The proof of boards: copies of the cheapest are simulated until one keeps the yield."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf

import numpy as np
from scipy.stats import binom

from experiments.design.choices import Parts
from experiments.design.config import PREDICTED, Specification
from experiments.design.search import Candidate, sweep_of
from experiments.shared.executor import Executor
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.rows import Row
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.statistics import clopper_pearson, limits_kept, passes, percentile
from experiments.sweeps.units import metric_text
from solvers.behaviour import BLOCK
from spu_circuit.errors import InputError, SimulationError
from spu_circuit.sampling import Sampling

LOOKS = (BLOCK, 4 * BLOCK, 16 * BLOCK)
"""Copies after which a board that surely fails is given up."""
DOUBT = 1e-4
"""Probability that the yield is larger than the copies so far say, by which a board is given up at a look."""
ALIKE = 0.005
"""By how much of a prediction boards of one sheet may be missed differently."""
TOGETHER = 4
"""Boards that are looked at at a time, and pieces of one that is proved."""
SEEN = 256
"""Boards among which those are chosen."""
MISSED = 50
"""Boards, the cheapest, after which a limit ends the search that nothing predicts and none of them keeps."""
PIECE = 4 * BLOCK
"""Copies that a process gets at a time of a board that is proved."""


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
            if not may_pass(int(passes(self.sweep, found).sum()), count, self.sweep.analysis.samples, self.share):
                break
        return found


def may_pass(good: int, copies: int, wanted: int, share: float) -> bool:
    """Whether a board may still keep the yield with 95 % confidence when all copies are there.

    It may not where the rest would have to be better than the yield can be, by what the copies so far say.

    Args:
        wanted: all copies.
    """
    needed = least_good(wanted, share)
    if copies == wanted:
        return good >= needed
    return needed - good <= (wanted - copies) * clopper_pearson(good, copies, 1 - 2 * DOUBT)[1]


@cache
def least_good(copies: int, share: float) -> int:
    """How many copies must be good to show a yield with 95 % confidence; one more than there are where none can."""
    return bisect_left(range(copies + 1), True, key=lambda good: clopper_pearson(good, copies)[0] >= share)


class Unpredicted:
    """Limits that nothing predicts and no board so far has kept, with the best value that any has."""

    def __init__(self, asked: Specification, copies: int) -> None:
        self._asked, self._copies, self._boards = asked, copies, 0
        self._best = dict.fromkeys(name for name in asked.limits if name not in PREDICTED)

    def learn(self, sweep: Sweep, rows: Sequence[Row]) -> None:
        """From copies of a board.

        Raises:
            InputError: it is the last of ``MISSED`` that all miss the same limit.
        """
        self._boards += 1
        kept, share = limits_kept(sweep, rows), self._asked.least_yield
        for name in list(self._best):
            if may_pass(int(kept[name].sum()), len(rows), self._copies, share):
                del self._best[name]  # a board can keep it
                continue
            limit, at = self._asked.limits[name], sweep.recorded.index(name)
            sign = 1.0 if limit.max < inf else -1.0
            column = np.array([sign * row.metrics[at] if row.status == "ok" else inf for row in rows])
            best = self._best[name]
            self._best[name] = min(inf if best is None else best, percentile(column, share).value)
        if self._best and self._boards >= MISSED:
            raise InputError(self._said(next(iter(self._best))))

    def _said(self, name: str) -> str:
        limit, best = self._asked.limits[name], self._best[name]
        assert best is not None
        value, end = (best, limit.max) if limit.max < inf else (-best, limit.min)
        return (
            f"specification.limits.{name}: none of the {self._boards} cheapest boards that may do keeps "
            f"{metric_text(name, end)}; {100 * self._asked.least_yield:g} % of the best one's copies keep "
            f"{metric_text(name, value)}; loosen it, or leave out parts, resistances and capacitances that miss it"
        )


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
        if not passed and not may_pass(int(kept.sum()), len(rows), self._copies, self._asked.least_yield):
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


def tried(parts: Parts, boards: Iterator[Candidate], computers: Executor, inform: Callable[[Tried], None]) -> Tried:
    """Simulate boards, the cheapest first, until one keeps the yield.

    A few are looked at together, each of another sheet, so that each says most about those that are left. How many does
    not depend on who computes them, and neither does the answer.

    Raises:
        InputError: none does, none of the first ``most_tried``, or see ``Unpredicted``.
    """
    design = parts.design
    share = design.specification.least_yield
    experience = Experience(design.specification, design.samples)
    unpredicted = Unpredicted(design.specification, design.samples)
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
                seen[id(order[job.number])] = _there(rows)
            for board in order:
                experience.learn(board, sweep_of(parts, board), seen[id(board)], False)
        board = waiting.popleft()
        rows, sweep = seen.pop(id(board)), sweep_of(parts, board)
        count += 1
        good = int(passes(sweep, rows).sum())
        if may_pass(good, len(rows), design.samples, share):
            found = proved(parts, board, computers)
            experience.learn(board, sweep, found.rows, found.passed)
        else:
            found = Tried(board, good, len(rows), False)
        inform(found)
        if found.passed:
            return found
        unpredicted.learn(sweep, rows)
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
            rows += _there(found)
        good = int(passes(sweep, rows).sum())
        if not may_pass(good, len(rows), wanted, share):
            return Tried(board, good, len(rows), False, tuple(rows))
    rows.sort(key=lambda row: row.sample)
    return Tried(board, good, len(rows), len(rows) == wanted, tuple(rows))


def _set(sweep: Sweep) -> SampleSet:
    count = sweep.analysis.samples
    return SampleSet(count, Sampling(sweep.seed, "plain", count))


def _there(rows: list[Row] | None) -> list[Row]:
    if rows is None:
        raise SimulationError("a process died twice of the same copies; take fewer workers, or a smaller system")
    return rows

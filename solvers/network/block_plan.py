"""An order in which blocks that are diagonal or dense are eliminated, and one of its steps.

Blocks are (batch, n) where they are diagonal and (batch, m, n) where they are dense; batch is 1 for what all share.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Key = tuple[int, int]

PIVOT_THRESHOLD = 1e-2
"""A pivot is at least this share of its row's largest entry, so that no elimination magnifies errors much."""


@dataclass(frozen=True)
class Step:
    """One pivot: the block at (row, column); the other rows of its column, and the other columns of its row."""

    row: int
    column: int
    below: tuple[int, ...]
    beside: tuple[int, ...]


@dataclass(frozen=True)
class BlockPlan:
    """An order of elimination.

    Args:
        steps: diagonal pivots, in order.
        rows, columns: of the dense core, in order.
        sizes: of all groups of unknowns.
    """

    steps: tuple[Step, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    row_sizes: tuple[int, ...]
    column_sizes: tuple[int, ...]
    _paths: dict[Any, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict, compare=False)

    def paths(
        self, given: frozenset[int], wanted: frozenset[int], transposed: bool
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Numbers of the steps that a right-hand side in these groups passes on its way in, and of those out again."""
        key = given, wanted, transposed
        if key not in self._paths:
            self._paths[key] = self._traced(set(given), set(wanted), transposed)
        return self._paths[key]

    def _traced(self, live: set[int], wanted: set[int], transposed: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
        inward, outward = [], []
        for number, step in enumerate(self.steps):
            entry, spread = (step.column, step.beside) if transposed else (step.row, step.below)
            if entry in live:
                inward.append(number)
                live.update(spread)
        # A result needs those of later steps, which are computed before it.
        for number, step in enumerate(self.steps):
            result, needs = (step.row, step.below) if transposed else (step.column, step.beside)
            if result in wanted:
                outward.append(number)
                wanted.update(needs)
        outward.reverse()
        return tuple(inward), tuple(outward)


def plan(blocks: Mapping[Key, Array], row_sizes: tuple[int, ...], column_sizes: tuple[int, ...]) -> BlockPlan:
    """Choose pivots from typical values.

    The cheapest diagonal block goes first, as long as it costs less than leaving its unknowns to the dense core
    (Markowitz, Management Science 3:255, 1957, for blocks).

    Args:
        blocks: of a batch of typical systems; a pivot must be large in all of them.
    """
    work = dict(blocks)
    rows, columns = set(range(len(row_sizes))), set(range(len(column_sizes)))
    steps: list[Step] = []
    large: dict[Key, bool] = {}
    """Whether a pivot is, until a step changes its row."""

    while rows:
        best: tuple[float, Step] | None = None
        left = sum(row_sizes[r] for r in rows)
        in_row: dict[int, list[int]] = {}
        in_column: dict[int, list[int]] = {}
        for row, column in sorted(work):
            in_row.setdefault(row, []).append(column)
            in_column.setdefault(column, []).append(row)
        for row, column in work:
            if work[row, column].ndim != 2 or row_sizes[row] != column_sizes[column]:
                continue
            below = tuple(r for r in in_column[column] if r != row)
            beside = tuple(c for c in in_row[row] if c != column)
            # A column singleton causes no fill, so any pivot but 0 is large enough.
            if below and (row, column) not in large:
                sizes = (np.abs(work[row, c]) for c in (column, *beside))
                large[row, column] = _large([size if size.ndim == 2 else size.max(axis=2) for size in sizes])
            if not (large[row, column] if below else work[row, column].all()):
                continue
            cost = _cost(work, row, column, below, beside, row_sizes, column_sizes)
            saved = 2.0 * left**3 - 2.0 * (left - row_sizes[row]) ** 3
            if cost <= saved and (best is None or cost < best[0]):
                best = cost, Step(row, column, below, beside)
        if best is None:
            break
        step = best[1]
        eliminated(work, step)
        large = {(r, c): known for (r, c), known in large.items() if r not in step.below}
        steps.append(step)
        rows.discard(step.row)
        columns.discard(step.column)
        work = {(r, c): block for (r, c), block in work.items() if r in rows and c in columns}
    return BlockPlan(tuple(steps), tuple(sorted(rows)), tuple(sorted(columns)), row_sizes, column_sizes)


def _large(sizes: Sequence[Array]) -> bool:
    """Whether the first is not zero, and large enough beside all."""
    return bool(sizes[0].all()) and all(bool((sizes[0] >= PIVOT_THRESHOLD * size).all()) for size in sizes)


def _cost(
    work: Mapping[Key, Array],
    row: int,
    column: int,
    below: tuple[int, ...],
    beside: tuple[int, ...],
    row_sizes: tuple[int, ...],
    column_sizes: tuple[int, ...],
) -> float:
    """Multiplications of one elimination, twice: they are followed by additions."""
    cost = 0.0
    for r in below:
        left_dense = work[r, column].ndim == 3
        for c in beside:
            right_dense = work[row, c].ndim == 3
            size = float(row_sizes[r]) * column_sizes[c] if left_dense or right_dense else float(row_sizes[r])
            cost += 2 * size * (row_sizes[row] if left_dense and right_dense else 1)
            if (r, c) not in work:
                cost += size
    return cost


def eliminated(
    work: dict[Key, Array], step: Step, rows: Iterable[int] = (), columns: Iterable[int] = ()
) -> tuple[Array, dict[int, Array], dict[int, Array]]:
    """Do one step in place: ``B_rc ← B_rc − B_rp (U_c / pivot)``. Returns 1 / pivot, the B_rp, and the U_c.

    Args:
        rows, columns: of functionals and inputs, which no plan knows of.
    """
    inverse = 1 / work[step.row, step.column]
    above = {c: work[step.row, c] for c in (*step.beside, *columns) if (step.row, c) in work}
    below = {r: work[r, step.column] for r in (*step.below, *rows) if (r, step.column) in work}
    lost = -inverse
    for c, block in above.items() if below else ():
        scaled = lost * block if block.ndim == 2 else lost[:, :, None] * block
        for r, other in below.items():
            product = _product(other, scaled)
            work[r, c] = total(work[r, c], product, fresh=True) if (r, c) in work else product
    return inverse, below, above


def _product(left: Array, right: Array) -> Array:
    if left.ndim == 2:
        return left * right if right.ndim == 2 else left[:, :, None] * right
    return left * right[:, None, :] if right.ndim == 2 else left @ right


def total(block: Array, other: Array, fresh: bool = False) -> Array:
    """The sum of two blocks; ``fresh``: the other is nobody else's."""
    if block.ndim == other.ndim:
        return np.add(block, other, out=other if fresh and len(other) >= len(block) else None)
    return with_diagonal(block, other) if block.ndim == 3 else with_diagonal(other, block, fresh)


def with_diagonal(dense: Array, diagonal: Array, fresh: bool = False) -> Array:
    """Their sum; ``fresh``: the dense block is nobody else's."""
    batch = max(len(dense), len(diagonal))
    found = np.repeat(dense, batch, axis=0) if len(dense) < batch else dense if fresh else np.array(dense)
    view = np.einsum("bii->bi", found)
    view += diagonal
    return found

"""Linear systems made of blocks that are diagonal or dense, eliminated block by block in an order planned once.

A programmable array couples families of nodes (all outputs, all virtual grounds) in two ways only: each with its own
partner, or all with all. So its nodal equations are a small matrix of blocks. Diagonal blocks are eliminated at the
price of scaling and adding; what no diagonal pivot can take away cheaply is left as one dense core.

Blocks are (batch, n) where they are diagonal and (batch, m, n) where they are dense; batch is 1 for what all share.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float64]
Key = tuple[int, int]
Sizes = Sequence[tuple[int, int]]
"""Groups, of functionals or of inputs, with their sizes. Their numbers are below 0, where those of unknowns end."""

PIVOT_THRESHOLD = 1e-2
"""A pivot is at least this share of its row's largest entry, so that no elimination magnifies errors much."""


class SingularError(ArithmeticError):
    """The equations have no unique solution. ``draw`` is the first of the batch that has none."""

    def __init__(self, draw: int) -> None:
        super().__init__(draw)
        self.draw = draw


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
    while rows:
        best: tuple[float, Step] | None = None
        left = sum(row_sizes[r] for r in rows)
        for row, column in work:
            if row not in rows or column not in columns:
                continue
            if work[row, column].ndim != 2 or row_sizes[row] != column_sizes[column]:
                continue
            below = tuple(r for r in sorted(rows) if r != row and (r, column) in work)
            if not _large(work, row, column, columns, len(below) == 0):
                continue
            beside = tuple(c for c in sorted(columns) if c != column and (row, c) in work)
            cost = _cost(work, row, column, below, beside, row_sizes, column_sizes)
            saved = 2.0 * left**3 - 2.0 * (left - row_sizes[row]) ** 3
            if cost <= saved and (best is None or cost < best[0]):
                best = cost, Step(row, column, below, beside)
        if best is None:
            break
        step = best[1]
        eliminated(work, step)
        steps.append(step)
        rows.discard(step.row)
        columns.discard(step.column)
        work = {(r, c): block for (r, c), block in work.items() if r in rows and c in columns}
    return BlockPlan(tuple(steps), tuple(sorted(rows)), tuple(sorted(columns)), row_sizes, column_sizes)


def _large(work: Mapping[Key, Array], row: int, column: int, columns: set[int], alone: bool) -> bool:
    """Whether a pivot is large enough. A column singleton causes no fill, so any size but 0 is."""
    pivot = np.abs(work[row, column])
    if not pivot.all():
        return False
    if alone:
        return True
    largest = pivot
    for c in columns:
        if c != column and (row, c) in work:
            other = np.abs(work[row, c])
            largest = np.maximum(largest, other if other.ndim == 2 else other.max(axis=2))
    return bool((pivot >= PIVOT_THRESHOLD * largest).all())


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


class Factors:
    """A batch of block systems, factorised: ``A x = y`` and ``Aᵀ x = y`` for any right-hand sides.

    With functionals and inputs, ``A x + Q q = 0`` and ``f = P x + S q``, it also knows ``f = (S − P A⁻¹ Q) q``.

    Args:
        blocks: of the batch, those of P, Q and S among them.

    Raises:
        SingularError: a core has no inverse.
    """

    def __init__(
        self, order: BlockPlan, blocks: Mapping[Key, Array], batch: int, functionals: Sizes = (), inputs: Sizes = ()
    ) -> None:
        self.order, self.batch = order, batch
        work = dict(blocks)
        self._steps: list[tuple[Array, dict[int, Array], dict[int, Array]]] = []
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for step in order.steps:
                rows, columns = (f for f, _ in functionals), (i for i, _ in inputs)
                self._steps.append(eliminated(work, step, tuple(rows), tuple(columns)))
        core = self._assembled(work)
        fresh = not any(core is block for block in blocks.values())
        if not order.rows and not all(np.isfinite(inverse).all() for inverse, _, _ in self._steps):
            raise SingularError(0)
        self._lu, self._left = [], core.shape[1]
        # LAPACK refuses to factorise nothing, which is left where all pivots are diagonal.
        for draw, one in enumerate(core if self._left else ()):
            # Its transpose, which lies as LAPACK wants it.
            lu, pivots, info = scipy.linalg.lapack.dgetrf(one.T, overwrite_a=fresh)
            if info or not np.isfinite(lu[-1, -1]):
                raise SingularError(draw)
            self._lu.append((lu, pivots))
        if functionals:
            self._condense(work, functionals, inputs)

    def _condense(self, work: Mapping[Key, Array], functionals: Sizes, inputs: Sizes) -> None:
        """Keep the blocks of ``f = S q − P A⁻¹ Q q``."""
        order = self.order
        rows = [(r, order.row_sizes[r]) for r in order.rows]
        columns = [(c, order.column_sizes[c]) for c in order.columns]
        self._Q, self._P = _placed(work, rows, inputs), _placed(work, functionals, columns)
        self._S = _placed(work, functionals, inputs)
        self._length = sum(size for _, size in functionals)

    def part(self, rows: NDArray[np.intp]) -> "Factors":
        """Those of some of the batch, for ``solve`` alone."""
        found: Factors = object.__new__(Factors)
        found.order, found.batch, found._left = self.order, len(rows), self._left
        found._lu = [self._lu[k] for k in rows.tolist()] if self._lu else []
        found._steps = [
            (of_some(inverse, rows), some(below, rows), some(beside, rows)) for inverse, below, beside in self._steps
        ]
        return found

    def apply(self, vector: Array, length: int | None = None) -> Array:
        """Functionals (batch, length, k) of inputs (batch, inputs, k), joined in their order, or the first of them."""
        length = self._length if length is None else length
        found = np.zeros((self.batch, length, vector.shape[2]))
        if self._lu:
            right = np.zeros((self.batch, self._left, vector.shape[2]))
            _add_products(right, self._Q, vector)
            solved = self._divided(right, False)
            _add_products(found, [part for part in self._P if part[0] < length], solved)
            np.negative(found, out=found)
        _add_products(found, [part for part in self._S if part[0] < length], vector)
        return found

    def _divided(self, right: Array, transposed: bool) -> Array:
        """What the core makes of right-hand sides, (batch, n, k), in whose place it may be."""
        trans = 0 if transposed else 1  # the factors are of the transpose
        columns = right.transpose(0, 2, 1)  # which lie as LAPACK wants them
        if right.shape[2] > 1:
            columns = np.array(columns, order="C")
        for (lu, pivots), own in zip(self._lu, columns, strict=True):
            scipy.linalg.lapack.dgetrs(lu, pivots, own.T, trans=trans, overwrite_b=1)
        return columns.transpose(0, 2, 1)

    def _assembled(self, work: Mapping[Key, Array]) -> Array:
        order = self.order
        if len(order.rows) == 1 == len(order.columns):
            block = work.get((order.rows[0], order.columns[0]))
            if block is not None and block.ndim == 3:
                return block if len(block) == self.batch else np.repeat(block, self.batch, axis=0)
        rows = [(r, order.row_sizes[r]) for r in order.rows]
        return _joined(work, rows, [(c, order.column_sizes[c]) for c in order.columns], self.batch)

    def solve(self, given: Mapping[int, Array], wanted: Iterable[int], transposed: bool = False) -> dict[int, Array]:
        """The wanted groups of unknowns.

        Args:
            given: right-hand side by group of equations (of unknowns where transposed), (batch, n, k) each.
            wanted: groups of unknowns (of equations where transposed).

        Returns:
            (batch, n, k) each; groups that are zero for want of a right-hand side are left out.
        """
        order = self.order
        inward, outward = order.paths(frozenset(given), frozenset(wanted), transposed)
        right = dict(given)
        times = _times_transposed if transposed else times_of
        for number in inward:
            step, (inverse, below, beside) = order.steps[number], self._steps[number]
            entry, spread, blocks = (step.column, step.beside, beside) if transposed else (step.row, step.below, below)
            if entry not in right:
                continue
            own = inverse[:, :, None] * right[entry]
            right[entry] = own
            for group in spread:
                if group in blocks:
                    right[group] = _less(right.get(group), times(blocks[group], own))
        found = self._core_solved(right, transposed)
        for number in outward:
            step, (inverse, below, beside) = order.steps[number], self._steps[number]
            entry, result = (step.column, step.row) if transposed else (step.row, step.column)
            needs, blocks = (step.below, below) if transposed else (step.beside, beside)
            rest: Array | None = None
            for group in needs:
                if group in found and group in blocks:
                    rest = _less(rest, times(blocks[group], found[group]))
            if rest is not None:
                rest = inverse[:, :, None] * rest
            if entry in right:
                rest = right[entry] if rest is None else rest + right[entry]
            if rest is not None:
                found[result] = rest
        return found

    def _core_solved(self, right: Mapping[int, Array], transposed: bool) -> dict[int, Array]:
        order = self.order
        entries, exits = (order.columns, order.rows) if transposed else (order.rows, order.columns)
        entry_sizes = order.column_sizes if transposed else order.row_sizes
        exit_sizes = order.row_sizes if transposed else order.column_sizes
        wide = max((right[g].shape[2] for g in entries if g in right), default=0)
        if not wide:
            return {}
        stacked = np.zeros((self.batch, sum(entry_sizes[g] for g in entries), wide))
        at = 0
        for g in entries:
            if g in right:
                stacked[:, at : at + entry_sizes[g]] = right[g]
            at += entry_sizes[g]
        solved = self._divided(stacked, transposed)
        found, at = {}, 0
        for g in exits:
            found[g] = solved[:, at : at + exit_sizes[g]]
            at += exit_sizes[g]
        return found


def of_some(value: Array, rows: NDArray[np.intp]) -> Array:
    """The value of some of a batch; one that all share stays."""
    return value[rows] if len(value) > 1 else value


def some(values: Mapping[Any, Array], rows: NDArray[np.intp]) -> dict[Any, Array]:
    """The values of some of a batch; see ``of_some``."""
    return {key: of_some(value, rows) for key, value in values.items()}


def times_of(block: Array, vector: Array) -> Array:
    """A block times vectors, (batch, n, k)."""
    return block[:, :, None] * vector if block.ndim == 2 else block @ vector


def _times_transposed(block: Array, vector: Array) -> Array:
    return block[:, :, None] * vector if block.ndim == 2 else block.transpose(0, 2, 1) @ vector


def add(right: dict[int, Array], group: int, value: Array) -> None:
    """Add to a group's right-hand side; one that is not there is zero."""
    right[group] = right[group] + value if group in right else value


def _less(value: Array | None, product: Array) -> Array:
    return -product if value is None else value - product


def _starts(groups: Sizes) -> dict[int, int]:
    found, at = {}, 0
    for group, size in groups:
        found[group] = at
        at += size
    return found


def _placed(work: Mapping[Key, Array], rows: Sizes, columns: Sizes) -> list[tuple[int, int, Array]]:
    """Blocks, and the row and the column of their joined matrix where each begins."""
    down, across = _starts(rows), _starts(columns)
    return [(down[r], across[c], work[r, c]) for r, _ in rows for c, _ in columns if (r, c) in work]


def _add_products(total: Array, blocks: Sequence[tuple[int, int, Array]], vectors: Array) -> None:
    """Add what placed blocks make of vectors, (batch, n, k), to their total."""
    for row, column, block in blocks:
        total[:, row : row + block.shape[1]] += times_of(block, vectors[:, column : column + block.shape[-1]])


def _joined(work: Mapping[Key, Array], rows: Sizes, columns: Sizes, batch: int) -> Array:
    """Blocks as one dense matrix."""
    found = np.zeros((batch, sum(size for _, size in rows), sum(size for _, size in columns)))
    for row, column, block in _placed(work, rows, columns):
        part = found[:, row : row + block.shape[1], column : column + block.shape[-1]]
        if block.ndim == 3:
            part[:] = block
        else:
            np.einsum("bii->bi", part)[:] = block
    return found

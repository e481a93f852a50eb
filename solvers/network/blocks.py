"""Linear systems made of blocks that are diagonal or dense, eliminated block by block in an order planned once.

A programmable array couples families of nodes (all outputs, all virtual grounds) in two ways only: each with its own
partner, or all with all. So its nodal equations are a small matrix of blocks. Diagonal blocks are eliminated at the
price of scaling and adding; what no diagonal pivot can take away cheaply is left as one dense core.

Blocks are (batch, n) where they are diagonal and (batch, m, n) where they are dense; batch is 1 for what all share.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from solvers.network.block_plan import BlockPlan, Key, eliminated

Array = NDArray[np.float64]
Sizes = Sequence[tuple[int, int]]
"""Groups, of functionals or of inputs, with their sizes. Their numbers are below 0, where those of unknowns end."""


class SingularError(ArithmeticError):
    """The equations have no unique solution. ``draw`` is the first of the batch that has none."""

    def __init__(self, draw: int) -> None:
        super().__init__(draw)
        self.draw = draw


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
        self._upto: dict[int, list[list[tuple[int, int, Array]]]] = {}

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
        if length not in self._upto:
            self._upto[length] = [[part for part in parts if part[0] < length] for parts in (self._P, self._S)]
        rows, straight = self._upto[length]
        if self._lu:
            solved = self._divided(_products(self._Q, vector, self.batch, self._left), False)
            found = _products(rows, solved, self.batch, length)
            np.negative(found, out=found)
        else:
            found = np.zeros((self.batch, length, vector.shape[2]))
        _add_products(found, straight, vector)
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


def _products(blocks: Sequence[tuple[int, int, Array]], vectors: Array, batch: int, length: int) -> Array:
    """What placed blocks make of vectors, (batch, length, k), as an array of its own."""
    if len(blocks) == 1:
        block = blocks[0][2]
        if (max(len(block), len(vectors)), block.shape[1], block.shape[-1]) == (batch, length, vectors.shape[1]):
            return times_of(block, vectors)
    total = np.zeros((batch, length, vectors.shape[2]))
    _add_products(total, blocks, vectors)
    return total


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

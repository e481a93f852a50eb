"""Eliminating the unknowns of many linear systems of one sparse structure at once.

Each system is ``A y + Q q = 0`` with wanted functionals ``f = P y + S q``; what is left is ``f = (S − P A⁻¹ Q) q``.
Which entries are ever non-zero, and in which order unknowns go, follows from the structure alone, so it is planned
once; the arithmetic is then done for all systems together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

PIVOT_THRESHOLD = 1e-2
"""A pivot is at least this share of its row's largest entry, so that no elimination magnifies errors much."""


class SingularError(ArithmeticError):
    """A has no inverse. ``unknown`` is the column that takes most part in its null vector."""

    def __init__(self, unknown: int) -> None:
        super().__init__(unknown)
        self.unknown = unknown


@dataclass(frozen=True)
class _Stage:
    """``value[target] −= Σ value[below] · value[beside] / value[pivot]``; the sums start at ``first``."""

    target: Indices
    below: Indices
    beside: Indices
    pivot: Indices
    first: Indices


@dataclass(frozen=True)
class Plan:
    """An order of elimination.

    Args:
        entries: how many values are given; fill comes behind them.
        fill: how many values come to the given ones.
        stages: sets of unknowns, each eliminated together.
        core: unknowns that are left for a dense solve.
        blocks: row, column and place of the entries that are left of A, Q, P and S.
        functionals: rows of the result.
        used: its columns, the inputs that a functional can depend on, ascending.
    """

    entries: int
    fill: int
    stages: tuple[_Stage, ...]
    core: Indices
    blocks: tuple[tuple[Indices, Indices, Indices], ...]
    functionals: int
    used: Indices

    def reduce(self, values: Array) -> Array:
        """S − P A⁻¹ Q.

        Args:
            values: (entries, draws).

        Returns:
            (draws, functionals, used inputs).

        Raises:
            SingularError: A of a draw has no inverse.
        """
        value = self._eliminate(values)
        A, Q, P, S = (_dense(value, block, shape) for block, shape in zip(self.blocks, self._shapes(), strict=True))
        if len(self.core):
            try:
                S = S - P @ np.linalg.solve(A, Q)
            except np.linalg.LinAlgError:
                raise SingularError(self._weakest(A)) from None
        if not np.isfinite(S).all():
            raise SingularError(int(self.core[0]) if len(self.core) else 0)
        return S

    def _eliminate(self, values: Array) -> Array:
        """All values, fill included, after the last stage: (entries + fill, draws), or without draws as given."""
        value = np.concatenate([values, np.zeros((self.fill, *values.shape[1:]))])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for stage in self.stages:
                products = value[stage.below] * (value[stage.beside] / value[stage.pivot])
                if len(stage.first) < len(products):
                    products = np.add.reduceat(products, stage.first, axis=0)
                value[stage.target] -= products
        return value

    def _shapes(self) -> tuple[tuple[int, int], ...]:
        k, inputs = len(self.core), len(self.used)
        return (k, k), (k, inputs), (self.functionals, k), (self.functionals, inputs)

    def _weakest(self, A: Array) -> int:
        worst = A[int(np.argmin(np.linalg.svd(A, compute_uv=False)[:, -1]))]
        return int(self.core[int(np.argmax(np.abs(np.linalg.svd(worst)[2][-1])))])


def plan(
    rows: Indices,
    columns: Indices,
    values: Array,
    steady: NDArray[np.bool_],
    unknowns: int,
    functionals: int,
    inputs: int,
) -> Plan:
    """Choose the order of elimination from the structure and from one system's values.

    Sets of unknowns that do not touch each other go together, those first that make least fill (Markowitz, Management
    Science 3:255, 1957); where any would fill much of the rest, the rest is solved as a dense system.

    Args:
        rows: (entries,), 0 … unknowns − 1 are equations, then come the functionals.
        columns: (entries,), 0 … unknowns − 1 are unknowns, then come the inputs. No pair of row and column twice.
        values: (entries,), of a typical system, for stable pivots.
        steady: (entries,), which of them are of like size in all systems; no other becomes a pivot.
    """
    width = unknowns + inputs
    key, value, place = rows * width + columns, values.astype(float), np.arange(len(rows))
    total = len(key)
    live_rows, live_columns = np.ones(unknowns + functionals, dtype=bool), np.ones(width, dtype=bool)
    stages: list[_Stage] = []
    while True:
        row, column = key // width, key % width
        pivots = _independent_pivots(row, column, value, steady, unknowns, int(live_columns[:unknowns].sum()))
        if not len(pivots):
            break
        below, beside, pivot = _products(row, column, pivots)
        if len(below):
            wanted = row[below] * width + column[beside]
            order = np.argsort(wanted, kind="stable")
            below, beside, pivot = below[order], beside[order], pivot[order]
            targets, first = np.unique(wanted[order], return_index=True)
            fresh = np.setdiff1d(targets, key, assume_unique=True)
            key, value = np.append(key, fresh), np.append(value, np.zeros(len(fresh)))
            steady = np.append(steady, np.ones(len(fresh), dtype=bool))
            place = np.append(place, total + np.arange(len(fresh)))
            total += len(fresh)
            sorting = np.argsort(key)
            target = sorting[np.searchsorted(key, targets, sorter=sorting)]
            stages.append(_Stage(place[target], place[below], place[beside], place[pivot], first))
            value[target] -= np.add.reduceat(value[below] * value[beside] / value[pivot], first)
            steady[target] &= np.logical_and.reduceat(steady[below] & steady[beside], first)
        live_rows[row[pivots]] = live_columns[column[pivots]] = False
        keep = live_rows[key // width] & live_columns[key % width]
        key, value, steady, place = key[keep], value[keep], steady[keep], place[keep]
    row, column = key // width, key % width
    core = np.flatnonzero(live_columns[:unknowns])
    # Rows and columns of the four blocks count from 0.
    row = np.where(row < unknowns, np.cumsum(live_rows)[row] - 1, row - unknowns)
    own, wanted = live_rows[key // width] & (key // width < unknowns), column < unknowns
    used = np.unique(column[~wanted])
    column = np.where(wanted, np.cumsum(live_columns)[column] - 1, np.searchsorted(used, column))
    blocks = tuple(
        (row[chosen], column[chosen], place[chosen])
        for chosen in (own & wanted, own & ~wanted, ~own & wanted, ~own & ~wanted)
    )
    return Plan(len(rows), total - len(rows), tuple(stages), core, blocks, functionals, used - unknowns)


def _independent_pivots(
    row: Indices, column: Indices, value: Array, steady: NDArray[np.bool_], unknowns: int, left: int
) -> Indices:
    """Entries that are large in their row, cost little fill, and share no row or column with another one's entries.

    None where what is left, of that many unknowns, is better solved as a dense system.
    """
    inside = np.flatnonzero((row < unknowns) & (column < unknowns))
    r, c, size = row[inside], column[inside], np.abs(value[inside])
    largest = np.zeros(unknowns)
    np.maximum.at(largest, r, size)
    below = np.bincount(column, minlength=unknowns)[c] - 1
    cost = (np.bincount(row, minlength=unknowns)[r] - 1) * below
    # A column singleton causes no fill, so any pivot size is safe.
    allowed = ((size >= PIVOT_THRESHOLD * largest[r]) | (below == 0)) & (size > 0) & steady[inside]
    cheapest = cost[allowed].min(initial=left**2)
    if cheapest > left**2 / 4:
        return np.zeros(0, dtype=np.intp)
    allowed &= cost <= 4 * max(cheapest, left)
    by_row, row_starts = _grouped(r, unknowns)
    by_column, column_starts = _grouped(c, unknowns)
    blocked_rows, blocked_columns = np.zeros(unknowns, dtype=bool), np.zeros(unknowns, dtype=bool)
    chosen = []
    candidates = np.flatnonzero(allowed)
    for k in candidates[np.argsort(cost[candidates], kind="stable")].tolist():
        if not (blocked_rows[r[k]] or blocked_columns[c[k]]):
            chosen.append(k)
            blocked_columns[c[by_row[row_starts[r[k]] : row_starts[r[k] + 1]]]] = True
            blocked_rows[r[by_column[column_starts[c[k]] : column_starts[c[k] + 1]]]] = True
    return inside[chosen]


def _products(row: Indices, column: Indices, pivots: Indices) -> tuple[Indices, Indices, Indices]:
    """For every pivot all pairs of an entry below it and an entry beside it."""
    by_row, row_starts = _grouped(row, int(row.max()) + 1)
    by_column, column_starts = _grouped(column, int(column.max()) + 1)
    below, beside, owner = [], [], []
    for p in pivots.tolist():
        under = by_column[column_starts[column[p]] : column_starts[column[p] + 1]]
        along = by_row[row_starts[row[p]] : row_starts[row[p] + 1]]
        under, along = under[under != p], along[along != p]
        below.append(np.repeat(under, len(along)))
        beside.append(np.tile(along, len(under)))
        owner.append(np.full(len(under) * len(along), p))
    return np.concatenate(below), np.concatenate(beside), np.concatenate(owner)


def _grouped(labels: Indices, count: int) -> tuple[Indices, Indices]:
    """Positions sorted by label, and where each label's positions start."""
    return np.argsort(labels, kind="stable"), np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=count))])


def _dense(value: Array, block: tuple[Indices, Indices, Indices], shape: tuple[int, int]) -> Array:
    rows, columns, places = block
    dense = np.zeros((value.shape[1], *shape))
    dense[:, rows, columns] = value[places].T
    return dense

"""What a circuit sees of crossbars behind wires: resistors between the beginnings of their wires, and no nodes inside.

A crossbar is cut into blocks of a few crossings, and these are joined in pairs until one is left (nested dissection;
George, SIAM J. Numer. Anal. 10:345, 1973). A block is given the voltages V at which its column and row wires begin and
the currents J that leave at their ends; it gives the currents I into their beginnings and the voltages at their ends.
Where two blocks meet, ``V = a + Z J`` and ``J = b + Y V``, so ``V = (1 − Z Y)⁻¹ (a + Z b)``. Since −Z is a resistance
of wires and Y a conductance, this is exact, and loses nothing where wires have next to no resistance.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from solvers.batches import slices

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

SMALLEST = 4
"""Rows or columns of the smallest blocks, at least; they have less than twice as many."""
TOGETHER = 20_000
"""Crossings that are eliminated together: enough to share what Python costs, few enough for the caches."""
COLUMNS, ROWS = 0, 1
"""Ports where column wires begin, and row wires; those where they end come two later."""


def _every_other(blocks: Array, wires: int, first: int) -> Array:
    """Every second block along the column wires, or the row wires, (batch, down, across, ...)."""
    return blocks[:, first::2] if wires == COLUMNS else blocks[:, :, first::2]


@dataclass(frozen=True)
class _Blocks:
    """Like blocks of crossbars.

    Args:
        law: ``(I, V at the ends) = law · (V, J)``, (batch, down, across, ports, ports), in S, Ω or numbers.
        sizes: ports where columns begin, rows begin, columns end and rows end; 0: no wire goes on there.
    """

    law: Array
    sizes: tuple[int, ...]

    def ports(self, *kinds: int) -> Indices:
        starts = np.cumsum([0, *self.sizes])
        return np.concatenate([np.arange(starts[k], starts[k + 1]) for k in kinds] or [np.zeros(0, dtype=np.intp)])


@dataclass(frozen=True)
class _Joint:
    """How blocks were joined along their column or row wires, in pairs.

    Args:
        ports: of a pair that are those of the first and of the second block, and which these are of each block.
        ends: which ports of the first block, and of the second, the other one joins.
        between: J in the wires between the two and V there, by what the pair is given, (..., wires, ports).
    """

    wires: int
    ports: tuple[tuple[Indices, Indices], tuple[Indices, Indices]]
    ends: tuple[Indices, Indices]
    between: tuple[Array, Array]

    def apart(self, given: Array) -> Array:
        """What each block is given, from what pairs are, (batch, down, across, ports, k)."""
        shape = list(given.shape)
        shape[1 + self.wires] *= 2
        shape[3] = len(self.ports[0][1]) + len(self.ends[0])
        found = np.zeros(shape)
        for first, ((of_pair, own), end, inner) in enumerate(zip(self.ports, self.ends, self.between, strict=True)):
            block = _every_other(found, self.wires, first)
            block[..., own, :] = given[..., of_pair, :]
            block[..., end, :] = inner @ given
        return found


def _joined(blocks: _Blocks, wires: int) -> tuple[_Blocks, _Joint]:
    """Pairs of blocks that follow one another along their column or row wires."""
    begin, end, across, beyond = wires, wires + 2, 1 - wires, 3 - wires
    one, two = _every_other(blocks.law, wires, 0), _every_other(blocks.law, wires, 1)
    sizes = [count * (2 if kind in (across, beyond) else 1) for kind, count in enumerate(blocks.sizes)]
    # The last of all blocks ends where its wires do.
    outer = () if one.shape[1 + wires] == 1 else (end,)
    sizes[end] *= len(outer)
    pair = _Blocks(np.zeros((*one.shape[:3], sum(sizes), sum(sizes))), tuple(sizes))
    # The wires across are those of both blocks, one after the other.
    halves = [np.split(pair.ports(kind), 2) for kind in (across, beyond)]
    owns = blocks.ports(begin, across, beyond), blocks.ports(*outer, across, beyond)
    of_pair = tuple(
        np.concatenate([pair.ports(*kinds), *(half[k] for half in halves)]) for k, kinds in enumerate(((begin,), outer))
    )
    leaving, entering = blocks.ports(end), blocks.ports(begin)
    Z, Y = one[..., leaving[:, None], leaving], two[..., entering[:, None], entering]
    a, b = (np.zeros((*one.shape[:3], len(leaving), sum(sizes))) for _ in range(2))
    a[..., of_pair[0]], b[..., of_pair[1]] = one[..., leaving[:, None], owns[0]], two[..., entering[:, None], owns[1]]
    volts = np.linalg.inv(np.eye(len(leaving)) - Z @ Y) @ (a + Z @ b)
    currents = b + Y @ volts
    law = pair.law
    for block, own, at, joined, inner in (
        (one, owns[0], of_pair[0], leaving, currents),
        (two, owns[1], of_pair[1], entering, volts),
    ):
        law[..., at, :] = block[..., own[:, None], joined] @ inner
        law[..., at[:, None], at] += block[..., own[:, None], own]
    ports = ((of_pair[0], owns[0]), (of_pair[1], owns[1]))
    return pair, _Joint(wires, ports, (leaving, entering), (currents, volts))


def between_beginnings(conductances: Array, wire_resistance: float) -> tuple[Array, Array, Array]:
    """See ``Mesh``, for batches of any size."""
    size = max(1, TOGETHER // conductances[0].size)
    parts = [Mesh(conductances[some], wire_resistance).between_beginnings() for some in slices(len(conductances), size)]
    crossing, columns, rows = (np.concatenate(own) for own in zip(*parts, strict=True))
    return crossing, columns, rows


@lru_cache(maxsize=16)
def _paths(columns: int, rows: int) -> tuple[Array, Array]:
    """Of a block of crossings, whose currents go from column to row wires, in units of a segment's resistance R.

    Returns:
        S: voltages across crossings, ``S_V V + R S_J J`` less ``R K`` times their currents, by what the block is given,
        (crossings, ports); and K, (crossings, crossings).
    """
    i, j = np.divmod(np.arange(rows * columns), columns)
    column, row = np.arange(columns) == j[:, None], np.arange(rows) == i[:, None]
    S = np.concatenate([column, -1.0 * row, -(i[:, None] + 1.0) * column, (j[:, None] + 1.0) * row], axis=1)
    same_column, same_row = j[:, None] == j, i[:, None] == i
    K = (np.minimum.outer(i, i) + 1.0) * same_column + (np.minimum.outer(j, j) + 1.0) * same_row
    return S, K


class Mesh:
    """A batch of crossbars behind wires; see ``netlists.crossbar.laid_out`` for how these run.

    Args:
        conductances: of the resistors, (batch, rows, columns), S.
        wire_resistance: Ω per segment.
    """

    def __init__(self, conductances: Array, wire_resistance: float) -> None:
        batch, m, n = conductances.shape
        self._shape = m, n
        (rows, down), (columns, across) = _cut(m), _cut(n)
        padded = np.zeros((batch, rows * down, columns * across))
        padded[:, :m, :n] = conductances
        cut = padded.reshape(batch, down, rows, across, columns).transpose(0, 1, 3, 2, 4)
        held = cut.reshape(batch, down, across, rows * columns, 1)
        S, K = _paths(columns, rows)
        units = np.repeat([1.0, wire_resistance], rows + columns)
        self._S, self._K = units * S, wire_resistance * K
        self._crossings = np.linalg.solve(np.eye(len(K)) + held * self._K, held * self._S)
        straight = np.zeros((2 * (rows + columns),) * 2)
        ports, half = np.arange(rows + columns), rows + columns
        length = wire_resistance * np.repeat([rows, columns], [columns, rows])
        straight[ports, half + ports] = straight[half + ports, ports] = 1.0
        straight[half + ports, half + ports] = -length
        blocks = _Blocks(straight + self._S.T @ self._crossings, (columns, rows) * 2)
        self._joints: list[_Joint] = []
        while blocks.law.shape[1:3] != (1, 1):
            for wires in (ROWS, COLUMNS):
                if blocks.law.shape[1 + wires] > 1:
                    blocks, joint = _joined(blocks, wires)
                    self._joints.append(joint)
        self._whole = blocks

    def between_beginnings(self) -> tuple[Array, Array, Array]:
        """Conductances of resistors that do the same between the beginnings of wires, (batch, ·, ·), S.

        Returns:
            Between rows and columns, (rows, columns); between columns, and between rows, symmetric and without a
            diagonal. None is below zero: what rounding makes of nothing is nothing.
        """
        m, n = self._shape
        columns, rows = self._whole.ports(COLUMNS)[:n], self._whole.ports(ROWS)[:m]
        law = self._whole.law[:, 0, 0]
        found = [
            -(law[:, one[:, None], other] + law[:, other[:, None], one].swapaxes(1, 2)) / 2
            for one, other in ((rows, columns), (columns, columns), (rows, rows))
        ]
        for own in found[1:]:
            np.einsum("bkk->bk", own)[:] = 0.0
        crossing, by_columns, by_rows = (np.maximum(own, 0.0) for own in found)
        return crossing, by_columns, by_rows

    def across(self, columns: Array, rows: Array) -> Array:
        """Voltages across the resistors, (batch, rows, columns, k), by those where wires begin.

        Args:
            columns, rows: (batch, wires, k), V.
        """
        (m, n), whole = self._shape, self._whole
        batch = max(len(whole.law), len(columns), len(rows))
        given = np.zeros((batch, 1, 1, whole.law.shape[-1], columns.shape[2]))
        given[:, 0, 0, whole.ports(COLUMNS)[:n]] = columns
        given[:, 0, 0, whole.ports(ROWS)[:m]] = rows
        for joint in reversed(self._joints):
            given = joint.apart(given)
        found = self._S @ given - self._K @ (self._crossings @ given)
        size = _cut(m)[0], _cut(n)[0]
        cut = found.reshape(*given.shape[:3], *size, -1).transpose(0, 1, 3, 2, 4, 5)
        return cut.reshape(batch, size[0] * cut.shape[1], size[1] * cut.shape[3], -1)[:, :m, :n]


def _cut(count: int) -> tuple[int, int]:
    """Wires of a block, and how many blocks, a power of two, make so many wires or a few more.

    Those beyond have no resistors, and wires without any carry no current.
    """
    blocks = 1
    while count >= 2 * SMALLEST * blocks:
        blocks *= 2
    return -(-count // blocks), blocks

"""What elements add to blocks of equations, planned once and filled with any values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from solvers.network.block_plan import Key, with_diagonal

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

ONE = ""
"""Key of the coefficient 1."""


@dataclass(frozen=True)
class Term:
    """One contribution to a block: ``factor`` times what ``key`` stands for, placed by ``mode``."""

    key: str
    factor: float
    mode: str
    count: int
    shape: tuple[int, ...] = ()
    where: Indices | None = None
    gather: "scipy.sparse.csr_array | None" = None


def filled(placed: Mapping[Key, Sequence[Term]], coefficients: Mapping[str, Array]) -> dict[Key, Array]:
    """The blocks that terms make of coefficients."""
    found = {}
    for key, terms in placed.items():
        diagonal: Array | None = None
        dense: Array | None = None
        fresh = False  # whether the dense block is nobody else's
        for term in terms:
            own = coefficients[term.key] if term.key else np.ones((1, term.count))
            if term.mode == "diagonal":
                part = term.factor * own
                diagonal = part if diagonal is None else diagonal + part
            elif term.mode == "row sums":
                part = own.reshape(len(own), *term.shape) @ np.full(term.shape[1], term.factor)
                diagonal = part if diagonal is None else diagonal + part
            elif term.mode == "column sums":
                part = np.full(term.shape[0], term.factor) @ own.reshape(len(own), *term.shape)
                diagonal = part if diagonal is None else diagonal + part
            elif term.mode == "gather":
                assert term.gather is not None
                part = term.factor * (term.gather @ own.T).T
                diagonal = part if diagonal is None else diagonal + part
            elif term.mode == "grid":
                part = own.reshape(len(own), *term.shape)
                part = part if term.factor == 1 else term.factor * part
                fresh = dense is not None or term.factor != 1
                dense = part if dense is None else dense + part
            elif term.mode == "grid transposed":
                part = own.reshape(len(own), *term.shape).transpose(0, 2, 1)
                part = part if term.factor == 1 else term.factor * part
                fresh = dense is not None or term.factor != 1
                dense = part if dense is None else dense + part
            else:
                part = np.zeros((len(own), *term.shape))
                flat = part.reshape(len(own), -1)
                assert term.where is not None
                if term.gather is None:
                    flat[:, term.where] = term.factor * own
                else:
                    flat[:] = term.factor * (term.gather @ own.T).T
                fresh = True
                dense = part if dense is None else dense + part
        if dense is None:
            assert diagonal is not None
            found[key] = diagonal
        elif diagonal is None:
            found[key] = dense
        else:
            found[key] = with_diagonal(dense, diagonal, fresh)
    return found


def is_range(index: Indices, size: int) -> bool:
    return len(index) == size and index[0] == 0 and index[-1] == size - 1 and bool((index[1:] > index[:-1]).all())


def placed(key: str, factor: float, i: Indices, j: Indices, m: int, n: int, square: bool) -> Term:
    """Where the elements of a group go in a block of m × n."""
    count = len(i)
    rows, columns = np.arange(m), np.arange(n)
    if count == m == n and np.array_equal(i, rows) and np.array_equal(j, columns):
        return Term(key, factor, "diagonal", count, (count,))
    if square and np.array_equal(i, j):
        if count % m == 0 and np.array_equal(i, np.repeat(rows, count // m)):
            return Term(key, factor, "row sums", count, (m, count // m))
        if count % m == 0 and np.array_equal(i, np.tile(rows, count // m)):
            return Term(key, factor, "column sums", count, (count // m, m))
        gather = scipy.sparse.csr_array((np.ones(count), (i, np.arange(count))), shape=(m, count))
        return Term(key, factor, "gather", count, (m,), None, gather)
    if count == m * n and np.array_equal(i, np.repeat(rows, n)) and np.array_equal(j, np.tile(columns, m)):
        return Term(key, factor, "grid", count, (m, n))
    if count == m * n and np.array_equal(i, np.tile(rows, n)) and np.array_equal(j, np.repeat(columns, m)):
        return Term(key, factor, "grid transposed", count, (n, m))
    where = i * n + j
    if len(np.unique(where)) == count:
        return Term(key, factor, "scatter", count, (m, n), where)
    gather = scipy.sparse.csr_array((np.ones(count), (where, np.arange(count))), shape=(m * n, count))
    return Term(key, factor, "scatter", count, (m, n), where, gather)

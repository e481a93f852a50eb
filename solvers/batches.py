"""Systems that are solved together: as one batch, in parts that fit the caches."""

from collections.abc import Iterator, Sequence
from functools import cache
from math import inf

import numpy as np

from spu_circuit.problem import GgnSystem, GgnSystems, LinearSystems, System, Systems
from spu_circuit.several import Batch, Several

ENTRIES = 350_000
"""Of the matrices that are solved together: enough to share what Python costs, few enough for the caches."""
MOST = 256
"""Systems that are solved together, however small."""
LARGE = 4_000_000
"""Numbers in an array that is freed once, just below the 32 MiB up to which glibc learns to keep freed memory. Else
arrays of every part come as fresh pages, which takes as long as their algebra."""


def as_batch(systems: Systems | Sequence[System] | Several) -> Batch:
    """Systems one by one as if they were a batch of arrays."""
    return systems if isinstance(systems, LinearSystems | GgnSystems | Several) else Several(tuple(systems))


def rows_of(systems: Batch) -> int | None:
    """Of the factor, where the systems have one."""
    one = systems[0] if isinstance(systems, Several) else systems
    return one.B.shape[-2] if isinstance(one, GgnSystem | GgnSystems) else None


def together(systems: Batch, analog_time: float = inf) -> int:
    """How many of these are solved together. On their way they take twice the memory that they take at rest."""
    unknowns, entries = systems.b.shape[1], ENTRIES if analog_time == inf else ENTRIES // 2
    return min(MOST, max(1, entries // (unknowns * (rows_of(systems) or unknowns))))


def slices(count: int, size: int) -> Iterator[slice]:
    """Parts of so many, of this size but for the last."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def some_of(systems: Batch, chosen: slice) -> Batch:
    """Part of a batch, not checked again."""
    part = object.__new__(type(systems))
    for name, value in vars(systems).items():
        object.__setattr__(part, name, value[chosen])
    return part


@cache
def keep_freed_memory() -> None:
    """See ``LARGE``."""
    np.empty(LARGE)

"""Uniform random numbers of samples, each by seed, what it is for, and the sample's number.

Every number comes from a counter-based generator (Philox) whose key is the seed and what the number is for, and whose
counter is the sample number. So a sample does not depend on which others are drawn, where, or in what order.
"""

from collections.abc import Iterable, Iterator, Mapping
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from spu_circuit.errors import InputError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

STEPS = 1 << 53
"""Uniform numbers come in steps of 2⁻⁵³; half a step keeps them off 0 and 1."""
SOBOL_DIMENSIONS = 21_201
"""Of SciPy's direction numbers (Joe and Kuo, SIAM J. Sci. Comput. 30:2635, 2008)."""


def independent(purpose: str, slots: Indices, samples: range, seed: int, total: int = 0) -> Array:
    """Numbers of the slots inside (0, 1), (samples, slots), each independent of all others."""
    found = np.empty((len(samples), len(slots)))
    last = int(slots.max(initial=-1)) + 1
    for row, stream in enumerate(_streams(seed, purpose, samples)):
        found[row] = stream.random(last)[slots]
    return found + 0.5 / STEPS


def latin(purpose: str, slots: Indices, samples: range, seed: int, total: int) -> Array:
    """One sample in each of ``total`` strata of every number."""
    within = independent(purpose, slots, samples, seed, total)
    strata = np.empty((len(samples), len(slots)))
    for column, stream in enumerate(_streams(seed, f"{purpose} strata", slots.tolist())):
        strata[:, column] = stream.permutation(total)[samples.start : samples.stop]
    return (strata + within) / total


def sobol(wanted: Mapping[str, tuple[str, Indices, int]], samples: range, seed: int) -> dict[str, Array]:
    """Numbers that are few to a sample first: they get the best of the sequence.

    Every place of the board has a dimension, so that a part is the same whatever else is there.
    """
    from scipy.stats import qmc  # half a second, which all others spare

    order = sorted(wanted, key=lambda purpose: wanted[purpose][2])
    sizes = [wanted[purpose][2] for purpose in order]
    if sum(sizes) > SOBOL_DIMENSIONS:
        raise InputError(
            f"design 'sobol' has numbers for {SOBOL_DIMENSIONS} parts, this board has places for {sum(sizes)}; "
            "take design = 'lhs'"
        )
    if not order:
        return {}
    # SciPy spawns from the generator, for which a Philox with a key of its own has no seed.
    sequence = qmc.Sobol(sum(sizes), rng=np.random.default_rng([seed, crc32(b"sobol")]))
    if samples.start:
        sequence.fast_forward(samples.start)
    # The sequence has steps of its own, and a 0 would be a part 8 σ away.
    points = sequence.random(len(samples)) + 0.5 / sequence.maxn
    split = zip(order, np.split(points, np.cumsum(sizes)[:-1], axis=1), strict=True)
    return {purpose: numbers[:, wanted[purpose][1]] for purpose, numbers in split}


def _streams(seed: int, purpose: str, numbers: Iterable[int]) -> Iterator[np.random.Generator]:
    """One stream for each number, to be used up before the next: it is one generator, set anew."""
    philox = np.random.Philox(key=np.array([seed, crc32(purpose.encode())], dtype=np.uint64))
    stream, state = np.random.Generator(philox), philox.state
    for number in numbers:
        state["state"]["counter"][:] = 0, 0, 0, number
        philox.state = state
        yield stream

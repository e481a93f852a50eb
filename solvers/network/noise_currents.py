"""The noise currents of a flat circuit: of its resistors, which take from one end what they give to the other."""

import numpy as np
import scipy
from numpy.typing import NDArray

from spu_circuit.noise import johnson_current_density

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


def spectrum_of(
    response: Array,
    reached: Indices,
    nodes: int,
    ohms: Array,
    ends: Indices,
    temperature: float | Array | None,
    sources: tuple[Indices, Array] | None,
) -> Array:
    """One-sided cross densities of what noise currents into nodes make.

    Args:
        response: to currents into the reached nodes, (draws, k, reached).
        reached: numbers of these nodes.
        nodes: how many there are.
        ohms: of the resistors, (draws, resistors).
        ends: nodes of each, -1 for ground, (resistors, 2).
        temperature: kelvin of all resistors, or of each draw's (draws,); None: they are noiseless.
        sources: nodes of other noise currents, and their one-sided densities, A²/Hz, (sources,) each.

    Returns:
        (draws, k, k).
    """
    count, draws = len(reached), len(ohms)
    where = np.full(nodes + 1, count)  # the last row is for ground, and for what reaches nothing
    where[reached] = np.arange(count)
    own = np.zeros((count + 1, draws))
    if sources is not None:
        np.add.at(own, where[sources[0]], sources[1][:, None])
    shared = np.zeros((count**2, draws))
    if temperature is not None:
        density = johnson_current_density(1 / ohms, np.broadcast_to(temperature, draws)[:, None])
        at = where[ends]
        index = np.arange(len(at))
        gather = scipy.sparse.csr_array((np.ones(2 * len(at)), (at.T.ravel(), np.tile(index, 2))), (count + 1, len(at)))
        own += gather @ density.T
        both = (at < count).all(axis=1)
        np.add.at(shared, at[both, 0] * count + at[both, 1], -density[:, both].T)
    driven = response * own[:count].T[:, None, :]
    if shared.any():
        square = shared.T.reshape(draws, count, count)
        driven = driven + response @ (square + square.transpose(0, 2, 1))
    return np.asarray(driven @ response.transpose(0, 2, 1))

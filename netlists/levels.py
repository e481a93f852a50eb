"""The conductances that a programmable resistor can take."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from spu_circuit.hardware import ResistorArray

Array = NDArray[np.float64]
Rounding = Callable[[Array, ResistorArray], Array]
"""Takes conductances that are wanted, any shape, S, and gives those that resistors are programmed to."""


def nearest_level(target: Array, resistors: ResistorArray) -> Array:
    """The nearest conductance, in siemens, that a resistor can be programmed to, off included; any shape."""
    off = resistors.off_conductance
    if resistors.bits is None and not resistors.levels:
        programmed = np.clip(target, resistors.G_min, resistors.G_max)
        return np.where(target < (off + resistors.G_min) / 2, off, programmed)
    if resistors.bits is not None and resistors.spacing == "conductance" and resistors.bits > 1:
        return _even(target, resistors)
    levels, edges = _levels(resistors)
    if resistors.bits is None:
        return levels[np.searchsorted(edges[1:-1], target)]
    # Even spacing tells the two levels it lies between, which is faster than a search; the edge then decides.
    steps = 2**resistors.bits - 1
    lowest, highest = 1 / resistors.G_max, 1 / resistors.G_min
    with np.errstate(divide="ignore"):
        place = np.divide(1.0, target)
    np.subtract(highest, place, out=place)
    place *= steps / (highest - lowest or 1.0)
    place += len(levels) - 1 - steps
    np.clip(place, 0, len(levels) - 1, out=place)
    found = place.astype(np.intp)
    found += target > edges[1:].take(found)
    return levels.take(found)


def rails(
    net: Array, resistors: ResistorArray, rounding: Rounding = nearest_level
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """The levels that net conductances of either sign take, any shape, S.

    Returns:
        Conductances of the resistors that hold positive entries and of those that hold negative ones, S, off where
        they hold none; and which entries are not zero, but lost because they are at off.
    """
    off = resistors.off_conductance
    used = rounding(np.abs(net) + off if off else np.abs(net), resistors)
    lost, positive = (used == off) & (net != 0), net > 0
    # Products, since a choice by masks of random signs takes ten times as long.
    direct = used * positive
    inverted = np.subtract(used, direct, out=used)
    if off:
        direct[~positive], inverted[positive] = off, off
    return direct, inverted, lost


def _even(target: Array, resistors: ResistorArray) -> Array:
    """Levels of even conductance, in as few passes as can be."""
    step = (resistors.G_max - resistors.G_min) / (2**resistors.bits - 1)  # type: ignore[operator]
    lost = target <= (resistors.off_conductance + resistors.G_min) / 2
    found = np.subtract(target, resistors.G_min)
    found /= step
    # Half a step goes to the lower level, as everywhere here.
    found -= 0.5
    np.ceil(found, out=found)
    np.clip(found, 0, 2**resistors.bits - 1, out=found)  # type: ignore[operator]
    found *= step
    found += resistors.G_min
    found[lost] = resistors.off_conductance
    return found


class Stochastic:
    """Rounds to one of the two levels around, to each as often as makes the mean the conductance that is wanted.

    A matrix that is symmetric stays so: an entry and its mirror take the same level. What lies beyond the last level
    is at that level. So the programmed matrix is unbiased (arXiv 2401.16231), entry by entry.

    Args:
        seeds: one of each device of a batch, whose dimension comes first, or one, of a device alone; whole numbers.
    """

    def __init__(self, seeds: Sequence[Sequence[int]]) -> None:
        self._sources = [np.random.default_rng(seed) for seed in seeds]

    def __call__(self, target: Array, resistors: ResistorArray) -> Array:
        """See ``Rounding``; each call draws anew."""
        count = len(self._sources)
        own = target.shape[1:] if count > 1 else target.shape
        draws = np.stack([source.random(own) for source in self._sources]).reshape(target.shape)
        if target.ndim > 1 and target.shape[-1] == target.shape[-2]:
            mirrored = target.swapaxes(-1, -2)
            symmetric = (target == mirrored).all(axis=(-2, -1), keepdims=True)
            lower = np.tril(draws)
            draws = np.where(symmetric, lower + np.tril(draws, -1).swapaxes(-1, -2), draws)
        below, above = _around(target, resistors)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(above > below, (target - below) / (above - below), 0.0)
        return np.where(draws < share, above, below)


PROGRAMMING = 1
"""Sets the random numbers of programming apart from those of noise with the same seed."""
ROUNDINGS: dict[str, Callable[[Sequence[int]], Rounding]] = {
    "nearest": lambda seeds: nearest_level,
    "stochastic": lambda seeds: Stochastic([[seed, PROGRAMMING] for seed in seeds]),
}
"""How resistors take levels, from the seeds of solves."""


def _around(target: Array, resistors: ResistorArray) -> tuple[Array, Array]:
    """The nearest conductances below and above that a resistor can take, where there are any."""
    if resistors.grid is None:
        held = np.clip(target, resistors.G_min, resistors.G_max)
        missed = target < resistors.G_min
        return np.where(missed, resistors.off_conductance, held), held
    levels, _ = _levels(resistors)
    place = np.clip(np.searchsorted(levels, target, side="right") - 1, 0, len(levels) - 1)
    return levels[place], levels[np.minimum(place + 1, len(levels) - 1)]


@lru_cache(maxsize=16)
def _levels(resistors: ResistorArray) -> tuple[Array, Array]:
    """All levels, off included, and the edges between which each is the nearest."""
    grid = resistors.grid
    assert grid is not None
    levels = np.union1d(grid, [resistors.off_conductance])
    return levels, np.concatenate([[-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]])


@lru_cache(maxsize=16)
def smallest_step(resistors: ResistorArray) -> float:
    """Half way from off to the first level, in siemens of net conductance: what lies below is lost."""
    off = resistors.off_conductance
    grid = resistors.grid
    first = resistors.G_min if grid is None else float(grid[grid > off][0])
    return (first - off) / 2

"""The conductances that a programmable resistor can take."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from spu_circuit.hardware import ResistorArray

Array = NDArray[np.float64]


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


def rails(net: Array, resistors: ResistorArray) -> tuple[Array, Array, NDArray[np.bool_]]:
    """The nearest levels to net conductances of either sign, any shape, S.

    Returns:
        Conductances of the resistors that hold positive entries and of those that hold negative ones, S, off where
        they hold none; and which entries are not zero, but lost because they are nearest to off.
    """
    off = resistors.off_conductance
    used = nearest_level(np.abs(net) + off if off else np.abs(net), resistors)
    lost = (used == off) & (net != 0)
    signed = np.copysign(used, net, out=used)
    # A choice by masks of random signs would take ten times as long.
    direct, inverted = np.clip(signed, off, np.inf), np.clip(signed, -np.inf, -off, out=signed)
    direct += 0.0  # −0, whose resistance is not open but −∞, becomes 0
    return direct, np.subtract(0.0, inverted, out=inverted), lost


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

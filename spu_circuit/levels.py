"""The conductances that a programmable resistor can take."""

import numpy as np
from numpy.typing import NDArray

from spu_circuit.hardware import ResistorArray

Array = NDArray[np.float64]


def nearest_level(target: Array, resistors: ResistorArray) -> Array:
    """The nearest conductance, in siemens, that a resistor can be programmed to, off included; any shape."""
    off = resistors.off_conductance
    if resistors.grid is None:
        programmed = np.clip(target, resistors.G_min, resistors.G_max)
        return np.where(target < (off + resistors.G_min) / 2, off, programmed)
    levels = np.union1d(resistors.grid, [off])
    return levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, target)]


def smallest_step(resistors: ResistorArray) -> float:
    """Half way from off to the first level, in siemens of net conductance: what lies below is lost."""
    off = resistors.off_conductance
    first = resistors.G_min if resistors.grid is None else float(resistors.grid[resistors.grid > off][0])
    return (first - off) / 2

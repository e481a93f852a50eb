"""The thermal noise of resistors, and white noise for transients."""

from math import sqrt
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

BOLTZMANN = 1.380649e-23
"""J/K: exact, it defines the kelvin (SI, 2019)."""

WHITE = 0.0
"""Seconds for which engines that know white noise hold it."""

Conductance = TypeVar("Conductance", float, NDArray[np.float64])


def johnson_current_density(conductance: Conductance, temperature: float | NDArray[np.float64]) -> Conductance:
    """One-sided power spectral density of the thermal noise current of resistors.

    Args:
        conductance: siemens, any shape.
        temperature: kelvin; broadcasts with ``conductance``.

    Returns:
        A²/Hz, the shape of ``conductance``: S = 4 k T G (Nyquist 1928).

    Raises:
        ValueError: a conductance or the temperature is negative.
    """
    if np.any(np.asarray(conductance) < 0) or np.any(np.asarray(temperature) < 0):
        raise ValueError("conductance and temperature must not be negative")
    density: Any = 4 * BOLTZMANN * temperature * conductance
    return density


def white_current(density: float, hold: float) -> str:
    """SPICE value of a current source that takes a new independent Gaussian value every ``hold`` seconds.

    ngspice gives resistors no noise in transients by itself.
    Below 1 / hold it has the one-sided density S of white noise when its variance is ``S / (2 hold)``. TRRANDOM holds
    its value; TRNOISE would interpolate and so lose power.

    Args:
        density: S, A²/Hz.
        hold: seconds.
    """
    return f"DC 0 TRRANDOM(2 {hold!r} 0 {sqrt(density / (2 * hold))!r} 0)"

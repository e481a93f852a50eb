"""How long many circuits ``dz = (u − M z) dt`` take to settle."""

import numpy as np
from numpy.typing import NDArray

from solvers.moments import SHORT, exponential

Array = NDArray[np.float64]

LONGEST = 60
"""Doublings of the first step, at most: what has not settled then never does."""
GRID = 6
"""The horizon is walked in 2^GRID steps: a swing shorter than one of them can hide."""
BEYOND = 3
"""It is as long again, in 2^BEYOND steps, that all must stay inside, lest what rings crosses rest just at its end."""


def settling_times(drift: Array, output: Array, away: Array, tolerance: Array) -> Array:
    """When each circuit's outputs come within tolerance of rest for good.

    ``‖O e^{−Mt} a‖ ≤ tolerance``. Powers Φ^(2^k) of a short step's transition find the first horizon at which all are
    inside; the last grid step outside is then narrowed down by halves.

    Args:
        drift: M, (draws, n, n), 1/s.
        output: O, (draws, m, n).
        away: state minus rest at time 0, (draws, n).
        tolerance: V, (draws,).

    Returns:
        (draws,), s; infinite where the outputs never settle.
    """
    gram = np.abs(drift.transpose(0, 2, 1) @ drift).sum(axis=1).max(axis=1)
    step = SHORT / np.sqrt(gram)
    transitions = [exponential(-step[:, None, None] * drift)]

    def outside(states: Array) -> NDArray[np.bool_]:
        return ~(np.linalg.norm((output @ states[:, :, None])[:, :, 0], axis=1) <= tolerance)

    def strays(states: Array) -> bool:
        return bool((outside(states) & np.isfinite(states).all(axis=1)).any())

    def stays(states: Array, transition: Array) -> bool:
        for _ in range(2**BEYOND):
            states = (transition @ states[:, :, None])[:, :, 0]
            if strays(states):
                return False
        return True

    with np.errstate(over="ignore", invalid="ignore"):
        while len(transitions) <= LONGEST:
            later = (transitions[-1] @ away[:, :, None])[:, :, 0]
            if len(transitions) > GRID and not strays(later) and stays(later, transitions[-1 - BEYOND]):
                break
            transitions.append(transitions[-1] @ transitions[-1])
        never = outside(later)
        stride = len(transitions) - 1 - GRID
        walker, last, since = away, away, np.zeros(len(away))
        for number in range(2**GRID):
            left = outside(walker)
            last = np.where(left[:, None], walker, last)
            since = np.where(left, number * 2.0**stride, since)
            walker = (transitions[stride] @ walker[:, :, None])[:, :, 0]
        for k in range(stride - 1, -1, -1):
            further = (transitions[k] @ last[:, :, None])[:, :, 0]
            left = outside(further)
            last = np.where(left[:, None], further, last)
            since = since + left * 2.0**k
        # Inside the last step the distance falls nearly as an exponential.
        here = np.linalg.norm((output @ last[:, :, None])[:, :, 0], axis=1)
        there = np.linalg.norm((output @ (transitions[0] @ last[:, :, None]))[:, :, 0], axis=1)
        rest = np.log(here / tolerance) / np.log(here / there)
    found = step * (since + np.clip(rest, 0.0, 1.0))
    return np.where(never, np.inf, np.where(outside(away) | (since > 0), found, 0.0))

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

    def outside(path: Array) -> NDArray[np.bool_]:
        return ~(np.linalg.norm(output @ path, axis=1) <= tolerance[:, None])

    def walked(begin: Array, first: int, doublings: int) -> Array:
        """States (draws, n, 2^doublings) from where they begin, 2^first short steps apart."""
        path = begin[:, :, None]
        for transition in transitions[first : first + doublings]:
            path = np.concatenate([path, transition @ path], axis=2)
        return path

    def strays(path: Array) -> bool:
        """Whether any that is outside may come back: what has grown beyond all bounds does not."""
        return bool((outside(path) & np.isfinite(path).all(axis=1)).any())

    with np.errstate(over="ignore", invalid="ignore"):
        while len(transitions) <= LONGEST:
            later = (transitions[-1] @ away[:, :, None])[:, :, 0]
            if len(transitions) > GRID and not strays(later[:, :, None]):
                first = len(transitions) - 1 - BEYOND
                if not strays(transitions[first] @ walked(later, first, BEYOND)):
                    break
            transitions.append(transitions[-1] @ transitions[-1])
        never = outside(later[:, :, None])[:, 0]
        stride = len(transitions) - 1 - GRID
        path = walked(away, stride, GRID)
        left = outside(path)
        number = np.where(left.any(axis=1), left.shape[1] - 1 - np.argmax(left[:, ::-1], axis=1), 0)
        last, since = path[np.arange(len(path)), :, number], number * 2.0**stride
        for k in range(stride - 1, -1, -1):
            further = (transitions[k] @ last[:, :, None])[:, :, 0]
            still = outside(further[:, :, None])[:, 0]
            last = np.where(still[:, None], further, last)
            since = since + still * 2.0**k
        # Inside the last step the distance falls nearly as an exponential.
        here = np.linalg.norm((output @ last[:, :, None])[:, :, 0], axis=1)
        there = np.linalg.norm((output @ (transitions[0] @ last[:, :, None]))[:, :, 0], axis=1)
        rest = np.log(here / tolerance) / np.log(here / there)
    found = step * (since + np.clip(rest, 0.0, 1.0))
    return np.where(never, np.inf, np.where(left[:, 0] | (since > 0), found, 0.0))

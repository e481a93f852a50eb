"""What the steps of a transient add to its voltages: the error of the integration, which no noise hides."""

import numpy as np
from numpy.typing import NDArray

from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck

Array = NDArray[np.float64]

NEAR = 1e-6
"""Of a hold: a time this near to a change of the noise is one."""


def step_error(law: OrnsteinUhlenbeck, start: Array, times: Array, hold: float | None, method: str) -> Array:
    """Error of the voltages at the end of a transient of ngspice, by the steps of its integration, (n,), V.

    Of what a mode is off its rest each step keeps another share than the exact law's ``exp(−λh)``. So the steps that
    ngspice took tell the error: of the bench's and the vendor's arrays to a tenth.

    Args:
        law: of the array, amplifiers taken as fast.
        start: voltages at time 0, (n,).
        times: of the points, s, ascending; ngspice leaves 0 out where capacitors state their voltages.
        hold: how long each noise value is held, s: every change is a breakpoint. None: there is no noise.
        method: "trap" or "gear".
    """
    points = np.concatenate([[0.0], times[times > 0]])
    steps = np.diff(points)
    begins = points[:-1] / hold if hold else np.where(points[:-1] > 0, 0.5, 0.0)
    restarts = np.abs(begins - np.round(begins)) < NEAR
    rates, modes = np.linalg.eig(law.drift)
    away = np.linalg.solve(modes, start - law.fixed_point())
    kept = KEPT[method](rates, steps, restarts)
    error: Array = np.real(modes @ ((kept - np.exp(-rates * points[-1])) * away))
    return error


def _trapezoidal(rates: Array, steps: Array, restarts: NDArray[np.bool_]) -> Array:
    """What is left of modes: ``(1 − λh/2) / (1 + λh/2)`` a step, and ``1 / (1 + λh)``, Euler's, after a breakpoint."""
    x = np.outer(rates, steps)
    kept: Array = np.where(restarts, 1 / (1 + x), (1 - x / 2) / (1 + x / 2)).prod(axis=1)
    return kept


def _gear(rates: Array, steps: Array, restarts: NDArray[np.bool_]) -> Array:
    """What is left of modes: Gear's rule of two steps, whose ratio is ω, and Euler's after a breakpoint.

    ``(1 + 2ω)/(1 + ω) y₂ − (1 + ω) y₁ + ω²/(1 + ω) y₀ = −λh y₂`` (Gear 1971, for unequal steps).
    """
    before = now = np.ones_like(rates)
    last = 0.0
    for step, restart in zip(steps.tolist(), restarts.tolist(), strict=True):
        if restart:
            after = now / (1 + rates * step)
        else:
            ratio = step / last
            past = ((1 + ratio) ** 2 * now - ratio**2 * before) / (1 + ratio)
            after = past / ((1 + 2 * ratio) / (1 + ratio) + rates * step)
        before, now, last = now, after, step
    return now


KEPT = {"trap": _trapezoidal, "gear": _gear}
"""By ngspice's name of the method, what is left of each mode at the end."""

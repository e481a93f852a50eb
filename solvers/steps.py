"""What the steps of a transient add to its voltages: the error of the integration, which no noise hides."""

import numpy as np
from numpy.typing import NDArray

from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck

Array = NDArray[np.float64]

NEAR = 1e-6
"""Of a hold: a time this near to a change of the noise is one."""


def trapezoidal_error(law: OrnsteinUhlenbeck, start: Array, times: Array, hold: float | None) -> Array:
    """Error of the voltages at the end of a transient that ngspice integrated by the trapezoidal rule, (n,), V.

    Of what a mode of rate λ is off its rest, a step h keeps ``(1 − λh/2) / (1 + λh/2)``, and the first step after a
    breakpoint, where ngspice begins by Euler's rule, ``1 / (1 + λh)``; the exact law keeps ``exp(−λh)``. So the steps
    that ngspice took tell the error: of the bench's and the vendor's arrays to a tenth.

    Args:
        law: of the array, amplifiers taken as fast.
        start: voltages at time 0, (n,).
        times: of the points, s, ascending; ngspice leaves 0 out where capacitors state their voltages.
        hold: how long each noise value is held, s: every change is a breakpoint. None: there is no noise.
    """
    points = np.concatenate([[0.0], times[times > 0]])
    steps = np.diff(points)
    begins = points[:-1] / hold if hold else np.where(points[:-1] > 0, 0.5, 0.0)
    restarts = np.abs(begins - np.round(begins)) < NEAR
    rates, modes = np.linalg.eig(law.drift)
    x = np.outer(rates, steps)
    kept = np.where(restarts, 1 / (1 + x), (1 - x / 2) / (1 + x / 2)).prod(axis=1)
    away = np.linalg.solve(modes, start - law.fixed_point())
    error: Array = np.real(modes @ ((kept - np.exp(-rates * points[-1])) * away))
    return error

"""On the way with capacitors that bend: the dense law of all capacitors, integrated.

The currents into capacitors are as they are at any capacitance, so with M at the capacitances at rest, C*, the
distance y of their voltages from rest follows ``dy_i/dt = −(C*_i / C_i(V_i)) (M y)_i``. At rest nothing of it is seen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from netlists.capacitors import BENDING, bend
from netlists.elements import Values
from solvers.network.relaxation import split
from solvers.network.structure import Structure
from spu_circuit.errors import SimulationError

Array = NDArray[np.float64]

TOLERANCE = 1e-8
"""Of the integration, beside the largest distance from rest."""
HORIZONS = 6
"""How often the time in which all settles is doubled, at most."""
POINTS = 256
"""At which a way is looked at, before halves narrow a time down."""


@dataclass(frozen=True)
class Bending:
    """How the capacitors of a batch bend.

    Args:
        linear, quadratic, widest: see ``netlists.capacitors``, (batch or 1, states); 0, 0 and infinite of those that
            do not.
    """

    linear: Array
    quadratic: Array
    widest: Array

    def shares(self, volts: Array) -> Array:
        """C(V) / C of capacitors at these voltages, (batch, states)."""
        return 1 + bend(volts, self.linear, self.quadratic, self.widest)

    def bent(self, structure: Structure, coefficients: Mapping[str, Array], volts: Array) -> dict[str, Array]:
        """Values with capacitances as they are at voltages, (batch, states)."""
        return dict(coefficients) | {
            k: coefficients[k] * own for k, own in split(structure, self.shares(volts)).items()
        }

    def one(self, which: int) -> "Bending":
        """That of one of the batch."""
        return Bending(*(own[min(which, len(own) - 1)] for own in (self.linear, self.quadratic, self.widest)))


def bending_of(structure: Structure, values: Values) -> Bending | None:
    """How capacitors of a structure bend; None: none does.

    Args:
        values: what differs from the table; see ``Values``.
    """
    if not any(BENDING[0] in group.parameters for group in structure.table.elements):
        return None
    known: Mapping[str, Mapping[str, Array]] = {g.label: g.parameters for g in structure.table.elements}
    columns = []
    for name, missing in zip(BENDING, (0.0, 0.0, inf), strict=True):
        own = [
            np.atleast_2d(values.get(f"{g.key}.{name}", known.get(g.key, {}).get(name, np.full(g.count, missing))))
            for g in structure.capacitors
        ]
        batch = max(map(len, own))
        columns.append(np.concatenate([np.broadcast_to(each, (batch, each.shape[1])) for each in own], axis=1))
    return Bending(*columns)


def way(drift: Array, away: Array, rest: Array, bending: Bending, seconds: float) -> Callable[[Array], Array]:
    """The distance from rest of one circuit's capacitors up to some time.

    Args:
        drift: M by the capacitances at rest, (n, n), 1/s.
        away: at time 0, (n,), V.
        rest: voltages at rest, (n,), V.
        bending: of one.

    Returns:
        Makes (n, T) of times (T,).

    Raises:
        SimulationError: the integration fails.
    """
    size = float(np.abs(away).max(initial=0.0))
    if size == 0 or seconds == 0:
        return lambda times: np.repeat(away[:, None], len(times), axis=1)
    at_rest, step = bending.shares(rest), 1e-6 * np.maximum(size, np.abs(rest))

    def rates(time: float, y: Array) -> Array:
        return np.asarray(-(at_rest / bending.shares(rest + y)) * (drift @ y))

    def slopes(time: float, y: Array) -> Array:
        share = at_rest / bending.shares(rest + y)
        moved = (at_rest / bending.shares(rest + y + step) - at_rest / bending.shares(rest + y - step)) / (2 * step)
        return np.asarray(-share[:, None] * drift - np.diag(moved * (drift @ y)))

    found = solve_ivp(
        rates, (0.0, seconds), away, "Radau", jac=slopes, rtol=TOLERANCE, atol=TOLERANCE * size, dense_output=True
    )
    if not found.success:
        raise SimulationError(f"capacitors that bend: {found.message}; lower the cell's voltage coefficients")
    path: Callable[[Array], Array] = found.sol
    return path


def settling_time(
    way_until: Callable[[float], Callable[[Array], Array]], output: Array, tolerance: float, guess: float
) -> float:
    """When the outputs of one circuit come within tolerance of rest for good, s; infinite where they never do.

    Args:
        way_until: see ``way``, by its last time.
        output: O, (m, n).
        guess: of the same circuit with the capacitances at rest, s.
    """
    horizon = 2 * guess
    if horizon in (0.0, inf):
        return guess
    for _ in range(HORIZONS):
        path = way_until(horizon)
        times = np.linspace(0, horizon, POINTS)
        outside = np.flatnonzero(np.linalg.norm(output @ path(times), axis=0) > tolerance)
        if not len(outside):
            return 0.0
        if outside[-1] < POINTS - 1:
            low, high = float(times[outside[-1]]), float(times[outside[-1] + 1])
            for _ in range(40):
                middle = (low + high) / 2
                still = np.linalg.norm(output @ path(np.array([middle]))) > tolerance
                low, high = (middle, high) if still else (low, middle)
            return low
        horizon *= 2
    return inf

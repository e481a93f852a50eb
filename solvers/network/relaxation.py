"""How charges relax: ``e^{−Mt}`` on the states of a linear circuit, by implicit steps of one length.

An implicit Euler step of length h is ``W = (I + hM)⁻¹``, one solve of the nodal equations. A mode of rate r has
``w = 1/(1 + hr)``, between 0 and 1 however fast it is, so ``e^{−rt} = exp(−(1/w − 1) t/h)`` is a smooth function of w
and a short Chebyshev series of W is exact to the digits wanted (shift and invert: van den Eshof and Hochbruck, SIAM J.
Sci. Comput. 27:1438, 2006). So the equations are factorised once, whatever the time and however stiff amplifiers are.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import scipy
from numpy.polynomial.chebyshev import chebmul
from numpy.typing import NDArray

from solvers.network.blocks import Factors
from solvers.network.structure import Structure

Array = NDArray[np.float64]

TERMS = 24
STEP = 1 / 18
"""Of the time: 24 terms of steps this long leave 1.1e-10 of a mode at the time, and 1.6e-7 at an eighth of it."""
GROWTH = 100.0
"""Chebyshev polynomials stay within 1 of every mode that decays and does not turn. Errors grow with them: beyond this
they may pass 1e-6, and some mode grows or turns."""


def joined(structure: Structure, states: Mapping[str, Array], batch: int) -> Array:
    """Voltages of all capacitors, (batch, states, 1), from those of each group of them, (batch, elements)."""
    parts = [np.broadcast_to(states[g.key], (batch, g.count)) for g in structure.capacitors]
    return np.concatenate(parts, axis=1)[:, :, None]


def split(structure: Structure, states: Array) -> dict[str, Array]:
    """Voltages of each group of capacitors, (batch, elements, k)."""
    found, at = {}, 0
    for group in structure.capacitors:
        found[group.key] = states[:, at : at + group.count]
        at += group.count
    return found


def charges(structure: Structure, volts: Mapping[int, Array], batch: int, wide: int = 1) -> Array:
    """Voltages of all capacitors, (batch, states, k), from those of families of nodes."""
    parts = []
    for group in structure.capacitors:
        total: Array = np.zeros((batch, group.count, wide))
        for (family, index), sign in zip(group.nodes, (1.0, -1.0), strict=True):
            if family in volts:
                total = total + sign * structure.picked(volts[family], family, index)
        parts.append(total)
    return np.concatenate(parts, axis=1)


def relaxed(steps: Factors, away: Array, times: Sequence[float]) -> tuple[list[Array], Array]:
    """What charges ``away`` from rest still make of the outputs, at times from t/8 to t = 18 h.

    Args:
        steps: implicit steps of length h, see ``Structure.stepping``.
        away: (batch, states, 1), V.
        times: in units of h.

    Returns:
        For each time the outputs, (batch, n), V; and the largest Chebyshev vector by the first, (batch,): above
        ``GROWTH`` a mode grows or turns, and the voltages are not to be trusted.
    """
    states = away.shape[1]
    here, before = away, away
    terms = [away]
    for k in range(TERMS - 1):
        # T₁ = 2W − 1, and T_{k+1} = 2 (2W − 1) T_k − T_{k−1}.
        stepped = steps.apply(here, states)
        here, before = (2 * stepped - here if k == 0 else 4 * stepped - 2 * here - before), here
        terms.append(here)
    together = np.concatenate(terms, axis=2)
    sizes = np.linalg.norm(together, axis=1)
    series = np.stack([relaxation_series(time) for time in times], axis=1)
    found = steps.apply(together @ series)[:, states:]
    with np.errstate(divide="ignore", invalid="ignore"):
        return list(found.transpose(2, 0, 1)), np.nan_to_num(sizes[:, 1:].max(axis=1) / sizes[:, 0])


@lru_cache(maxsize=256)
def relaxation_series(time: float) -> Array:
    """Chebyshev coefficients of ``p(w) ≈ exp(−(1/w − 1) time) / w`` on 0 … 1 with ``p(1) = 1`` exactly, (TERMS,).

    A mode so slow that it hardly moves is far from rest, and what it moved is the difference of large numbers. With
    ``p = 1 + (1 − w) q`` the error of that difference is relative to itself.
    """
    nodes = (np.cos(np.pi * (np.arange(TERMS - 1) + 0.5) / (TERMS - 1)) + 1) / 2
    q = scipy.fft.dct((np.exp(-(1 / nodes - 1) * time) / nodes - 1) / (1 - nodes), type=2) / (TERMS - 1)
    q[0] /= 2
    found = chebmul(q, [0.5, -0.5])
    found[0] += 1
    return np.asarray(found)


@lru_cache(maxsize=256)
def series_of(time: float, power: int, terms: int) -> Array:
    """Chebyshev coefficients of ``exp(−(1/w − 1) time) / w^power`` on 0 … 1, (terms,)."""
    nodes = (np.cos(np.pi * (np.arange(terms) + 0.5) / terms) + 1) / 2
    found = scipy.fft.dct(np.exp(-(1 / nodes - 1) * time) / nodes**power, type=2) / terms
    found[0] /= 2
    return np.asarray(found)

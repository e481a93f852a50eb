"""Tangents of behavioural sources at the operating point of a flat circuit."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from solvers.network.reader import Element
from spu_circuit.errors import InputError

Array = NDArray[np.float64]
Rest = Callable[[Array, Array], Array]
"""Controls at rest, (controls, draws), of element values (draws, elements) and tangents."""

STEPS = 25
TOLERANCE = 1e-12
SQUARED = 1e-6
"""Share of the voltages below which a step of Newton's method squares the change: one that is no smaller than the step
before it is rounding, of which wires of small resistance have the more."""
SMALLEST_RISE = 1e-4
"""Least step of the independent sources, as a share of their values, on the way to an operating point."""


def tangents_of(behaviours: Sequence[Element], sources: NDArray[np.intp], values: Array, rest: Rest) -> Array:
    """Gradients and intercepts of the behavioural sources at each draw's operating point.

    By Newton's method. Where that goes in circles, as with several amplifiers at their rails, along the path on
    which all independent sources rise from nothing to their values, as SPICE's source stepping does.

    Args:
        behaviours: the sources with a formula.
        sources: positions of the independent sources among the elements.
        values: of the elements, (draws, elements).

    Returns:
        (controls + sources with a formula, draws): of each the slopes by its controls, and the intercept.

    Raises:
        InputError: there is no operating point.
    """
    volts = np.zeros((sum(len(element.controls) for element in behaviours), len(values)))
    found, culprit = _newton(behaviours, values, volts, rest)
    if found is not None:
        return _tangents_at(behaviours, found)
    reached, step = 0.0, 0.25
    while reached < 1:
        level = min(1.0, reached + step)
        lowered = values.copy()
        lowered[:, sources] *= level
        found, _ = _newton(behaviours, lowered, volts, rest)
        if found is not None:
            volts, reached, step = found, level, 2 * step
        elif step > SMALLEST_RISE:
            step /= 2
        else:
            raise InputError(f"{culprit} finds no operating point; lower the voltages or use ngspice")
    return _tangents_at(behaviours, volts)


def _newton(behaviours: Sequence[Element], values: Array, volts: Array, rest: Rest) -> tuple[Array | None, str]:
    """Controls of the behavioural sources, (controls, draws), from a first guess; or None and the worst source."""
    change, before = np.zeros_like(volts), np.full(volts.shape[1], np.inf)
    for _ in range(STEPS):
        found = rest(values, _tangents_at(behaviours, volts))
        change, volts = np.abs(found - volts), found
        if not np.isfinite(volts).all():
            break
        share = (change / (1 + np.abs(volts))).max(axis=0)
        if ((share <= TOLERANCE) | ((share <= SQUARED) & (share >= before))).all():
            return volts, ""
        before = np.minimum(before, share)
    names = [element.name for element in behaviours for _ in element.controls]
    return None, names[int(np.argmax(np.nan_to_num(change, nan=np.inf).max(axis=1)))]


def _tangents_at(behaviours: Sequence[Element], volts: Array) -> Array:
    rows, at = [], 0
    for element in behaviours:
        expression = element.expression
        assert expression is not None
        own = volts[at : at + len(expression.controls)]
        value, slopes = expression.linearised(own)
        gradient = [slope + np.zeros(own.shape[1:]) for slope in slopes]
        rows += [*gradient, value - sum(slope * v for slope, v in zip(gradient, own, strict=True))]
        at += len(own)
    return np.array(rows, dtype=np.float64).reshape(len(rows), volts.shape[1])

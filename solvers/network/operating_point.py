"""Operating points: where a circuit comes to rest, by the slopes at its bias, then by Newton's method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.network.blocks import Factors, Key, add, some, times_of
from solvers.network.groups import Group
from solvers.network.newton import (
    INNER,
    TOLERANCE,
    Bias,
    drive,
    intercepts_at,
    moved_share,
    newton,
    rising,
    sources_of,
)
from solvers.network.structure import Structure, limited

Array = NDArray[np.float64]

CHORDS = 30
"""Iterations with slopes that stay as they were; each costs a solve and no factorisation."""
FEW = 4
"""Once no more than one of so many of a batch is left, those that are go on without the others."""
SLOWER = 4.0
"""The next change may shrink by so much less than this one did. Seen were factors up to 2."""
FIRST = 3
"""Steps that each source takes alone before the first solve: feedback holds the outputs, so it knows nearly all."""
GENTLE, STEEP = -4.0, 0.9
"""Between these a source's own slope is trusted; beyond, its next step would be too short, or too long."""
SMALLEST = 1e-9
"""Volts: outputs below are not compared."""


@dataclass(frozen=True)
class Rest:
    """A circuit at rest.

    Args:
        volts: of families of unknowns, (batch, n, 1).
        found: which of the batch came to rest, (batch,).
        bent: how far the outputs are from where the slopes at the bias lead, of the largest, (batch,): where it is not
            small a limit is near. None: nothing bends.
    """

    structure: Structure
    volts: Mapping[int, Array]
    found: NDArray[np.bool_]
    bent: Array | None = None

    @cached_property
    def slopes(self) -> dict[str, Array]:
        """Of behavioural sources there, by key, (batch, elements)."""
        return self.structure.tangents(self.volts)


def at_rest(
    structure: Structure,
    coefficients: Mapping[str, Array],
    flat: Factors,
    bias: Bias,
    weak: Mapping[Key, Array],
    families: frozenset[int],
    limits: Array | None = None,
) -> Rest:
    """The operating point of each circuit of a batch.

    By the chord method with the slopes at the bias, then for those of the batch that it leaves by Newton's method, or
    along the path on which all independent sources rise from nothing to their values.

    Args:
        coefficients: values and sources, see ``Structure``.
        flat: the equations with all capacitors open and the slopes at the bias, without weak blocks.
        weak: these blocks; see ``Bias``.
        families: whose voltages are wanted.
        limits: |V| of the outputs beyond which a circuit is given up, found or not; where one is, the others are left
            at their first estimate, a few parts in 10⁵ off. What the chord method leaves is given up too. Infinite,
            or None: it is found as exactly as can be.
    """
    wanted = families | structure.controlling | {column for _, column in weak}
    right = sources_of(structure, coefficients)
    if not structure.behavioural:
        return Rest(structure, flat.solve(right, wanted), np.ones(flat.batch, dtype=bool))
    taken = intercepts_at(structure, bias.slopes, structure.at_controls(bias.volts))
    drive(structure, right, taken)
    volts = flat.solve(right, wanted)
    outputs = structure.volts(volts)[:, :, 0] * np.ones((flat.batch, 1))
    within = np.ones(flat.batch, dtype=bool) if limits is None else (np.abs(outputs) <= limits).all(axis=1)
    if not within.all():
        settled = np.asarray(within)
    elif structure.steep:
        at = limited(structure, structure.at_controls(bias.volts), structure.at_controls(volts))
        volts, settled = newton(structure, coefficients, flat.batch, wanted, volts, 1.0, at)
    else:
        endless = np.full(flat.batch, np.inf)
        settled = _settled(structure, flat, bias, weak, volts, taken, volts, wanted, endless, CHORDS)
    if not settled.all():
        volts = {f: np.array(np.broadcast_to(own, (flat.batch, *own.shape[1:]))) for f, own in volts.items()}
        sought = ~settled if limits is None else ~settled & np.isinf(limits).all(axis=1)
        for k in np.flatnonzero(sought).tolist():
            own = some(coefficients, np.array([k]))
            alone, found = newton(structure, own, 1, wanted, bias.volts, 1.0)
            if not found.all():
                alone = rising(structure, own, wanted) or {}
            if not alone:
                continue
            settled[k] = True
            for family, value in alone.items():
                volts[family][k] = value[0]
    largest = np.maximum(np.abs(outputs).max(axis=1), SMALLEST)
    bent = np.abs(structure.volts(volts)[:, :, 0] - outputs).max(axis=1) / largest
    return Rest(structure, volts, settled, bent)


def _settled(
    structure: Structure,
    factors: Factors,
    bias: Bias,
    weak: Mapping[Key, Array],
    volts: dict[int, Array],
    taken: dict[str, Array],
    fresh: Mapping[int, Array],
    wanted: frozenset[int],
    last: Array,
    iterations: int,
) -> NDArray[np.bool_]:
    """Iterate with the slopes at the bias; which of the batch came to rest.

    What a source's curve is off its tangent at the bias, its intercept c, is a fixed point ``c = F(c)``. Feedback holds
    the outputs, so F changes by an amplifier's own c nearly alone: by how its controls answer to it, times what its
    slopes here are off those at the bias. That makes Newton's step for each of them, without another factorisation.

    Args:
        weak: blocks of the equations that ``factors`` lack. Their currents follow one iteration later.
        volts, taken: voltages and intercepts, which go on in place.
        fresh: of the voltages, what weak blocks have not seen yet.
        last: how large the last change was.
    """
    settled, moving = np.zeros(factors.batch, dtype=bool), np.ones(factors.batch, dtype=bool)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for iteration in range(iterations, 0, -1):
            change = {}
            for group in structure.behavioural:
                at_controls = [structure.control(control, volts) for control in group.controls]
                step = _alone(group, bias, at_controls, taken[group.key], FIRST if iteration == CHORDS else 1)
                # What has come to rest, or will not, stays: others of the batch do not decide how far it goes.
                change[group.key] = np.where(moving[:, None], step, np.zeros(group.count))
                taken[group.key] = taken[group.key] + change[group.key]
            more: dict[int, Array] = {}
            drive(structure, more, change)
            for (row, column), block in weak.items():
                if column in fresh:
                    add(more, row, np.where(moving[:, None, None], -times_of(block, fresh[column]), 0.0))
            fresh = moved = factors.solve(more, wanted)
            for family, own in moved.items():
                volts[family] = volts[family] + own if family in volts else own
            worst = np.maximum(
                moved_share(moved, volts, structure.read, factors.batch) / TOLERANCE,
                moved_share(moved, volts, structure.controlling, factors.batch) / INNER,
            )
            # What is left is the next change, and little more.
            left = worst * np.where(np.isinf(last), 1.0, np.minimum(1.0, SLOWER * worst / last))
            settled |= moving & (left <= 1)
            moving &= (left > 1) & (worst < last)
            few = np.flatnonzero(moving)
            if not len(few):
                break
            last = worst
            if FEW * len(few) <= factors.batch:
                own_volts, own_taken = some(volts, few), some(taken, few)
                part, own_weak, own_fresh = factors.part(few), some(weak, few), some(moved, few)
                settled[few] = _settled(
                    *(structure, part, bias, own_weak, own_volts, own_taken, own_fresh, wanted),
                    *(last[few], iteration - 1),
                )
                for family in moved:
                    volts[family][few] = own_volts[family]
                break
    return settled


def _alone(group: Group, bias: Bias, at_controls: Sequence[Array], taken: Array, steps: int) -> Array:
    """Change of a group's intercepts by steps of Newton's method, as if each source answered to itself alone."""
    assert group.expression is not None
    keys = [f"{group.key}'{k}" for k in range(len(at_controls))]
    change: Array = np.zeros((1, group.count))
    for _ in range(steps):
        here = [at + bias.answers[key] * change for key, at in zip(keys, at_controls, strict=True)]
        value, slopes = group.expression.linearised(here)
        slope: Array | float = 0.0
        for key, own, at in zip(keys, slopes, here, strict=True):
            value = value - bias.slopes[key] * at
            slope = slope + (own - bias.slopes[key]) * bias.answers[key]
        change = change + (value - taken - change) / (1 - np.clip(slope, GENTLE, STEEP))
    return change


def intercepts_of(structure: Structure, rest: Rest) -> dict[int, Array]:
    """Right-hand side that the tangents of behavioural sources at rest add."""
    right: dict[int, Array] = {}
    drive(structure, right, intercepts_at(structure, rest.slopes, structure.at_controls(rest.volts)))
    return right

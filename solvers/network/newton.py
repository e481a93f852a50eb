"""Operating points: where a circuit with behavioural sources comes to rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.network.blocks import Factors, add, some
from solvers.network.groups import Group
from solvers.network.structure import Structure
from spu_circuit.errors import InputError

Array = NDArray[np.float64]

CHORDS = 30
"""Iterations with slopes that stay as they were; each costs a solve and no factorisation."""
FEW = 4
"""Once no more than one of so many of a batch is left, those that are go on without the others."""
STEPS = 60
TOLERANCE = 1e-10
"""How far an output may be off, beside the largest of its kind or 1 V, where an iteration ends."""
INNER = 1e-7
"""The same of a source's controls, whose errors amplifiers divide by their gain before outputs see them."""
SLOWER = 4.0
"""The next change may shrink by so much less than this one did. Seen were factors up to 2."""
FIRST = 4
"""Steps that each source takes alone before the first solve: feedback holds the outputs, so it knows nearly all."""
GENTLE, STEEP = -4.0, 0.9
"""Between these a source's own slope is trusted; beyond, its next step would be too short, or too long."""
SMALLEST_RISE = 1e-3
"""Least step of the independent sources, as a share of their values, on the way to an operating point."""


@dataclass(frozen=True)
class Rest:
    """A circuit at rest.

    Args:
        volts: of families of unknowns, (batch, n, 1).
        found: which of the batch came to rest, (batch,).
    """

    structure: Structure
    volts: Mapping[int, Array]
    found: NDArray[np.bool_]

    @cached_property
    def slopes(self) -> dict[str, Array]:
        """Of behavioural sources there, by key, (batch, elements)."""
        return self.structure.tangents(self.volts)


def sources_of(structure: Structure, coefficients: Mapping[str, Array]) -> dict[int, Array]:
    """Right-hand side of the independent sources."""
    right: dict[int, Array] = {}
    for group in structure.sources:
        value = coefficients[group.key][:, :, None]
        if group.kind == "V":
            right[structure.branch(group.key)] = value
        else:
            structure.inject(right, group.nodes[:2], value)
    return right


@dataclass(frozen=True)
class Bias:
    """The circuit at rest with all its inputs at 0 V: where every operating point is looked for from.

    Args:
        volts: of families of unknowns, (1, n, 1).
        slopes: of behavioural sources there, by key, (1, elements).
        answers: of each source's controls to a volt, or an ampere, more of its own, (1, elements).
    """

    volts: dict[int, Array]
    slopes: dict[str, Array]
    answers: dict[str, Array]


def bias_of(structure: Structure) -> Bias:
    """The bias of a structure's nominal circuit; 0 V where it finds none."""
    if not structure.behavioural:
        return Bias({}, {}, {})
    nominal = structure.coefficients({})
    volts = _rising(structure, nominal, structure.controlling) or {}
    slopes = structure.tangents(volts)
    factors = structure.factors(structure.blocks({**nominal, **slopes}), 1)
    answers = {}
    for group in structure.behavioural:
        right: dict[int, Array] = {}
        _drive_one(structure, right, group, np.ones((1, group.count, 1)))
        moved = factors.solve(right, structure.controlling)
        for k, control in enumerate(group.controls):
            answers[f"{group.key}'{k}"] = structure.control(control, moved) + np.zeros((1, group.count))
    return Bias(volts, slopes, answers)


def at_rest(
    structure: Structure,
    coefficients: Mapping[str, Array],
    flat: Factors,
    bias: Bias,
    families: frozenset[int],
    limits: Array | None = None,
) -> Rest:
    """The operating point of each circuit of a batch.

    By the chord method with the slopes at the bias, then for those of the batch that it leaves by Newton's method, or
    along the path on which all independent sources rise from nothing to their values.

    Args:
        coefficients: values and sources, see ``Structure``.
        flat: the equations with all capacitors open and the slopes at the bias.
        families: whose voltages are wanted.
        limits: |V| of the outputs beyond which a circuit is given up, found or not; where one is, the others are left
            at their first estimate, a few parts in 10⁵ off. What the chord method leaves is given up too. Infinite,
            or None: it is found as exactly as can be.
    """
    wanted = families | structure.controlling
    right = sources_of(structure, coefficients)
    if not structure.behavioural:
        return Rest(structure, flat.solve(right, wanted), np.ones(flat.batch, dtype=bool))
    volts, settled = _chords(structure, flat, bias, right, wanted, limits)
    if not settled.all():
        volts = {f: np.array(np.broadcast_to(own, (flat.batch, *own.shape[1:]))) for f, own in volts.items()}
        sought = ~settled if limits is None else ~settled & np.isinf(limits).all(axis=1)
        for k in np.flatnonzero(sought).tolist():
            own = {key: value[k : k + 1] if len(value) > 1 else value for key, value in coefficients.items()}
            alone = _newton(structure, own, wanted, bias.volts, 1.0) or _rising(structure, own, wanted)
            if alone is None:
                continue
            settled[k] = True
            for family, value in alone.items():
                volts[family][k] = value[0]
    return Rest(structure, volts, settled)


def _chords(
    structure: Structure,
    factors: Factors,
    bias: Bias,
    right: Mapping[int, Array],
    wanted: frozenset[int],
    limits: Array | None,
) -> tuple[dict[int, Array], NDArray[np.bool_]]:
    """Iterate with the slopes at the bias; which of the batch came to rest.

    What a source's curve is off its tangent at the bias, its intercept c, is a fixed point ``c = F(c)``. Feedback holds
    the outputs, so F changes by an amplifier's own c nearly alone: by how its controls answer to it, times what its
    slopes here are off those at the bias. That makes Newton's step for each of them, without another factorisation.
    """
    taken = _intercepts(structure, bias.slopes, bias.volts)
    full = dict(right)
    _drive(structure, full, taken)
    volts = factors.solve(full, wanted)
    if limits is not None:
        within = (np.abs(structure.volts(volts)[:, :, 0]) <= limits).all(axis=1)
        if not within.all():
            return volts, np.asarray(within)
    return volts, _settled(structure, factors, bias, volts, taken, wanted, np.full(factors.batch, np.inf), CHORDS)


def _settled(
    structure: Structure,
    factors: Factors,
    bias: Bias,
    volts: dict[int, Array],
    taken: dict[str, Array],
    wanted: frozenset[int],
    last: Array,
    iterations: int,
) -> NDArray[np.bool_]:
    """Go on from voltages and intercepts, in place, of which the last change was so large; which came to rest."""
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
            _drive(structure, more, change)
            moved = factors.solve(more, wanted)
            for family, own in moved.items():
                volts[family] = volts[family] + own if family in volts else own
            worst = np.maximum(
                _moved(moved, volts, structure.read, factors.batch) / TOLERANCE,
                _moved(moved, volts, structure.controlling, factors.batch) / INNER,
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
                settled[few] = _settled(
                    structure, factors.part(few), bias, own_volts, own_taken, wanted, last[few], iteration - 1
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


def _moved(moved: Mapping[int, Array], volts: Mapping[int, Array], watched: frozenset[int], batch: int) -> Array:
    """Largest change of a watched family of each of the batch, beside its largest value or 1."""
    worst = np.zeros(batch)
    for family in watched & moved.keys():
        size = np.maximum(np.abs(volts[family]).max(axis=(1, 2), initial=0.0), 1.0)
        worst = np.maximum(worst, np.abs(moved[family]).max(axis=(1, 2), initial=0.0) / size)
    worst[np.isnan(worst)] = np.inf
    return worst


def _rising(structure: Structure, coefficients: Mapping[str, Array], wanted: frozenset[int]) -> dict[int, Array] | None:
    """One circuit's operating point by Newton's method; None where it finds none."""
    found = _newton(structure, coefficients, wanted, {}, 1.0)
    if found is not None:
        return found
    reached, step, volts = 0.0, 0.25, dict[int, Array]()
    while reached < 1:
        level = min(1.0, reached + step)
        found = _newton(structure, coefficients, wanted, volts, level)
        if found is not None:
            volts, reached, step = found, level, 2 * step
        elif step > SMALLEST_RISE:
            step /= 2
        else:
            return None
    return volts


def _newton(
    structure: Structure,
    coefficients: Mapping[str, Array],
    wanted: frozenset[int],
    begin: dict[int, Array],
    level: float,
) -> dict[int, Array] | None:
    lowered = dict(coefficients)
    for group in structure.sources:
        lowered[group.key] = level * coefficients[group.key]
    right, volts = sources_of(structure, lowered), begin
    for _ in range(STEPS):
        slopes = structure.tangents(volts)
        try:
            factors = structure.factors(structure.blocks({**lowered, **slopes}), 1)
        except InputError:
            return None
        full = dict(right)
        _drive(structure, full, _intercepts(structure, slopes, volts))
        fresh = factors.solve(full, wanted)
        moved = {family: own - volts.get(family, 0.0) for family, own in fresh.items()}
        change = float(_moved(moved, fresh, structure.read, 1)[0]) / TOLERANCE
        change = max(change, float(_moved(moved, fresh, structure.controlling, 1)[0]) / INNER)
        volts = fresh
        if not np.isfinite(change):
            return None
        if change <= 1:
            return volts
    return None


def _intercepts(structure: Structure, slopes: Mapping[str, Array], volts: Mapping[int, Array]) -> dict[str, Array]:
    """What is left of each behavioural source when its slopes times its controls are taken away, (batch, elements)."""
    found = {}
    for group in structure.behavioural:
        assert group.expression is not None
        own = [structure.control(control, volts) for control in group.controls]
        rest = group.expression.value(own) - sum(slopes[f"{group.key}'{k}"] * v for k, v in enumerate(own))
        found[group.key] = np.atleast_2d(rest + np.zeros(group.count))
    return found


def _drive(structure: Structure, right: dict[int, Array], intercepts: Mapping[str, Array]) -> None:
    for group in structure.behavioural:
        _drive_one(structure, right, group, intercepts[group.key][:, :, None])


def _drive_one(structure: Structure, right: dict[int, Array], group: Group, value: Array) -> None:
    """Add what a group of behavioural sources gives beside its slopes, (batch, elements, 1)."""
    if group.kind == "BV":
        row = structure.branch(group.key)
        add(right, row, value)
    else:
        structure.inject(right, group.nodes[:2], value)


def intercepts_of(structure: Structure, rest: Rest) -> dict[int, Array]:
    """Right-hand side that the tangents of behavioural sources at rest add."""
    right: dict[int, Array] = {}
    _drive(structure, right, _intercepts(structure, rest.slopes, rest.volts))
    return right

"""Operating points: where a circuit with behavioural sources comes to rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from solvers.network.blocks import Factors, add, of_some, some
from solvers.network.groups import NOTHING, Group
from solvers.network.structure import Controls, Structure, limited
from spu_circuit.errors import InputError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
NO_CURRENTS: Mapping[int, Array] = MappingProxyType({})

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
OF_JUNCTIONS = 5e-6
"""The same of junctions, by Newton's method, which leaves the square of it: 0.1 mV, where a mirror carries nearly no
current and rounding moves it by 20 µV."""
FIRST = 4
"""Steps that each source takes alone before the first solve: feedback holds the outputs, so it knows nearly all."""
GENTLE, STEEP = -4.0, 0.9
"""Between these a source's own slope is trusted; beyond, its next step would be too short, or too long."""
SMALLEST = 1e-9
"""Volts: outputs below are not compared."""
SMALLEST_RISE = 1e-3
"""Least step of the independent sources, as a share of their values, on the way to an operating point."""


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
        capacitances: of junctions there, by key, F, (1, elements).
    """

    volts: dict[int, Array]
    slopes: dict[str, Array]
    answers: dict[str, Array]
    capacitances: dict[str, Array]


def bias_of(structure: Structure, begin: Mapping[int, Array]) -> Bias:
    """The bias of a structure's nominal circuit; 0 V where it finds none.

    Args:
        begin: voltages of families from where it is looked for first.
    """
    if not structure.behavioural:
        return Bias({}, {}, {}, {})
    nominal, families = structure.coefficients({}), structure.controlling | structure.charged
    volts, found = newton(structure, nominal, 1, families, begin, 1.0)
    if not found.all():
        volts = _rising(structure, nominal, families) or {}
    slopes = structure.tangents(volts)
    if structure.steep:
        structure.order = structure.planned(slopes)
    factors = structure.factors(structure.blocks({**nominal, **slopes}), 1)
    answers = {}
    for group in structure.behavioural:
        right: dict[int, Array] = {}
        _drive_one(structure, right, group, np.ones((1, group.count, 1)))
        moved = factors.solve(right, structure.controlling)
        for k, control in enumerate(group.controls):
            answers[f"{group.key}'{k}"] = structure.control(control, moved) + np.zeros((1, group.count))
    return Bias(volts, slopes, answers, structure.capacitances(volts))


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
        settled = _settled(structure, flat, bias, volts, taken, wanted, np.full(flat.batch, np.inf), CHORDS)
    if not settled.all():
        volts = {f: np.array(np.broadcast_to(own, (flat.batch, *own.shape[1:]))) for f, own in volts.items()}
        sought = ~settled if limits is None else ~settled & np.isinf(limits).all(axis=1)
        for k in np.flatnonzero(sought).tolist():
            own = some(coefficients, np.array([k]))
            alone, found = newton(structure, own, 1, wanted, bias.volts, 1.0)
            if not found.all():
                alone = _rising(structure, own, wanted) or {}
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
    volts: dict[int, Array],
    taken: dict[str, Array],
    wanted: frozenset[int],
    last: Array,
    iterations: int,
) -> NDArray[np.bool_]:
    """Iterate with the slopes at the bias; which of the batch came to rest.

    What a source's curve is off its tangent at the bias, its intercept c, is a fixed point ``c = F(c)``. Feedback holds
    the outputs, so F changes by an amplifier's own c nearly alone: by how its controls answer to it, times what its
    slopes here are off those at the bias. That makes Newton's step for each of them, without another factorisation.

    Args:
        volts, taken: voltages and intercepts, which go on in place.
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
    volts, found = newton(structure, coefficients, 1, wanted, {}, 1.0)
    if found.all():
        return volts
    reached, step, volts = 0.0, 0.25, dict[int, Array]()
    while reached < 1:
        level = min(1.0, reached + step)
        tried, found = newton(structure, coefficients, 1, wanted, volts, level)
        if found.all():
            volts, reached, step = tried, level, 2 * step
        elif step > SMALLEST_RISE:
            step /= 2
        else:
            return None
    return volts


def newton(
    structure: Structure,
    coefficients: Mapping[str, Array],
    batch: int,
    wanted: frozenset[int],
    begin: Mapping[int, Array],
    level: float,
    at: Controls | None = None,
    held: Mapping[str, Array] = NOTHING,
    history: Mapping[int, Array] = NO_CURRENTS,
) -> tuple[dict[int, Array], NDArray[np.bool_]]:
    """Operating points of a batch, each by itself, and which were found.

    Args:
        begin: voltages of families from where it goes.
        level: of the independent sources, as a share of their values.
        at: controls there, where they are not those of ``begin``; see ``limited``.
        held, history: conductances of capacitors in an implicit step, see ``Structure.shares``, and the right-hand side
            of their voltages before; without them all are open.
    """
    lowered = dict(coefficients)
    for group in structure.sources:
        lowered[group.key] = level * coefficients[group.key]
    right, volts = sources_of(structure, lowered), dict(begin)
    for family, value in history.items():
        add(right, family, value)
    at = structure.at_controls(volts) if at is None else at
    inner = OF_JUNCTIONS if structure.steep else INNER
    moving, found, result = np.arange(batch), np.zeros(batch, dtype=bool), dict[int, Array]()
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for _ in range(STEPS):
            slopes = structure.slopes(at)
            try:
                blocks = structure.blocks({**lowered, **slopes})
                factors = structure.factors(structure.stepped(blocks, held) if held else blocks, len(moving))
            except InputError:
                break
            full = dict(right)
            drive(structure, full, intercepts_at(structure, slopes, at))
            fresh = factors.solve(full, wanted)
            moved = {family: own - volts.get(family, 0.0) for family, own in fresh.items()}
            change = np.maximum(
                _moved(moved, fresh, structure.read, len(moving)) / TOLERANCE,
                _moved(moved, fresh, structure.controlling, len(moving)) / inner,
            )
            sought = structure.at_controls(fresh)
            volts, at = fresh, limited(structure, at, sought)
            short = np.zeros(len(moving), dtype=bool)
            for key, own in at.items():
                for one, other in zip(own, sought[key], strict=True):
                    short |= (one != other).any(axis=1)
            done = np.flatnonzero((change <= 1) & ~short)
            for family, solved in fresh.items():
                kept = result.setdefault(family, np.zeros((batch, *solved.shape[1:])))
                kept[moving[done]] = of_some(solved, done)
            found[moving[done]] = True
            left = np.flatnonzero(((change > 1) | short) & np.isfinite(change))
            if not len(left):
                break
            if len(left) < len(moving):
                moving, lowered, right = moving[left], some(lowered, left), some(right, left)
                held = some(held, left)
                volts, at = some(volts, left), {k: [of_some(a, left) for a in rows] for k, rows in at.items()}
    return result, found


def intercepts_at(structure: Structure, slopes: Mapping[str, Array], at: Controls) -> dict[str, Array]:
    """What is left of each behavioural source when its slopes times its controls are taken away, (batch, elements)."""
    found = {}
    for group in structure.behavioural:
        assert group.expression is not None
        own = at[group.key]
        rest = group.expression.value(own) - sum(slopes[f"{group.key}'{k}"] * v for k, v in enumerate(own))
        found[group.key] = np.atleast_2d(rest + np.zeros(group.count))
    return found


def drive(structure: Structure, right: dict[int, Array], intercepts: Mapping[str, Array]) -> None:
    """Add what behavioural sources give beside their slopes to a right-hand side; see ``intercepts_at``."""
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
    drive(structure, right, intercepts_at(structure, rest.slopes, structure.at_controls(rest.volts)))
    return right

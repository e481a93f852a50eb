"""Newton's method for circuits with behavioural sources, and the bias from which they are followed."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from solvers.network.block_plan import BlockPlan, Key, plan
from solvers.network.blocks import add, of_some, some, times_of
from solvers.network.groups import NOTHING, Group
from solvers.network.structure import Controls, Structure, limited
from spu_circuit.errors import InputError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
NO_CURRENTS: Mapping[int, Array] = MappingProxyType({})

STEPS = 60
TOLERANCE = 1e-10
"""How far an output may be off, beside the largest of its kind or 1 V, where an iteration ends."""
INNER = 1e-7
"""The same of a source's controls, whose errors amplifiers divide by their gain before outputs see them."""
OF_JUNCTIONS = 5e-6
"""The same of junctions, by Newton's method, which leaves the square of it: 0.1 mV, where a mirror carries nearly no
current and rounding moves it by 20 µV."""
WEAK = 1e-4
"""Share of a voltage that its way through a block and the circuit may bring back, for the chord method to do without
the block."""
SIGNS = 8
"""Vectors of random signs that a block is tried with."""
SMALLEST_RISE = 1e-3
"""Least step of the independent sources, as a share of their values, on the way to an operating point."""


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
    """The circuit at rest with the inputs of its table, mostly 0 V: where every operating point is looked for from.

    Args:
        volts: of families of unknowns, (1, n, 1).
        slopes: of behavioural sources there, by key, (1, elements).
        answers: of each source's controls to a volt, or an ampere, more of its own, (1, elements).
        capacitances: of junctions there, by key, F, (1, elements).
        weak: blocks that the chord method leaves out of what it factorises; see ``WEAK``.
        order: how the others are eliminated.
    """

    volts: dict[int, Array]
    slopes: dict[str, Array]
    answers: dict[str, Array]
    capacitances: dict[str, Array]
    weak: frozenset[Key]
    order: BlockPlan


def bias_of(structure: Structure, begin: Mapping[int, Array], still: bool = False) -> Bias:
    """The bias of a structure's nominal circuit; 0 V where it finds none.

    Args:
        begin: voltages of families from where it is looked for first.
        still: without inputs, where its table has some.
    """
    if not structure.behavioural:
        return Bias({}, {}, {}, {}, frozenset(), structure.order)
    nominal, families = structure.coefficients({}), structure.controlling | structure.charged
    if still:
        inputs = [group.label for group in structure.table.elements if group.part == "dac"]
        nominal |= {label: np.zeros_like(nominal[label]) for label in inputs}
    volts, found = newton(structure, nominal, 1, families, begin, 1.0)
    if not found.all():
        volts = rising(structure, nominal, families) or {}
    slopes = structure.tangents(volts)
    if structure.steep:
        structure.order = structure.planned(slopes)
    blocks = structure.blocks({**nominal, **slopes})
    factors, answers = structure.factors(blocks, 1), {}
    for group in structure.behavioural:
        right: dict[int, Array] = {}
        drive_one(structure, right, group, np.ones((1, group.count, 1)))
        moved = factors.solve(right, structure.controlling)
        for k, control in enumerate(group.controls):
            answers[f"{group.key}'{k}"] = structure.control(control, moved) + np.zeros((1, group.count))
    # Newton's method, which junctions need, factorises all blocks; without inputs nothing is solved at all.
    weak = frozenset[Key]() if structure.steep or still else _weak(structure, nominal, slopes)
    strong = {key: block for key, block in blocks.items() if key not in weak}
    order = plan(strong, structure.all_sizes, structure.all_sizes) if weak else structure.order
    return Bias(volts, slopes, answers, structure.capacitances(volts), weak, order)


def _weak(structure: Structure, nominal: Mapping[str, Array], slopes: Mapping[str, Array]) -> frozenset[Key]:
    """Dense blocks that carry next to nothing: such as loads that see what is left of virtual grounds.

    Not those of a family with itself: they hold its loads, of which amplifiers' inner voltages know more than outputs.
    Resistors are anywhere between open and their nominal value: with equal ones, differences of two arrays vanish.
    """
    draws = np.random.default_rng(0)
    drawn = {r.key: nominal[r.key] * draws.uniform(size=(1, r.count)) for r in structure.resistors}
    blocks = structure.blocks({**nominal, **drawn, **slopes})
    factors, found = structure.factors(blocks, 1), set()
    for (row, column), block in blocks.items():
        if block.ndim == 3 and row != column:
            signs = draws.choice([-1.0, 1.0], (1, block.shape[2], SIGNS))
            back = factors.solve({row: times_of(block, signs)}, {column}).get(column, np.zeros(1))
            if np.abs(back).max() < WEAK:
                found.add((row, column))
    return frozenset(found)


def moved_share(moved: Mapping[int, Array], volts: Mapping[int, Array], watched: frozenset[int], batch: int) -> Array:
    """Largest change of a watched family of each of the batch, beside its largest value or 1."""
    worst = np.zeros(batch)
    for family in watched & moved.keys():
        size = np.maximum(np.abs(volts[family]).max(axis=(1, 2), initial=0.0), 1.0)
        worst = np.maximum(worst, np.abs(moved[family]).max(axis=(1, 2), initial=0.0) / size)
    worst[np.isnan(worst)] = np.inf
    return worst


def rising(structure: Structure, coefficients: Mapping[str, Array], wanted: frozenset[int]) -> dict[int, Array] | None:
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
            blocks = structure.blocks({**lowered, **slopes})
            blocks = structure.stepped(blocks, held) if held else blocks
            full = dict(right)
            drive(structure, full, intercepts_at(structure, slopes, at))
            try:
                fresh = refined(structure, blocks, full, wanted, len(moving))
            except InputError:
                break
            moved = {family: own - volts.get(family, 0.0) for family, own in fresh.items()}
            change = np.maximum(
                moved_share(moved, fresh, structure.read, len(moving)) / TOLERANCE,
                moved_share(moved, fresh, structure.controlling, len(moving)) / inner,
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


def refined(
    structure: Structure, blocks: Mapping[Key, Array], right: Mapping[int, Array], wanted: frozenset[int], batch: int
) -> dict[int, Array]:
    """The wanted unknowns of linear equations; those of junctions refined once by what their equations lack.

    Refined, each equation holds to its own rounding (Skeel, Math. Comp. 35:817, 1980). Elimination alone leaves 5 µV
    at nodes of the published OPA211, in which thousands of amperes flow between sources, and it never comes to rest.
    """
    factors = structure.factors(blocks, batch)
    if not structure.steep:
        return factors.solve(right, wanted)
    everything = frozenset(range(len(structure.all_sizes)))
    found, lacking = factors.solve(right, everything), dict(right)
    for (row, column), block in blocks.items():
        if column in found:
            add(lacking, row, -times_of(block, found[column]))
    for column, value in factors.solve(lacking, wanted).items():
        add(found, column, value)
    return {column: found[column] for column in wanted & found.keys()}


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
        drive_one(structure, right, group, intercepts[group.key][:, :, None])


def drive_one(structure: Structure, right: dict[int, Array], group: Group, value: Array) -> None:
    """Add what a group of behavioural sources gives beside its slopes, (batch, elements, 1)."""
    if group.kind == "BV":
        row = structure.branch(group.key)
        add(right, row, value)
    else:
        structure.inject(right, group.nodes[:2], value)

"""The drawn values of samples that are in a store, drawn once more from seed and number."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import hypot

import numpy as np
from numpy.typing import NDArray

from experiments.sweeps.bench import benches
from experiments.sweeps.evaluate import drawn_samples
from experiments.sweeps.group import Group
from experiments.sweeps.units import text, titled
from netlists.board import Board
from spu_circuit.sampling import Samples, varying
from spu_circuit.variation import RelativeVariation, Variation

Array = NDArray[np.float64]

CELSIUS = 273.15
"""Kelvin at 0 °C."""
NOTHING = 1e-6
"""Of σ: deviations below this are rounding, where all parts are off alike."""
MOST_VALUES = 2_000_000
"""Drawn values that are looked at for correlations, or drawn at a time: about half a second's worth."""
MEAN, SPREAD, STUCK = "mean", "spread", "resistors_stuck"
"""Of the parts of a kind in a sample, of which a lot is nearly all; how far they differ; and how many hold no value."""


@dataclass(frozen=True)
class Trait:
    """A number that says how a sample is off as a whole.

    Args:
        name: as people call it.
        unit: "%" is a share.
        values: (samples,).
        kind: of parts, that it is of; "" where it is of none.
        what: it is of them, or which part.
    """

    name: str
    unit: str
    values: Array
    kind: str = ""
    what: str = ""


@dataclass(frozen=True)
class Outlier:
    """A part that is far off.

    Args:
        name: of its element in the deck, or of its converter's channel.
        deviation: from the mean of its kind in the sample, in ``unit``.
        sigmas: the same in standard deviations of its distribution.
    """

    kind: str
    name: str
    deviation: float
    unit: str
    sigmas: float

    def __str__(self) -> str:
        return f"{self.name} ({titled(self.kind)}) {signed(self.deviation, self.unit)}, {_sigmas(self.sigmas)}"


def traits(group: Group) -> tuple[NDArray[np.intp], list[Trait]]:
    """Traits of as many of a group's first samples as ``MOST_VALUES`` allows.

    Returns:
        Which of ``Group.tried`` they are, (samples,), and what varies of: the mean of each kind of part (of which a lot
        is nearly all), its standard deviation within the sample, its slopes over the die, stuck resistors, temperature.
    """
    board, variation = _board(group), _variation(group)
    chosen = np.arange(len(group.samples))[: max(1, MOST_VALUES // max(1, _width(board, variation)))]
    first, last = int(group.samples[chosen[0]]), int(group.samples[chosen[-1]])
    samples = _drawn(group, range(first, last + 1))
    at = group.samples[chosen] - first
    return chosen, [replace(trait, values=trait.values[at]) for trait in _traits(variation, samples, board)]


def redrawn(group: Group, kinds: Collection[str]) -> dict[str, Trait]:
    """What all rows of a group drew, by the name that files have for it: temperature in K, traits, and of these kinds
    each part's deviation. A resistor is infinitely off where it is stuck open, NaN where it is stuck closed."""
    board, variation = _board(group), _variation(group)
    numbers = np.array([row.sample for row in group.rows], dtype=np.intp)
    step = max(1, MOST_VALUES // max(1, _width(board, variation)))
    found: dict[str, Trait] = {}
    for start in range(0, group.copies.samples, step):
        which = np.flatnonzero((numbers >= start) & (numbers < start + step))
        if not which.size:
            continue
        samples = _drawn(group, range(start, min(start + step, group.copies.samples)))
        kelvin = Trait("temperature", "K", samples.temperature, "temperature")
        own = [trait for trait in _traits(variation, samples, board) if trait.kind != "temperature"]
        for trait in [kelvin, *own, *(part for kind in kinds for part in _parts(variation, samples, board, kind))]:
            name = ".".join(filter(None, (trait.kind, trait.what.replace(" ", "_"))))
            kept = found.setdefault(name, replace(trait, values=np.full(len(numbers), np.nan)))
            kept.values[which] = trait.values[numbers[which] - start]
    return found


def part_counts(group: Group) -> dict[str, int]:
    """Kinds of parts that vary in a group, and how many of each its board has."""
    board = _board(group)
    return {kind: len(board.places[kind].slots) for kind in varying(_variation(group)) if kind != "temperature"}


def outliers(group: Group, sample: int, count: int) -> tuple[list[str], list[Outlier]]:
    """How one sample is off.

    Returns:
        Its traits as text, and its parts that are furthest off in units of their σ.
    """
    board, variation = _board(group), _variation(group)
    samples = _drawn(group, range(sample, sample + 1))
    shared = [
        f"{trait.name} {_trait_text(variation, trait)}"
        for trait in _traits(variation, samples, board)
        if trait.what != SPREAD and (trait.kind != STUCK or trait.values.any())
    ]
    nominal = board.hardware.temperature
    rise = float(samples.temperature[0]) - (variation.reference_temperature or nominal)
    found = []
    for kind in varying(variation):
        sigma = 0.0 if kind == "temperature" else _own_sigma(variation, kind, rise)
        if sigma == 0:
            continue
        deviations, unit = _deviations(variation, samples, kind)
        away = deviations[0] - deviations[0].mean()
        names = board.names(kind)
        for k in np.argsort(-np.abs(away), kind="stable")[:count].tolist():
            if abs(away[k]) > NOTHING * sigma:
                found.append(Outlier(kind, names[k], float(away[k]), unit, float(away[k] / sigma)))
    found.sort(key=lambda outlier: -abs(outlier.sigmas))
    stuck = [
        f"{name} stuck {how}"
        for how, which in (("open", samples.open), ("closed", samples.closed))
        if which.size
        for name in np.array(board.names("array_resistor"))[which[0]][:count].tolist()
    ]
    return shared + stuck, found[:count]


def _own_sigma(variation: Variation, kind: str, rise: float) -> float:
    """Of what each part of a kind deviates by for itself, so many kelvin above the reference."""
    of_kind = getattr(variation, kind)
    mismatch, drift = of_kind.mismatch, of_kind.temperature_coefficient.own
    return hypot(mismatch.scale if mismatch else 0.0, drift.scale * rise if drift else 0.0)


def signed(value: float, unit: str) -> str:
    """With its sign, which a deviation needs."""
    return f"{'+' if value >= 0 else ''}{text(value, unit)}"


def _sigmas(value: float) -> str:
    return f"{value:+.1f} σ".replace("-", "−")


def _trait_text(variation: Variation, trait: Trait) -> str:
    value = float(trait.values[0])
    shown = text(value, trait.unit) if trait.unit in ("°C", "") else signed(value, trait.unit)
    lot = getattr(getattr(variation, trait.kind), "lot", None) if trait.what == MEAN else None
    return f"{shown} ({_sigmas(value / lot.scale)} of its lot)" if lot is not None and lot.scale > 0 else shown


def _board(group: Group) -> Board:
    return benches(group.sweep, "ngspice")[0].board


def _variation(group: Group) -> Variation:
    return group.copies.moves(_board(group).hardware.variation)


def _drawn(group: Group, numbers: range) -> Samples:
    return drawn_samples(group.sweep, group.copies, benches(group.sweep, group.sweep.engine)[0], numbers)


def _width(board: Board, variation: Variation) -> int:
    """Drawn values of a sample."""
    return sum(len(board.places[kind].slots) for kind in varying(variation) if kind != "temperature")


def _traits(variation: Variation, samples: Samples, board: Board) -> list[Trait]:
    found = []

    def add(kind: str, what: str, unit: str, values: Array) -> None:
        found.append(Trait(f"{titled(kind)} {what}".strip(), unit, values, kind, what))

    for kind in varying(variation):
        if kind == "temperature":
            add("temperature", "", "°C", samples.temperature - CELSIUS)
            continue
        of_kind = getattr(variation, kind)
        deviations, unit = _deviations(variation, samples, kind)
        add(kind, MEAN, unit, deviations.mean(axis=1))
        if (of_kind.mismatch or of_kind.temperature_coefficient.own) and deviations.shape[1] > 1:
            add(kind, SPREAD, unit, deviations.std(axis=1))
        if isinstance(of_kind, RelativeVariation) and of_kind.gradient:
            for axis, place in (("x", board.places[kind].x), ("y", board.places[kind].y)):
                centred = place - place.mean()
                slope = deviations @ centred / max(float(centred @ centred), 1e-300)
                add(kind, f"gradient in {axis}", unit, slope)
    for how, which in (("open", samples.open), ("closed", samples.closed)):
        if which.size:
            add(STUCK, how, "", which.sum(axis=1).astype(float))
    return found


def _parts(variation: Variation, samples: Samples, board: Board, kind: str) -> list[Trait]:
    """The deviation of each part of a kind; none where it does not vary."""
    if kind not in varying(variation):
        return []
    deviations, unit = _deviations(variation, samples, kind)
    if kind == "array_resistor" and samples.open.size:
        deviations = np.where(samples.open, np.inf, np.where(samples.closed, np.nan, deviations))
    names = board.names(kind)
    return [
        Trait(f"{titled(kind)} {name}", unit, own, kind, name) for name, own in zip(names, deviations.T, strict=True)
    ]


def _deviations(variation: Variation, samples: Samples, kind: str) -> tuple[Array, str]:
    """Of all parts of a kind, (samples, parts), and their unit."""
    if not getattr(variation, kind).adds:
        return samples.relative[kind] - 1, "%"
    return samples.absolute[kind], getattr(variation, kind).unit

"""The drawn values of samples that are in a store, drawn once more from seed and number."""

from dataclasses import dataclass
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
"""Drawn values that are looked at for correlations, about half a second's worth."""


@dataclass(frozen=True)
class Trait:
    """A number that says how a sample is off as a whole.

    Args:
        name: as people call it.
        unit: "%" is a share.
        values: (samples,).
    """

    name: str
    unit: str
    values: Array


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
    values = sum(len(board.places[kind].slots) for kind in varying(variation) if kind != "temperature")
    chosen = np.arange(len(group.samples))[: max(1, MOST_VALUES // max(1, values))]
    first, last = int(group.samples[chosen[0]]), int(group.samples[chosen[-1]])
    samples = _drawn(group, range(first, last + 1))
    at = group.samples[chosen] - first
    return chosen, [Trait(t.name, t.unit, t.values[at]) for t in _traits(variation, samples, board)]


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
        if not trait.name.endswith("spread")
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
    kind, _, what = trait.name.rpartition(" ")
    lot = getattr(getattr(variation, kind.replace(" ", "_"), None), "lot", None) if what == "mean" else None
    return f"{shown} ({_sigmas(value / lot.scale)} of its lot)" if lot is not None and lot.scale > 0 else shown


def _board(group: Group) -> Board:
    return benches(group.sweep, "ngspice")[0].board


def _variation(group: Group) -> Variation:
    return group.copies.moves(_board(group).hardware.variation)


def _drawn(group: Group, numbers: range) -> Samples:
    return drawn_samples(group.sweep, group.copies, benches(group.sweep, group.sweep.engine)[0], numbers)


def _traits(variation: Variation, samples: Samples, board: Board) -> list[Trait]:
    found = []
    for kind in varying(variation):
        if kind == "temperature":
            found.append(Trait("temperature", "°C", samples.temperature - CELSIUS))
            continue
        of_kind, name = getattr(variation, kind), titled(kind)
        deviations, unit = _deviations(variation, samples, kind)
        found.append(Trait(f"{name} mean", unit, deviations.mean(axis=1)))
        if (of_kind.mismatch or of_kind.temperature_coefficient.own) and deviations.shape[1] > 1:
            found.append(Trait(f"{name} spread", unit, deviations.std(axis=1)))
        if isinstance(of_kind, RelativeVariation) and of_kind.gradient:
            for axis, place in (("x", board.places[kind].x), ("y", board.places[kind].y)):
                centred = place - place.mean()
                slope = deviations @ centred / max(float(centred @ centred), 1e-300)
                found.append(Trait(f"{name} gradient in {axis}", unit, slope))
    for how, which in (("open", samples.open), ("closed", samples.closed)):
        if which.size and which.any():
            found.append(Trait(f"resistors stuck {how}", "", which.sum(axis=1).astype(float)))
    return found


def _deviations(variation: Variation, samples: Samples, kind: str) -> tuple[Array, str]:
    """Of all parts of a kind, (samples, parts), and their unit."""
    if not getattr(variation, kind).adds:
        return samples.relative[kind] - 1, "%"
    return samples.absolute[kind], getattr(variation, kind).unit

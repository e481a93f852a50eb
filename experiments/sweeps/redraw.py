"""The drawn values of copies that are in a store, drawn once more from seed and number."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.sweeps.cases import alone
from experiments.sweeps.evaluate import benches, drawn_copies
from experiments.sweeps.findings import Group
from experiments.sweeps.units import text, titled
from netlists.parts import AMPLIFIER, OF_ADC, OF_DAC, Board
from spu_circuit.copies import Copies, varying
from spu_circuit.variation import CodeVariation, RelativeVariation, Variation

Array = NDArray[np.float64]

NOTHING = 1e-6
"""Of σ: deviations below this are rounding, where all parts are off alike."""
MOST_VALUES = 2_000_000
"""Drawn values that are looked at for correlations, about half a second's worth."""


@dataclass(frozen=True)
class Trait:
    """A number that says how a copy is off as a whole.

    Args:
        name: as people call it.
        unit: "%" is a share.
        values: (copies,).
    """

    name: str
    unit: str
    values: Array


@dataclass(frozen=True)
class Extreme:
    """A part that is far off.

    Args:
        name: of its element in the deck, or of its converter's channel.
        deviation: from the mean of its kind in the copy, in ``unit``.
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
    """Traits of as many of a group's first copies as ``MOST_VALUES`` allows.

    Returns:
        Which of ``Group.tried`` they are, (copies,), and what varies of: the mean of each kind of part (of which a lot
        is nearly all), its standard deviation within the copy, its slopes over the die, stuck resistors, temperature.
    """
    board, variation = _board(group), _variation(group)
    values = sum(len(board.places[kind].slots) for kind in varying(variation) if kind != "temperature")
    chosen = np.arange(len(group.samples))[: max(1, MOST_VALUES // max(1, values))]
    first, last = int(group.samples[chosen[0]]), int(group.samples[chosen[-1]])
    copies = _drawn(group, range(first, last + 1))
    at = group.samples[chosen] - first
    return chosen, [Trait(t.name, t.unit, t.values[at]) for t in _traits(variation, copies, board)]


def extremes(group: Group, sample: int, count: int) -> tuple[list[str], list[Extreme]]:
    """How one copy is off.

    Returns:
        Its traits as text, and its parts that are furthest off in units of their σ.
    """
    board, variation = _board(group), _variation(group)
    copies = _drawn(group, range(sample, sample + 1))
    shared = [
        f"{trait.name} {_trait_text(variation, trait)}"
        for trait in _traits(variation, copies, board)
        if not trait.name.endswith("spread")
    ]
    found = []
    for kind in varying(variation):
        spread = None if kind == "temperature" else getattr(variation, kind).mismatch
        if spread is None or spread.scale == 0:
            continue
        deviations, unit = _deviations(variation, copies, kind)
        away = deviations[0] - deviations[0].mean()
        names = _names(board, kind)
        for k in np.argsort(-np.abs(away), kind="stable")[:count].tolist():
            if abs(away[k]) > NOTHING * spread.scale:
                found.append(Extreme(kind, names[k], float(away[k]), unit, float(away[k] / spread.scale)))
    found.sort(key=lambda extreme: -abs(extreme.sigmas))
    stuck = [
        f"{name} stuck {how}"
        for how, which in (("open", copies.open), ("closed", copies.closed))
        if which.size
        for name in np.array(board.names["array_resistor"])[which[0]][:count].tolist()
    ]
    return shared + stuck, found[:count]


def signed(value: float, unit: str) -> str:
    """With its sign, which a deviation needs."""
    return f"{'+' if value >= 0 else ''}{text(value, unit)}"


def _sigmas(value: float) -> str:
    return f"{value:+.1f} σ".replace("-", "−")


def _trait_text(variation: Variation, trait: Trait) -> str:
    value = float(trait.values[0])
    shown = text(value, trait.unit) if trait.unit in ("K", "") else signed(value, trait.unit)
    kind, _, what = trait.name.rpartition(" ")
    lot = getattr(getattr(variation, kind.replace(" ", "_"), None), "lot", None) if what == "mean" else None
    return f"{shown} ({_sigmas(value / lot.scale)} of its lot)" if lot is not None and lot.scale > 0 else shown


def _board(group: Group) -> Board:
    return benches(group.sweep, "ngspice")[0].ngspice.board


def _variation(group: Group) -> Variation:
    variation = _board(group).hardware.variation
    return alone(variation, group.case.only) if group.case.only else variation


def _drawn(group: Group, samples: range) -> Copies:
    return drawn_copies(group.sweep, group.case, benches(group.sweep, group.sweep.engine)[0], samples)


def _traits(variation: Variation, copies: Copies, board: Board) -> list[Trait]:
    found = []
    for kind in varying(variation):
        if kind == "temperature":
            found.append(Trait("temperature", "K", copies.temperature))
            continue
        of_kind, name = getattr(variation, kind), titled(kind)
        deviations, unit = _deviations(variation, copies, kind)
        found.append(Trait(f"{name} mean", unit, deviations.mean(axis=1)))
        if of_kind.mismatch and deviations.shape[1] > 1:
            found.append(Trait(f"{name} spread", unit, deviations.std(axis=1)))
        if isinstance(of_kind, RelativeVariation) and of_kind.gradient:
            for axis, place in (("x", board.places[kind].x), ("y", board.places[kind].y)):
                centred = place - place.mean()
                slope = deviations @ centred / max(float(centred @ centred), 1e-300)
                found.append(Trait(f"{name} gradient in {axis}", unit, slope))
    for how, which in (("open", copies.open), ("closed", copies.closed)):
        if which.size and which.any():
            found.append(Trait(f"resistors stuck {how}", "", which.sum(axis=1).astype(float)))
    return found


def _deviations(variation: Variation, copies: Copies, kind: str) -> tuple[Array, str]:
    """Of all parts of a kind, (copies, parts), and their unit."""
    if isinstance(getattr(variation, kind), RelativeVariation):
        return copies.relative[kind] - 1, "%"
    return copies.absolute[kind], "LSB" if isinstance(getattr(variation, kind), CodeVariation) else "V"


def _names(board: Board, kind: str) -> tuple[str, ...]:
    if kind in OF_ADC:
        return tuple(f"ADC channel {k}" for k in range(len(board.places[kind].slots)))
    groups: Mapping[str, str] = dict.fromkeys(AMPLIFIER, "amplifier") | dict.fromkeys(OF_DAC, "dac")
    return board.names[groups.get(kind, kind)]

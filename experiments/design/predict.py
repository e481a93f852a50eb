"""Every board that a catalogue allows, with its price and what it will do, to first order.

A part's deviation moves the solution by its derivative, so the square of the relative error is a quadratic form of
normal numbers. Its mean and variance follow from those of every kind; the percentile of a scaled chi-squared
distribution with these is Wilson's and Hilferty's (PNAS 17:684, 1931).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from experiments.design.choices import Choice, Parts, amplifier
from experiments.design.config import PREDICTED, Specification
from experiments.design.nominal import Nominal
from spu_circuit.catalogue import CapacitorClass, OperationalAmplifier, Potentiometer, ResistorClass

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


SLACK = {
    "relative_error": 0.05,
    "settling_time": 0.3,
    "supply_power": 0.05,
    "junction_rise": 0.05,
    "supply_energy": 1.05 * 1.3 - 1,
}
"""Share of a limit by which a prediction may miss: no board within it is given up before it is simulated. What the
first order leaves of the error is of second order in it, so there the limit itself comes on top. An energy misses by
its power and its time."""


@dataclass(frozen=True)
class Sheet:
    """Boards of one array, one op-amp and one pair of full scales, but for their capacitors.

    Args:
        axes: what may be chosen, place by place; the amplifier is alone on its axis.
        rows: which of them each board has, (axes, boards).
        price: without capacitors, (boards,).
        error: the relative error that the wanted share of the boards keeps, (boards,).
        power: from the supplies, W, (boards,).
        may: which may keep the limits of error, power and temperature, (boards,); the others are there because no
            board of the sheet beats them.
        capacitors: that fit, and the settling time with each, s.
    """

    nominal: Nominal
    axes: tuple[tuple[Choice, ...], ...]
    rows: Indices
    price: Array
    error: Array
    power: Array
    may: NDArray[np.bool_]
    capacitors: tuple[tuple[Choice, float], ...]

    def chosen(self, board: int, capacitor: int) -> list[Choice]:
        """The parts of a board."""
        picked = [axis[k] for axis, k in zip(self.axes, self.rows[:, board].tolist(), strict=True)]
        return [*picked, self.capacitors[capacitor][0]]

    @cached_property
    def capacitor_prices(self) -> Array:
        return np.array([choice.price(self.nominal.counts["capacitor"]) for choice, _ in self.capacitors])

    @cached_property
    def seconds(self) -> Array:
        return np.array([seconds for _, seconds in self.capacitors])


def bounds(asked: Specification) -> dict[str, float]:
    """Metric → the largest prediction of a board that may keep its limit."""
    found = {name: asked.limits[name].max * (1 + SLACK[name]) for name in PREDICTED if name in asked.limits}
    found["relative_error"] += asked.limits["relative_error"].max ** 2
    return found


def sheet(parts: Parts, nominal: Nominal) -> Sheet | None:
    """The boards with a nominal one; None: a part's rating or temperature allows none."""
    asked = parts.design.specification
    part = parts.catalogue.amplifiers[nominal.amplifier]
    if asked.hottest + nominal.rise > part.hottest_junction:
        return None
    op_amp = amplifier(parts, nominal.amplifier, part, nominal.rise)
    every = (
        [op_amp],
        [each for each in nominal.structure.classes if _array_holds(each, nominal)],
        list(_resistors(parts, "input_resistor", nominal, nominal.driven)),
        list(_resistors(parts, "inverter_resistor", nominal, nominal.peak)),
        list(_converters(parts, "dac", nominal.range.dac)),
        list(_converters(parts, "adc", nominal.range.adc)),
    )
    axes = tuple(tuple(_unbeaten(axis, nominal)) for axis in every)
    capacitors = tuple(_capacitors(parts, nominal, part))
    if not all(axes) or not capacitors:
        return None
    rows = np.indices([len(axis) for axis in axes]).reshape(len(axes), -1)
    price, power = np.zeros(rows.shape[1]), np.full(rows.shape[1], nominal.output_power)
    variances = np.zeros((rows.shape[1], len(nominal.kinds)))
    for axis, own in zip(axes, rows, strict=True):
        count = nominal.counts[axis[0].slot]
        price += np.array([choice.price(count) for choice in axis])[own]
        power += np.array([choice.power * count for choice in axis])[own]
        variances += np.array([_variances(choice, nominal.kinds) for choice in axis])[own]
    squares, tilted = (np.array([nominal.offsets[dac.bits][k] for dac in axes[4]])[rows[4]] for k in (0, 1))
    mean = variances @ nominal.squares + squares
    variance = 2 * ((variances @ nominal.cross) * variances).sum(axis=1) + 4 * (variances * tilted).sum(axis=1)
    error = np.sqrt(percentile(mean, variance, asked.least_yield))
    largest = bounds(asked)
    may = (error <= largest["relative_error"]) & (power <= largest.get("supply_power", np.inf))
    may &= nominal.rise <= largest.get("junction_rise", np.inf)
    kept = may.copy()
    kept[unbeaten_points(np.stack([price, error, power], axis=1))] = True
    return Sheet(
        nominal, axes, rows[:, kept].astype(np.int16), price[kept], error[kept], power[kept], may[kept], capacitors
    )


def unbeaten_points(points: Array) -> Indices:
    """Those than which none is smaller in one number and no larger in the others, by the first number.

    Args:
        points: (points, numbers); of equal ones the first counts.
    """
    left = np.lexsort(points.T[::-1])
    found = []
    while len(left):
        best, left = left[0], left[1:]
        found.append(int(best))
        left = left[(points[left] < points[best]).any(axis=1)]
    return np.array(found, dtype=np.intp)


def percentile(mean: Array, variance: Array, share: float) -> Array:
    """Of a scaled chi-squared distribution with this mean and variance, by Wilson and Hilferty."""
    narrow = np.divide(variance, 9 * mean**2, out=np.zeros_like(mean), where=mean > 0)
    return np.asarray(mean * np.maximum(0.0, 1 - narrow + float(ndtri(share)) * np.sqrt(narrow)) ** 3)


def _variances(choice: Choice, kinds: Sequence[str]) -> list[float]:
    """σ² of each kind in the units of the nominal board's derivatives."""
    found = dict.fromkeys(kinds, 0.0)
    for kind, sigma in choice.sigmas.items():
        step = 2.0**-choice.bits if kind.endswith(("inl", "dnl")) else 1.0
        found[kind] += (sigma * step) ** 2
    if choice.slot == "adc":
        found["adc_offset"] += (2 * choice.number / 2**choice.bits) ** 2 / 12  # its codes
    return [found[kind] for kind in kinds]


def _unbeaten(axis: Sequence[Choice], nominal: Nominal) -> Iterator[Choice]:
    """Those that no other one is better than in price, power, resolution or a spread and in none worse."""
    numbers = [
        [choice.price(nominal.counts[choice.slot]), choice.power, -choice.bits, *_variances(choice, nominal.kinds)]
        for choice in axis
    ]
    for k in sorted(unbeaten_points(np.array(numbers)).tolist()) if numbers else []:
        yield axis[k]


def _array_holds(choice: Choice, nominal: Nominal) -> bool:
    part, smallest = choice.part, nominal.structure.smallest
    if isinstance(part, Potentiometer):
        return nominal.peak <= part.voltage and nominal.peak / smallest <= part.current
    return isinstance(part, ResistorClass) and nominal.peak**2 / smallest <= part.power


def _resistors(parts: Parts, slot: str, nominal: Nominal, volts: float) -> Iterator[Choice]:
    for choice in parts.choices(slot, nominal.structure.smallest):
        assert isinstance(choice.part, ResistorClass)
        if volts**2 / choice.number <= choice.part.power:
            yield choice


def _converters(parts: Parts, slot: str, full_scale: float) -> Iterator[Choice]:
    for choice in parts.choices(slot):
        if choice.number == full_scale:
            yield choice


def _capacitors(parts: Parts, nominal: Nominal, op_amp: OperationalAmplifier) -> Iterator[tuple[Choice, float]]:
    """Those whose voltage is in their range, and whose current the op-amp can follow when it begins."""
    for choice in parts.choices("capacitor"):
        assert isinstance(choice.part, CapacitorClass)
        wanted = [k for k, value in enumerate(parts.design.capacitances) if abs(choice.number / value - 1) <= 0.1]
        if nominal.peak <= choice.part.voltage and nominal.current / choice.number <= op_amp.slew_rate:
            yield choice, nominal.seconds[wanted[0]]

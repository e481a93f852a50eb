"""Which elements of a table are which parts of the board, and what values they have in Monte Carlo samples."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce

import numpy as np
import scipy
from numpy.typing import NDArray

from netlists.capacitors import CURVED
from netlists.elements import Elements, ElementTable, Values
from spu_circuit.converters import characteristic
from spu_circuit.errors import InputError
from spu_circuit.hardware import Hardware
from spu_circuit.sampling import Parts, Sample, Samples, deviating, draw, moves, varying
from spu_circuit.streams import STEPS, independent

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

CURVE = "capacitor_curve"
"""Kind whose factor both voltage coefficients of a capacitor have."""
PROGRAMMING, READ = "array_programming", "array_noise"
"""Kinds of what is off in the conductances of the array: in siemens when they are written, and anew at every read."""
OF_ARRAY = (PROGRAMMING, "array_drift", READ)
AMPLIFIER = {
    "amplifier_offset": "offset",
    "amplifier_gain": "gain",
    "amplifier_bandwidth": "bandwidth",
    "amplifier_bias": "bias",
    "amplifier_rejection": "offset",
}
"""Kinds that are properties of an amplifier, and the parameters of its subcircuit."""
OF_DAC = ("dac_gain", "dac_offset", "dac_inl", "dac_dnl")
REJECTION = "amplifier_rejection"
"""Kind of what a supply makes of offsets, in volts."""
KEPT = 32
"""Samples that a board keeps."""
OF_ADC = ("adc_gain", "adc_offset", "adc_inl", "adc_dnl")
PROPERTIES = {
    **dict.fromkeys(AMPLIFIER, "amplifier"),
    **dict.fromkeys(OF_DAC, "dac"),
    **dict.fromkeys(OF_ARRAY, "array_resistor"),
    CURVE: "capacitor",
}
"""Kinds that are properties of a part, and which."""


@dataclass(frozen=True)
class Board:
    """The parts of a device's circuit.

    Args:
        table: whose values say which programmable resistors are there: an open one is none, unless it can be stuck
            closed. See ``populated`` for a board whose matrix changes.

    Raises:
        InputError: a property varies that the hardware does not have.
    """

    hardware: Hardware
    table: ElementTable
    _drawn: dict[str, Samples] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        hardware = self.hardware
        doubling = ("amplifier_bias",) if hardware.variation.amplifier_bias.doubling else ()
        for kind in (*varying(hardware.variation), *doubling):
            if kind != "temperature" and kind not in self.places:
                raise InputError(f"variation.{kind}: hardware {hardware.name!r} has no such part; leave it out")
            if kind.endswith(("inl", "dnl")) and getattr(hardware, kind[:3]).bits is None:
                raise InputError(
                    f"variation.{kind}: {kind[:3]}.bits is not given, so there are no LSB; give it, or leave this out"
                )

    @cached_property
    def groups(self) -> dict[str, tuple[tuple[Elements, Indices], ...]]:
        """Kind of part → its groups of elements, and which of each are there."""
        can_close = self.hardware.variation.array_resistor.stuck_closed > 0
        found: dict[str, list[tuple[Elements, Indices]]] = {}
        for group in sorted(self.table.elements, key=lambda group: group.which):
            if group.part:
                present = np.isfinite(group.value) | (can_close and group.part == "array_resistor")
                found.setdefault(group.part, []).append((group, np.flatnonzero(present)))
        return {part: tuple(groups) for part, groups in found.items()}

    @cached_property
    def places(self) -> dict[str, Parts]:
        """Kind → its parts; kinds of converters and of amplifiers' properties included."""
        found = {part: self._placed(part) for part in self.groups}
        cells = self._cells
        found |= dict.fromkeys(OF_DAC, found.pop("dac"))
        found |= dict.fromkeys(
            OF_ADC, Parts(np.arange(cells), np.full(cells, -0.5), _spread_out(np.arange(cells), cells))
        )
        amplifiers = found.pop("amplifier", None)
        if self.hardware.cell.bends:
            found[CURVE] = found["capacitor"]
        found |= {kind: found["array_resistor"] for kind in OF_ARRAY if moves(self.hardware.variation, kind)}
        if amplifiers is not None:
            found |= dict.fromkeys((f"amplifier_{name}" for name in self.hardware.amplifier.varying), amplifiers)
            if "amplifier_bias" in found:
                found["amplifier_bias"] = replace(amplifiers, nominal=self.hardware.amplifier.bias_current or 0.0)
            if "amplifier_offset" in found and moves(self.hardware.variation, REJECTION):
                found[REJECTION] = amplifiers
        return found

    def names(self, kind: str) -> list[str]:
        """Of the parts of a kind, in the order of ``places``: their elements in the deck, or channels of converters."""
        if kind in OF_ADC:
            return [f"ADC channel {k}" for k in range(self._cells)]
        return [
            name for group, present in self.groups[part_of(kind)] for name in np.array(group.names)[present].tolist()
        ]

    def values(self, samples: Samples, values: Values) -> Values:
        """What the elements of these samples have.

        Args:
            values: nominal, of the programmed elements, (elements,), or one for each sample, (samples, elements); or
                many for one sample, which then all are on the same board.

        Returns:
            Label → (samples, elements) where it differs from the table, values of parameters too.
        """
        found = dict(values)
        for part in ("array_resistor", "input_resistor", "inverter_resistor", "summing_resistor", "capacitor"):
            factor, written = array_factor(samples) if part == "array_resistor" else samples.relative.get(part), None
            if part == "array_resistor":
                written = samples.absolute.get(PROGRAMMING)
            if factor is None and written is None:
                continue
            for group, present, at in self.split(part):
                nominal = np.atleast_2d(values.get(group.label, group.value))
                own = np.array(np.broadcast_to(nominal, (max(samples.count, len(nominal)), group.count)))
                if written is not None:
                    held = 1 / own[:, present]
                    with np.errstate(divide="ignore"):  # nothing is written into what is open
                        own[:, present] = 1 / np.where(held > 0, np.maximum(held + written[:, at], 0.0), 0.0)
                if factor is not None:
                    own[:, present] *= factor[:, at]
                if part == "array_resistor" and samples.open.size:
                    stuck = np.where(samples.open[:, at], np.inf, own[:, present])
                    own[:, present] = np.where(samples.closed[:, at], 1 / self.hardware.array.G_max, stuck)
                found[group.label] = own
        if CURVE in samples.relative:
            for group, _, at in self.split("capacitor"):
                for name in CURVED:
                    found[f"{group.label}.{name}"] = group.parameters[name] * samples.relative[CURVE][:, at]
        for kind, parameter in AMPLIFIER.items():
            off = samples.relative.get(kind, samples.absolute.get(kind))
            if off is not None and off.size:
                for group, _, at in self.split("amplifier"):
                    key = f"{group.label}.{parameter}"
                    found[key] = found[key] + off[:, at] if key in found else off[:, at]
        return found

    def inputs(self, samples: Samples, inputs: Values) -> Values:
        """What the DACs of these samples give, (samples, elements); see ``ProgrammedArray.inputs``."""
        found = dict(inputs)
        errors = converter_errors(samples, "dac")
        if errors:
            for group, _, at in self.split("dac"):
                own = {name: error[:, at] for name, error in errors.items()}
                found[group.label] = characteristic(inputs[group.label], self.hardware.dac, **own)
        return found

    def read(self, samples: Samples, volts: Array) -> Array:
        """What the ADCs of these samples make of voltages before they code them, (samples, n)."""
        errors = converter_errors(samples, "adc")
        return characteristic(volts, self.hardware.adc, **errors) if errors else volts

    def reread(self, samples: Samples, seeds: Sequence[int]) -> Samples:
        """The samples at other reads: what fluctuates from one read to the next is drawn anew.

        Args:
            seeds: of each read, (batch,). Each sample has noise of its own at the same seed.
        """
        law = self.hardware.variation.array_noise.mismatch
        if law is None or READ not in samples.relative:
            return samples
        was, slots = samples.relative[READ], self.places[READ].slots
        turn = np.concatenate([independent(READ, slots, range(int(seed), int(seed) + 1), 0) for seed in seeds])
        # Turned about by one number for each cell, those of samples stay independent, and uniform.
        turned = (scipy.special.ndtr(np.log(was) / law.scale) + turn) % 1
        now = 1 + law.quantile(np.clip(turned, 0.5 / STEPS, 1 - 0.5 / STEPS))
        return deviating(self.hardware.variation, self.hardware.temperature, samples, {READ: now / was - 1})

    def drawn(self, sample: Sample) -> Samples:
        """The parts of one sample, as a batch of one. The last ones are kept: a device solves many systems."""
        key = repr(sample)
        found = self._drawn.pop(key, None)
        if found is None:
            hardware, one = self.hardware, range(sample.number, sample.number + 1)
            found = draw(hardware.variation, hardware.temperature, self.places, one, sample.sampling)
        # Other threads may do the same: each step is whole, and who comes late finds nothing to drop.
        for oldest in list(self._drawn)[: 1 - KEPT]:
            self._drawn.pop(oldest, None)
        self._drawn[key] = found
        return found

    @property
    def _cells(self) -> int:
        return len(self.table.outputs[0].index)

    def split(self, part: str) -> list[tuple[Elements, Indices, slice]]:
        """The groups of a part, which elements are there, and where they stand among all its parts."""
        found, start = [], 0
        for group, present in self.groups[part]:
            found.append((group, present, slice(start, start + len(present))))
            start += len(present)
        return found

    def _placed(self, part: str) -> Parts:
        """Places are numbered row by row; the board is as wide as it has cells, whatever the matrix uses."""
        groups = self.groups[part]
        cells, kinds = self._cells, max(group.which for group, _ in groups) + 1
        wide = [group for group, _ in groups if group.column is not None]
        width = (
            max(cells, *(int(group.column.max(initial=0)) + 1 for group in wide if group.column is not None))
            if wide
            else 1
        )
        slots, rows, columns = [], [], []
        for group, present in groups:
            row = group.row[present]
            column = np.zeros_like(row) if group.column is None else group.column[present]
            slots.append((row * width + column) * kinds + group.which)
            rows.append(row)
            columns.append(column)
        row, column = np.concatenate(rows), np.concatenate(columns)
        tall = max(int(group.row.max(initial=-1)) + 1 for group, _ in groups)
        return Parts(np.concatenate(slots), _spread_out(column, cells), _spread_out(row, cells), tall * width * kinds)


def part_of(kind: str) -> str:
    """The part of the board that a kind is a property of."""
    return PROPERTIES.get(kind, kind)


def array_factor(samples: Samples) -> Array | None:
    """That the array's resistors have, (samples, parts): mismatch, drift and noise; None: there is none."""
    found = [samples.relative[kind] for kind in ("array_resistor", *OF_ARRAY) if kind in samples.relative]
    return reduce(np.multiply, found) if found else None


def populated(table: ElementTable, hardware: Hardware) -> ElementTable:
    """The table of a board before anything is programmed: every programmable resistor is there.

    Those on the diagonal, and those to ground, are at the largest conductance, and all others together at a quarter of
    it, so that the circuit is well posed whatever the topology; summing amplifiers have the gain that fits. What is
    prepared from it is the same for all matrices.
    """
    values = {}
    for group in table.elements:
        if group.part == "array_resistor":
            column = group.row if group.column is None else group.column
            wide = max(int(column.max(initial=0)), int(group.row.max(initial=0))) + 1
            own = (group.which == 0 or group.column is None) & (group.row == column)
            values[group.label] = np.where(own, 1.0, 4.0 * wide) / hardware.array.G_max
        elif group.part == "summing_resistor":
            values[group.label] = np.full(group.count, 1 / hardware.array.G_max)
    return table.filled(values)


def converter_errors(samples: Samples, converter: str) -> dict[str, Array]:
    """What ``characteristic`` takes, (samples, channels) each; nothing where nothing is off."""
    found = {}
    if f"{converter}_gain" in samples.relative:
        found["gain"] = samples.relative[f"{converter}_gain"]
    for name in ("offset", "inl", "dnl"):
        if f"{converter}_{name}" in samples.absolute:
            found[name] = samples.absolute[f"{converter}_{name}"]
    return found


def _spread_out(numbers: Indices, cells: int) -> Array:
    """From −½ to ½ across the die."""
    return numbers / max(1, cells - 1, int(numbers.max(initial=0))) - 0.5

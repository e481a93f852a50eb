"""Which elements of a circuit are which parts of the board, and what values they have in drawn copies."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from netlists.amplifier import parameters
from netlists.deck import definitions, instances
from netlists.netlist import Netlist
from netlists.topologies import PARTS, nominal_netlist
from spu_circuit.converters import characteristic
from spu_circuit.copies import Copies, Copy, Parts, draw, varying
from spu_circuit.errors import InputError
from spu_circuit.hardware import Hardware
from spu_circuit.program import Device

Array = NDArray[np.float64]

OPEN = 1e15
"""Ohms of a resistor that never conducts."""
VALUE_AT = {"R": 3, "C": 3, "V": 4}
"""Which word of an element's line is its value."""
AMPLIFIER = {"amplifier_offset": "offset", "amplifier_gain": "gain", "amplifier_bandwidth": "bandwidth"}
"""Kinds that are properties of an amplifier, and the parameters of its subcircuit."""
OF_DAC = ("dac_gain", "dac_offset", "dac_inl", "dac_dnl")
OF_ADC = ("adc_gain", "adc_offset", "adc_inl", "adc_dnl")


@dataclass(frozen=True)
class Board:
    """The parts of a device's circuit.

    Args:
        netlist: with nominal values.
        lines: of its elements outside subcircuits.
        places: kind → its parts; kinds of converters and amplifiers included.
        names: "array_resistor", "capacitor", …, "amplifier", "dac" → names of its elements, in the order of the parts.
        nominal: name of a resistor, capacitor or source → ohms, farads, volts.
    """

    hardware: Hardware
    netlist: Netlist
    lines: tuple[str, ...]
    places: dict[str, Parts]
    names: dict[str, tuple[str, ...]]
    nominal: dict[str, float]

    def values(self, copies: Copies) -> dict[str, Array]:
        """What the elements have in these copies.

        Returns:
            The group of ``names`` that is meant, or a kind of amplifier property → (samples, parts): ohms, farads,
            volts; offsets in volts, gains and bandwidths relative to nominal.
        """
        found: dict[str, Array] = {}
        for kind in ("array_resistor", "input_resistor", "inverter_resistor", "summing_resistor", "capacitor"):
            if kind in copies.relative:
                found[kind] = self._nominal(kind) * copies.relative[kind]
        if copies.open.size:
            stuck = np.where(copies.open, OPEN, found["array_resistor"])
            found["array_resistor"] = np.where(copies.closed, 1 / self.hardware.array.G_max, stuck)
        for kind in AMPLIFIER:
            values = copies.relative.get(kind, copies.absolute.get(kind))
            if values is not None and values.size:
                found[kind] = values
        if any(kind in self.places for kind in OF_DAC):
            found["dac"] = characteristic(self._nominal("dac"), self.hardware.dac, **converter_errors(copies, "dac"))
        return found

    def drawn(self, values: Mapping[str, Array], sample: int) -> Netlist:
        """The netlist of one copy, from ``values`` of a batch and the copy's place in it."""
        own: dict[str, str] = {}
        for group, rows in values.items():
            parameter = AMPLIFIER.get(group)
            for name, value in zip(self.names["amplifier" if parameter else group], rows[sample].tolist(), strict=True):
                own[name] = f"{own.get(name, '')} {parameter}={value!r}" if parameter else repr(value)
        lines = definitions(self.netlist.circuit) + [_with_value(line, own) for line in self.lines]
        return replace(self.netlist, lines=tuple(lines))

    def _nominal(self, group: str) -> Array:
        return np.array([self.nominal[name] for name in self.names[group]])


def copies_on(board: Board, copy: Copy) -> Copies:
    """The parts of one copy, as a batch of one."""
    hardware = board.hardware
    one = range(copy.sample, copy.sample + 1)
    return draw(hardware.variation, hardware.temperature, board.places, one, copy.sampling)


def converter_errors(copies: Copies, converter: str) -> dict[str, Array | float]:
    """What ``characteristic`` takes, (samples, channels) each."""
    return {
        "gain": copies.relative.get(f"{converter}_gain", 1.0),
        "offset": copies.absolute.get(f"{converter}_offset", 0.0),
        "inl": copies.absolute.get(f"{converter}_inl", 0.0),
        "dnl": copies.absolute.get(f"{converter}_dnl", 0.0),
    }


def board_of(device: Device, noise_hold: float | None = None) -> Board:
    """The parts of a device's circuit.

    Resistors that can be stuck closed are in the circuit even where they are switched off.

    Args:
        noise_hold: see ``nominal_netlist``; the noise is that of the nominal parts.

    Raises:
        InputError: a property varies that the hardware does not have.
    """
    hardware = device.hardware
    if hardware.variation.array_resistor.stuck_closed > 0 and hardware.array.off_conductance == 0:
        device = replace(device, array=device.array.fully_populated(1 / OPEN))
    netlist = nominal_netlist(device, noise_hold)
    lines = tuple(instances(netlist.circuit))
    names: dict[str, tuple[str, ...]] = {}
    places: dict[str, Parts] = {}
    outputs = len(netlist.outputs)
    for group, patterns in PARTS[hardware.topology].items():
        names[group], places[group] = _find(lines, patterns, outputs)
    channels = Parts(np.arange(outputs), np.full(outputs, -0.5), _spread_out(np.arange(outputs), outputs))
    places |= dict.fromkeys(OF_DAC, places.pop("dac")) | dict.fromkeys(OF_ADC, channels)
    amplifiers = places.pop("amplifier", None)
    if amplifiers is not None:
        places |= dict.fromkeys((f"amplifier_{kind}" for kind in parameters(hardware.amplifier)), amplifiers)
    for kind in varying(hardware.variation):
        if kind != "temperature" and kind not in places:
            raise InputError(f"variation.{kind}: hardware {hardware.name!r} has no such part; leave it out")
        if kind.endswith(("inl", "dnl")) and getattr(hardware, kind[:3]).bits is None:
            raise InputError(
                f"variation.{kind}: {kind[:3]}.bits is not given, so there are no LSB; give it, or leave this out"
            )
    nominal = {}
    for words in map(str.split, lines):
        if words[0][0] in VALUE_AT:
            nominal[words[0]] = float(words[VALUE_AT[words[0][0]]])
    return Board(hardware, netlist, lines, places, names, nominal)


def _find(lines: Sequence[str], patterns: Sequence[str], cells: int) -> tuple[tuple[str, ...], Parts]:
    """Names and places of the elements that match: row by row, then in the order of the patterns.

    The board is as wide as it has cells, whichever of its places the matrix uses.
    """
    found: list[tuple[int, int, int, str]] = []
    for which, pattern in enumerate(map(re.compile, patterns)):
        for line in lines:
            match = pattern.fullmatch(line.split(maxsplit=1)[0])
            if match is not None:
                row, *column = map(int, match.groups())
                found.append((row, column[0] if column else -1, which, match[0]))
    found.sort()
    rows, columns, kinds = np.array([entry[:3] for entry in found], dtype=np.intp).reshape(-1, 3).T
    width = max(cells, int(columns.max(initial=0)) + 1) if (columns >= 0).any() else 1
    columns = np.maximum(columns, 0)
    slots = (rows * width + columns) * len(patterns) + kinds
    return tuple(entry[3] for entry in found), Parts(slots, _spread_out(columns, cells), _spread_out(rows, cells))


def _spread_out(numbers: NDArray[np.intp], cells: int) -> Array:
    """From −½ to ½ across the die."""
    return numbers / max(1, cells - 1, int(numbers.max(initial=0))) - 0.5


def _with_value(line: str, own: Mapping[str, str]) -> str:
    words = line.split()
    if words[0] not in own:
        return line
    if words[0][0] == "X":
        return line + own[words[0]]
    words[VALUE_AT[words[0][0]]] = own[words[0]]
    return " ".join(words)

"""Which parts of a catalogue can stand at a place of the board, and what each makes of the hardware description.

A part is anywhere within its limits, each for itself: its tolerance at 25 °C and, apart from that, its temperature
coefficient. A board is proved at the temperature that is farthest from there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, hypot, sqrt
from typing import Any

from experiments.design.config import Design
from spu_circuit.catalogue import (
    CapacitorClass,
    Catalogue,
    ConverterPart,
    OperationalAmplifier,
    Part,
    Potentiometer,
    ResistorClass,
    nearest,
    preferred,
)
from spu_circuit.documents import merged
from spu_circuit.errors import InputError, did_you_mean
from spu_circuit.files import shortened
from spu_circuit.hardware import Hardware
from spu_circuit.quantity import shown

ROOM = 298.15
"""K: where data sheets give their limits."""
BANDWIDTH_SPREAD = 0.2
"""± of an op-amp's typical gain-bandwidth product, an assumption."""
UNIFORM = 1 / sqrt(3)
"""σ of a part that may be anywhere within ± 1."""
TRUNCATED = 0.3288
"""σ of a normal distribution whose limit ± 1 is three of its own σ."""
DIGITS = 9
"""Of the values that descriptions are written with."""
Table = dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """A part at a place of the board.

    Args:
        slot: the place.
        name: of the part in its catalogue.
        changes: what it makes of the hardware description; None takes a key away.
        sigmas: kind of parts → σ of each, relative, in volts or in LSB.
        number: value of a part that comes in several, Ω or F; full scale of a converter, V.
        power: of one channel of a converter, or of one amplifier at idle, W.
        bits: of a converter.
    """

    slot: str
    name: str
    part: Part
    changes: Table
    sigmas: dict[str, float]
    number: float = 0.0
    power: float = 0.0
    bits: int = 0

    def packages(self, count: int) -> int:
        return ceil(count / self.part.channels)

    def price(self, count: int) -> float:
        """Of all packages for so many."""
        return self.packages(count) * self.part.price


@dataclass(frozen=True)
class Structure:
    """What decides which conductances the array has.

    Args:
        changes: of the hardware description.
        classes: parts that make it.
        programmable: every place of the array has one, whatever the matrix.
        smallest: resistor, Ω.
    """

    name: str
    changes: Table
    classes: tuple[Choice, ...]
    programmable: bool
    smallest: float


@dataclass(frozen=True)
class Parts:
    """The parts that a specification leaves of a catalogue.

    Raises:
        InputError: the config names a place that boards do not have.
    """

    design: Design
    catalogue: Catalogue
    base: Hardware
    _known: dict[tuple[str, float], list[Choice]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for slot in self.design.parts:
            if slot not in SLOTS:
                raise InputError(f"parts: no place {shortened(slot)}; {did_you_mean(slot, SLOTS, 'places')}")

    @cached_property
    def away(self) -> float:
        """How far the air is from 25 °C at worst, K."""
        asked = self.design.specification
        return max(abs(asked.hottest - ROOM), abs(asked.coldest - ROOM))

    @property
    def worst(self) -> float:
        """Temperature of the air that is farthest from 25 °C, K; the hotter one of two, where noise is larger."""
        asked = self.design.specification
        return asked.hottest if asked.hottest - ROOM >= ROOM - asked.coldest else asked.coldest

    def sigma(self, limit: float, drift: float) -> float:
        """σ of parts that are anywhere within ± a limit, and drift by anything within ± so much a kelvin."""
        return UNIFORM * hypot(limit, drift * self.away)

    def of(self, slot: str) -> dict[str, Part]:
        """Those that may stand at a place, by name. Raises InputError where the config names one that may not."""
        asked, tables = self.design.specification, self.catalogue.tables
        found = {name: part for table in SLOTS[slot].tables for name, part in tables[table].items()}
        wanted = self.design.parts.get(slot)
        for name in wanted or ():
            if name not in found:
                raise InputError(f"parts.{slot}: no {name!r} for it in the catalogue; {did_you_mean(name, found)}")
        return {
            name: part
            for name, part in found.items()
            if (wanted is None or name in wanted) and part.coldest <= asked.coldest and part.hottest >= asked.hottest
        }

    def choices(self, slot: str, smallest: float = 0.0) -> list[Choice]:
        """What may stand at a place, but for the array and its amplifiers; ``smallest``: resistor of the array, Ω."""
        known = self._known.get((slot, smallest))
        if known is None:
            make = SLOTS[slot].make
            assert make is not None
            every = [made for name, part in self.of(slot).items() for made in make(self, slot, name, part, smallest)]
            known = self._known[slot, smallest] = every
        return known

    def structures(self) -> list[Structure]:
        """Arrays of fixed resistors, for each series and smallest resistor, and of digital rheostats."""
        found: dict[tuple[str, float], list[Choice]] = {}
        programmable = []
        for name, part in self.of("array_resistor").items():
            assert isinstance(part, Potentiometer | ResistorClass)
            varies = {"variation": {"array_resistor": within(part.tolerance, part.temperature_coefficient, "%")}}
            sigmas = {"array_resistor": self.sigma(part.tolerance, part.temperature_coefficient)}
            if isinstance(part, Potentiometer):
                array = {
                    "G_min": ohms(part.resistance),
                    "G_max": ohms(part.smallest),
                    "bits": part.bits,
                    "spacing": "resistance",
                    "levels": None,
                }
                choice = Choice("array_resistor", name, part, varies, sigmas)
                programmable.append(Structure(name, {"array": array}, (choice,), True, part.smallest))
                continue
            for smallest in self.design.resistances:
                if part.smallest <= smallest * (1 + 1e-9) and smallest * self.design.span <= part.largest * (1 + 1e-9):
                    choice = Choice("array_resistor", name, part, varies, sigmas)
                    found.setdefault((part.series, smallest), []).append(choice)
        fixed = []
        for (series, smallest), classes in found.items():
            values = preferred(series, smallest, smallest * self.design.span)  # type: ignore[arg-type]
            array = {
                "G_min": ohms(values[-1]),
                "G_max": ohms(values[0]),
                "levels": [ohms(value) for value in values],
                "bits": None,
            }
            name = f"{series} from {ohms(smallest)}"
            fixed.append(Structure(name, {"array": array}, tuple(classes), False, smallest))
        return [*fixed, *programmable]


def amplifier(parts: Parts, name: str, part: Part, rise: float) -> Choice:
    """An op-amp whose junctions are so far above the air, K, which is how far its offset has drifted at 25 °C."""
    assert isinstance(part, OperationalAmplifier)
    limit = part.offset + part.offset_drift * rise
    source = f"{name}: {part.source}"
    power = 2 * part.supply * part.supply_current
    changes: Table = {
        "amplifier": {
            "model": "macromodel",
            "dc_gain": part.dc_gain,
            "gain_bandwidth": told(part.gain_bandwidth, "Hz"),
            "offset": "0 V",
            "output_resistance": ohms(part.output_resistance),
            "rail": told(part.supply - part.swing, "V"),
            "current_limit": told(part.current_limit, "A"),
            "input_noise": told(part.input_noise, "V/√Hz"),
            "supply": told(part.supply, "V"),
        },
        "costs": {
            "amplifier_power": {"value": told(power, "W"), "source": source},
            "amplifier_package": {
                "value": told(part.thermal_resistance, "K/W"),
                "source": source,
                "amplifiers": part.channels,
            },
        },
        "variation": {
            "amplifier_offset": {
                "local": {
                    "distribution": "truncated",
                    "tolerance": told(limit, "V"),
                    "meaning": "3 sigma",
                    "limit": told(limit, "V"),
                },
                "temperature_coefficient": drifts(part.offset_drift, "µV/K"),
            },
            "amplifier_bandwidth": {"local": uniform(BANDWIDTH_SPREAD, "%")},
        },
    }
    if not limit:
        del changes["variation"]["amplifier_offset"]
    sigmas = {"amplifier_offset": hypot(TRUNCATED * limit, UNIFORM * part.offset_drift * parts.away)}
    return Choice("amplifier", name, part, changes, sigmas, power=power)


def resistor(parts: Parts, slot: str, name: str, part: Part, smallest: float) -> list[Choice]:
    """Fixed resistors beside the array. Those from the DACs follow the array's smallest resistor."""
    assert isinstance(part, ResistorClass)
    cell = parts.base.cell
    field = slot.replace("resistor", "resistance")
    wanted: float | None = getattr(cell, field)
    if wanted is None:
        return []
    if slot == "input_resistor":
        wanted *= smallest * parts.base.array.G_max
    value = nearest(part.series, wanted)
    if not part.smallest <= value <= part.largest:
        return []
    varies = {slot: within(part.tolerance, part.temperature_coefficient, "%")}
    sigmas = {slot: parts.sigma(part.tolerance, part.temperature_coefficient)}
    return [Choice(slot, name, part, {"cell": {field: ohms(value)}, "variation": varies}, sigmas, value)]


def capacitor(parts: Parts, slot: str, name: str, part: Part, smallest: float) -> list[Choice]:
    """Each value that is tried. What a voltage does to a capacitor counts with the ADC's whole range."""
    assert isinstance(part, CapacitorClass)
    found = []
    for wanted in parts.design.capacitances:
        value = nearest(part.series, wanted)
        if (
            abs(value / wanted - 1) > 0.1
            or not part.smallest <= value * (1 + 1e-9)
            or value > part.largest * (1 + 1e-9)
        ):
            continue
        volts = min(part.voltage, max(adc.full_scale for adc in parts.catalogue.adcs.values()))
        off = part.tolerance + part.voltage_coefficient * volts
        varies = {slot: within(off, part.temperature_coefficient, "%")}
        sigmas = {slot: parts.sigma(off, part.temperature_coefficient)}
        changes = {"cell": {"capacitance": told(value, "F")}, "variation": varies}
        found.append(Choice(slot, name, part, changes, sigmas, value))
    return found


def converter(parts: Parts, slot: str, name: str, part: Part, smallest: float) -> list[Choice]:
    """A DAC or an ADC."""
    assert isinstance(part, ConverterPart)
    source = f"{name}: {part.source}"
    limits = {
        "gain": (part.gain_error, part.gain_drift, "%"),
        "offset": (part.offset_error, part.offset_drift, "V"),
        "inl": (part.inl, 0.0, "LSB"),
        "dnl": (part.dnl, 0.0, "LSB"),
    }
    changes: Table = {
        slot: {"bits": part.bits, "full_scale": told(part.full_scale, "V")},
        "costs": {
            f"{slot}_time": {"value": told(part.time, "s"), "source": source},
            f"{slot}_energy": {"value": told(part.power * part.time, "J"), "source": source},
        },
        "variation": {f"{slot}_{of}": within(*own) for of, own in limits.items()},
    }
    sigmas = {f"{slot}_{of}": parts.sigma(limit, drift) for of, (limit, drift, _) in limits.items()}
    return [Choice(slot, name, part, changes, sigmas, part.full_scale, part.power, part.bits)]


def within(limit: float, drift: float, unit: str) -> Table:
    """Parts anywhere within ± a limit, relative or in its unit, which drift by anything within ± so much a kelvin."""
    found: Table = {"local": uniform(limit, unit)} if limit else {}
    if drift:
        found["temperature_coefficient"] = drifts(drift, {"%": "ppm/K", "V": "µV/K"}[unit])
    return found


def drifts(limit: float, unit: str) -> dict[str, str]:
    """Each part by its own coefficient."""
    return {"spread": told(limit, unit), "meaning": "limit"}


def uniform(limit: float, unit: str) -> dict[str, str]:
    """A spread within ± a limit, relative or in its unit."""
    return {"distribution": "uniform", "tolerance": told(limit, unit), "meaning": "limit"}


def told(value: float, unit: str) -> str:
    """As a file says it; what the file says is what counts."""
    return shown(float(value), unit, DIGITS)


def celsius(kelvin: float) -> str:
    return told(kelvin - 273.15, "°C")


def ohms(value: float) -> str:
    return told(value, "Ω")


def changes_of(chosen: Iterable[Choice], structure: Structure) -> Table:
    """What the parts of a board make of the hardware description."""
    changes = structure.changes
    for choice in chosen:
        changes = merged(changes, choice.changes)
    return changes


def board_document(base: Table, changes: Table) -> Table:
    """The hardware description of a board, as its file would say it."""
    return _without_nothing(merged(base, changes))


def _without_nothing(document: Table) -> Table:
    return {
        key: _without_nothing(value) if isinstance(value, dict) else value
        for key, value in document.items()
        if value is not None
    }


@dataclass(frozen=True)
class Slot:
    """A place on the board.

    Args:
        tables: of the catalogue that have parts for it.
        make: what a part can be there; None: it decides the circuit, see ``Parts.structures`` and ``amplifier``.
    """

    tables: tuple[str, ...]
    make: Callable[[Parts, str, str, Part, float], list[Choice]] | None


SLOTS = {
    "array_resistor": Slot(("resistors", "potentiometers"), None),
    "amplifier": Slot(("amplifiers",), None),
    "input_resistor": Slot(("resistors",), resistor),
    "inverter_resistor": Slot(("resistors",), resistor),
    "capacitor": Slot(("capacitors",), capacitor),
    "dac": Slot(("dacs",), converter),
    "adc": Slot(("adcs",), converter),
}

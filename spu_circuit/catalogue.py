"""Parts that a board can be made of, with what their data sheets promise and what they cost. Data only."""

from collections.abc import Mapping
from importlib.resources import files
from math import floor, log10
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from spu_circuit.description import Description
from spu_circuit.documents import from_toml
from spu_circuit.errors import InputError, did_you_mean
from spu_circuit.files import is_file, read_file, shortened
from spu_circuit.quantity import (
    Amperes,
    Area,
    Farads,
    Fraction,
    Gain,
    Hertz,
    Kelvin,
    KelvinPerWatt,
    LeastSignificantBits,
    Ohms,
    OhmsOrZero,
    PerKelvin,
    PerVolt,
    Seconds,
    SlewRate,
    Volts,
    VoltsOrZero,
    VoltsPerKelvin,
    VoltsPerRootHertz,
    Watts,
    shown,
)

Series = Literal["E3", "E6", "E12", "E24", "E48", "E96", "E192"]
Price = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
E24 = (10, 11, 12, 13, 15, 16, 18, 20, 22, 24, 27, 30, 33, 36, 39, 43, 47, 51, 56, 62, 68, 75, 82, 91)
"""IEC 60063. E3, E6 and E12 are every eighth, fourth and second of them; from E48 on values are rounded powers."""
COUNTS: dict[Series, int] = {"E3": 3, "E6": 6, "E12": 12, "E24": 24, "E48": 48, "E96": 96, "E192": 192}


class Part(Description):
    """What every part has. Limits are those of the data sheet at 25 °C: no part of a good lot is beyond them."""

    source: Annotated[str, Field(min_length=1, description="data sheet, or assumption")]
    price: Annotated[Price, Field(description="of a package, in the catalogue's currency")]
    channels: Annotated[int, Field(ge=1, le=1000, description="of them in a package")] = 1
    area: Annotated[Area | None, Field(description="that a package takes on the board, mm²; none: not known")] = None
    coldest: Annotated[Kelvin, Field(description="air that it may be used in, °C")] = 233.15
    hottest: Annotated[Kelvin, Field(description="air that it may be used in, °C")] = 358.15

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.coldest >= self.hottest:
            cold, hot = (shown(kelvin - 273.15, "°C") for kelvin in (self.coldest, self.hottest))
            raise ValueError(f"coldest {cold} is not below hottest {hot}; swap them")
        return self


class ValuedPart(Part):
    """A class of parts that come in the values of a series."""

    series: Annotated[Series, Field(description="of preferred values")]
    tolerance: Annotated[Fraction, Field(lt=1, description="± limit of each part")]
    temperature_coefficient: Annotated[PerKelvin, Field(ge=0, description="± limit of each part")]


class ResistorClass(ValuedPart):
    """Fixed resistors."""

    smallest: Annotated[Ohms, Field(description="value, Ω")]
    largest: Annotated[Ohms, Field(description="value, Ω")]
    power: Annotated[Watts, Field(gt=0, description="rated, W")]


class CapacitorClass(ValuedPart):
    """Fixed capacitors."""

    smallest: Annotated[Farads, Field(description="value, F")]
    largest: Annotated[Farads, Field(description="value, F")]
    voltage: Annotated[Volts, Field(description="rated, V")]
    voltage_coefficient: Annotated[PerVolt, Field(description="± limit of the change of its value")] = 0.0


class Potentiometer(Part):
    """Digital rheostats, whose conductances are programmed."""

    resistance: Annotated[Ohms, Field(description="end to end, Ω: the smallest conductance")]
    smallest: Annotated[Ohms, Field(description="resistance that is used, Ω: the largest conductance")]
    bits: Annotated[int, Field(ge=1, le=16, description="of the wiper's position")]
    tolerance: Annotated[Fraction, Field(lt=1, description="± limit of each part")]
    temperature_coefficient: Annotated[PerKelvin, Field(ge=0, description="± limit of each part")]
    voltage: Annotated[Volts, Field(description="± largest at its terminals, V")]
    current: Annotated[Amperes, Field(description="largest through the wiper, A")]


class OperationalAmplifier(Part):
    """Operational amplifiers, on a supply of both signs."""

    dc_gain: Annotated[Gain, Field(le=1e12, description="least open-loop gain, V/V, or as text in dB")]
    gain_bandwidth: Annotated[Hertz, Field(description="typical, Hz")]
    slew_rate: Annotated[SlewRate, Field(description="typical, V/µs")]
    offset: Annotated[VoltsOrZero, Field(description="± limit, V")]
    offset_drift: Annotated[VoltsPerKelvin, Field(ge=0, description="± limit, or typical where there is none, µV/K")]
    output_resistance: Annotated[OhmsOrZero, Field(description="open-loop, Ω; often an assumption")]
    swing: Annotated[VoltsOrZero, Field(description="distance of the output from each supply, V")]
    current_limit: Annotated[Amperes, Field(description="typical short-circuit current, A")]
    input_noise: Annotated[VoltsPerRootHertz, Field(description="at 1 kHz, V/√Hz")]
    supply: Annotated[Volts, Field(description="± this voltage, V")]
    supply_current: Annotated[Amperes, Field(description="largest at idle, of one amplifier, A")]
    thermal_resistance: Annotated[KelvinPerWatt, Field(description="from the junctions to the air, K/W")]
    hottest_junction: Annotated[Kelvin, Field(description="°C")] = 423.15

    @model_validator(mode="after")
    def _swings(self) -> Self:
        if self.swing >= self.supply:
            raise ValueError(f"swing {self.swing:g} V leaves nothing of a supply of ± {self.supply:g} V; lower it")
        return self


class ConverterPart(Part):
    """DACs or ADCs, bipolar."""

    bits: Annotated[int, Field(ge=2, le=24, description="resolution")]
    full_scale: Annotated[Volts, Field(description="range is ± this voltage, V")]
    gain_error: Annotated[Fraction, Field(lt=0.14, description="± limit")]
    gain_drift: Annotated[PerKelvin, Field(ge=0, description="± limit, or typical where there is none")]
    offset_error: Annotated[VoltsOrZero, Field(description="± limit, V")]
    offset_drift: Annotated[VoltsPerKelvin, Field(ge=0, description="± limit, or typical where there is none, µV/K")]
    inl: Annotated[LeastSignificantBits, Field(description="± limit of the integral non-linearity")]
    dnl: Annotated[LeastSignificantBits, Field(description="± limit of the differential non-linearity")]
    time: Annotated[Seconds, Field(gt=0, description="until a DAC has settled, of a conversion of an ADC, s")]
    power: Annotated[Watts, Field(description="of one channel, W")]


class Catalogue(Description):
    """Parts by name."""

    name: str
    description: str = ""
    currency: Annotated[str, Field(min_length=1, max_length=10, description="of all prices")]
    price_source: Annotated[str, Field(min_length=1, description="where prices are from, or assumption")]
    resistors: Annotated[dict[str, ResistorClass], Field(description="by name")] = {}  # noqa: RUF012
    potentiometers: Annotated[dict[str, Potentiometer], Field(description="by name")] = {}  # noqa: RUF012
    capacitors: Annotated[dict[str, CapacitorClass], Field(description="by name")] = {}  # noqa: RUF012
    amplifiers: Annotated[dict[str, OperationalAmplifier], Field(description="by name")] = {}  # noqa: RUF012
    dacs: Annotated[dict[str, ConverterPart], Field(description="by name")] = {}  # noqa: RUF012
    adcs: Annotated[dict[str, ConverterPart], Field(description="by name")] = {}  # noqa: RUF012

    @model_validator(mode="after")
    def _names(self) -> Self:
        every = [name for table in self.tables.values() for name in table]
        if twice := sorted({name for name in every if every.count(name) > 1}):
            raise ValueError(f"{shortened(twice[0])} names two parts; give them names of their own")
        return self

    @property
    def tables(self) -> dict[str, Mapping[str, Part]]:
        """Its parts by the name of their table."""
        return {name: table for name, table in self if isinstance(table, dict)}

    @property
    def parts(self) -> dict[str, Part]:
        """All of them by name."""
        return {name: part for table in self.tables.values() for name, part in table.items()}

    def priced(self, prices: Mapping[str, float]) -> "Catalogue":
        """The catalogue with other prices. Raises InputError where a name is no part."""
        known = self.parts
        for name in prices:
            if name not in known:
                raise InputError(
                    f"prices: no part {shortened(name)} in catalogue {self.name!r}; {did_you_mean(name, known)}"
                )
        update: dict[str, dict[str, Part]] = {}
        for table, own in self.tables.items():
            update[table] = {
                name: part.model_copy(update={"price": prices[name]}) if name in prices else part
                for name, part in own.items()
            }
        return self.model_copy(update=update)


def catalogues() -> list[str]:
    """Names of the catalogues that come with the package."""
    return sorted(p.name.removesuffix(".toml") for p in files("spu_circuit").joinpath("catalogues").iterdir())


def load_catalogue(name_or_path: str | Path) -> Catalogue:
    """Read a catalogue that comes with the package by its name, or a TOML file by its path.

    Raises:
        InputError: no such file, not TOML, or a field is wrong; names the field and the cure.
    """
    text = str(name_or_path)
    if text in catalogues():
        path = Path(str(files("spu_circuit").joinpath("catalogues", f"{text}.toml")))
    elif is_file(Path(text)):
        path = Path(text)
    else:
        hint = did_you_mean(text, catalogues(), "those that come with it")
        raise InputError(f"catalogue: no file {shortened(text)}; {hint}")
    where = f"catalogue {shortened(text)}"
    return from_toml(Catalogue, read_file(path, where), where)


def preferred(series: Series, smallest: float, largest: float) -> NDArray[np.float64]:
    """The values of a series from one to another, both included, ascending."""
    first, last = floor(log10(smallest)) - 1, floor(log10(largest)) + 1
    values = [float(f"{number}e{power - 1}") for power in range(first, last + 1) for number in _decade(series)]
    found = np.array(values)
    # Text such as "20 kΩ" may be off by the last bit.
    return found[(found >= smallest * (1 - 1e-9)) & (found <= largest * (1 + 1e-9))]


def nearest(series: Series, value: float) -> float:
    """The value of a series that is nearest to another one, relatively."""
    found = preferred(series, value / 10, value * 10)
    return float(found[np.argmin(np.abs(np.log(found / value)))])


def _decade(series: Series) -> list[float]:
    """Of a series, from 10 to below 100."""
    count = COUNTS[series]
    if count <= len(E24):
        return [float(number) for number in E24[:: len(E24) // count]]
    rounded = [round(10 * 10 ** (k / count), 1) for k in range(count)]
    # The one value that IEC 60063 does not round.
    return [92.0 if number == 91.9 else number for number in rounded]

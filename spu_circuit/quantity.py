"""Text with units ("1 kΩ", "10k", "1 nF") to SI floats, and back for people. Units exist at this border only."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from quantiphy import InvalidNumber, Quantity

ALIASES = {"ohm": "Ω", "Ohm": "Ω", "ohms": "Ω", "Ohms": "Ω", "\u2126": "Ω", "°K": "K", "℃": "°C"} | {
    f"{letter}/{root}": f"{letter}/√Hz" for letter in "VA" for root in ("rtHz", "sqrt(Hz)", "√(Hz)", "Hz^½")
}
FROM_TEXT = {"strict_units": True}
FACTORS = {
    "%": {"%": 1e-2, "ppm": 1e-6},
    "ppm/K": {"ppm/K": 1e-6, "%/K": 1e-2},
    "% µm": {"% µm": 1e-8},
    "µm²": {"µm²": 1e-12, "mm²": 1e-6},
    "LSB": {"LSB": 1.0},
    "V/µs": {"V/µs": 1e6},
    "µV/V": {"µV/V": 1e-6, "mV/V": 1e-3},
    "µV/K": {"µV/K": 1e-6, "mV/K": 1e-3},
    "ppm/V": {"ppm/V": 1e-6, "%/V": 1e-2},
    "ppm/V²": {"ppm/V²": 1e-6, "%/V²": 1e-2},
    "K/W": {"K/W": 1.0, "°C/W": 1.0},
}
"""Units that are read whole, without scale letters, and what they are in SI (LSB stays LSB)."""
UNSCALED = ("", "K", "°C")
"""Units that are shown without scale letters. So are powers: a letter before one is raised with it."""


@dataclass(frozen=True)
class Unit:
    """What the numbers of a description's field are in."""

    name: str


class _Shown(Quantity):
    """With preferences of its own, so that those of reading stay."""


_Shown.set_prefs(map_sf=Quantity.map_sf_to_greek, spacer=" ")

SMALLEST, LARGEST = 1e-30, 1e30
"""Magnitudes between which any part lies, whatever its unit. Products of several then stay in double precision."""


def parse_quantity(text: str, unit: str, difference: bool = False) -> float:
    """Read one quantity.

    Args:
        text: a number with the unit, a scale factor, or both: "1 kΩ", "1000 ohm", "10k" (as printed on schematics).
        unit: the SI unit that is wanted. "S" also takes ohms, "K" also takes degrees Celsius; those of ``FACTORS`` are
            read as they stand.
        difference: of temperatures: 10 °C are 10 K.

    Returns:
        The value in ``unit``.

    Raises:
        ValueError: no number, no unit, another unit, or a comma.
    """
    if "," in text:
        point, plain = text.replace(",", "."), text.replace(",", "")
        raise ValueError(f"{text!r} has a comma; write {point!r}, or {plain!r} if it parts thousands")
    if unit in FACTORS:
        return _read_factor(text, unit)
    if unit == "K":
        text = text.replace("kelvin", "K").replace("°K", "K").replace("K", "°K")  # QuantiPhy takes K for kilo
    try:
        quantity = Quantity(text.strip())
    except InvalidNumber:
        raise ValueError(f"{text!r} is not a quantity; write it like {_example(unit)!r}") from None
    found = ALIASES.get(quantity.units, quantity.units)
    value = float(quantity)
    if found == unit:
        return value
    if unit == "S" and found == "Ω":
        if value <= 0:
            raise ValueError(f"{text!r} is not a resistance above zero")
        return 1 / value
    if unit == "K" and found == "°C":
        return value if difference else value + 273.15
    if found:
        raise ValueError(f"{text!r} is in {found!r}, wanted {unit!r}; write it like {_example(unit)!r}")
    if text.strip()[-1] in "mM":
        raise ValueError(f"{text!r} is milli to SPICE and mega to others; write its unit, like {_example(unit)!r}")
    if text.strip()[-1].isalpha() or text.strip()[-1] == "µ":
        return value
    raise ValueError(f"{text!r} has no unit; write it like {_example(unit)!r}")


def parse_ratio(text: str) -> float:
    """Read a ratio of voltages in decibels: "106 dB" is 10^(106/20) = 200,000.

    Raises:
        ValueError: it is not in dB, or beyond any number.
    """
    plain = text.strip()
    if plain.endswith("dB"):
        with suppress(ValueError, OverflowError):
            return float(10.0 ** (float(plain.removesuffix("dB")) / 20))
    raise ValueError(f"{text!r} is not a ratio; write it like '106 dB', or as a number of V/V")


def shown(value: float, unit: str = "", digits: int = 4) -> str:
    """A value as engineers read it: "50 µS", "12.5 µs", "9.02 V per unit", "0.5 %". Files keep plain SI.

    Args:
        value: in ``unit``, or in SI where that is one of ``FACTORS``: 0.01 is "1 %".
        unit: may be followed by words, as in "V per unit"; none: a plain number.
        digits: that count, at most; zeros at the end are left out.
    """
    if unit in FACTORS:
        return f"{value / FACTORS[unit][unit]:.{digits}g} {unit}"
    if unit in UNSCALED or "²" in unit or not isfinite(value):
        return f"{value:.{digits}g} {unit}".strip()
    return str(_Shown(value, units=unit).render(prec=digits - 1))


def unit_of(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """The unit of a field of a description, given as Pydantic keeps it; "" where it has none."""
    own = [found.name for found in metadata if isinstance(found, Unit)]
    inner = [unit_of(part, getattr(part, "__metadata__", ())) for part in get_args(annotation)]
    return next(filter(None, [*own, *inner]), "")


def _read_factor(text: str, unit: str) -> float:
    for written, factor in FACTORS[unit].items():
        # µ has two code points, and squares are often typed as a digit.
        plain = text.strip().replace("\u03bc", "µ").replace("m2", "m²").replace("V2", "V²")
        if plain.endswith(written):
            try:
                return float(plain.removesuffix(written)) * factor
            except ValueError:
                break
    raise ValueError(f"{text!r} is not in {' or '.join(FACTORS[unit])}; write it like {_example(unit)!r}")


def _example(unit: str) -> str:
    if unit in FACTORS:
        return f"1 {unit}"
    return {
        **{"Ω": "10 kΩ", "S": "1 mS", "F": "1 nF", "V": "10 V", "A": "26 mA"},
        **{"Hz": "3 MHz", "K": "300.15 K", "s": "1 µs", "V/√Hz": "18 nV/√Hz"},
        **{"A/√Hz": "1 pA/√Hz"},
        **{"J": "1 nJ", "W": "42 mW", "b/s": "50 Gb/s", "J/b": "1 pJ/b"},
    }[unit]


def _reader(unit: str, difference: bool = False) -> Callable[[Any, ValidationInfo], Any]:
    def read(value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str):
            return parse_quantity(value, unit, difference)
        if value is not None and (info.context or {}).get("strict_units"):
            raise ValueError(f"{value!r} has no unit; write it as text, like {_example(unit)!r}")
        return value

    return read


def _within(value: float) -> float:
    if value != 0 and not SMALLEST <= abs(value) <= LARGEST:
        raise ValueError(f"{value:g} is no part's value; give one whose magnitude is from {SMALLEST:g} to {LARGEST:g}")
    return value


def _bounded(unit: str, above: float | None = None, least: float | None = None, difference: bool = False) -> Any:
    field = Field(gt=above, ge=least, allow_inf_nan=False)
    return Annotated[float, field, BeforeValidator(_reader(unit, difference)), AfterValidator(_within), Unit(unit)]


def _positive(unit: str) -> Any:
    return _bounded(unit, above=0)


def _non_negative(unit: str) -> Any:
    return _bounded(unit, least=0)


def _ratio(above: float) -> Any:
    """Of voltages: a plain number, or text in dB."""
    read = BeforeValidator(lambda value: parse_ratio(value) if isinstance(value, str) else value)
    return Annotated[float, Field(gt=above, le=LARGEST, allow_inf_nan=False), read]


Siemens = _positive("S")
SiemensOrZero = _non_negative("S")
Ohms = _positive("Ω")
OhmsOrZero = _non_negative("Ω")
Farads = _positive("F")
Hertz = _positive("Hz")
Volts = _positive("V")
VoltsOrZero = _non_negative("V")
SignedVolts = _bounded("V")
Amperes = _positive("A")
AmperesOrZero = _non_negative("A")
SignedAmperes = _bounded("A")
VoltsPerRootHertz = _positive("V/√Hz")
VoltsPerRootHertzOrZero = _non_negative("V/√Hz")
AmperesPerRootHertzOrZero = _non_negative("A/√Hz")
Kelvin = _positive("K")
KelvinDifference = _bounded("K", least=0, difference=True)
Fraction = _non_negative("%")
SignedFraction = _bounded("%")
PerKelvin = _bounded("ppm/K")
VoltsPerKelvin = _bounded("µV/K")
VoltsPerVolt = _non_negative("µV/V")
MatchingCoefficient = _positive("% µm")
Area = _positive("µm²")
Seconds = _non_negative("s")
PositiveSeconds = _positive("s")
Joules = _non_negative("J")
Watts = _non_negative("W")
BitsPerSecond = _positive("b/s")
JoulesPerBit = _non_negative("J/b")
LeastSignificantBits = _non_negative("LSB")
SlewRate = _positive("V/µs")
PerVolt = _non_negative("ppm/V")
SignedPerVolt = _bounded("ppm/V")
PerSquareVolt = _bounded("ppm/V²")
KelvinPerWatt = _positive("K/W")
Gain = _ratio(above=1)
Rejection = _ratio(above=0)

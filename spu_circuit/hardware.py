"""The hardware description: every number of a device, with its unit and meaning. Data only."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError, ValidationInfo, model_validator

from spu_circuit.costs import Costs
from spu_circuit.description import Description
from spu_circuit.errors import InputError, did_you_mean
from spu_circuit.files import cut, is_file, read_file, shortened
from spu_circuit.library import find_library, lines_of, read_library, used_part
from spu_circuit.quantity import (
    FROM_TEXT,
    LARGEST,
    Amperes,
    Farads,
    Hertz,
    Kelvin,
    Ohms,
    OhmsOrZero,
    Siemens,
    SiemensOrZero,
    SignedAmperes,
    SignedVolts,
    Volts,
    VoltsOrZero,
    VoltsPerRootHertz,
)
from spu_circuit.variation import Variation

Model = TypeVar("Model", bound=BaseModel)
DEEPEST = 20
NESTED = f"tables or lists stand more than {DEEPEST} deep in each other; no field does"


class ResistorArray(Description):
    """The programmable resistors. An entry of a matrix has two: one from an output, one from its inverse.

    The resistor of the unused sign sits at ``off_conductance``, so the entry's net conductance is the difference.
    """

    G_min: Annotated[Siemens, Field(description="smallest programmable conductance, S (ohms are taken too)")]
    G_max: Annotated[Siemens, Field(description="largest programmable conductance, S (ohms are taken too)")]
    bits: Annotated[int | None, Field(ge=1, le=24, description="2^bits levels; none: continuous")] = None
    spacing: Annotated[
        Literal["conductance", "resistance"],
        Field(description="conductance or resistance: which of them has evenly spaced levels"),
    ] = "conductance"
    levels: Annotated[tuple[Siemens, ...] | None, Field(description="explicit levels instead of bits, S")] = None
    off_conductance: Annotated[SiemensOrZero, Field(description="conductance of an unused resistor, S")] = 0.0
    wire_resistance: Annotated[
        OhmsOrZero, Field(description="of the wire between neighbouring resistors of a row or column, Ω")
    ] = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.G_min > self.G_max:
            raise ValueError(f"G_min {self.G_min:g} S is above G_max {self.G_max:g} S; swap them")
        if self.off_conductance > self.G_min:
            raise ValueError(
                f"off_conductance {self.off_conductance:g} S is above G_min {self.G_min:g} S; lower it or raise G_min"
            )
        if self.bits and self.levels:
            raise ValueError("bits and levels are both given; keep one")
        if self.bits and self.G_min == self.G_max:
            raise ValueError(
                f"bits = {self.bits} asks for 2^{self.bits} levels, but G_min and G_max are both {self.G_min:g} S; "
                "raise G_max, or give levels instead of bits"
            )
        if self.levels is not None and not self.levels:
            raise ValueError("levels is empty; list at least one conductance, or leave it out")
        if self.levels and not (
            np.isclose(min(self.levels), self.G_min, rtol=1e-6) and np.isclose(max(self.levels), self.G_max, rtol=1e-6)
        ):
            raise ValueError(
                f"levels span {min(self.levels):g} to {max(self.levels):g} S, "
                f"but G_min and G_max say {self.G_min:g} to {self.G_max:g} S; make them agree"
            )
        return self

    @property
    def grid(self) -> NDArray[np.float64] | None:
        """Levels of a resistor in siemens, ascending; None when it is continuous between G_min and G_max."""
        # Not cached: a copy with other levels would inherit these.
        if self.levels:
            return np.sort(np.array(self.levels))
        if self.bits is None:
            return None
        if self.spacing == "conductance":
            return np.linspace(self.G_min, self.G_max, 2**self.bits)
        return 1 / np.linspace(1 / self.G_min, 1 / self.G_max, 2**self.bits)


class Cell(Description):
    """The fixed parts around the two amplifiers of a cell."""

    capacitance: Annotated[Farads, Field(description="integration capacitor, F")]
    input_resistance: Annotated[Ohms, Field(description="resistor from the DAC to the virtual ground, Ω")]
    inverter_resistance: Annotated[Ohms, Field(description="the two resistors of the inverting stage, Ω")]
    summing_resistance: Annotated[
        Ohms | None,
        Field(description="feedback of the summing amplifiers (factored), Ω; none: switched to suit each factor"),
    ] = None
    leakage_resistance: Annotated[
        Ohms | None, Field(description="in parallel with each integration capacitor, Ω; none: no leakage")
    ] = None

    @property
    def leakage_conductance(self) -> float:
        """S, of each integration capacitor."""
        return 0.0 if self.leakage_resistance is None else 1 / self.leakage_resistance


Role = Literal["plus", "minus", "output", "positive_supply", "negative_supply", "ground", "float"]
ONCE = ("plus", "minus", "output")
"""Roles that one pin has; others may have none or several, such as a shutdown pin at a supply."""
AMPLIFIER_FIELDS = {
    "ideal": "",
    "macromodel": "dc_gain gain_bandwidth offset output_resistance rail current_limit input_noise supply "
    "supply_rejection bias_current",
    "subckt": "library subcircuit pins supply rail output_resistance current_limit library_text",
}
"""What each amplifier model takes."""


class Amplifier(Description):
    """The operational amplifier: ideal, a macromodel with numbers, or a subcircuit of the user's own SPICE library.

    A library is read when the description is made, and what the device uses of it is kept in ``library_text``, so that
    a stored description needs no other file. The noise of its own parts is in small-signal analyses and in the exact
    network, not in ngspice's transients.
    """

    model: Annotated[
        Literal["ideal", "macromodel", "subckt"],
        Field(description="ideal; one pole with imperfections; or a subcircuit from a SPICE library"),
    ]
    dc_gain: Annotated[float, Field(gt=1, le=LARGEST, description="open-loop DC gain, V/V")] = 1e9
    gain_bandwidth: Annotated[Hertz | None, Field(description="gain-bandwidth product, Hz; none: infinite")] = None
    offset: Annotated[SignedVolts, Field(description="input offset voltage, the same in every amplifier, V")] = 0.0
    output_resistance: Annotated[
        OhmsOrZero, Field(description="open-loop output resistance, Ω; of a subckt: what ranging counts with")
    ] = 0.0
    rail: Annotated[
        Volts | None,
        Field(
            description="output saturates at ± this voltage, V; none: unlimited; of a subckt: what ranging stays below"
        ),
    ] = None
    current_limit: Annotated[
        Amperes | None,
        Field(
            description="output current saturates at ± this, A; none: unlimited; of a subckt: what ranging stays below"
        ),
    ] = None
    bias_current: Annotated[
        SignedAmperes | None,
        Field(description="into the inverting input, the same in every amplifier, A; none: none flows"),
    ] = None
    input_noise: Annotated[
        VoltsPerRootHertz | None,
        Field(description="white input noise voltage, V/√Hz; none: noiseless"),
    ] = None
    library: Annotated[
        str | None,
        Field(description="subckt: SPICE library, path relative to this description's file, or one that comes with it"),
    ] = None
    subcircuit: Annotated[str | None, Field(description="subckt: name of the subcircuit in the library")] = None
    pins: Annotated[
        tuple[Role, ...],
        Field(description=f"subckt: its pins in order, each one of {', '.join(get_args(Role))} (1 GΩ to ground)"),
    ] = ()
    supply: Annotated[
        Volts | None,
        Field(description="± this voltage at the supply pins, V; of a macromodel for the power that it takes alone"),
    ] = None
    supply_rejection: Annotated[
        float | None,
        Field(
            gt=0,
            le=LARGEST,
            description="change of the supply over the offset that it makes, V/V: 10,000 is a PSRR of 80 dB; none: ∞",
        ),
    ] = None
    library_text: Annotated[
        str | None, Field(description="subckt: what is used of the library; left out: read from its file")
    ] = None

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        fields = type(self).model_fields
        own = {"model", *AMPLIFIER_FIELDS[self.model].split()}
        given = sorted(name for name in self.model_fields_set - own if getattr(self, name) != fields[name].default)
        if given:
            takers = " or ".join(repr(model) for model, names in AMPLIFIER_FIELDS.items() if given[0] in names.split())
            article = "an" if self.model == "ideal" else "a"
            raise ValueError(
                f"{article} {self.model} amplifier has no {given[0]}; leave it out or set model = {takers}"
            )
        if self.model == "macromodel" and self.current_limit is not None and self.output_resistance == 0:
            raise ValueError("current_limit needs an output_resistance above 0, on which it acts; give both")
        if self.model == "macromodel" and self.supply is not None and self.rail is not None and self.rail > self.supply:
            raise ValueError(f"rail {self.rail:g} V is above supply {self.supply:g} V; lower it")
        if self.supply_rejection is not None and self.supply is None:
            raise ValueError("supply_rejection is of a supply that is not given; add it, like supply = '15 V'")
        if self.model == "subckt":
            folder = (info.context or {}).get("folder", Path())
            object.__setattr__(self, "library_text", self._used_of_library(folder))
        return self

    def _used_of_library(self, folder: Path) -> str:
        """The text of the subcircuit and of what it needs, with its pins checked."""
        for name in ("library", "subcircuit", "pins"):
            if not getattr(self, name):
                raise ValueError(f"a subckt amplifier needs {name}; add it")
        assert self.library is not None
        assert self.subcircuit is not None
        for role in ONCE:
            if (count := self.pins.count(role)) != 1:
                raise ValueError(
                    f"pins name {role!r} {'twice' if count > 1 else 'nowhere'}; list each pin of the .subckt line once"
                )
        supplied = {"positive_supply", "negative_supply"} & set(self.pins)
        if supplied and self.supply is None:
            raise ValueError(f"pins have a {min(supplied)}, so supply is needed; add it, like supply = '15 V'")
        if not supplied and self.supply is not None:
            raise ValueError("pins have no supply, so supply feeds nothing; name the supply pins, or leave it out")
        if self.library_text is None:
            lines = read_library(find_library(self.library, folder))
        else:
            lines = lines_of(self.library_text, self.library)
        text, pins = used_part(lines, self.subcircuit)
        if len(pins) != len(self.pins):
            raise ValueError(
                f"pins names {len(self.pins)} roles, but {self.subcircuit!r} of library {self.library} has "
                f"{len(pins)} pins ({' '.join(pins)}); name one role for each, in this order"
            )
        return text


class Converter(Description):
    """A DAC or an ADC: two's complement codes, bipolar."""

    bits: Annotated[int | None, Field(ge=2, le=32, description="resolution; none: continuous")] = None
    full_scale: Annotated[Volts, Field(description="range is ± this voltage, V")]

    @property
    def lsb(self) -> float:
        """Volts per code; 0 when continuous."""
        return 0.0 if self.bits is None else 2 * self.full_scale / 2**self.bits


class Noise(Description):
    """Noise of the cells in transients."""

    thermal: Annotated[
        bool, Field(description="thermal noise of resistors and the amplifiers' own noise (input_noise)")
    ] = True
    injected: Annotated[
        VoltsOrZero,
        Field(description="√κ₀ as a voltage: stationary rms of a cell with A = 1 that only this noise drives, V"),
    ] = 0.0


class Hardware(Description):
    """A stochastic processing unit, as built or as planned.

    Floats are SI. Text with units is read at construction: ``Cell(capacitance="1 nF", ...)``.
    """

    name: str
    description: str = ""
    topology: Annotated[
        str,
        Field(
            description="active: op-amp integrators; factored: those behind summing amplifiers that hold the factor of "
            "the matrix; passive: resistors and capacitors"
        ),
    ] = "active"
    scaling: Annotated[
        Literal["none", "jacobi"],
        Field(description="jacobi: program D A D with unit diagonal, a narrower range of conductances (not passive)"),
    ] = "none"
    temperature: Annotated[Kelvin, Field(description="temperature of the resistors, K (°C is taken too)")] = 300.15
    array: ResistorArray
    cell: Cell
    amplifier: Amplifier
    dac: Converter
    adc: Converter
    noise: Noise = Noise()
    variation: Annotated[Variation, Field(description="how copies of the device differ")] = Variation()
    costs: Annotated[Costs, Field(description="times and energies beside those of the circuit")] = Costs()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.topology == "passive" and self.scaling != "none":
            raise ValueError("scaling is not for a passive topology, which scales by itself; leave it out")
        return self


def presets() -> list[str]:
    """Names of the hardware descriptions that come with the package."""
    return sorted(p.name.removesuffix(".toml") for p in files("spu_circuit").joinpath("presets").iterdir())


def load_hardware(name_or_path: str | Path) -> Hardware:
    """Read a preset by name, or a TOML file by path.

    Raises:
        InputError: no such preset or file, not TOML, or a field is wrong; names the field and the cure.
    """
    path = _path(name_or_path)
    where = f"hardware {cut(str(name_or_path))}"
    return from_toml(Hardware, read_file(path, where), where, path.parent)


def changed_hardware(base: str | Path, changes: Mapping[str, Any]) -> Hardware:
    """A preset or TOML file with some of its fields changed.

    Args:
        changes: nested like the file; see ``merged``.

    Raises:
        InputError: as ``load_hardware``.
    """
    path, where = _path(base), f"hardware {cut(str(base))}"
    return from_document(Hardware, merged(hardware_tables(base), changes), f"{where} with changes", path.parent)


def hardware_tables(name_or_path: str | Path) -> dict[str, Any]:
    """A preset or TOML file as it is written. Raises InputError where there is none, or it is not TOML."""
    where = f"hardware {cut(str(name_or_path))}"
    return read_toml(read_file(_path(name_or_path), where), where)


def merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A document with changes: tables are merged, anything else takes the place of what was there.

    A table that names another ``model`` takes the old one's place, too: other models have other fields.
    """
    found = dict(document)
    for key, value in changes.items():
        old = found.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and _same_model(old, value):
            value = merged(old, value)
        found[key] = value
    return found


def _same_model(old: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    return changes.get("model", old.get("model")) == old.get("model")


def from_toml(model: type[Model], source: bytes, where: str, folder: Path = Path()) -> Model:
    """Build a description from a TOML file's content, with the first mistake as one line.

    Args:
        folder: that paths in it are relative to.

    Raises:
        InputError: names the field, the value and the cure (the nearest known key, or the wanted unit).
    """
    return from_document(model, read_toml(source, where), where, folder)


def read_toml(source: bytes, where: str) -> dict[str, Any]:
    """A TOML file's content. Raises InputError where it is none."""
    try:
        document = tomllib.loads(source.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: not TOML: {cut(str(error))}") from None
    except ValueError:
        raise InputError(f"{where}: an integer has thousands of digits, which no field takes; shorten it") from None
    except RecursionError:
        raise InputError(f"{where}: {NESTED}") from None
    level: list[Any] = [document]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
        level = [inner for inner in level if isinstance(inner, dict | list)]
        if not level:
            return document
    raise InputError(f"{where}: {NESTED}")


def from_document(model: type[Model], document: Mapping[str, Any], where: str, folder: Path = Path()) -> Model:
    """Build a description from tables that were read from TOML. See ``from_toml``."""
    try:
        return model.model_validate(document, context=FROM_TEXT | {"folder": folder})
    except ValidationError as error:
        raise InputError(f"{where}: {cut(_first_line(model, error), 800)}") from None


def _path(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    if text in presets():
        return Path(str(files("spu_circuit").joinpath("presets", f"{text}.toml")))
    if is_file(Path(text)):
        return Path(text)
    raise InputError(f"hardware: no preset or file {shortened(text)}; {did_you_mean(text, presets(), 'presets')}")


def _first_line(model: type[BaseModel], error: ValidationError) -> str:
    # A misspelt key also makes one missing, and a wrong value says more than a missing one.
    order = {"extra_forbidden": 0, "missing": 2}
    mistake = min(error.errors(), key=lambda m: order.get(m["type"], 1))
    field = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        known = _keys(model, mistake["loc"][:-1])
        return f"unknown key {field!r}; {did_you_mean(str(mistake['loc'][-1]), known)}"
    if mistake["type"] == "missing":
        return f"{field} is missing; add it"
    message = mistake["msg"].removeprefix("Value error, ")
    shown = "" if mistake["type"] == "value_error" else f" (got {shortened(mistake['input'])})"
    return f"{field}: {message}{shown}" if field else f"{message}{shown}"


def _keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Field names at a place in the description."""
    parts = iter(path)
    for part in parts:
        annotation = model.model_fields[str(part)].annotation
        if get_origin(annotation) is dict:
            next(parts, None)
        inner = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
        if not inner:
            return []
        model = inner[0]
    return list(model.model_fields)

"""The hardware description: every number of a device, with its unit and meaning. Data only."""

import tomllib
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spu_circuit.errors import InputError
from spu_circuit.quantity import (
    FROM_TEXT,
    Farads,
    Hertz,
    Kelvin,
    Ohms,
    OhmsOrZero,
    Siemens,
    SiemensOrZero,
    SignedVolts,
    Volts,
    VoltsOrZero,
)

Model = TypeVar("Model", bound=BaseModel)


class Description(BaseModel):
    """A frozen description that knows no other keys than its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class ResistorArray(Description):
    """The programmable resistors. An entry of a matrix has two: one from an output, one from its inverse.

    The resistor of the unused sign sits at ``off_conductance``, so the entry's net conductance is the difference.
    """

    G_min: Annotated[Siemens, Field(description="smallest programmable conductance, S (ohms are taken too)")]
    G_max: Annotated[Siemens, Field(description="largest programmable conductance, S (ohms are taken too)")]
    bits: Annotated[int | None, Field(ge=1, le=24, description="2^bits levels; none: continuous")] = None
    spacing: Annotated[
        Literal["conductance", "resistance"], Field(description="what is evenly spaced between the limits")
    ] = "conductance"
    levels: Annotated[tuple[Siemens, ...] | None, Field(description="explicit levels instead of bits, S")] = None
    off_conductance: Annotated[SiemensOrZero, Field(description="conductance of an unused resistor, S")] = 0.0
    wire_resistance: Annotated[
        OhmsOrZero, Field(description="of a row's or column's wire from one resistor to the next, Ω")
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


class Amplifier(Description):
    """The operational amplifier. The macromodel's numbers count for ``model = "macromodel"`` only."""

    model: Annotated[Literal["ideal", "macromodel"], Field(description="ideal, or one pole with imperfections")]
    dc_gain: Annotated[float, Field(gt=1, allow_inf_nan=False, description="open-loop DC gain, V/V")] = 1e9
    gain_bandwidth: Annotated[Hertz | None, Field(description="gain-bandwidth product, Hz; none: infinite")] = None
    offset: Annotated[SignedVolts, Field(description="input offset voltage, the same in every amplifier, V")] = 0.0
    output_resistance: Annotated[OhmsOrZero, Field(description="open-loop output resistance, Ω")] = 0.0
    rail: Annotated[Volts | None, Field(description="output saturates at ± this voltage, V; none: unlimited")] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        imperfections = {"dc_gain", "gain_bandwidth", "offset", "output_resistance", "rail"}
        if self.model == "ideal" and (given := sorted(imperfections & self.model_fields_set)):
            raise ValueError(f"an ideal amplifier has no {given[0]}; leave it out or set model = 'macromodel'")
        return self


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

    thermal: Annotated[bool, Field(description="Johnson noise of every resistor")] = True
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
        Literal["active", "factored", "passive"],
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


def presets() -> list[str]:
    """Names of the hardware descriptions that come with the package."""
    return sorted(p.name.removesuffix(".toml") for p in files("spu_circuit").joinpath("presets").iterdir())


def load_hardware(name_or_path: str | Path) -> Hardware:
    """Read a preset by name, or a TOML file by path.

    Raises:
        InputError: no such preset or file, not TOML, or a field is wrong; names the field and the cure.
    """
    text = str(name_or_path)
    if text in presets():
        source = files("spu_circuit").joinpath("presets", f"{text}.toml").read_bytes()
    elif Path(text).is_file():
        source = Path(text).read_bytes()
    else:
        raise InputError(f"hardware: no preset or file {text!r}; presets are {', '.join(presets())}")
    return from_toml(Hardware, source, f"hardware {text}")


def from_toml(model: type[Model], source: bytes, where: str) -> Model:
    """Build a description from a TOML file's content, with the first mistake as one line.

    Raises:
        InputError: names the field, the value and the cure (the nearest known key, or the wanted unit).
    """
    try:
        return model.model_validate(tomllib.loads(source.decode()), context=FROM_TEXT)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: not TOML: {error}") from None
    except ValidationError as error:
        raise InputError(f"{where}: {_first_line(model, error)}") from None


def _first_line(model: type[BaseModel], error: ValidationError) -> str:
    # A misspelt key also makes one missing, and a wrong value says more than a missing one.
    order = {"extra_forbidden": 0, "missing": 2}
    mistake = min(error.errors(), key=lambda m: order.get(m["type"], 1))
    field = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        known = _keys(model, mistake["loc"][:-1])
        wrong = str(mistake["loc"][-1])
        near = [k for k in known if k.startswith(wrong)] or get_close_matches(wrong, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}"
        return f"unknown key {field!r}; {hint}"
    if mistake["type"] == "missing":
        return f"{field} is missing; add it"
    message = mistake["msg"].removeprefix("Value error, ")
    shown = "" if mistake["type"] == "value_error" else f" (got {mistake['input']!r})"
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

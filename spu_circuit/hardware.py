"""The hardware description: every number of a device, with its unit and meaning. Data only."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from spu_circuit.amplifier import Amplifier
from spu_circuit.costs import Costs
from spu_circuit.description import Description
from spu_circuit.documents import from_document, from_toml, merged, read_toml
from spu_circuit.errors import InputError, did_you_mean
from spu_circuit.files import cut, is_file, read_file, shortened
from spu_circuit.quantity import (
    Farads,
    Kelvin,
    Ohms,
    OhmsOrZero,
    PerSquareVolt,
    Siemens,
    SiemensOrZero,
    SignedPerVolt,
    Volts,
    VoltsOrZero,
)
from spu_circuit.variation import Variation

LEAST = 0.05
"""Of its capacitance that a voltage leaves a capacitor. Those of ceramics leave a tenth and more."""


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
    linear_voltage_coefficient: Annotated[
        SignedPerVolt, Field(description="a in a capacitor's C (1 + a V + b V²) at V across it, 1/V")
    ] = 0.0
    quadratic_voltage_coefficient: Annotated[
        PerSquareVolt, Field(description="b in a capacitor's C (1 + a V + b V²) at V across it, 1/V²")
    ] = 0.0

    @property
    def bends(self) -> bool:
        """Whether the capacitors' voltage moves their capacitance."""
        return self.linear_voltage_coefficient != 0 or self.quadratic_voltage_coefficient != 0

    @property
    def leakage_conductance(self) -> float:
        """S, of each integration capacitor."""
        return 0.0 if self.leakage_resistance is None else 1 / self.leakage_resistance


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

    thermal: Annotated[bool, Field(description="thermal noise of resistors and the amplifiers' own noise")] = True
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
        volts, a, b = self.widest, self.cell.linear_voltage_coefficient, self.cell.quadratic_voltage_coefficient
        least, at = min((1 + a * v + b * v**2, v) for v in (-volts, volts))
        if least < LEAST:
            raise ValueError(
                f"cell.linear_voltage_coefficient and cell.quadratic_voltage_coefficient leave {least:.2g} of a "
                f"capacitor at {at:g} V; lower them, so that at least {LEAST:g} are left"
            )
        return self

    @property
    def widest(self) -> float:
        """Largest |V| that a capacitor is meant to have: the converters' full scale, or the rail. Beyond it keeps the
        capacitance that it has there."""
        return max(self.dac.full_scale, self.adc.full_scale, self.amplifier.rail or 0.0)

    @property
    def input_noise_density(self) -> float:
        """One-sided density of an amplifier's input noise voltage, V²/Hz; 0 where thermal noise is off."""
        return (self.amplifier.input_noise or 0.0) ** 2 * self.noise.thermal

    @property
    def input_current_noise_density(self) -> float:
        """One-sided density of the noise current into an amplifier's inverting input, A²/Hz; 0 where it is off."""
        return (self.amplifier.input_current_noise or 0.0) ** 2 * self.noise.thermal


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


def _path(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    if text in presets():
        return Path(str(files("spu_circuit").joinpath("presets", f"{text}.toml")))
    if is_file(Path(text)):
        return Path(text)
    raise InputError(f"hardware: no preset or file {shortened(text)}; {did_you_mean(text, presets(), 'presets')}")

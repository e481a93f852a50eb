"""How samples of a device differ: the spread of every kind of part, as data.

A relative deviation multiplies, an absolute one adds: a resistor of a sample is
``R (1 + lot) (1 + gradient · (x, y)) (1 + local) (1 + α (T − T₀)) (1 + a log₁₀(1 + t / 1 h))``, where α may spread too.
"""

from itertools import combinations
from math import log1p
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from spu_circuit.description import Description
from spu_circuit.quantity import LARGEST, Kelvin, SignedFraction
from spu_circuit.spread import (
    CodeSpread,
    CurrentSpread,
    Drift,
    Matching,
    RelativeDrift,
    RelativeSpread,
    Spread,
    TemperatureSpread,
    VoltageDrift,
    VoltageSpread,
)

Array = NDArray[np.float64]
Probability = Annotated[float, Field(ge=0, lt=1)]
ENDS = {"low": -1.0, "nominal": 0.0, "high": 1.0}
"""Corners of a lot, and their signs."""
Corner = Annotated[
    Literal["low", "nominal", "high"] | None,
    Field(description="the end of its distribution, or middle, where the lot of every copy is; none: it is drawn"),
]


class LotVariation(Description):
    """What all parts of a kind share in a copy."""

    lot: Spread | None = None
    corner: Corner = None

    @model_validator(mode="after")
    def _has_lot(self) -> Self:
        if self.corner and not self.lot:
            raise ValueError(f"corner {self.corner!r} is the lot's, and there is none; give a lot, or leave corner out")
        return self

    @property
    def drawn_lot(self) -> Spread | None:
        """Of the deviation that all parts of a copy share; None: there is none, or it is at a corner."""
        return None if self.corner else self.lot

    @property
    def lot_corner(self) -> float | None:
        """The deviation that all parts of every copy share; None: it is drawn, or there is none."""
        return self.lot.extreme(ENDS[self.corner]) if self.lot and self.corner else None


class RelativeVariation(LotVariation):
    """How the parts of a kind deviate from their nominal value, relatively."""

    lot: Annotated[RelativeSpread | None, Field(description="one deviation for all parts of a copy")] = None
    local: Annotated[RelativeSpread | None, Field(description="mismatch: each part for itself")] = None
    matching: Annotated[Matching | None, Field(description="mismatch from a part's area, instead of local")] = None
    gradient: Annotated[
        RelativeSpread | None, Field(description="from edge to edge of the die, in x and in y independently")
    ] = None
    temperature_coefficient: Annotated[
        RelativeDrift, Field(description="relative, per kelvin above the reference: of all parts alike, or a table")
    ] = RelativeDrift()
    ageing: Annotated[SignedFraction, Field(description="relative drift per decade of hours")] = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.local and self.matching:
            raise ValueError("local and matching both say how parts mismatch; keep one")
        return self

    @property
    def mismatch(self) -> RelativeSpread | None:
        return self.matching.spread if self.matching else self.local


class ArrayVariation(RelativeVariation):
    """Of the programmable resistors, which can also fail."""

    stuck_open: Annotated[Probability, Field(description="probability that a resistor never conducts")] = 0.0
    stuck_closed: Annotated[Probability, Field(description="probability that a resistor stays at G_max")] = 0.0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.stuck_open + self.stuck_closed >= 1:
            raise ValueError("stuck_open and stuck_closed together leave no working resistor; lower them")
        return self


class VoltageVariation(LotVariation):
    """How a voltage deviates, in volts."""

    lot: Annotated[VoltageSpread | None, Field(description="one deviation for all parts of a copy")] = None
    local: Annotated[VoltageSpread | None, Field(description="each part for itself")] = None
    temperature_coefficient: Annotated[
        VoltageDrift, Field(description="volts per kelvin above the reference: of all parts alike, or a table")
    ] = VoltageDrift()

    unit: ClassVar[str] = "V"

    @property
    def mismatch(self) -> VoltageSpread | None:
        return self.local


class CurrentVariation(LotVariation):
    """How a current deviates, in amperes."""

    lot: Annotated[CurrentSpread | None, Field(description="one deviation for all parts of a copy")] = None
    local: Annotated[CurrentSpread | None, Field(description="each part for itself")] = None
    temperature_coefficient: ClassVar[Drift] = Drift()
    unit: ClassVar[str] = "A"

    @property
    def mismatch(self) -> CurrentSpread | None:
        return self.local


class CodeVariation(Description):
    """How a converter's characteristic deviates, in LSB, each channel for itself.

    Integral non-linearity is a bow ``(1 − (V / full scale)²)`` of this height; differential non-linearity moves each
    code for itself.
    """

    local: Annotated[CodeSpread | None, Field(description="each channel for itself, LSB")] = None
    lot: None = None
    drawn_lot: ClassVar[None] = None
    unit: ClassVar[str] = "LSB"
    lot_corner: ClassVar[None] = None
    temperature_coefficient: ClassVar[Drift] = Drift()

    @property
    def mismatch(self) -> CodeSpread | None:
        return self.local


KINDS = (
    "array_resistor",
    "input_resistor",
    "inverter_resistor",
    "summing_resistor",
    "capacitor",
    "capacitor_curve",
    "amplifier_offset",
    "amplifier_gain",
    "amplifier_bandwidth",
    "amplifier_bias",
    "dac_gain",
    "dac_offset",
    "dac_inl",
    "dac_dnl",
    "adc_gain",
    "adc_offset",
    "adc_inl",
    "adc_dnl",
)
"""All kinds of parts that can vary, in a fixed order."""


class Variation(Description):
    """The spread of every kind of part between samples of a device. What is not given does not vary."""

    array_resistor: ArrayVariation = ArrayVariation()
    input_resistor: RelativeVariation = RelativeVariation()
    inverter_resistor: RelativeVariation = RelativeVariation()
    summing_resistor: RelativeVariation = RelativeVariation()
    capacitor: RelativeVariation = RelativeVariation()
    capacitor_curve: RelativeVariation = RelativeVariation()
    amplifier_offset: VoltageVariation = VoltageVariation()
    amplifier_gain: RelativeVariation = RelativeVariation()
    amplifier_bandwidth: RelativeVariation = RelativeVariation()
    amplifier_bias: CurrentVariation = CurrentVariation()
    dac_gain: RelativeVariation = RelativeVariation()
    dac_offset: VoltageVariation = VoltageVariation()
    dac_inl: CodeVariation = CodeVariation()
    dac_dnl: CodeVariation = CodeVariation()
    adc_gain: RelativeVariation = RelativeVariation()
    adc_offset: VoltageVariation = VoltageVariation()
    adc_inl: CodeVariation = CodeVariation()
    adc_dnl: CodeVariation = CodeVariation()
    temperature: Annotated[
        TemperatureSpread | None, Field(description="of a copy, about the hardware's temperature")
    ] = None
    reference_temperature: Annotated[
        Kelvin | None, Field(description="where parts have their nominal values, K; none: the hardware's temperature")
    ] = None
    hours: Annotated[float, Field(ge=0, le=LARGEST, description="of operation, for ageing; a number")] = 0.0
    correlation: Annotated[
        dict[str, float],
        Field(description="of the lot deviations of two kinds, as 'capacitor array_resistor' = 0.5; else 0"),
    ] = {}  # noqa: RUF012  (pydantic copies it)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for kind in KINDS:
            if (factor := self.ageing(kind)) <= 0:
                raise ValueError(
                    f"{kind}.ageing over {self.hours:g} hours leaves {factor:.2g} of a part; lower ageing or hours"
                )
        for pair, value in self.correlation.items():
            names = pair.split()
            if len(names) != 2 or names[0] == names[1] or not set(names) <= set(KINDS):
                raise ValueError(
                    f"correlation {pair!r} does not name two different kinds of parts; they are {', '.join(KINDS)}"
                )
            for name in names:
                if getattr(self, name).lot is None:
                    raise ValueError(f"correlation {pair!r}: {name} has no lot deviation; give it one")
            if " ".join(reversed(names)) in self.correlation:
                raise ValueError(f"correlation {pair!r} is given twice, in both orders; keep one")
            if not -1 <= value <= 1:
                raise ValueError(f"correlation {pair!r} is {value:g}; it must be from -1 to 1")
        lowest = float(np.linalg.eigvalsh(self.lot_correlation).min())
        if lowest < -1e-12:
            raise ValueError(
                f"correlation is impossible: its matrix has an eigenvalue of {lowest:.2g}; bring the values nearer to 0"
            )
        return self

    @property
    def lot_correlation(self) -> Array:
        """Of the normal scores of the lot deviations, (kinds, kinds)."""
        matrix = np.eye(len(KINDS))
        for a, b in combinations(range(len(KINDS)), 2):
            for pair in (f"{KINDS[a]} {KINDS[b]}", f"{KINDS[b]} {KINDS[a]}"):
                if pair in self.correlation:
                    matrix[a, b] = matrix[b, a] = self.correlation[pair]
        return matrix

    def ageing(self, kind: str) -> float:
        """The factor by which parts of a kind have drifted after ``hours``."""
        of_kind = getattr(self, kind)
        drift = of_kind.ageing if isinstance(of_kind, RelativeVariation) else 0.0
        return 1 + drift * log1p(self.hours) / log1p(9.0)

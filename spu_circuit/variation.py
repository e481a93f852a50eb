"""How samples of a device differ: the spread of every kind of part, as data.

A relative deviation multiplies, an absolute one adds: a resistor of a sample is
``R (1 + lot) (1 + gradient · (x, y)) (1 + local) (1 + α (T − T₀)) (1 + a log₁₀(1 + t / 1 h))``, where α may spread too.
Cells of a memory have an error of their programming, a drift and a noise beside.
"""

from itertools import combinations
from math import log1p
from typing import Annotated, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from spu_circuit.description import Description
from spu_circuit.kind import KindVariation, LotVariation
from spu_circuit.memory_cells import CellDrift, CellNoise, ConductanceVariation
from spu_circuit.quantity import (
    LARGEST,
    Kelvin,
    KelvinDifference,
    SignedFraction,
    SignedVolts,
)
from spu_circuit.spread import (
    CodeSpread,
    CurrentSpread,
    Drift,
    Matching,
    RejectionSpread,
    RelativeDrift,
    RelativeSpread,
    TemperatureSpread,
    VoltageDrift,
    VoltageSpread,
)

Array = NDArray[np.float64]
Probability = Annotated[float, Field(ge=0, lt=1)]


class RelativeVariation(LotVariation):
    """How the parts of a kind deviate from their nominal value, relatively."""

    adds: ClassVar[bool] = False
    drawn: ClassVar[tuple[str, ...]] = ("lot", "local", "matching", "gradient")

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

    def aged(self, hours: float) -> float:
        """See ``KindVariation``."""
        return 1 + self.ageing * log1p(hours) / log1p(9.0)


class ArrayVariation(RelativeVariation):
    """Of the programmable resistors, which can also fail."""

    drawn: ClassVar[tuple[str, ...]] = (*RelativeVariation.drawn, "stuck_open", "stuck_closed")

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
    doubling: Annotated[
        KelvinDifference | None,
        Field(gt=0, description="K above the reference in which it doubles: 10 K of JFET inputs; none: it stays"),
    ] = None
    temperature_coefficient: ClassVar[Drift] = Drift()
    unit: ClassVar[str] = "A"

    def warmed(self, rise: Array) -> Array:
        """What a current is multiplied by so many kelvin above the reference."""
        return np.ones_like(rise) if self.doubling is None else np.exp2(rise / self.doubling)

    @property
    def mismatch(self) -> CurrentSpread | None:
        return self.local


class RejectionVariation(KindVariation):
    """How offsets follow the supply, each amplifier for itself and in a direction of its own, beside what all do.

    A power supply rejection of at least 80 dB is an offset of ± 100 µV per volt, at most.
    """

    drawn: ClassVar[tuple[str, ...]] = ("local",)
    lot: ClassVar[None] = None
    drawn_lot: ClassVar[None] = None
    lot_corner: ClassVar[None] = None
    temperature_coefficient: ClassVar[Drift] = Drift()
    unit: ClassVar[str] = "V"

    local: Annotated[RejectionSpread | None, Field(description="each amplifier for itself, V/V")] = None
    supply_change: Annotated[
        SignedVolts, Field(description="of the ± supply from where offsets are given, V; a sweep's supply sets it")
    ] = 0.0

    @property
    def mismatch(self) -> VoltageSpread | None:
        """Of the offsets, V."""
        if self.local is None or self.supply_change == 0:
            return None
        size, spread = abs(self.supply_change), self.local
        limit = None if spread.limit is None else size * spread.limit
        return VoltageSpread(
            distribution=spread.distribution, tolerance=size * spread.tolerance, meaning=spread.meaning, limit=limit
        )


class CodeVariation(KindVariation):
    """How a converter's characteristic deviates, in LSB, each channel for itself.

    Integral non-linearity is a bow ``(1 − (V / full scale)²)`` of this height; differential non-linearity moves each
    code for itself.
    """

    local: Annotated[CodeSpread | None, Field(description="each channel for itself, LSB")] = None
    drawn: ClassVar[tuple[str, ...]] = ("local",)
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
    "array_programming",
    "array_drift",
    "array_noise",
    "input_resistor",
    "inverter_resistor",
    "summing_resistor",
    "capacitor",
    "capacitor_curve",
    "amplifier_offset",
    "amplifier_gain",
    "amplifier_bandwidth",
    "amplifier_bias",
    "amplifier_rejection",
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
    array_programming: ConductanceVariation = ConductanceVariation()
    array_drift: CellDrift = CellDrift()
    array_noise: CellNoise = CellNoise()
    input_resistor: RelativeVariation = RelativeVariation()
    inverter_resistor: RelativeVariation = RelativeVariation()
    summing_resistor: RelativeVariation = RelativeVariation()
    capacitor: RelativeVariation = RelativeVariation()
    capacitor_curve: RelativeVariation = RelativeVariation()
    amplifier_offset: VoltageVariation = VoltageVariation()
    amplifier_gain: RelativeVariation = RelativeVariation()
    amplifier_bandwidth: RelativeVariation = RelativeVariation()
    amplifier_bias: CurrentVariation = CurrentVariation()
    amplifier_rejection: RejectionVariation = RejectionVariation()
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
        factor: float = getattr(self, kind).aged(self.hours)
        return factor

"""How samples of a device differ: the spread of every kind of part, as data.

A relative deviation multiplies, an absolute one adds: a resistor of a sample is
``R (1 + lot) (1 + gradient · (x, y)) (1 + local) (1 + α (T − T₀)) (1 + a log₁₀(1 + t / 1 h))``, where α may spread too.
Cells of a memory have an error of their programming, a drift and a noise beside.
"""

from itertools import combinations
from math import log, log1p, sqrt
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from spu_circuit.description import Description
from spu_circuit.quantity import (
    LARGEST,
    Fraction,
    Kelvin,
    KelvinDifference,
    PositiveSeconds,
    SignedFraction,
    SignedVolts,
)
from spu_circuit.spread import (
    CodeSpread,
    ConductanceSpread,
    CurrentSpread,
    Drift,
    Matching,
    RejectionSpread,
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


class KindVariation(Description):
    """How parts of a kind deviate."""

    adds: ClassVar[bool] = True
    """Whether a deviation adds; else it multiplies."""
    drawn: ClassVar[tuple[str, ...]] = ("lot", "local")
    """Fields that say what is random, temperature coefficients aside."""

    def aged(self, hours: float) -> float:
        """The factor by which parts have drifted after so many hours of operation."""
        return 1.0


class LotVariation(KindVariation):
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


class ConductanceVariation(LotVariation):
    """How conductances deviate from what was written into them, in siemens: one constant σ for all levels.

    Pedretti and Ielmini, Electronics 10:1063 (2021). What would be below zero is an open connection.
    """

    lot: Annotated[ConductanceSpread | None, Field(description="one deviation for all parts of a copy")] = None
    local: Annotated[ConductanceSpread | None, Field(description="each part for itself")] = None
    temperature_coefficient: ClassVar[Drift] = Drift()
    unit: ClassVar[str] = "S"

    @property
    def mismatch(self) -> ConductanceSpread | None:
        return self.local


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


class OfEachCell(KindVariation):
    """What each cell of a memory does to its conductance, by a factor."""

    adds: ClassVar[bool] = False
    lot: ClassVar[None] = None
    drawn_lot: ClassVar[None] = None
    lot_corner: ClassVar[None] = None
    temperature_coefficient: ClassVar[Drift] = Drift()


class CellDrift(OfEachCell):
    """How conductances fall with time: G(t) = G (t / t₀)^−ν, with a ν of each cell about the mean.

    Of phase-change memory: Joshi et al., Nature Communications 11:2473 (2020). Filaments mostly broaden instead.
    """

    drawn: ClassVar[tuple[str, ...]] = ("spread",)

    exponent: Annotated[float, Field(ge=-1, le=1, description="ν of all cells in the mean")] = 0.0
    spread: Annotated[float, Field(ge=0, le=1, description="σ of each cell's ν")] = 0.0
    age: Annotated[PositiveSeconds | None, Field(description="since the array was programmed, s")] = None
    reference: Annotated[
        PositiveSeconds | None, Field(description="t₀ after that, when conductances are as they were written, s")
    ] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.exponent or self.spread):
            return self
        if self.age is None or self.reference is None:
            raise ValueError(
                "a drift needs its age and its reference; give both, like age = '86400 s', reference = '1 s'"
            )
        if self.age < self.reference:
            raise ValueError(f"age {self.age:g} s is before reference {self.reference:g} s; raise it")
        _ = self.mismatch
        return self

    @property
    def mismatch(self) -> RelativeSpread | None:
        if not self.spread or self.age is None or self.reference is None or self.age == self.reference:
            return None
        return _lognormal(self.spread * log(self.age / self.reference))

    def aged(self, hours: float) -> float:
        """See ``KindVariation``: of a resistance, by the age of its own."""
        if self.age is None or self.reference is None:
            return 1.0
        return float((self.age / self.reference) ** self.exponent)


class CellNoise(OfEachCell):
    """How conductances fluctuate from one read to the next, and stay through a solve.

    1/f noise of density S_G/G² = K / f (Ambrogio et al., IEEE Trans. Electron Devices 62:3805, 2015; Balogh et al.,
    arXiv 2106.02683) in the band from 1 / age to 1 / time has the variance ``K ln(age / time)``.
    """

    drawn: ClassVar[tuple[str, ...]] = ("read", "flicker")

    read: Annotated[Fraction, Field(description="σ of each read, relative")] = 0.0
    flicker: Annotated[float, Field(ge=0, le=1, description="K of 1/f noise: S_G / G² = K / f")] = 0.0
    age: Annotated[PositiveSeconds | None, Field(description="of 1/f noise: since the array was programmed, s")] = None
    time: Annotated[PositiveSeconds | None, Field(description="of 1/f noise: that a solve takes, s")] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.flicker and (self.age is None or self.time is None):
            raise ValueError("flicker needs its band; give age and time, like age = '86400 s', time = '1 µs'")
        if self.age is not None and self.time is not None and self.age < self.time:
            raise ValueError(f"age {self.age:g} s is shorter than the time {self.time:g} s of a solve; raise it")
        _ = self.mismatch
        return self

    @property
    def mismatch(self) -> RelativeSpread | None:
        band = log(self.age / self.time) if self.age is not None and self.time is not None else 0.0
        sigma = sqrt(self.read**2 + self.flicker * band)
        return _lognormal(sigma) if sigma else None


def _lognormal(sigma: float) -> RelativeSpread:
    return RelativeSpread(distribution="lognormal", tolerance=sigma, meaning="sigma")


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

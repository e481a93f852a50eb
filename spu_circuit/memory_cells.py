"""What memory cells do to their conductances: errors of programming, drift, and noise of every read."""

from math import log, sqrt
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from spu_circuit.kind import KindVariation, LotVariation
from spu_circuit.quantity import Fraction, PositiveSeconds
from spu_circuit.spread import ConductanceSpread, Drift, RelativeSpread


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

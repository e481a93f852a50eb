"""Distributions of what parts deviate by, and of their temperature coefficients, as data."""

from math import erf, exp, expm1, pi, sqrt
from typing import Annotated, Any, Literal, Self

import numpy as np
import scipy
from numpy.typing import NDArray
from pydantic import Field, model_validator

from spu_circuit.description import Description
from spu_circuit.quantity import (
    AmperesOrZero,
    Area,
    Fraction,
    KelvinDifference,
    LeastSignificantBits,
    MatchingCoefficient,
    PerKelvin,
    SiemensOrZero,
    VoltsOrZero,
    VoltsPerKelvin,
    VoltsPerVolt,
)

Array = NDArray[np.float64]
Meaning = Literal["sigma", "3 sigma", "limit"]

LARGEST_NORMAL = 1 / 7
"""Largest σ of a relative normal deviation: a part below zero is then a matter of 7 σ, one in 10¹²."""
LARGEST_LOGNORMAL = 5.0
"""Largest σ of a lognormal deviation: three of them are a factor of 10^6.5."""
EXTREME = 3.0
"""Standard deviations at which a corner puts a distribution without limits."""


class Spread(Description):
    """A distribution about zero. The unit of ``tolerance`` and ``limit`` is that of the subclass.

    normal, lognormal (of 1 + deviation): σ is ``tolerance``, or a third of it; uniform: ± ``tolerance`` is its limit,
    or its σ; truncated: normal of this σ without what lies beyond ± ``limit``, as parts are that were sorted.
    """

    distribution: Annotated[
        Literal["normal", "uniform", "lognormal", "truncated"], Field(description="shape of the distribution")
    ] = "normal"
    tolerance: float
    meaning: Annotated[Meaning, Field(description="what the tolerance is of the distribution: sigma, 3 sigma, limit")]
    limit: float | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        allowed = {"uniform": ("limit", "sigma")}.get(self.distribution, ("sigma", "3 sigma"))
        if self.meaning not in allowed:
            raise ValueError(
                f"meaning {self.meaning!r} does not fit distribution {self.distribution!r}; "
                f"take one of {', '.join(allowed)}"
            )
        if (self.limit is None) == (self.distribution == "truncated"):
            cure = "give it" if self.limit is None else "leave it out, or set distribution = 'truncated'"
            raise ValueError(f"limit is for a truncated distribution alone, which needs it; {cure}")
        if self.limit is not None and not self.limit > 0:
            raise ValueError(f"limit is {self.limit:g}; it must be above 0")
        return self

    @property
    def scale(self) -> float:
        """σ of the normal distribution underneath, or of the uniform one."""
        return self.tolerance * {"sigma": 1.0, "3 sigma": 1 / 3, "limit": 1 / sqrt(3)}[self.meaning]

    @property
    def standard_deviation(self) -> float:
        """Of the deviations themselves: of the lognormal and the truncated distribution not quite ``scale``."""
        if self.distribution == "lognormal":
            return sqrt(expm1(self.scale**2)) * exp(self.scale**2 / 2)
        if self.distribution == "truncated" and self.scale:
            assert self.limit is not None
            cut = self.limit / self.scale
            return self.scale * sqrt(1 - cut * sqrt(2 / pi) * exp(-(cut**2) / 2) / erf(cut / sqrt(2)))
        return self.scale

    def quantile(self, probability: Array) -> Array:
        """The deviation below which this share of the parts lies; any shape, probabilities inside (0, 1)."""
        if self.distribution == "uniform":
            return sqrt(3) * self.scale * (2 * probability - 1)
        if self.distribution == "truncated":
            assert self.limit is not None
            if self.scale == 0:
                return np.zeros_like(probability)
            inside = erf(self.limit / self.scale / sqrt(2))
            return np.asarray(self.scale * scipy.special.ndtri(0.5 + inside * (probability - 0.5)))
        deviation = self.scale * scipy.special.ndtri(probability)
        return np.expm1(deviation) if self.distribution == "lognormal" else np.asarray(deviation)

    def extreme(self, sign: float) -> float:
        """The deviation at a corner: the limit where there is one, else 3 σ."""
        if self.distribution == "uniform":
            return sign * sqrt(3) * self.scale
        if self.distribution == "truncated":
            assert self.limit is not None
            return sign * min(self.limit, EXTREME * self.scale)
        return exp(sign * EXTREME * self.scale) - 1 if self.distribution == "lognormal" else sign * EXTREME * self.scale


class RelativeSpread(Spread):
    """Of a share of the nominal value."""

    tolerance: Annotated[Fraction, Field(description="relative, as '1 %' or '100 ppm'")]
    limit: Annotated[Fraction | None, Field(description="relative; of a truncated distribution")] = None

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if self.distribution == "normal" and self.scale > LARGEST_NORMAL:
            raise ValueError(
                f"a normal distribution with a σ of {self.scale:.0%} draws values below zero; "
                "take distribution = 'lognormal', or 'truncated' with a limit"
            )
        if self.distribution == "lognormal" and self.scale > LARGEST_LOGNORMAL:
            raise ValueError(
                f"a lognormal distribution with a σ of {self.scale:.3g} spans more than parts can; "
                f"give at most {LARGEST_LOGNORMAL:g}"
            )
        lowest = -self.limit if self.limit is not None else self.extreme(-1)
        if self.distribution != "lognormal" and lowest <= -1:
            raise ValueError("the distribution reaches values below zero; take 'lognormal', or tighten it")
        return self


class AbsoluteSpread(Spread):
    """Of something whose nominal value may be zero: it adds, so it is never lognormal."""

    @model_validator(mode="after")
    def _adds(self) -> Self:
        if self.distribution == "lognormal":
            raise ValueError("a deviation that adds cannot be lognormal; take normal, uniform or truncated")
        return self


class VoltageSpread(AbsoluteSpread):
    """Of a voltage."""

    tolerance: Annotated[VoltsOrZero, Field(description="V")]
    limit: Annotated[VoltsOrZero | None, Field(description="V; of a truncated distribution")] = None


class RejectionSpread(AbsoluteSpread):
    """Of an offset over the change of the supply that makes it."""

    tolerance: Annotated[VoltsPerVolt, Field(description="V/V")]
    limit: Annotated[VoltsPerVolt | None, Field(description="V/V; of a truncated distribution")] = None


class CurrentSpread(AbsoluteSpread):
    """Of a current."""

    tolerance: Annotated[AmperesOrZero, Field(description="A")]
    limit: Annotated[AmperesOrZero | None, Field(description="A; of a truncated distribution")] = None


class ConductanceSpread(AbsoluteSpread):
    """Of a conductance."""

    tolerance: Annotated[SiemensOrZero, Field(description="S")]
    limit: Annotated[SiemensOrZero | None, Field(description="S; of a truncated distribution")] = None


class TemperatureSpread(AbsoluteSpread):
    """Of a temperature."""

    tolerance: Annotated[KelvinDifference, Field(description="K")]
    limit: Annotated[KelvinDifference | None, Field(description="K; of a truncated distribution")] = None


class CodeSpread(AbsoluteSpread):
    """Of a converter's error, in its own steps."""

    tolerance: Annotated[LeastSignificantBits, Field(description="LSB")]
    limit: Annotated[LeastSignificantBits | None, Field(description="LSB; of a truncated distribution")] = None


class Matching(Description):
    """Mismatch that falls with a part's area: σ = A / √area (Pelgrom et al., IEEE JSSC 24:1433, 1989)."""

    coefficient: Annotated[MatchingCoefficient, Field(description="A, as '1 % µm'")]
    area: Annotated[Area, Field(description="of one part, as '25 µm²'")]

    @property
    def spread(self) -> RelativeSpread:
        return RelativeSpread(tolerance=self.coefficient / sqrt(self.area), meaning="sigma")


class Drift(Description):
    """How a property moves with temperature: every part has a coefficient of its own, about the mean of its kind.

    "± 100 ppm/K" on a data sheet is a limit of each part: mean 0, spread 100 ppm/K, meaning "limit". Parts of one
    network track: they share their deviation but for ``tracking``. Limits are those of uniform distributions, which add
    to the spread; σ are those of normal ones, whose squares add.
    """

    mean: float = 0.0
    spread: float = 0.0
    meaning: Annotated[Meaning | None, Field(description="what spread and tracking are of the distribution")] = None
    tracking: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_all(cls, given: Any) -> Any:
        """A coefficient alone is that of all parts."""
        return given if isinstance(given, dict | Drift) else {"mean": given}

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("spread", "tracking"):
            if (value := getattr(self, name) or 0.0) < 0:
                raise ValueError(f"{name} is {value:g}; it must be 0 or more, to both sides of the mean")
        if bool(self.spread) != (self.meaning is not None):
            cure = "give meaning = 'limit', '3 sigma' or 'sigma'" if self.spread else "give a spread, or leave it out"
            raise ValueError(f"spread and meaning belong together; {cure}")
        if self.tracking is not None and self.tracking > self.spread:
            raise ValueError("tracking is above spread; it is the part of the spread that parts do not share")
        return self

    @property
    def own(self) -> Spread | None:
        """Of the deviation that each part has for itself; None: there is none."""
        return self._spread(self.spread if self.tracking is None else self.tracking)

    @property
    def common(self) -> Spread | None:
        """Of the deviation that all parts of a copy share; None: there is none."""
        own = self.spread if self.tracking is None else self.tracking
        return self._spread(self.spread - own if self.meaning == "limit" else sqrt(self.spread**2 - own**2))

    def _spread(self, tolerance: float) -> Spread | None:
        if tolerance == 0 or self.meaning is None:
            return None
        shape: Literal["uniform", "normal"] = "uniform" if self.meaning == "limit" else "normal"
        return Spread(distribution=shape, tolerance=tolerance, meaning=self.meaning)

    @property
    def steady(self) -> bool:
        """Whether temperature moves nothing."""
        return self.mean == 0 and self.spread == 0


class RelativeDrift(Drift):
    """Of a share of the nominal value."""

    mean: Annotated[PerKelvin, Field(description="relative, per kelvin above the reference")] = 0.0
    spread: Annotated[PerKelvin, Field(description="of each part's coefficient about the mean")] = 0.0
    tracking: Annotated[
        PerKelvin | None, Field(description="what of the spread parts do not share; none: each part has all for itself")
    ] = None


class VoltageDrift(Drift):
    """Of a voltage."""

    mean: Annotated[VoltsPerKelvin, Field(description="volts per kelvin above the reference")] = 0.0
    spread: Annotated[VoltsPerKelvin, Field(description="of each part's coefficient about the mean")] = 0.0
    tracking: Annotated[
        VoltsPerKelvin | None,
        Field(description="what of the spread parts do not share; none: each part has all for itself"),
    ] = None

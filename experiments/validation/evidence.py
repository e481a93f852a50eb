"""What a comparison finds: checks, which are lines of a table, and the arrays behind some of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Literal

from experiments.validation.setups import Setup

OPERATING_POINT = "operating point, network against ngspice"
MEAN = "transient mean, network against ngspice"
VARIANCE = "stationary variance against .noise"
SPECTRUM = "noise spectrum, network against .noise"
COVARIANCE = "covariance of noisy transients against the discretised law"
BLOCKS = "blocks against the circuit's text"
IDEAL = "network with ideal hardware against sde"
CLOSED = "closed forms"
PUBLISHED = "published digits"
AGREEMENTS = (OPERATING_POINT, MEAN, VARIANCE, SPECTRUM, COVARIANCE, BLOCKS, IDEAL, CLOSED, PUBLISHED)
"""What is promised, in the order of tables."""


@dataclass(frozen=True)
class Check:
    """One quantity of one device, twice.

    Args:
        agreement: which of the promised ones this belongs to.
        engine, reference: whose numbers are compared.
        difference, bound: relative, or in standard errors, as ``unit`` says.
        reason: why the bound is what it is.
        time: of the quantity, in units of τ; inf: settled; None: it has no time.
        seconds: the same in s.
    """

    setup: Setup
    agreement: str
    quantity: str
    engine: str
    reference: str
    difference: float
    bound: float
    reason: str
    unit: Literal["relative", "standard errors"] = "relative"
    time: float | None = None
    seconds: float | None = None

    @property
    def holds(self) -> bool:
        return bool(self.difference <= self.bound)

    @property
    def share(self) -> float:
        """How much of its bound the difference takes; above 1 it fails."""
        return self.difference / self.bound if self.bound and isfinite(self.difference) else inf

    def columns(self) -> dict[str, Any]:
        """A row of a table, in SI."""
        return {
            "agreement": self.agreement,
            **self.setup.columns(),
            "quantity": self.quantity,
            "time_constants": self.time,
            "seconds": self.seconds,
            "engine": self.engine,
            "reference": self.reference,
            "difference": self.difference,
            "bound": self.bound,
            "unit": self.unit,
            "holds": self.holds,
            "reason": self.reason,
        }


def number(value: float, digits: int = 2) -> str:
    """A few digits, the exponent without zeros: 3.1e-5."""
    return f"{value:.{digits}g}".replace("e-0", "e-").replace("e+0", "e")


def beside_bound(check: Check) -> str:
    """The difference beside its bound, in the unit of both."""
    unit = "" if check.unit == "relative" else " standard errors"
    return f"{number(check.difference)}{unit} (≤ {number(check.bound, 3)})"


@dataclass(frozen=True)
class Evidence:
    """Arrays behind a check, in SI, for the figure of its agreement."""

    check: Check
    arrays: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """Of one comparison, or of all of a setup."""

    checks: tuple[Check, ...] = ()
    evidence: tuple[Evidence, ...] = ()


def worst(checks: Sequence[Check]) -> dict[str, Check]:
    """Of each agreement the check that comes nearest to its bound, or exceeds it most."""
    found: dict[str, Check] = {}
    for check in checks:
        other = found.get(check.agreement)
        if other is None or check.share > other.share:
            found[check.agreement] = check
    return {agreement: found[agreement] for agreement in AGREEMENTS if agreement in found}

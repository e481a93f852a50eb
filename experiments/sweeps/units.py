"""Values as people read them."""

from math import isfinite, isnan

from experiments.sweeps.metrics import METRICS
from spu_circuit.quantity import FACTORS, shown, unit_of
from spu_circuit.spread import Spread

PREFIXED = ("s", "A", "W", "J", "V", "S")
"""Units that take prefixes."""
SHARE = "share"
"""Of a whole: shown in percent with one decimal."""
PER_MILLION = "ppm"
"""Parts of a million."""
SI_UNITS = {"%": "1", "": "1", SHARE: "1"}
"""What the numbers of files are in, where that is not the unit that is shown: shares and counts."""


def metric_text(name: str, value: float) -> str:
    """A value of a metric with its unit, three digits."""
    return text(value, METRICS[name].unit)


def text(value: float, unit: str) -> str:
    """A value in SI with its unit, three digits; "%" is a fraction."""
    if isnan(value):
        return "–"
    if not isfinite(value):
        return "∞" if value > 0 else "−∞"
    if unit == SHARE:
        said = f"{100 * value:.1f} %"
    elif unit in (*PREFIXED, "%"):
        said = shown(value, unit, 3)
    else:
        said = f"{value:.{3 if unit else 6}g} {unit}".strip()
    return said.replace("-", "−")


def percent(share: float) -> str:
    """A share such as a yield, two places; "–" where nobody knows it."""
    return "–" if isnan(share) else f"{100 * share:.2f} %"


def yield_share(share: float) -> str:
    """A yield; above 99.9 % by what it lacks, in parts per million."""
    return percent(share) if not share > 0.999 or share == 1 else f"1 − {1e6 * (1 - share):.3g} {PER_MILLION}"


def interval_share(low: float, high: float) -> str:
    """The interval of a yield, both ends in the same words."""
    say = yield_share if low > 0.999 else percent
    return f"{say(low)} to {say(high)}"


def titled(name: str) -> str:
    """relative_error → relative error."""
    return name.replace("_", " ")


def unit_of_tolerance(spread: Spread) -> tuple[float, str]:
    """Factor from SI, and the unit that a tolerance is written in."""
    field = type(spread).model_fields["tolerance"]
    unit = unit_of(field.annotation, field.metadata)
    return 1 / FACTORS[unit][unit] if unit in FACTORS else 1.0, unit

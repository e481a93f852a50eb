"""Metrics as people read them."""

from collections.abc import Callable
from math import isfinite, isnan

from matplotlib.axis import Axis
from matplotlib.ticker import EngFormatter, FuncFormatter
from quantiphy import Quantity

from experiments.sweeps.metrics import METRICS

PREFIXED = ("s", "A", "W", "J", "V")
"""Units that take prefixes."""
SHARE = "share"
"""Of a whole: shown in percent with one decimal."""
SI_UNITS = {"%": "1", "": "1", SHARE: "1"}
"""What the numbers of files are in, where that is not the unit that is shown: shares and counts."""


class Shown(Quantity):
    """Three digits and a prefix: 23.7 µs."""


Shown.set_prefs(map_sf=Quantity.map_sf_to_greek, prec=2, strip_zeros=False)


def metric_text(name: str, value: float) -> str:
    """A value of a metric with its unit, three digits."""
    return text(value, METRICS[name].unit)


def text(value: float, unit: str) -> str:
    """A value in SI with its unit, three digits; "%" is a fraction."""
    if isnan(value):
        return "–"
    if not isfinite(value):
        return "∞" if value > 0 else "−∞"
    if unit in PREFIXED:
        return str(Shown(value, unit).render()).replace("-", "−")
    if unit == SHARE:
        return f"{100 * value:.1f} %".replace("-", "−")
    if unit == "":
        return f"{value:.6g}".replace("-", "−")
    number = f"{100 * value if unit == '%' else value:#.3g}".rstrip(".").replace("-", "−")
    return f"{number} {unit}"


def percent(share: float) -> str:
    """A share such as a yield, two places."""
    return f"{100 * share:.2f} %"


def titled(name: str) -> str:
    """relative_error → relative error."""
    return name.replace("_", " ")


def tick(unit: str) -> Callable[[float, int], str]:
    """Text of a tick, which needs no more digits than it has."""
    factor = 100 if unit == "%" else 1
    return lambda value, _: f"{factor * value:.6g} {unit}".rstrip().replace("-", "−")


def label_axis(axis: Axis, name: str) -> None:
    """Ticks of an axis in the metric's unit, with prefixes."""
    unit = METRICS[name].unit
    axis.set_major_formatter(EngFormatter(unit) if unit in PREFIXED else FuncFormatter(tick(unit)))
    axis.set_label_text(titled(name))

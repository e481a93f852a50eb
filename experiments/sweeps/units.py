"""Metrics as people read them."""

from math import isfinite, isnan

from matplotlib.axis import Axis
from matplotlib.ticker import EngFormatter, FuncFormatter
from quantiphy import Quantity

from experiments.sweeps.metrics import METRICS

PREFIXED = ("s", "A", "W", "J", "V")
"""Units that take prefixes."""


class Shown(Quantity):  # type: ignore[misc]
    """Three digits and a prefix: 23.7 µs."""


Shown.set_prefs(map_sf=Quantity.map_sf_to_greek, prec=2)


def metric_text(name: str, value: float) -> str:
    """A value of a metric with its unit, three digits."""
    return text(value, METRICS[name].unit)


def text(value: float, unit: str) -> str:
    """A value in SI with its unit, three digits; "%" is a share."""
    if isnan(value):
        return "–"
    if not isfinite(value):
        return "∞" if value > 0 else "−∞"
    if unit in PREFIXED:
        return str(Shown(value, unit).render()).replace("-", "−")
    number = f"{100 * value if unit == '%' else value:.3g}".replace("-", "−")
    return f"{number} {unit}".rstrip()


def percent(share: float) -> str:
    """A share such as a yield, two places."""
    return f"{100 * share:.2f} %"


def titled(name: str) -> str:
    """relative_error → relative error."""
    return name.replace("_", " ")


def label_axis(axis: Axis, name: str) -> None:
    """Ticks of an axis in the metric's unit, with prefixes."""
    unit = METRICS[name].unit
    axis.set_major_formatter(EngFormatter(unit) if unit in PREFIXED else FuncFormatter(lambda v, _: text(v, unit)))
    axis.set_label_text(titled(name))

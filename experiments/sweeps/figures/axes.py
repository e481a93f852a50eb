"""How the pictures of a sweep look: colours, limits, legends, and a picture as a file with its words."""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import EngFormatter, FuncFormatter
from numpy.typing import NDArray

from experiments.sweeps.config import Sweep
from experiments.sweeps.group import Group
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.units import PREFIXED, metric_text, titled

Array = NDArray[np.float64]

GOOD, BAD, PLAIN = "#30638e", "#d1495b", "#555555"
MOST_LINES = 6
"""Groups over one another in a picture."""
WIDE = 20.0
"""Ratio of the 99th to the 1st percentile from which an axis is logarithmic."""
FAR = 0.6
"""A limit further from the values than this share of their range is not drawn to scale."""


def limits(axes: Axes, sweep: Sweep, name: str, direction: str, values: Array) -> None:
    """Lines at a metric's limits; an arrow towards one that is so far off that the values would shrink to nothing."""
    finite = values[np.isfinite(values)]
    limit = sweep.limits.get(name)
    if limit is None or len(finite) == 0:
        return
    low, high = float(finite.min()), float(finite.max())
    for end in (limit.min, limit.max):
        if not isfinite(end):
            continue
        if low - FAR * (high - low) <= end <= high + FAR * (high - low):
            (axes.axvline if direction == "x" else axes.axhline)(end, color="k", lw=1.3, ls="--")
            continue
        above = end > high
        said = metric_text(name, end)
        if direction == "x":
            axes.annotate(f"limit {said} →" if above else f"← limit {said}", (0.99 if above else 0.01, 0.94),
                          xycoords="axes fraction", ha="right" if above else "left", fontsize=9)  # fmt: skip
        else:
            axes.annotate(f"{'↑' if above else '↓'} limit {said}", (0.02, 0.97 if above else 0.03),
                          xycoords="axes fraction", va="top" if above else "bottom", fontsize=8.5)  # fmt: skip


def spread(values: Array) -> float:
    """99th over 1st percentile of the finite values; 1 where some are not above zero."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0 or finite.min() <= 0:
        return 1.0
    low, high = np.quantile(finite, [0.01, 0.99])
    return float(high / low)


def under(shown: Sequence[Group]) -> dict[str, Any]:
    """Where a legend of groups goes."""
    title = ", ".join(shown[0].traits)
    return {"loc": "outside lower center", "ncols": 3, "fontsize": 9, "title": title, "title_fontsize": 9}


def colours(count: int) -> list[Any]:
    return [GOOD] if count == 1 else [colormaps["viridis"](x) for x in np.linspace(0, 0.85, count)]


def dashed(found: Sequence[Group]) -> str:
    return " Dashed: limits." if found[0].sweep.limits else ""


def at(where: str) -> str:
    """Where of the grid a figure of one point is."""
    return f" At {where}." if where else ""


def tick(unit: str) -> Callable[[float, int], str]:
    """Text of a tick, which needs no more digits than it has."""
    factor = 100 if unit == "%" else 1
    return lambda value, _: f"{factor * value:.6g} {unit}".rstrip().replace("-", "−")


def label_axis(axis: Axis, name: str) -> None:
    """Ticks of an axis in the metric's unit, with prefixes."""
    unit = METRICS[name].unit
    axis.set_major_formatter(EngFormatter(unit) if unit in PREFIXED else FuncFormatter(tick(unit)))
    axis.set_label_text(titled(name))

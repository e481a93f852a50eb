"""How each metric is distributed: histograms of one group, or cumulative shares of several."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from experiments.shared.figures import FigureEntry
from experiments.sweeps.figures.axes import (
    BAD,
    GOOD,
    MOST_LINES,
    WIDE,
    colours,
    dashed,
    label_axis,
    limits,
    spread,
    under,
)
from experiments.sweeps.findings import Findings, line_of
from experiments.sweeps.group import Group, changing
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.units import metric_text, titled

Array = NDArray[np.float64]


def draw(findings: Findings) -> tuple[Figure, str]:
    """Histograms of one group, or cumulative shares of several over one another, a panel for each metric."""
    shown, _ = line_of(findings, MOST_LINES)
    sweep = shown[0].sweep
    names = changing(shown)
    columns = min(2, len(names))
    height = 2.7 * ceil(len(names) / columns) + 0.9 * (columns == 1) + 0.8 * (len(shown) > 1)
    figure = Figure(figsize=(8.6, height))
    grid = figure.subplots(ceil(len(names) / columns), columns, squeeze=False)
    panels = list(grid.flat)
    for axes, name in zip(panels, names, strict=False):
        (_histogram if len(shown) == 1 else _cumulative)(axes, shown, name)
        limits(axes, sweep, name, "x", np.concatenate([group.column(name) for group in shown]))
        label_axis(axes.xaxis, name)
        if axes.get_xscale() == "linear":
            axes.xaxis.set_major_locator(MaxNLocator(5))
    for axes in panels[len(names) :]:
        axes.axis("off")
    if len(shown) > 1:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, **under(shown))
    words = []
    for group in shown:
        said = [
            f"{titled(name)} has its median at {metric_text(name, group.percentile(name, 0.5).value)} and its 95th "
            f"percentile at {metric_text(name, group.percentile(name, 0.95).value)}"
            for name in names[:2]
        ]
        words.append(f"{group.label + ': ' if group.label else ''}{', '.join(said)}")
    return figure, "; ".join(words)


def caption(findings: Findings) -> str:
    found = findings.shown
    if len(found) > 1:
        return f"Share of the copies below each value.{dashed(found)}{line_of(findings, MOST_LINES)[1]}"
    beyond = " Dashed: limits, beyond them red." if found[0].sweep.limits else ""
    return (
        f"Copies by each metric.{beyond} Dotted: the median."
        + " Each copy counts by its weight." * found[0].copies.weighted
    )


def _histogram(axes: Axes, shown: Sequence[Group], name: str) -> None:
    (group,) = shown
    values, weights = group.column(name), group.weights
    finite = np.isfinite(values)
    if not finite.any():
        axes.text(0.5, 0.5, "in no copy", ha="center", transform=axes.transAxes)
        return
    seen, weights = values[finite], weights[finite]
    limit = group.sweep.limits.get(name)
    logarithmic = spread(seen) > WIDE
    if METRICS[name].unit == "" and np.ptp(seen) < 60:
        bins = np.arange(seen.min() - 0.5, seen.max() + 1.5)
        logarithmic = False
    elif np.ptp(seen) == 0:
        bins = seen[0] * np.array([0.99, 1.01]) if seen[0] else np.array([-0.5, 0.5])
        logarithmic = False
    else:
        bins = _bins(seen, logarithmic, [] if limit is None else [limit.max, limit.min])
    outside = np.zeros(len(seen), dtype=bool) if limit is None else (seen < limit.min) | (seen > limit.max)
    parts = [seen[~outside], seen[outside]]
    own = [weights[~outside], weights[outside]]
    axes.hist(parts, bins.tolist(), weights=own, stacked=True, color=[GOOD, BAD])
    axes.set(ylabel="copies", xscale="log" if logarithmic else "linear")
    if logarithmic:
        axes.xaxis.set_minor_formatter(NullFormatter())
    middle = group.percentile(name, 0.5).value
    axes.axvline(middle, color="k", lw=1.2, ls=":")
    if missing := int((~finite).sum()):
        axes.annotate(f"{missing} copies beyond all", (0.98, 0.92), xycoords="axes fraction", ha="right", fontsize=9)


def _bins(values: Array, logarithmic: bool, edges: Sequence[float]) -> Array:
    """Of equal width over all values. One of the edges is an edge of the bins, where it lies among the values."""
    scale = np.log(values) if logarithmic else values
    low, high = float(scale.min()), float(scale.max())
    width = (high - low) / min(60, max(8, round(2 * len(values) ** (1 / 3))))
    for edge in edges:
        at = np.log(edge) if logarithmic and edge > 0 else edge
        if low < at < high:
            low = at - width * ceil((at - low) / width)
            break
    bins = low + width * np.arange(ceil((high - low) / width * (1 - 1e-12)) + 1)
    bins[-1] = max(bins[-1], high)
    return np.exp(bins) if logarithmic else bins


def _cumulative(axes: Axes, shown: Sequence[Group], name: str) -> None:
    every = np.concatenate([group.column(name) for group in shown])
    every = every[np.isfinite(every)]
    logarithmic = len(every) > 0 and spread(every) > WIDE
    for group, colour in zip(shown, colours(len(shown)), strict=True):
        values = group.column(name)
        order = np.argsort(values)
        share = np.cumsum(group.weights[order]) / group.weights.sum()
        finite = np.isfinite(values[order])
        axes.step(values[order][finite], share[finite], where="post", color=colour, lw=1.5, label=group.short)
    axes.set(ylabel="share of copies below", ylim=(0, 1.02), xscale="log" if logarithmic else "linear")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f} %"))
    if logarithmic:
        axes.xaxis.set_minor_formatter(NullFormatter())


DISTRIBUTION = FigureEntry("distribution", "Distribution", caption, draw)

"""How the yield, or the median of the first metric, comes to rest as copies are added."""

from math import isfinite

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from experiments.shared.figures import FigureEntry
from experiments.sweeps.figures.axes import MOST_LINES, colours, label_axis, under
from experiments.sweeps.findings import Findings, line_of
from experiments.sweeps.group import Group, ranked
from experiments.sweeps.statistics import percentile, running_yield
from experiments.sweeps.units import metric_text, percent, titled

Array = NDArray[np.float64]

NOTICED = 200
"""Points of a curve."""
EARLY = 30
"""Samples before which a running yield swings too far to be shown whole."""


def draw(findings: Findings) -> tuple[Figure, str] | None:
    """The running yield (or median of the first metric) with its interval, and how wide that is."""
    if not findings.chosen.copies.drawn:
        return None
    shown, _ = line_of(findings, MOST_LINES)
    sweep = shown[0].sweep
    stop = sweep.analysis.stop_width
    failing = bool(sweep.limits) and shown[0].copies.weighted
    figure = Figure(figsize=(8.6, 3.2 + 0.8 * (len(shown) > 1)))
    above, below = figure.subplots(1, 2)
    words, lowest, highest = [], [], []
    spread = False
    for group, colour in zip(shown, colours(len(shown)), strict=True):
        counts, middle, low, high = running(group)
        if failing:
            middle, low, high = 1 - middle, 1 - high, 1 - low
        late = counts >= min(EARLY, counts[-1])
        lowest.append(low[late].min())
        highest.append(high[late].max())
        above.plot(counts, middle, color=colour, lw=1.6, label=group.short)
        above.fill_between(counts, low, high, color=colour, alpha=0.18, lw=0)
        width = high - low
        known = np.isfinite(width) & (width > 0)
        spread = spread or bool(known.any())
        below.plot(counts[known], width[known], color=colour, lw=1.6)
        if isfinite(width[-1]):
            points = _share_text(width[-1]) if failing else f"{100 * width[-1]:.2f} percentage points"
            shown_width = points if sweep.limits else metric_text(ranked(sweep)[0], width[-1])
            where = f"{group.label}: " if group.label else ""
            words.append(f"{where}after {counts[-1]} copies the interval is {shown_width} wide")
    above.set(xlabel="copies", xscale="log")
    below.set(xlabel="copies", xscale="log")
    if spread:  # no interval has a width where all copies are alike
        below.set_yscale("log")
        below.yaxis.set_major_locator(LogLocator() if failing else LogLocator(subs=(1, 2, 5)))
    for axes in (above, below):
        axes.xaxis.set_major_formatter("{x:g}")
    if failing:
        above.set(ylabel="failing so far", yscale="log")
        below.set_ylabel("width of its 95 % interval")
        for axes in (above, below):
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _share_text(v)))
            axes.yaxis.set_minor_formatter(NullFormatter())
    elif sweep.limits:
        margin = 0.05 * (max(highest) - min(lowest)) + 1e-6
        above.set(ylabel="yield so far", ylim=(min(lowest) - margin, max(highest) + margin))
        above.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g} %"))
        below.set_ylabel("width of its 95 % interval")
        below.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g} %"))
        below.yaxis.set_minor_formatter(NullFormatter())
    else:
        name = ranked(sweep)[0]
        label_axis(above.yaxis, name)
        above.set_ylabel("median so far")
        label_axis(below.yaxis, name)
        below.yaxis.set_minor_formatter(NullFormatter())
        below.set_ylabel("width of its 95 % interval")
    if stop is not None:
        below.axhline(stop, color="k", lw=1.2, ls="--")
        below.annotate(
            f"stop_width {percent(stop)}",
            (0.02, stop),
            xycoords=("axes fraction", "data"),
            ha="left",
            va="bottom",
            fontsize=9,
        )
    if len(shown) > 1:
        figure.legend(*above.get_legend_handles_labels(), **under(shown))
    return figure, "; ".join(words)


def caption(findings: Findings) -> str:
    sweep = findings.sweep
    what = "yield" if sweep.limits else f"median of {titled(ranked(sweep)[0])}"
    if sweep.limits and findings.chosen.copies.weighted:
        what = "share of failing copies, by weight,"
    return (
        f"The {what} among the first copies, in the order of their numbers, with its 95 % interval, and the width of "
        f"that interval, which falls with the square root of the number.{line_of(findings, MOST_LINES)[1]}"
    )


def _share_text(share: float) -> str:
    return f"{100 * share:.3g} %" if share >= 1e-3 else f"{1e6 * share:.3g} ppm"


def running(group: Group) -> tuple[NDArray[np.intp], Array, Array, Array]:
    """Numbers of samples; the yield among so many first ones, or the median of the first metric, and its interval."""
    n = len(group.tried)
    counts = np.unique(np.geomspace(min(10, n), n, NOTICED).astype(np.intp))
    if group.sweep.limits:
        return counts, *running_yield(group.good, group.weights, group.copies.heaviest, counts)
    values = group.column(ranked(group.sweep)[0])
    medians = [percentile(values[:count], 0.5) for count in counts.tolist()]
    return counts, *np.array([(median.value, *median.interval) for median in medians]).T


CONVERGENCE = FigureEntry("convergence", "Convergence", caption, draw)

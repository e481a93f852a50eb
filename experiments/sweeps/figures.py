"""The pictures of a sweep, each as a PNG with what it shows in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil, isfinite
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray
from scipy.special import ndtri

from experiments.shared.grid import axis_name, value_text
from experiments.shared.plotting import STYLE
from experiments.sweeps.config import Sweep
from experiments.sweeps.effects import EITHER_WAY, Effect
from experiments.sweeps.findings import Group, ranked
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.redraw import Trait
from experiments.sweeps.statistics import CONFIDENCE, clopper_pearsons, percentile
from experiments.sweeps.units import label_axis, metric_text, percent, tick, titled

Array = NDArray[np.float64]

GOOD, BAD, PLAIN = "#30638e", "#d1495b", "#555555"
MOST_LINES = 6
"""Groups over one another in a picture."""
WIDE = 20.0
"""Ratio of the 99th to the 1st percentile from which an axis is logarithmic."""
NOTICED = 200
"""Points of a curve of convergence."""
MOST_DOTS = 2000
"""Of a scatter plot."""
MOST_BARS = 8
FAR = 0.6
"""A limit further from the values than this share of their range is not drawn to scale."""
EARLY = 30
"""Samples before which a running yield swings too far to be shown whole."""


@dataclass(frozen=True)
class Picture:
    """A PNG and what it shows."""

    png: bytes
    words: str


def distribution(found: Sequence[Group]) -> Picture:
    """Histograms of one group, or cumulative shares of several over one another, a panel for each metric."""
    shown = spread_over(found)
    sweep = shown[0].sweep
    names = changing(shown)
    columns = min(2, len(names))
    with plt.rc_context(STYLE):
        height = 2.7 * ceil(len(names) / columns) + 0.9 * (columns == 1) + 0.8 * (len(shown) > 1)
        figure, grid = plt.subplots(ceil(len(names) / columns), columns, figsize=(8.6, height), squeeze=False)
        panels = list(grid.flat)
        for axes, name in zip(panels, names, strict=False):
            (_histogram if len(shown) == 1 else _cumulative)(axes, shown, name)
            _limits(axes, sweep, name, "x", np.concatenate([group.column(name) for group in shown]))
            label_axis(axes.xaxis, name)
            if axes.get_xscale() == "linear":
                axes.xaxis.set_major_locator(MaxNLocator(5))
        for axes in panels[len(names) :]:
            axes.axis("off")
        if len(shown) > 1:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, **_under(shown))
        words = []
        for group in shown:
            said = [
                f"{titled(name)} has its median at {metric_text(name, group.percentile(name, 0.5).value)} and its 95th "
                f"percentile at {metric_text(name, group.percentile(name, 0.95).value)}"
                for name in names[:2]
            ]
            words.append(f"{group.label + ': ' if group.label else ''}{', '.join(said)}")
        return _finished(figure, "; ".join(words))


def against_grid(found: Sequence[Group], settings: Sequence[dict[str, Any]]) -> Picture:
    """Yield, and median and 95th percentile of each metric, against what the grid sets."""
    sweep = found[0].sweep
    names = changing(found)[: 3 if sweep.limits else 4]
    axis, series = _series(found, settings)
    ticks = list(dict.fromkeys(value_text(settings[g.key[0]][axis]) for g in found))
    panels = [*(["yield"] if sweep.limits else []), *names]
    with plt.rc_context(STYLE):
        columns = min(2, len(panels))
        figure, grid = plt.subplots(
            ceil(len(panels) / columns), columns, figsize=(8.6, 3.0 * ceil(len(panels) / columns)), squeeze=False
        )
        for axes, panel in zip(grid.flat, panels, strict=False):
            for (label, line), colour in zip(series.items(), _colours(len(series)), strict=True):
                x = np.array([ticks.index(value_text(settings[g.key[0]][axis])) for g in line])
                order = np.argsort(x)
                line, x = [line[k] for k in order.tolist()], x[order]
                if panel == "yield":
                    _bars(
                        axes,
                        x,
                        [g.found_yield.share for g in line],
                        [g.found_yield.interval for g in line],
                        colour,
                        "-",
                        label,
                    )
                    continue
                for share, style in ((0.5, "-"), (0.95, ":")):
                    points = [g.percentile(panel, share) for g in line]
                    name = {0.5: "median", 0.95: "95th percentile"}[share]
                    _bars(axes, x, [p.value for p in points], [p.interval for p in points], colour, style,
                          f"{label + ', ' if label else ''}{name}")  # fmt: skip
            axes.set_xlabel(axis_name(axis))
            axes.set_xticks(range(len(ticks)), ticks, rotation=0 if len(ticks) <= 6 else 45)
            axes.xaxis.set_minor_formatter(NullFormatter())
            if panel == "yield":
                axes.set(ylabel="yield", ylim=(-0.03, 1.03))
                axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f} %"))
            else:
                label_axis(axes.yaxis, panel)
                _limits(axes, sweep, panel, "y", np.array([0.0, axes.get_ylim()[1]]))
                axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
            if len(series) > 1 or panel != "yield":
                title = ", ".join(name for name in found[0].traits if name != axis_name(axis))
                axes.legend(fontsize=8, title=title if len(series) > 1 else None, title_fontsize=8)
        for axes in list(grid.flat)[len(panels) :]:
            axes.axis("off")
        if sweep.limits:
            words = "; ".join(f"{g.label}: yield {percent(g.found_yield.share)}" for g in found)
        else:
            words = "; ".join(
                f"{g.label}: median {metric_text(names[0], g.percentile(names[0], 0.5).value)}" for g in found
            )
        return _finished(figure, words)


def convergence(found: Sequence[Group]) -> Picture:
    """The running yield (or median of the first metric) with its interval, and how wide that is."""
    shown = spread_over(found)
    sweep = shown[0].sweep
    stop = sweep.analysis.stop_width
    with plt.rc_context(STYLE):
        figure, (above, below) = plt.subplots(1, 2, figsize=(8.6, 3.2 + 0.8 * (len(shown) > 1)))
        words, lowest, highest = [], [], []
        spread = False
        for group, colour in zip(shown, _colours(len(shown)), strict=True):
            counts, middle, low, high = running(group)
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
                points = f"{100 * width[-1]:.2f} percentage points"
                shown_width = points if sweep.limits else metric_text(ranked(sweep)[0], width[-1])
                where = f"{group.label}: " if group.label else ""
                words.append(f"{where}after {counts[-1]} copies the interval is {shown_width} wide")
        above.set(xlabel="copies", xscale="log")
        below.set(xlabel="copies", xscale="log")
        if spread:  # no interval has a width where all copies are alike
            below.set_yscale("log")
            below.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        for axes in (above, below):
            axes.xaxis.set_major_formatter("{x:g}")
        if sweep.limits:
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
            figure.legend(*above.get_legend_handles_labels(), **_under(shown))
        return _finished(figure, "; ".join(words))


def running(group: Group) -> tuple[NDArray[np.intp], Array, Array, Array]:
    """Numbers of samples; the yield among so many first ones, or the median of the first metric, and its interval."""
    n = len(group.tried)
    counts = np.unique(np.geomspace(min(10, n), n, NOTICED).astype(np.intp))
    if not group.sweep.limits:
        values = group.column(ranked(group.sweep)[0])
        medians = [percentile(values[:count], 0.5) for count in counts.tolist()]
        return counts, *np.array([(median.value, *median.interval) for median in medians]).T
    if group.sweep.analysis.kind == "importance":
        bad = group.weights * ~group.good
        mean = np.cumsum(bad)[counts - 1] / counts
        square = np.cumsum(bad**2)[counts - 1] / counts
        variance = np.maximum(square - mean**2, 0) * counts / np.maximum(counts - 1, 1)
        error = float(ndtri((1 + CONFIDENCE) / 2)) * np.sqrt(variance / counts)
        return counts, 1 - mean, np.maximum(0, 1 - mean - error), np.minimum(1, 1 - mean + error)
    good = np.cumsum(group.good, dtype=np.intp)[counts - 1]
    return counts, good / counts, *clopper_pearsons(good, counts)


def tornado(panels: dict[str, list[Effect]], kind: str, noise: float = 0.0) -> Picture:
    """Bars of what a metric follows, the strongest on top, a panel for each metric.

    Args:
        kind: "range": from 5th to 95th percentile, in the metric's unit; "correlation": −1 to 1; "share": of variance.
        noise: half width of the band in which a correlation is as good as none.
    """
    with plt.rc_context(STYLE):
        heights = [0.8 + 0.27 * min(len(effects), MOST_BARS) for effects in panels.values()]
        figure, grid = plt.subplots(len(panels), 1, figsize=(8.6, sum(heights)), height_ratios=heights, squeeze=False)
        words = []
        for axes, (name, effects) in zip(grid.flat, panels.items(), strict=False):
            top = effects[:MOST_BARS]
            # Unstable samples count as infinite, which no axis reaches.
            edge = 1.1 * max((abs(end) for e in top for end in (e.low, e.high) if isfinite(end)), default=1.0)
            lefts = [min(e.low, edge) for e in top]
            widths = [min(e.high, edge) - low for e, low in zip(top, lefts, strict=True)]
            for e in top:
                if e.high == np.inf:
                    axes.annotate("∞", (edge, e.name), xytext=(3, 0), textcoords="offset points", va="center")
            colours = [BAD if kind == "correlation" and e.high > 0 else GOOD for e in top]
            axes.barh([e.name for e in top], widths, left=lefts, color=colours, height=0.65)
            axes.invert_yaxis()
            axes.grid(False, axis="y")
            if kind == "correlation":
                axes.axvspan(-noise, noise, color="k", alpha=0.1, lw=0, zorder=0)
                axes.set(xlim=(-1, 1), xlabel=f"rank correlation with {titled(name)}")
            elif kind == "share":
                axes.set(
                    xlim=(0, max(1.0, 1.05 * max(widths))), xlabel=f"total share in the variance of {titled(name)}"
                )
                axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f} %"))
            else:
                label_axis(axes.xaxis, name)
                axes.xaxis.set_major_locator(MaxNLocator(5))
            words.append(f"{titled(name)} goes most with {_strongest(top[0], kind, name)}")
        return _finished(figure, "; ".join(words))


def pairs(group: Group, chosen: NDArray[np.intp], traits: Sequence[Trait], panels: dict[str, list[Effect]]) -> Picture:
    """Each metric over the traits that it follows most; samples that keep all limits apart from the others."""
    by_name = {trait.name: trait for trait in traits}
    columns = min(3, max(len(effects) for effects in panels.values()))
    good = group.good[chosen]
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(len(panels), columns, figsize=(8.6, 2.6 * len(panels)), squeeze=False, sharey="row")
        for line, (name, effects) in zip(grid, panels.items(), strict=True):
            values = group.column(name)[chosen]
            for axes, effect in zip(line, effects, strict=False):
                trait = by_name[effect.name.removesuffix(EITHER_WAY)]
                for which, colour, label in ((good, GOOD, "keeps all limits"), (~good, BAD, "does not")):
                    x, y = trait.values[:MOST_DOTS], values[:MOST_DOTS]
                    seen = which[:MOST_DOTS] & np.isfinite(y)
                    axes.scatter(x[seen], y[seen], s=5, color=colour, alpha=0.45, lw=0, label=label)
                axes.xaxis.set_major_locator(MaxNLocator(4))
                axes.xaxis.set_major_formatter(FuncFormatter(tick(trait.unit)))
                axes.set_xlabel(trait.name, fontsize=9)
                axes.tick_params(axis="x", labelsize=8.5)
            for axes in line[len(effects) :]:
                axes.axis("off")
            if _spread(values) > WIDE:
                line[0].set_yscale("log")
                line[0].yaxis.set_minor_formatter(NullFormatter())
            label_axis(line[0].yaxis, name)
            for axes in line[: len(effects)]:
                _limits(axes, group.sweep, name, "y", values)
        if group.sweep.limits:
            handles, labels = grid[0, 0].get_legend_handles_labels()
            legend = figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9, markerscale=3)
            for handle in legend.legend_handles:
                handle.set_alpha(1)  # type: ignore[union-attr]
        words = [
            f"{titled(name)} against {', '.join(effect.name.removesuffix(EITHER_WAY) for effect in effects[:columns])}"
            for name, effects in panels.items()
        ]
        return _finished(figure, "; ".join(words))


def changing(found: Sequence[Group]) -> list[str]:
    """The metrics that are not the same in all samples, limited ones first; the first metric where all are."""
    names = ranked(found[0].sweep)
    return [name for name in names if len(np.unique(np.concatenate([g.column(name) for g in found]))) > 1] or names[:1]


def spread_over(found: Sequence[Group]) -> list[Group]:
    """At most ``MOST_LINES`` of the groups, from the first to the last."""
    if len(found) <= MOST_LINES:
        return list(found)
    return [found[k] for k in np.linspace(0, len(found) - 1, MOST_LINES).round().astype(int).tolist()]


def _histogram(axes: Axes, shown: Sequence[Group], name: str) -> None:
    (group,) = shown
    values, weights = group.column(name), group.weights
    finite = np.isfinite(values)
    if not finite.any():
        axes.text(0.5, 0.5, "in no copy", ha="center", transform=axes.transAxes)
        return
    seen, weights = values[finite], weights[finite]
    limit = group.sweep.limits.get(name)
    logarithmic = _spread(seen) > WIDE
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
    logarithmic = len(every) > 0 and _spread(every) > WIDE
    for group, colour in zip(shown, _colours(len(shown)), strict=True):
        values = group.column(name)
        order = np.argsort(values)
        share = np.cumsum(group.weights[order]) / group.weights.sum()
        finite = np.isfinite(values[order])
        axes.step(values[order][finite], share[finite], where="post", color=colour, lw=1.5, label=group.short)
    axes.set(ylabel="share of copies below", ylim=(0, 1.02), xscale="log" if logarithmic else "linear")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f} %"))
    if logarithmic:
        axes.xaxis.set_minor_formatter(NullFormatter())


def _limits(axes: Axes, sweep: Sweep, name: str, direction: str, values: Array) -> None:
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


def _spread(values: Array) -> float:
    """99th over 1st percentile of the finite values; 1 where some are not above zero."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0 or finite.min() <= 0:
        return 1.0
    low, high = np.quantile(finite, [0.01, 0.99])
    return float(high / low)


def _bars(
    axes: Axes,
    x: Array,
    y: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    colour: Any,
    style: str,
    label: str,
) -> None:
    """A line with a bar for each interval; an end that is not known has none."""
    middle = np.array(y)
    ends = np.array(intervals)
    away = np.abs(np.where(np.isfinite(ends), ends, middle[:, None]) - middle[:, None]).T
    axes.errorbar(x, middle, away, color=colour, ls=style, marker="o", ms=4, lw=1.5, capsize=3, label=label or None)


def _series(found: Sequence[Group], settings: Sequence[dict[str, Any]]) -> tuple[str, dict[str, list[Group]]]:
    """The axis that takes most values, and the groups by what the other axes set and their case."""
    taken = {name: {value_text(setting[name]) for setting in settings} for name in settings[0]}
    axis = max(taken, key=lambda name: len(taken[name]))
    series: dict[str, list[Group]] = {}
    for group in found:
        others = [value for name, value in group.traits.items() if name != axis_name(axis)]
        series.setdefault(", ".join(others), []).append(group)
    return axis, series


def _under(shown: Sequence[Group]) -> dict[str, Any]:
    """Where a legend of groups goes."""
    title = ", ".join(shown[0].traits)
    return {"loc": "outside lower center", "ncols": 3, "fontsize": 9, "title": title, "title_fontsize": 9}


def _strongest(effect: Effect, kind: str, name: str) -> str:
    if kind == "correlation":
        return f"{effect.name} (rank correlation {effect.low + effect.high:+.2f})"
    if kind == "share":
        return f"{effect.name} ({percent(effect.size)} of the variance)"
    return f"{effect.name} ({metric_text(name, effect.low)} to {metric_text(name, effect.high)})"


def _colours(count: int) -> list[Any]:
    return [GOOD] if count == 1 else [plt.get_cmap("viridis")(x) for x in np.linspace(0, 0.85, count)]


def _finished(figure: Figure, words: str) -> Picture:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=STYLE["figure.dpi"])
    plt.close(figure)
    return Picture(buffer.getvalue(), words)

"""Yield and metrics against what the grid sets."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from experiments.shared.figures import FigureEntry
from experiments.shared.grid import axis_name, value_text
from experiments.sweeps.figures.axes import MOST_LINES, colours, dashed, label_axis, limits
from experiments.sweeps.findings import Findings
from experiments.sweeps.group import Group, changing
from experiments.sweeps.units import metric_text, yield_share

Array = NDArray[np.float64]


def draw(findings: Findings) -> tuple[Figure, str] | None:
    """Yield, and median and 95th percentile of each metric, against what the grid sets."""
    found, settings = findings.shown, findings.study.settings
    if len(settings) < 2 or not settings[0]:
        return None
    sweep = found[0].sweep
    names = changing(found)[: 3 if sweep.limits else 4]
    axis, series = _series(found, settings)
    ticks = list(dict.fromkeys(value_text(settings[g.key[0]][axis]) for g in found))
    panels = [*(["yield"] if sweep.limits else []), *names]
    columns = min(2, len(panels))
    many = len(series) > MOST_LINES
    below = 0.5 + 0.22 * ceil(len(series) / 3) if many else 0.0
    figure = Figure(figsize=(8.6, 3.0 * ceil(len(panels) / columns) + below))
    grid = figure.subplots(ceil(len(panels) / columns), columns, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        for (label, line), colour in zip(series.items(), colours(len(series)), strict=True):
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
            limits(axes, sweep, panel, "y", np.array([0.0, axes.get_ylim()[1]]))
            axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        if not many and (len(series) > 1 or panel != "yield"):
            title = ", ".join(name for name in found[0].traits if name != axis_name(axis))
            axes.legend(fontsize=8, title=title if len(series) > 1 else None, title_fontsize=8)
    for axes in list(grid.flat)[len(panels) :]:
        axes.axis("off")
    if many:
        handles = [Line2D([], [], color=colour, marker="o", ms=4) for colour in colours(len(series))]
        title = ", ".join(name for name in found[0].traits if name != axis_name(axis))
        figure.legend(
            handles, list(series), loc="outside lower center", ncols=3, fontsize=8, title=title, title_fontsize=8
        )
    if sweep.limits:
        words = "; ".join(f"{g.label}: yield {yield_share(g.found_yield.share)}" for g in found)
    else:
        words = "; ".join(
            f"{g.label}: median {metric_text(names[0], g.percentile(names[0], 0.5).value)}" for g in found
        )
    return figure, words


def caption(findings: Findings) -> str:
    text = "Bars are 95 % intervals. The values stand in the order of the config, evenly apart."
    return f"{text} Solid: medians; dotted: 95th percentiles.{dashed(findings.shown)}"


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


GRID = FigureEntry("grid", "Across the grid", caption, draw)

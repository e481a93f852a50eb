"""What each metric follows, as bars: the strongest on top."""

from math import inf, isfinite

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from experiments.shared.figures import FigureEntry
from experiments.sweeps.bars import Bar, Bars, Scale
from experiments.sweeps.figures.axes import BAD, GOOD, at, label_axis, tick
from experiments.sweeps.findings import Findings
from experiments.sweeps.units import titled

MOST = 8
"""Bars of a panel."""


def draw(findings: Findings) -> tuple[Figure, str] | None:
    return None if findings.bars is None else tornado(findings.bars)


def tornado(bars: Bars) -> tuple[Figure, str]:
    """A panel for each metric."""
    heights = [0.8 + 0.27 * min(len(own), MOST) for own in bars.of.values()]
    figure = Figure(figsize=(8.6, sum(heights)))
    grid = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)
    words = []
    for axes, (name, own) in zip(grid.flat, bars.of.items(), strict=True):
        if bars.noise:
            axes.axvspan(-bars.noise, bars.noise, color="k", alpha=0.1, lw=0, zorder=0)
        _panel(axes, own[:MOST], bars.scale, name)
        if isfinite(bars.floor.get(name, inf)):
            axes.axvline(bars.floor[name], color="k", lw=1.2, ls=":")
        words.append(f"{titled(name)} goes most with {bars.scale.strongest(name, own[0])}")
    return figure, "; ".join(words)


def _panel(axes: Axes, bars: tuple[Bar, ...], scale: Scale, metric: str) -> None:
    # Unstable samples count as infinite, which no axis reaches.
    edge = 1.1 * max((abs(end) for bar in bars for end in (bar.low, bar.high) if isfinite(end)), default=1.0)
    lefts = [min(bar.low, edge) for bar in bars]
    widths = [min(bar.high, edge) - left for bar, left in zip(bars, lefts, strict=True)]
    names = [bar.name for bar in bars]
    colours = [BAD if scale.signed and bar.high > 0 else GOOD for bar in bars]
    axes.barh(names, widths, left=lefts, color=colours, height=0.65)
    for bar in bars:
        if bar.high == inf:
            axes.annotate("∞", (edge, bar.name), xytext=(3, 0), textcoords="offset points", va="center")
        if all(map(isfinite, bar.interval)):
            axes.plot(bar.interval, [bar.name, bar.name], color="k", lw=1.2)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    if scale.unit is None:
        label_axis(axes.xaxis, metric)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    else:
        axes.xaxis.set_major_formatter(FuncFormatter(tick(scale.unit)))
    axes.set_xlabel(scale.label.format(metric=titled(metric)))
    if scale.reach is not None:
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, scale.reach[0]) if low < 0 else scale.reach[0], max(high, scale.reach[1]))


def caption(findings: Findings) -> str:
    assert findings.bars is not None
    return f"{findings.bars.scale.caption}{at(findings.where)}"


SENSITIVITY = FigureEntry("sensitivity", "Sensitivity", caption, draw)

"""Each metric against the drawn quantities that it goes with most."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from experiments.shared.figures import FigureEntry
from experiments.sweeps.correlations import EITHER_WAY
from experiments.sweeps.figures.axes import BAD, GOOD, WIDE, at, dashed, label_axis, limits, spread, tick
from experiments.sweeps.findings import Findings
from experiments.sweeps.units import titled

MOST_DOTS = 2000
"""Of a panel."""


def draw(findings: Findings) -> tuple[Figure, str] | None:
    """Each metric over the traits that it follows most; samples that keep all limits apart from the others."""
    if findings.bars is None or findings.drawn is None or not findings.chosen.copies.drawn:
        return None
    group, panels, (chosen, traits) = findings.chosen, findings.bars.of, findings.drawn
    by_name = {trait.name: trait for trait in traits}
    columns = min(3, max(len(bars) for bars in panels.values()))
    good = group.good[chosen]
    figure = Figure(figsize=(8.6, 2.6 * len(panels)))
    grid = figure.subplots(len(panels), columns, squeeze=False, sharey="row")
    for line, (name, bars) in zip(grid, panels.items(), strict=True):
        values = group.column(name)[chosen]
        for axes, bar in zip(line, bars, strict=False):
            trait = by_name[bar.name.removesuffix(EITHER_WAY)]
            for which, colour, label in ((good, GOOD, "keeps all limits"), (~good, BAD, "does not")):
                x, y = trait.values[:MOST_DOTS], values[:MOST_DOTS]
                seen = which[:MOST_DOTS] & np.isfinite(y)
                axes.scatter(x[seen], y[seen], s=5, color=colour, alpha=0.45, lw=0, label=label)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_formatter(FuncFormatter(tick(trait.unit)))
            axes.set_xlabel(trait.name, fontsize=9)
            axes.tick_params(axis="x", labelsize=8.5)
        for axes in line[len(bars) :]:
            axes.axis("off")
        if spread(values) > WIDE:
            line[0].set_yscale("log")
            line[0].yaxis.set_minor_formatter(NullFormatter())
        label_axis(line[0].yaxis, name)
        for axes in line[: len(bars)]:
            limits(axes, group.sweep, name, "y", values)
    if group.sweep.limits:
        handles, labels = grid[0, 0].get_legend_handles_labels()
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9, markerscale=3)
        for handle in legend.legend_handles:
            handle.set_alpha(1)  # type: ignore[union-attr]
    words = [
        f"{titled(name)} against {', '.join(bar.name.removesuffix(EITHER_WAY) for bar in bars[:columns])}"
        for name, bars in panels.items()
    ]
    return figure, "; ".join(words)


def caption(findings: Findings) -> str:
    text = "Each metric against the drawn quantities that it goes with most, strongest first."
    return f"{text}{dashed([findings.chosen])}{at(findings.chosen.label)}"


PAIRS = FigureEntry("pairs", "Pairs", caption, draw)

"""Score, loss and refused matrices against a disturbance, a curve for each optimizer."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.shared.figures import FigureEntry
from experiments.shared.grid import axis_name, value_text
from experiments.training.resilience import Bearing, Level, interval, level_text

Found = Sequence[Bearing]
MARKERS = "os^Dv<>"
ASIDE = 0.05
"""By how much curves of equal values stand beside each other, in levels."""
CAPTION = (
    "Means over the seeds, with 95 % intervals as bands; a ring is where it starts to hurt, a cross a level where "
    "trials failed, left out of the curve. Dotted: what the disturbance does not reach. Below, the share of the steps "
    "whose matrix was not definite, so that the damping λ was doubled until it was."
)


def figures(reached: Found, alike: Found) -> list[FigureEntry[Mapping[str, str]]]:
    """One for each disturbance, drawn in the colours of the optimizers."""
    made = []
    for number, field in enumerate(dict.fromkeys(one.field for one in reached)):
        own = [one for one in reached if one.field == field]
        beside = [one for one in alike if one.field == field]
        title = f"{axis_name(field).capitalize()}: what it does to training"
        made.append(FigureEntry(f"resilience-{number}", title, CAPTION, partial(_draw, own, beside)))
    return made


def _draw(reached: Found, alike: Found, colours: Mapping[str, str]) -> tuple[Figure, str]:
    solves = any(level.raised is not None for one in reached for level in one.levels)
    heights = [3, 2, 1.3] if solves else [3, 2]
    figure = Figure(figsize=(7.2, 2.6 * len(heights)))
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    score = reached[0].score
    for one in alike:
        mean = interval(one.levels[0].scores)[0]
        panels[0].axhline(score.shown(mean), color=colours[one.optimizer], ls=":", label=one.optimizer)
        panels[1].axhline(interval(one.levels[0].losses)[0], color=colours[one.optimizer], ls=":")
    for number, one in enumerate(reached):
        colour, aside = colours[one.optimizer], ASIDE * (number - (len(reached) - 1) / 2)
        look = {"color": colour, "marker": MARKERS[number % len(MARKERS)], "ms": 4, "lw": 1.6}
        _curve(panels[0], one, aside, look, lambda level: [score.shown(value) for value in interval(level.scores)])
        _curve(panels[1], one, aside, look, lambda level: list(interval(level.losses)))
        for panel, found in ((panels[0], one.by_score), (panels[1], one.by_loss)):
            line = panel.get_lines()[-1]
            places, heights_of = line.get_xdata(), line.get_ydata()
            at = int(np.abs(np.asarray(places) - found.level - aside).argmin()) if len(places) else 0
            if len(places) and np.isclose(places[at], found.level + aside):
                panel.plot(places[at], heights_of[at], "o", ms=11, mfc="none", mec=colour, mew=1.5)
        if solves:
            shares = [(x + aside, 100 * level.raised) for x, level in enumerate(one.levels) if level.raised is not None]
            panels[2].plot(*zip(*shares, strict=True), **look)
        failed = [x + aside for x, level in enumerate(one.levels) if level.failed]
        low = panels[0].get_xaxis_transform()
        panels[0].plot(failed, [0.03] * len(failed), "x", color=colour, transform=low, ms=6)
    for panel in panels[:2]:
        _cut(panel, score.unit == "%" and panel is panels[0])
    panels[0].set_ylabel(f"test {score.title}")
    panels[1].set(ylabel="validation loss", yscale="log")
    if solves:
        panels[2].set(ylabel="λ raised (% of steps)", ylim=(-4, 104))
    ticks = [value_text(level.value) for level in reached[0].levels]
    panels[-1].set_xticks(range(len(ticks)), ticks)
    panels[-1].set_xlabel(axis_name(reached[0].field))
    panels[0].legend(fontsize=9, ncols=2)
    ends = [f"{one.optimizer} hurts from {level_text(one, one.by_score.level)}" for one in reached]
    return figure, f"test {score.name} against {axis_name(reached[0].field)}; {'; '.join(ends)}"


def _cut(panel: Axes, share: bool) -> None:
    """To where the means are, and a little beyond: bands of few seeds reach far."""
    means = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in panel.get_lines()])
    low, high = float(np.nanmin(means)), float(np.nanmax(means))
    if share:
        panel.set_ylim(max(0.0, low - 5), min(100.5, high + 5))
    elif low > 0:
        panel.set_ylim(low / 2, 2 * high)


def _curve(
    panel: Axes, one: Bearing, aside: float, look: dict[str, Any], values: Callable[[Level], list[float]]
) -> None:
    """Mean and band; the line comes last. A level where trials failed has none."""
    found = np.array([values(level) for level in one.levels])
    known = np.isfinite(found[:, 0])
    x = np.arange(len(found))[known] + aside
    panel.fill_between(x, found[known, 1], found[known, 2], color=look["color"], alpha=0.12, lw=0)
    panel.plot(x, found[known, 0], **look, label=one.optimizer)

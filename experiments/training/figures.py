"""The pictures of a training run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from experiments.shared.figures import FigureEntry
from experiments.shared.grid import Setting, axis_name, value_text
from experiments.training.optimizers import OPTIMIZERS, kind_named
from experiments.training.store import Arrays, Step
from experiments.training.summary import Result
from experiments.training.task import Measure

MORE = ["#8d6a9f", "#b0803c", "#3a7d7c", "#5b5f97", "#7a7a7a"]
"""Colours of further optimizers of a kind."""

Statistic = Mapping[str, float | None]
"""A mean and its standard error."""
LEAST_RANGE = 6.0
"""Of an axis whose numbers are 1, 2, 5, …: from its lower end to its upper one."""
EXACT = 1e-6
"""Relative error below which solves are not worth a histogram: single precision, which gradients come in."""


@dataclass(frozen=True)
class Findings:
    """What there is to draw of one point of the grid.

    Args:
        config: the experiment there.
        exhibits: recorded solves.
        labels: optimizer name to its text in legends.
        where: the point of the grid, in words; empty where there is none.
    """

    config: Mapping[str, Any]
    results: Sequence[Result]
    exhibits: Sequence[Arrays]
    labels: Mapping[str, str]
    where: str = ""

    @property
    def score(self) -> Measure:
        return Measure(**self.config["score"])

    @property
    def simulated(self) -> list[Result]:
        """Of the optimizers whose systems are not solved exactly."""
        return [result for result in self.results if max(result.solve_errors, default=0) > EXACT]


@dataclass(frozen=True)
class Across:
    """What there is to draw of all points together.

    Args:
        settings: what the grid sets at each point.
        reached: mean and standard error of the score at each point, by optimizer; None where there is none yet.
        colours: by optimizer.
    """

    score: Measure
    settings: Sequence[Setting]
    reached: Mapping[str, Sequence[Statistic]]
    colours: Mapping[str, str]


def colours(optimizers: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """A colour for every optimizer of a config: that of its kind for the first of a kind."""
    further, found = cycle(MORE), dict[str, str]()
    for name, settings in optimizers.items():
        own = kind_named(settings["kind"]).colour
        found[name] = next(further) if own in found.values() else own
    return found


def _loss(found: Findings) -> tuple[Figure, str]:
    figure = Figure()
    axes = figure.subplots()
    _bands(axes, found, lambda step: step.loss)
    loss = Measure(**found.config["loss"])
    axes.set(xlabel="step", ylabel=f"training loss of the batch: {loss.title}", yscale="log")
    axes.legend()
    return figure, _at(LOSS, found)


def _score(found: Findings) -> tuple[Figure, str]:
    figure = Figure()
    axes = figure.subplots()
    score, share = found.score, found.score.unit == "%"
    _bands(axes, found, lambda step: None if step.score is None else score.shown(step.score))
    axes.set(xlabel="step", ylabel=f"test {score.title}")
    late = [
        score.shown(s.score) for r in found.results for s in r.steps if s.score is not None and s.step >= _steps(r) / 10
    ]
    higher = score.better == "higher"
    if late:
        # To a little beyond where the optimizers part; the steep beginning is cut off.
        low, high = np.percentile(late, [2, 98])
        beyond = 5.0 if share else 0.2 * (high - low) or abs(high) or 1.0
        if higher:
            axes.set_ylim(bottom=max(0.0, low - beyond) if share else low - beyond, top=100 if share else None)
        else:
            axes.set_ylim(bottom=0 if share else None, top=min(100.0, high + beyond) if share else high + beyond)
    axes.legend(loc="lower right" if higher else "upper right")
    return figure, _at(_score_title(found), found)


def _bands(axes: Axes, found: Findings, value: Callable[[Step], float | None]) -> None:
    """Of each optimizer the mean over the seeds as a line, their range as a band."""
    shades = colours(found.config["optimizers"])
    for result in found.results:
        curves: dict[int, list[float]] = {}
        for step in result.steps:
            shown = value(step)
            if shown is not None and not step.diverged:
                curves.setdefault(step.step + 1, []).append(shown)
        x, name, shade = sorted(curves), result.optimizer, shades[result.optimizer]
        dashed = "--" if kind_named(found.config["optimizers"][name]["kind"]).exact else "-"
        axes.plot(x, [np.mean(curves[k]) for k in x], dashed, color=shade, label=found.labels[name], lw=1.8)
        axes.fill_between(x, [min(curves[k]) for k in x], [max(curves[k]) for k in x], color=shade, alpha=0.15, lw=0)


def _solve_error(found: Findings) -> tuple[Figure, str] | None:
    if not found.simulated:
        return None
    figure = Figure()
    axes = figure.subplots()
    shades = colours(found.config["optimizers"])
    errors = [(result, 100 * np.array([e for e in result.solve_errors if e > 0])) for result in found.simulated]
    every = np.concatenate([values for _, values in errors])
    low, high = every.min() * 0.9, every.max() * 1.1
    # Wide enough that the axis has two numbers at least.
    aside = max(1.0, (LEAST_RANGE * low / high) ** 0.5)
    bins = np.geomspace(low / aside, high * aside, 31).tolist()
    for result, values in errors:
        colour = shades[result.optimizer]
        axes.hist(
            values, bins, color=colour, alpha=0.55, label=f"{found.labels[result.optimizer]}, {len(values)} solves"
        )
        axes.axvline(float(np.median(values)), color=colour, lw=1.5, ls="--")
    axes.set(xlabel="relative error of g̃ against the exact solution (%), dashed: median", ylabel="solves", xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend()
    return figure, _at(SOLVE_ERROR, found)


def _settling(found: Findings, shown: int = 6) -> tuple[Figure, str] | None:
    """Simulated voltages over the ideal mean ± σ; the second panel magnifies what separates them."""
    if not found.exhibits:
        return None
    exhibit = found.exhibits[0]
    tau = float(exhibit["time_constant"])
    time, volts, mean = exhibit["seconds"] / tau, exhibit["volts"], exhibit["ideal_mean"]
    spread_time, deviation = exhibit["deviation_seconds"] / tau, exhibit["ideal_deviation"]
    order = np.argsort(-np.abs(mean[-1]))
    cells = order[np.linspace(0, len(order) // 2, shown).astype(int)]
    figure = Figure(figsize=(7.2, 6.6))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    for cell, colour in zip(cells, [*(kind.colour for kind in OPTIMIZERS.values()), *MORE], strict=False):
        spread = np.interp(time, spread_time, deviation[:, cell])
        above.plot(time, volts[:, cell], color=colour, lw=1.2, label=f"cell {cell}")
        above.plot(time, mean[:, cell], "k:", lw=1)
        above.fill_between(time, mean[:, cell] - spread, mean[:, cell] + spread, color="k", alpha=0.25, lw=0)
        below.plot(time, np.maximum(np.abs(volts[:, cell] - mean[:, cell]), 1e-9), color=colour, lw=1)
    above.plot([], [], "k:", label="ideal mean ± σ")
    above.set(ylabel="cell voltage (V)")
    above.legend(ncols=2, fontsize=9)
    widest = deviation[:, cells].max(axis=1)
    below.plot(spread_time[1:], widest[1:], "k--", lw=1, label="σ of the ideal law (largest of these cells)")
    below.set(xlabel="time (τ)", ylabel="|ngspice − ideal mean| (V)", yscale="log")
    below.legend(loc="upper right", fontsize=9)
    return figure, _at(SETTLING, found)


def _steps(result: Result) -> int:
    return max(step.step for step in result.steps) + 1


def _grid(found: Across) -> tuple[Figure, str]:
    """The final score of every optimizer at every point; fields that move apart have panels of their own."""
    tables: dict[tuple[str, ...], list[int]] = {}
    for number, setting in enumerate(found.settings):
        tables.setdefault(tuple(setting), []).append(number)
    figure = Figure(figsize=(max(8.0, 4.5 * len(tables)), 5.0))
    panels = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for panel, (fields, numbers) in zip(panels, tables.items(), strict=True):
        for k, (name, statistics) in enumerate(found.reached.items()):
            known = [(x, one) for x, n in enumerate(numbers) if (one := statistics[n])["mean"] is not None]
            # Side by side, so that bars of equal scores do not hide each other.
            aside = 0.08 * (k - (len(found.reached) - 1) / 2)
            means = [found.score.shown(one["mean"] or 0.0) for _, one in known]
            errors = [found.score.shown(one["standard_error"] or 0.0) for _, one in known]
            line, colour = "-" if len(fields) == 1 else "", found.colours[name]
            at = [x + aside for x, _ in known]
            panel.errorbar(at, means, errors, fmt=f"o{line}", color=colour, capsize=3, label=name)
        ticks = [", ".join(map(value_text, found.settings[n].values())) for n in numbers]
        short = max(map(len, ticks)) * len(found.settings) <= 72
        panel.set_xticks(range(len(ticks)), ticks, rotation=0 if short else 45, ha="center" if short else "right")
        panel.set(xlabel=", ".join(map(axis_name, fields)))
    panels[0].set(ylabel=f"final test {found.score.title}")
    panels[0].legend()
    return figure, _grid_title(found)


def _at(title: str, found: Findings) -> str:
    """What a figure shows, and at which point of the grid."""
    return f"{title} at {found.where}" if found.where else title


def _score_title(found: Findings) -> str:
    return f"Test {found.score.name}"


def _grid_title(found: Across) -> str:
    return f"Test {found.score.name} across the grid"


BAND = "Mean over the seeds; the band is their range."
LOSS, SOLVE_ERROR, SETTLING = "Training loss", "How exactly the circuit solved", "One solve, as the circuit saw it"
FIGURES: tuple[FigureEntry[Findings], ...] = (
    FigureEntry("loss", LOSS, BAND, _loss),
    FigureEntry("score", _score_title, BAND, _score),
    FigureEntry(
        "solve_error",
        SOLVE_ERROR,
        "Relative distance between the natural gradient that the optimizer used and the exact one.",
        _solve_error,
    ),
    FigureEntry(
        "settling",
        SETTLING,
        "Node voltages of one solve as simulated, over the mean that the ideal linear law of the same programmed "
        "resistors predicts. The lower panel shows the distance between the two, beside the thermal noise that the "
        "ideal law predicts. What is above the noise comes from the amplifiers.",
        _settling,
    ),
)
GRID: FigureEntry[Across] = FigureEntry(
    "grid", _grid_title, "After training, mean over the seeds; the bar is its standard error.", _grid
)

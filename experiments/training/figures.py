"""The pictures of a training run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from experiments.shared.grid import Setting, axis_name, value_text
from experiments.shared.plotting import STYLE
from experiments.training.store import Arrays, Step
from experiments.training.summary import Result

COLOURS = {"tngd": "#d1495b", "ngd": "#30638e", "adam": "#edae49", "sgd": "#66a182"}
MORE = ["#8d6a9f", "#5b5f97", "#b0803c", "#3a7d7c", "#7a7a7a"]

Statistic = Mapping[str, float | None]
"""A mean and its standard error."""
EXACT = 1e-6
"""Relative error below which solves are not worth a histogram: single precision, which gradients come in."""


def draw_all(results: Sequence[Result], exhibits: Sequence[Arrays], labels: dict[str, str], folder: Path) -> list[Path]:
    """Draw what there is data for.

    Args:
        labels: optimizer name to its text in legends.

    Returns:
        Paths of the PNG files, in the order of the report.
    """
    drawn: list[tuple[str, Figure]] = []
    with plt.rc_context(STYLE):
        drawn.append(("loss.png", _loss(results, labels)))
        drawn.append(("accuracy.png", _accuracy(results, labels)))
        simulated = [r for r in results if max(r.solve_errors, default=0) > EXACT]
        if simulated:
            drawn.append(("solve_error.png", _solve_error(simulated, labels)))
        if exhibits:
            drawn.append(("settling.png", _settling(exhibits[0])))
        paths = []
        for name, figure in drawn:
            figure.savefig(folder / name)
            plt.close(figure)
            paths.append(folder / name)
    return paths


def draw_grid(settings: Sequence[Setting], accuracies: Mapping[str, Sequence[Statistic]], path: Path) -> None:
    """Draw the final test accuracy of every optimizer at every point of a grid.

    Args:
        settings: what the grid sets at each point.
        accuracies: mean and standard error at each point, by optimizer; None where there is none yet.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots()
        for k, (name, statistics) in enumerate(accuracies.items()):
            known = [(x, found) for x, found in enumerate(statistics) if found["mean"] is not None]
            # Side by side, so that bars of equal accuracies do not hide each other.
            aside = 0.08 * (k - (len(accuracies) - 1) / 2)
            means = [100 * (found["mean"] or 0.0) for _, found in known]
            errors = [100 * (found["standard_error"] or 0.0) for _, found in known]
            line = "-" if len(settings[0]) == 1 else ""
            axes.errorbar(
                [x + aside for x, _ in known], means, errors, fmt=f"o{line}", color=_colour(name), capsize=3, label=name
            )
        ticks = [", ".join(map(value_text, setting.values())) for setting in settings]
        short = max(map(len, ticks)) * len(ticks) <= 72
        axes.set_xticks(range(len(ticks)), ticks, rotation=0 if short else 45, ha="center" if short else "right")
        axes.set(xlabel=", ".join(map(axis_name, settings[0])), ylabel="final test accuracy (%)")
        axes.legend()
        figure.savefig(path)
        plt.close(figure)


def _loss(results: Sequence[Result], labels: dict[str, str]) -> Figure:
    figure, axes = plt.subplots()
    for result in results:
        _band(axes, result, labels, lambda step: step.loss)
    axes.set(xlabel="step", ylabel="training loss of the batch (nats)", yscale="log")
    axes.legend()
    return figure


def _accuracy(results: Sequence[Result], labels: dict[str, str]) -> Figure:
    figure, axes = plt.subplots()
    for result in results:
        _band(axes, result, labels, lambda step: None if step.test_accuracy is None else 100 * step.test_accuracy)
    axes.set(xlabel="step", ylabel="test accuracy (%)")
    late = [100 * s.test_accuracy for r in results for s in r.steps if s.test_accuracy and s.step >= _steps(r) / 10]
    # From a little below where the optimizers part; the steep beginning is cut off.
    axes.set_ylim(bottom=max(0.0, float(np.percentile(late, 2)) - 5) if late else 0.0, top=100)
    axes.legend(loc="lower right")
    return figure


def _band(axes: Axes, result: Result, labels: dict[str, str], value: Callable[[Step], float | None]) -> None:
    """Mean over the seeds as a line, their range as a band."""
    curves: dict[int, list[float]] = {}
    for step in result.steps:
        shown = value(step)
        if shown is not None and not step.diverged:
            curves.setdefault(step.step + 1, []).append(shown)
    x = sorted(curves)
    dashed = "--" if result.optimizer == "ngd" else "-"
    colour = _colour(result.optimizer)
    axes.plot(x, [np.mean(curves[k]) for k in x], dashed, color=colour, label=labels[result.optimizer], lw=1.8)
    axes.fill_between(x, [min(curves[k]) for k in x], [max(curves[k]) for k in x], color=colour, alpha=0.15, lw=0)


def _solve_error(results: Sequence[Result], labels: dict[str, str]) -> Figure:
    figure, axes = plt.subplots()
    errors = [(result, 100 * np.array([e for e in result.solve_errors if e > 0])) for result in results]
    every = np.concatenate([values for _, values in errors])
    bins = np.geomspace(every.min() * 0.9, every.max() * 1.1, 31).tolist()
    for result, values in errors:
        colour = _colour(result.optimizer)
        axes.hist(values, bins, color=colour, alpha=0.55, label=f"{labels[result.optimizer]}, {len(values)} solves")
        axes.axvline(float(np.median(values)), color=colour, lw=1.5, ls="--")
    axes.set(xlabel="relative error of g̃ against the exact solution (%), dashed: median", ylabel="solves", xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend()
    return figure


def _settling(exhibit: Arrays, shown: int = 6) -> Figure:
    """Simulated voltages over the ideal mean ± σ; the second panel magnifies what separates them."""
    tau = float(exhibit["time_constant"])
    time, volts, mean = exhibit["seconds"] / tau, exhibit["volts"], exhibit["ideal_mean"]
    spread_time, deviation = exhibit["deviation_seconds"] / tau, exhibit["ideal_deviation"]
    order = np.argsort(-np.abs(mean[-1]))
    cells = order[np.linspace(0, len(order) // 2, shown).astype(int)]
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7.2, 6.6), height_ratios=[3, 2])
    for cell, colour in zip(cells, [*COLOURS.values(), *MORE], strict=False):
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
    return figure


def _steps(result: Result) -> int:
    return max(step.step for step in result.steps) + 1


def _colour(name: str) -> str:
    return COLOURS.get(name) or MORE[sum(map(ord, name)) % len(MORE)]

"""The Pareto front: what a smaller error, a shorter time or less power costs, with the other limits kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from experiments.design.config import PREDICTED, Specification
from experiments.design.predict import Sheet
from experiments.design.search import Candidate
from experiments.shared.figures import FigureEntry
from experiments.sweeps.figures.axes import BAD, GOOD, label_axis
from experiments.sweeps.units import titled

Array = NDArray[np.float64]

AXES = ("relative_error", "settling_time", "supply_power")
"""Metrics that the price is shown against."""
HEAD = ("against", "price", "relative_error [1]", "settling_time [s]", "supply_power [W]", "parts")


@dataclass(frozen=True)
class Front:
    """Boards of which none is cheaper that is as good in one metric, the cheapest first.

    Args:
        metric: the one that is traded for the price.
        boards: predicted to keep the limits of all others.
    """

    metric: str
    boards: tuple[Candidate, ...]


@dataclass(frozen=True)
class Fronts:
    """All fronts with the board that was found.

    Args:
        measured: metric → value that the wanted share of its copies keeps.
    """

    asked: Specification
    currency: str
    every: tuple[Front, ...]
    found: Candidate
    measured: dict[str, float]


def fronts(sheets: Sequence[Sheet], asked: Specification) -> list[Front]:
    """One for each of ``AXES``."""
    return [Front(metric, tuple(_front(sheets, asked, metric))) for metric in AXES]


def rows(every: Sequence[Front]) -> Iterator[tuple[Any, ...]]:
    """For CSV."""
    for front in every:
        for board in front.boards:
            parts = "; ".join(f"{choice.slot}: {choice.name}" for choice in board.chosen)
            yield front.metric, board.price, board.error, board.seconds, board.power, parts


def _front(sheets: Sequence[Sheet], asked: Specification, metric: str) -> Iterator[Candidate]:
    limits = {name: asked.limits[name].max if name in asked.limits else inf for name in PREDICTED}
    limits[metric] = inf
    points, places = [], []
    for number, sheet in enumerate(sheets):
        columns = {
            "relative_error": sheet.error[:, None],
            "settling_time": sheet.seconds[None, :],
            "supply_power": sheet.power[:, None],
            "junction_rise": np.full((1, 1), sheet.nominal.rise),
            "supply_energy": sheet.power[:, None] * sheet.seconds[None, :],
        }
        prices = sheet.price[:, None] + sheet.capacitor_prices
        kept = np.isfinite(prices) & np.isfinite(columns["settling_time"])
        for name, values in columns.items():
            kept = kept & (values <= limits[name])
        board, capacitor = np.nonzero(kept)
        if len(board):
            own = np.stack(
                [prices[board, capacitor], np.broadcast_to(columns[metric], kept.shape)[board, capacitor]], 1
            )
            best = _falling(own)
            points.append(own[best])
            places += [(number, b, c) for b, c in zip(board[best].tolist(), capacitor[best].tolist(), strict=True)]
    if not points:
        return
    together = np.concatenate(points)
    for k in _falling(together).tolist():
        number, b, c = places[k]
        sheet = sheets[number]
        error, power = float(sheet.error[b]), float(sheet.power[b])
        yield Candidate(float(together[k, 0]), error, float(sheet.seconds[c]), power, sheet, b, c)


def _falling(points: Array) -> NDArray[np.intp]:
    """Places of those than which none is cheaper that is as good, by price, (points, 2)."""
    order = np.lexsort(points.T[::-1])
    values = points[order, 1]
    before = np.concatenate([[inf], np.minimum.accumulate(values)[:-1]])
    return np.asarray(order[values < before])


def _draw(fronts: Fronts) -> tuple[Figure, str]:
    """Price against each metric."""
    figure = Figure(figsize=(9.6, 3.6))
    panels = figure.subplots(1, len(fronts.every), sharey=True)
    words = []
    for axes, front in zip(panels, fronts.every, strict=True):
        values = [board.values[front.metric] for board in front.boards]
        axes.step(values, [board.price for board in front.boards], "o-", color=GOOD, ms=3, where="pre")
        if front.metric in fronts.measured:
            axes.plot(fronts.measured[front.metric], fronts.found.price, "s", color=BAD, label="found")
        if front.metric in fronts.asked.limits:
            axes.axvline(fronts.asked.limits[front.metric].max, color="k", ls="--", lw=1.3, label="limit")
        axes.set_xscale("log")
        label_axis(axes.xaxis, front.metric)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="x", labelsize=8.5)
        words.append(f"price against {titled(front.metric)}, {len(front.boards)} boards")
    panels[0].set_ylabel(f"price of all parts ({fronts.currency})")
    figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure, "; ".join(words)


FRONT = FigureEntry[Fronts](
    "front",
    "What more costs",
    "The cheapest boards by prediction when one limit moves and the others stay. The square is the board that was "
    "found, as its copies were measured.",
    _draw,
)

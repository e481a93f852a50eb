"""The pictures of a validation run."""

from collections.abc import Callable, Sequence
from math import isnan
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.shared.plotting import STYLE
from experiments.validation.compare import Evidence
from experiments.validation.conditioning import IMPERFECTIONS, Point

PALETTE = ["#30638e", "#d1495b", "#edae49", "#66a182", "#8d6a9f", "#3a7d7c", "#b0803c", "#7a7a7a", "#5b5f97"]
PANELS, ROWS = 6, 4
"""Cases in a figure of panels, and of covariances, at most."""
MOST_CELLS = 6
LARGEST = 1e2
"""Relative error at the top of the axis; what lies above is no solution."""


def draw_all(evidence: Sequence[Evidence], points: Sequence[Point], folder: Path) -> list[Path]:
    """Draw what there is data for; paths of the PNG files, in the order of the page."""
    by_kind: dict[str, list[Evidence]] = {}
    for piece in evidence:
        by_kind.setdefault(piece.kind, []).append(piece)
    drawn: list[tuple[str, Figure]] = []
    with plt.rc_context(STYLE):
        if "settling" in by_kind:
            drawn.append(("settling.png", _grid(_varied(by_kind["settling"]), _settling)))
        if "covariance" in by_kind:
            drawn.append(("covariance.png", _covariances(_varied(by_kind["covariance"], ROWS))))
        if "spectrum" in by_kind:
            drawn.append(("spectra.png", _grid(_varied(by_kind["spectrum"]), _spectrum)))
        if points:
            drawn.append(("conditioning.png", _conditioning(points)))
        paths = []
        for name, figure in drawn:
            figure.savefig(folder / name)
            plt.close(figure)
            paths.append(folder / name)
    return paths


def _varied(pieces: Sequence[Evidence], most: int = PANELS) -> list[Evidence]:
    """A few that differ as much as they can: the first of each kind of hardware, then the next ones."""
    first = list({_hardware(piece): piece for piece in reversed(pieces)}.values())
    rest = [piece for piece in pieces if not any(piece is other for other in first)]
    chosen = [*reversed(first), *rest][:most]
    return [piece for piece in pieces if any(piece is other for other in chosen)]


def _hardware(piece: Evidence) -> str:
    return ", ".join(piece.case.split(", ")[:2])


def _title(piece: Evidence) -> str:
    topology, preset, cells, *rest = piece.case.split(", ")
    return f"{topology}, {preset}, {cells}\n{', '.join(rest)}"


def _grid(pieces: Sequence[Evidence], draw: Callable[[Axes, Evidence], None]) -> Figure:
    rows = (len(pieces) + 1) // 2
    figure, axes = plt.subplots(rows, min(2, len(pieces)), figsize=(9, 3.3 * rows), squeeze=False)
    for panel, piece in zip(axes.flat, pieces, strict=False):
        draw(panel, piece)
        panel.set_title(_title(piece), fontsize=9.5, loc="left")
    for panel in axes.flat[len(pieces) :]:
        panel.set_visible(False)
    return figure


def _settling(axes: Axes, piece: Evidence) -> None:
    arrays = piece.arrays
    millivolts = 1e3
    cells = range(min(MOST_CELLS, arrays["ngspice"].shape[1]))
    for cell, colour in zip(cells, PALETTE, strict=False):
        axes.plot(arrays["seconds"], millivolts * arrays["ngspice"][:, cell], color=colour, lw=1.2)
        axes.plot(arrays["at"][::3], millivolts * arrays["network"][::3, cell], "o", color=colour, ms=3, mew=0)
    axes.plot([], [], "k-", lw=1.2, label="ngspice")
    axes.plot([], [], "ko", ms=3, label="network")
    axes.set(xlabel="time (τ)", ylabel="cell voltage (mV)")
    axes.legend(fontsize=8.5, loc="best")


def _spectrum(axes: Axes, piece: Evidence) -> None:
    arrays = piece.arrays
    nanovolts = 1e9
    axes.plot(arrays["frequency"], nanovolts * np.sqrt(arrays["ngspice"]), color=PALETTE[0], lw=1.4, label=".noise")
    axes.plot(
        arrays["frequency"][::4],
        nanovolts * np.sqrt(arrays["network"][::4]),
        "o",
        color=PALETTE[1],
        ms=3.5,
        mew=0,
        label="network",
    )
    axes.set(xlabel="frequency (Hz)", ylabel="noise of cell 0 (nV/√Hz)", xscale="log", yscale="log")
    axes.legend(fontsize=8.5, loc="lower left")


def _covariances(pieces: Sequence[Evidence]) -> Figure:
    """The law, the transients, and what separates them in standard errors of each entry."""
    figure, axes = plt.subplots(
        len(pieces), 3, figsize=(9, 2.75 * len(pieces) + 0.3), squeeze=False, gridspec_kw={"wspace": 0.05}
    )
    for row, piece in zip(axes, pieces, strict=True):
        law, found, samples = piece.arrays["law"], piece.arrays["found"], piece.arrays["samples"]
        size = np.sqrt(law.diagonal())
        scale = np.outer(size, size)
        error = np.sqrt((scale**2 + law**2) / samples)
        shown = (
            (law / scale, 1.0, "RdBu_r", "discretised law"),
            (found / scale, 1.0, "RdBu_r", f"ngspice, {samples} samples"),
            ((found - law) / error, 4.0, "PuOr_r", "difference (standard errors)"),
        )
        for panel, (matrix, limit, colours, title) in zip(row, shown, strict=True):
            image = panel.imshow(matrix, vmin=-limit, vmax=limit, cmap=colours)
            panel.set_title(title, fontsize=9)
            panel.set(xticks=range(len(law)), yticks=range(len(law)))
            panel.tick_params(labelsize=8, length=0)
            panel.grid(False)
            panel.spines[:].set_visible(False)
            figure.colorbar(image, ax=panel, shrink=0.85)
        row[0].set_ylabel(_title(piece), fontsize=8.5)
    return figure


def _conditioning(points: Sequence[Point]) -> Figure:
    """Error against condition number: everything on, and each imperfection alone."""
    setups = list(dict.fromkeys((point.topology, point.preset) for point in points))
    rows = (len(setups) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(9, 3.1 * rows + 1), sharex=True, sharey=True, squeeze=False)
    names = [name for name in IMPERFECTIONS if any(point.which == name for point in points)]
    colours = dict(zip(names, PALETTE, strict=False))
    for panel, setup in zip(axes.flat, setups, strict=False):
        mine = [point for point in points if (point.topology, point.preset) == setup]
        whole = [point for point in mine if point.imperfections == "all"]
        for name, colour in colours.items():
            line = [point for point in mine if (point.imperfections, point.which) == ("only", name)]
            panel.plot([p.condition for p in line], [p.error for p in line], "o-", color=colour, lw=1.1, ms=2.5)
        panel.plot([p.condition for p in whole], [p.error for p in whole], "k-", lw=2.6, zorder=1, alpha=0.8)
        lost = [p.condition for p in whole if isnan(p.error)]
        panel.plot(lost, [LARGEST / 3] * len(lost), "kx", ms=6)
        panel.set_title(", ".join(setup), fontsize=10, loc="left")
        panel.set(xscale="log", yscale="log", ylim=(1e-16, LARGEST), xlabel="condition number")
        panel.tick_params(labelbottom=True)
    for panel in axes[:, 0]:
        panel.set_ylabel("relative error of x")
    for panel in axes.flat[len(setups) :]:
        panel.set_visible(False)
    key = axes[0, 0]
    key.plot([], [], "k-", lw=2.6, label="everything on")
    key.plot([], [], "kx", ms=6, label="… cannot be programmed")
    for name, colour in colours.items():
        key.plot([], [], "o-", color=colour, lw=1.1, ms=2.5, label=f"only: {name}")
    figure.legend(loc="outside lower center", ncols=3, fontsize=9.5)
    return figure

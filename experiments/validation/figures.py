"""The pictures of a validation run. Devices are chosen by their fields: one of each preset and topology."""

from collections.abc import Callable, Sequence
from math import isnan, log10
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from experiments.shared.figures import FigureEntry
from experiments.validation.conditioning import CELLS, IMPERFECTIONS
from experiments.validation.evidence import COVARIANCE, MEAN, SPECTRUM, Check, Evidence, beside_bound, number, worst
from experiments.validation.tables import Validation

PALETTE = ["#30638e", "#d1495b", "#edae49", "#66a182", "#8d6a9f", "#3a7d7c", "#b0803c", "#7a7a7a", "#5b5f97"]
COLUMNS = 3
"""Panels side by side."""
WIDTH = 9.6
"""Inches."""
MOST_CELLS = 6
"""Curves of a panel."""
LEAST_SHARE = 1e-9
"""Of a bound: what is less is drawn there."""
LARGEST = 1e2
"""Relative error at the top of the axis; what lies above is no solution."""


def one_a_device(evidence: Sequence[Evidence], agreement: str) -> list[Evidence]:
    """The first of each topology and preset that the agreement is about."""
    first: dict[tuple[str, str], Evidence] = {}
    for piece in evidence:
        if piece.check.agreement == agreement:
            first.setdefault((piece.check.setup.topology, piece.check.setup.preset), piece)
    return list(first.values())


def _agreements(found: Validation) -> tuple[Figure, str] | None:
    """Every check as a dot: how much of its bound it takes."""
    if not found.checks:
        return None
    named = worst(found.checks)
    topologies = list(dict.fromkeys(check.setup.topology for check in found.checks))
    figure = Figure(figsize=(WIDTH, 0.45 * len(named) + 1.9))
    axes = figure.subplots()
    for k, topology in enumerate(topologies):
        mine = [check for check in found.checks if check.setup.topology == topology]
        shares = np.clip([check.share for check in mine], LEAST_SHARE, 1e3)
        # Topologies a little apart, so that dots do not hide each other.
        rows = [list(named).index(check.agreement) + 0.22 * (k - (len(topologies) - 1) / 2) for check in mine]
        axes.plot(shares, rows, "o", color=PALETTE[k], ms=4.5, mew=0, alpha=0.7, label=f"topology {topology}")
    axes.axvline(1, color="k", lw=1.2)
    axes.set(xscale="log", xlim=(LEAST_SHARE / 2, max(3.0, *axes.get_xlim())), ylim=(len(named) - 0.4, -0.6))
    axes.set_yticks(range(len(named)), [fill(agreement, 26) for agreement in named])
    axes.set_xlabel("difference ÷ bound")
    axes.tick_params(labelsize=9)
    beside = axes.secondary_yaxis("right")
    beside.set_yticks(range(len(named)), [beside_bound(check) for check in named.values()])
    beside.tick_params(length=0, labelsize=9)
    beside.spines[:].set_visible(False)
    figure.legend(loc="outside lower center", ncols=len(topologies), fontsize=9)
    nearest = max(found.checks, key=lambda check: check.share)
    held = sum(check.holds for check in found.checks)
    words = f"{held} of {len(found.checks)} checks are within their bounds; the nearest to its own takes "
    return figure, words + f"{nearest.share:.2g} of it: {nearest.agreement}, {nearest.setup.name}"


def _panels(pieces: Sequence[Evidence], draw: Callable[[Axes, Evidence], None], what: str) -> tuple[Figure, str] | None:
    """A panel for each device, titled with the device and how far apart its two curves are; one key for all."""
    if not pieces:
        return None
    columns = min(COLUMNS, len(pieces))
    rows = -(-len(pieces) // columns)
    figure = Figure(figsize=(WIDTH * columns / COLUMNS, 3.1 * rows + 0.4))
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel, piece in zip(panels.flat, pieces, strict=False):
        draw(panel, piece)
        check = piece.check
        panel.set_title(_titled(check), fontsize=9, loc="left")
        panel.tick_params(labelsize=8.5)
    for panel in panels.flat[len(pieces) :]:
        panel.set_visible(False)
    check = pieces[0].check
    key = panels[0, 0]
    lines = [key.plot([], [], "k-", lw=1.3)[0], key.plot([], [], "ko", ms=3.5)[0]]
    figure.legend(lines, [_program(check.reference), check.engine], loc="outside lower center", ncols=2)
    apart = "; ".join(f"{piece.check.setup.device} {number(piece.check.difference)}" for piece in pieces)
    return figure, f"{what} of {len(pieces)} devices, lines and dots relatively apart by at most: {apart}"


def _titled(check: Check) -> str:
    return f"{check.setup.device}\n{check.setup.matrix}\n{_apart(check)}"


def _apart(check: Check) -> str:
    return f"{number(check.difference)} apart (≤ {number(check.bound, 3)})"


def _program(reference: str) -> str:
    return f"ngspice, {reference}" if reference.startswith(".") else reference


def _settling(found: Validation) -> tuple[Figure, str] | None:
    def draw(axes: Axes, piece: Evidence) -> None:
        arrays = piece.arrays
        cells = range(min(MOST_CELLS, arrays["reference"].shape[1]))
        for cell, colour in zip(cells, PALETTE, strict=False):
            axes.plot(arrays["seconds"], arrays["reference"][:, cell], color=colour, lw=1.2)
            axes.plot(arrays["at"][::3], arrays["engine"][::3, cell], "o", color=colour, ms=3.5, mew=0)
        axes.xaxis.set_major_formatter(EngFormatter("s"))
        axes.yaxis.set_major_formatter(EngFormatter("V"))
        axes.locator_params("x", nbins=5)
        axes.set(xlabel="time", ylabel="cell voltage")

    return _panels(one_a_device(found.evidence, MEAN), draw, "Cell voltages against time")


def _spectra(found: Validation) -> tuple[Figure, str] | None:
    def draw(axes: Axes, piece: Evidence) -> None:
        arrays = piece.arrays
        axes.plot(arrays["frequency"], np.sqrt(arrays["reference"]), color=PALETTE[0], lw=1.4)
        axes.plot(arrays["frequency"][::4], np.sqrt(arrays["engine"][::4]), "o", color=PALETTE[0], ms=4, mew=0)
        axes.set(xscale="log", yscale="log", xlabel="frequency", ylabel="noise of cell 0, per √Hz")
        _decades(axes.xaxis, "Hz")
        _decades(axes.yaxis, "V")

    return _panels(one_a_device(found.evidence, SPECTRUM), draw, "Noise density against frequency")


def _decades(axis: Axis, unit: str) -> None:
    """Ticks with prefixes, between decades too where there are few of them."""
    low, high = axis.get_view_interval()
    subs = (1, 2, 5) if log10(high / low) < 2.5 else (1,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=4))
    axis.set_major_formatter(EngFormatter(unit))
    axis.set_minor_formatter(NullFormatter())


def _covariances(found: Validation) -> tuple[Figure, str] | None:
    """The law, the transients, and what separates them in standard errors of each entry."""
    pieces = one_a_device(found.evidence, COVARIANCE)
    if not pieces:
        return None
    figure = Figure(figsize=(WIDTH, 2.4 * len(pieces) + 0.8))
    panels = figure.subplots(len(pieces), 3, squeeze=False)
    for row, piece in zip(panels, pieces, strict=True):
        law, seen, samples = piece.arrays["law"], piece.arrays["found"], piece.arrays["samples"]
        size = np.sqrt(law.diagonal())
        scale = np.outer(size, size)
        error = np.sqrt((scale**2 + law**2) / samples)
        check = piece.check
        shown = (
            (law / scale, 1.0, "RdBu_r", "discretised law"),
            (seen / scale, 1.0, "RdBu_r", f"ngspice, {samples} samples"),
            ((seen - law) / error, 4.0, "PuOr_r", f"jointly {_apart(check)}"),
        )
        images: list[AxesImage] = []
        for panel, (matrix, limit, colours, title) in zip(row, shown, strict=True):
            images.append(panel.imshow(matrix, vmin=-limit, vmax=limit, cmap=colours))
            panel.set_title(title, fontsize=9.5)
            panel.set(xticks=range(len(law)), yticks=range(len(law)))
            panel.tick_params(labelsize=8, length=0)
            panel.grid(False)
            panel.spines[:].set_visible(False)
        row[0].set_ylabel(f"{check.setup.device}\n{check.setup.matrix}\n\ncell", fontsize=9.5)
    below: dict[str, Any] = {"orientation": "horizontal", "shrink": 0.8, "aspect": 40, "pad": 0.01}
    figure.colorbar(
        images[0], ax=panels[:, :2].ravel().tolist(), label="covariance ÷ both cells' standard deviations", **below
    )
    figure.colorbar(images[2], ax=panels[:, 2].tolist(), label="difference (standard errors)", **below)
    apart = "; ".join(f"{piece.check.setup.device} {number(piece.check.difference)}" for piece in pieces)
    return figure, f"Covariances of {len(pieces)} devices, in standard errors apart by at most: {apart}"


def _conditioning(found: Validation) -> tuple[Figure, str] | None:
    """Error against condition number: everything on, and each imperfection alone."""
    points = found.points
    if not points:
        return None
    kinds = list(dict.fromkeys((point.topology, point.preset) for point in points))
    rows = -(-len(kinds) // 2)
    figure = Figure(figsize=(WIDTH, 3 * rows + 1))
    panels = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False)
    names = [name for name in IMPERFECTIONS if any(point.which == name for point in points)]
    colours = dict(zip(names, PALETTE, strict=False))
    for panel, kind in zip(panels.flat, kinds, strict=False):
        mine = [point for point in points if (point.topology, point.preset) == kind]
        whole = [point for point in mine if point.imperfections == "all"]
        for name, colour in colours.items():
            line = [point for point in mine if (point.imperfections, point.which) == ("only", name)]
            panel.plot([p.condition for p in line], [p.error for p in line], "o-", color=colour, lw=1.1, ms=3)
        panel.plot([p.condition for p in whole], [p.error for p in whole], "k-", lw=2.6, zorder=1, alpha=0.8)
        lost = [p.condition for p in whole if isnan(p.error)]
        panel.plot(lost, [LARGEST / 3] * len(lost), "kx", ms=6)
        topology, preset = kind
        panel.set_title(preset if preset == topology else f"{preset}, {topology}", fontsize=10, loc="left")
        panel.set(xscale="log", yscale="log", ylim=(1e-16, LARGEST), xlabel="condition number")
        panel.tick_params(labelbottom=True)
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.minorticks_off()
    for panel in panels[:, 0]:
        panel.set_ylabel("relative error of x")
    for panel in panels.flat[len(kinds) :]:
        panel.set_visible(False)
    key = panels[0, 0]
    key.plot([], [], "k-", lw=2.6, label="everything on")
    key.plot([], [], "kx", ms=6, label="… cannot be programmed")
    for name, colour in colours.items():
        key.plot([], [], "o-", color=colour, lw=1.1, ms=3, label=f"only: {name}")
    figure.legend(loc="outside lower center", ncols=3, fontsize=9.5)
    first = [p for p in points if p.imperfections == "all" and p.condition == points[0].condition]
    words = "; ".join(f"{p.preset} {number(p.error)}" for p in first)
    return figure, f"Errors of {len(kinds)} kinds of hardware; at condition number {points[0].condition:g}: {words}"


FIGURES: tuple[FigureEntry[Validation], ...] = (
    FigureEntry(
        "agreements",
        "Every check, beside its bound",
        f"How much of its bound each check's difference takes; what is below {number(LEAST_SHARE)} stands there. "
        "Right of the black line a check fails. On the right the check that comes nearest to its bound.",
        _agreements,
    ),
    FigureEntry(
        "settling",
        "Settling, one engine over the other",
        "Cell voltages without noise on their way to rest, on one device of each preset and topology: ngspice as "
        f"lines, network as dots, at most {MOST_CELLS} cells. Above each panel how far apart all cells together are, "
        f"relatively, at the worst of the compared moments.",
        _settling,
    ),
    FigureEntry(
        "covariance",
        "Covariance of noisy transients, side by side",
        "Voltages of cells sampled at rest in ngspice, beside the exact law of noise that is held piecewise constant "
        "as there. Both divided by the law's standard deviations of the two cells; on the right what separates them, "
        "in standard errors of each entry.",
        _covariances,
    ),
    FigureEntry(
        "spectra",
        "Noise spectra",
        "Small-signal noise of the first cell: ngspice's .noise as a line, network as dots. Above each panel the "
        "relative difference of power densities at the worst frequency.",
        _spectra,
    ),
    FigureEntry(
        "conditioning",
        "Error against condition number",
        f"Settled solutions of {CELLS} cells, median over random systems: root mean square error of one reading over "
        "the size of the solution. Black: everything on. Coloured: all imperfections off but one. Crosses: the "
        "hardware cannot hold the matrix. ADC codes stay level because ranging brings the nodes to full scale. The "
        "others mostly grow: x is then large beside b, so that DACs use few of their codes, and an error of the "
        "matrix, of an amplifier or of a noise current counts by up to the condition number.",
        _conditioning,
    ),
)
"""In the order of the page."""

"""Draw docs/images/schematic.svg: the way from a problem to its solution, and which package does what.

Run: python -m docs.figures.schematic. The matrix, its conductances, the voltages and the solution are those of a solve.
"""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from numpy.typing import NDArray

from netlists.topologies.active import ActiveArray
from solvers.ideal import IdealLaw
from solvers.spu import Spu
from spu_circuit.hardware import Noise, load_hardware
from spu_circuit.problem import LinearSystem

Array = NDArray[np.float64]

TARGET = Path(__file__).parents[1] / "images" / "schematic.svg"
WIDTH, HEIGHT = 160.0, 62.0
"""Of the drawing, in its own units."""
MIDDLE = 36.0
PLUS, MINUS, INK, PALE, GREY = "#2b6cb0", "#c2571a", "#1f2933", "#f3f6f9", "#6b7885"
CELLS = ("#2b6cb0", "#c2571a", "#2f855a")
"""Colours of the three unknowns."""
A = np.array([[1.0, -0.45, 0.3], [-0.45, 0.85, -0.25], [0.3, -0.25, 0.7]])
b = np.array([0.5, 0.35, -0.3])
TAU = 8.0
"""How long the array relaxes."""
INJECTED = 0.012
"""V: noise that can be seen at this size."""


def main() -> None:
    """Solve, draw, write."""
    system = LinearSystem(A, b)
    paper = load_hardware("paper")
    spu = Spu(paper.model_copy(update={"noise": Noise(injected=INJECTED)}), IdealLaw(points=400))
    solution = spu.solve(system, analog_time=TAU, seed=3)
    assert solution.waveform is not None
    assert solution.device is not None
    array = solution.device.array
    assert isinstance(array, ActiveArray)

    plt.rcParams.update({"svg.hashsalt": "spu-circuit", "font.family": "DejaVu Sans", "mathtext.fontset": "cm"})
    figure = plt.figure(figsize=(WIDTH / 12, HEIGHT / 12))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT), aspect="equal")
    axes.axis("off")

    _problem(axes, 3)
    _arrow(axes, 25.0, 28.6)
    _conductances(axes, 30, array)
    _arrow(axes, 48.2, 52.2)
    _circuit(axes, 55)
    _arrow(axes, 101.2, 105.2)
    _voltages(figure, 110, solution.waveform.seconds / float(solution.device.time_constant), solution.waveform.volts)
    _arrow(axes, 134.6, 138.6)
    _solution(axes, 142, solution.value, np.linalg.solve(A, b))
    _packages(axes)
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET, metadata={"Date": None}, facecolor="white")


def _title(axes: Axes, x: float, title: str, formula: str) -> None:
    axes.text(x, 58.2, title, ha="center", va="center", fontsize=11.5, weight="bold", color=INK)
    axes.text(x, 19.4, formula, ha="center", va="center", fontsize=12, color=INK)


def _arrow(axes: Axes, start: float, end: float) -> None:
    axes.add_patch(
        FancyArrowPatch((start, MIDDLE), (end, MIDDLE), arrowstyle="-|>", mutation_scale=17, lw=2.2, color=GREY)
    )


def _grid(axes: Axes, x: float, y: float, size: float, shades: Array, colour: NDArray[np.str_]) -> None:
    """A matrix as squares, each as strong as its entry; its middle at (x, y)."""
    rows, columns = shades.shape
    for i in range(rows):
        for j in range(columns):
            at = (x + (j - columns / 2) * size, y + (rows / 2 - 1 - i) * size)
            axes.add_patch(Rectangle(at, size, size, facecolor=PALE, edgecolor="none"))
            axes.add_patch(
                Rectangle(at, size, size, facecolor=colour[i, j], alpha=float(shades[i, j]), edgecolor="white", lw=1.5)
            )


def _signs(values: Array) -> NDArray[np.str_]:
    return np.where(values > 0, PLUS, MINUS)


def _problem(axes: Axes, x: float) -> None:
    _title(axes, x + 10.2, "problem", r"$A\,x = b$")
    size = 3.7
    places = ((x + 5.5, "$A$", A), (x + 13.3, "$x$", None), (x + 19.1, "$b$", b[:, None]))
    for middle, name, values in places:
        axes.text(middle, MIDDLE + 8.0, name, ha="center", va="center", fontsize=12, color=INK)
        if values is None:
            _grid(axes, middle, MIDDLE, size, np.full((3, 1), 0.2), np.full((3, 1), GREY))
            continue
        _grid(axes, middle, MIDDLE, size, np.abs(values), _signs(values))
        for (i, j), value in np.ndenumerate(values):
            at = (middle + (j - (values.shape[1] - 1) / 2) * size, MIDDLE + (1 - i) * size)
            text, colour = f"{value:g}".replace("-", "−"), "white" if abs(value) > 0.5 else INK
            axes.text(*at, text, ha="center", va="center", fontsize=6.4, color=colour)
    axes.text(x + 16.2, MIDDLE, "=", ha="center", va="center", fontsize=13, color=INK)


def _conductances(axes: Axes, x: float, array: ActiveArray) -> None:
    _title(axes, x + 8, "conductances", r"$G^{+}-G^{-} = g_u A$")
    largest = float(array.direct.max())
    for held, y, label, colour in (
        (array.direct, MIDDLE + 8.6, "$G^{+}$", PLUS),
        (array.inverted, MIDDLE - 8.2, "$G^{-}$", MINUS),
    ):
        _grid(axes, x + 11, y, 4.0, held / largest, np.full((3, 3), colour))
        axes.text(x + 2, y, label, ha="center", va="center", fontsize=12, color=colour)


def _wire(axes: Axes, *points: tuple[float, float], colour: str = INK) -> None:
    axes.plot(*zip(*points, strict=True), color=colour, lw=1.4, solid_capstyle="round", solid_joinstyle="round")


def _resistor(axes: Axes, x: float, y: float, colour: str) -> None:
    """Zigzag from (x, y) to (x + 9, y), with leads."""
    teeth = [(x + 1.6 + 0.5 + k * 0.97, y + (1.15 if k % 2 else -1.15)) for k in range(6)]
    _wire(axes, (x, y), (x + 1.6, y), *teeth, (x + 7.4, y), (x + 9, y), colour=colour)


def _dot(axes: Axes, x: float, y: float) -> None:
    axes.add_patch(Circle((x, y), 0.5, color=INK))


def _ground(axes: Axes, x: float, y: float) -> None:
    for k, half in enumerate((1.5, 0.95, 0.4)):
        _wire(axes, (x - half, y - 0.65 * k), (x + half, y - 0.65 * k))


def _circuit(axes: Axes, x: float) -> None:
    """One cell of the active array: the row of resistors, the integrator, the inverting stage."""
    _title(
        axes,
        x + 22.5,
        "circuit",
        r"$C\,\dot V_i = -\sum_j (G^{+}_{ij}-G^{-}_{ij})\,V_j - V_{\mathrm{DAC},i}/R_{\mathrm{in}} + I_n$",
    )
    node = x + 15.5
    inputs = (
        (50.0, "$V_1$", "$G^{+}_{i1}$", PLUS),
        (42.5, "$-V_2$", "$G^{-}_{i2}$", MINUS),
        (35.0, "$V_3$", "$G^{+}_{i3}$", PLUS),
        (27.5, r"$V_{\mathrm{DAC},i}$", r"$R_{\mathrm{in}}$", INK),
    )
    for y, source, resistor, colour in inputs:
        _resistor(axes, x + 5.5, y, colour)
        _wire(axes, (x + 14.5, y), (node, y))
        axes.text(x + 4.6, y, source, ha="right", va="center", fontsize=10.5, color=colour)
        axes.text(x + 10, y + 2.9, resistor, ha="center", va="center", fontsize=9.5, color=colour)
        _dot(axes, node, y)
    _wire(axes, (node, inputs[0][0]), (node, inputs[-1][0]))

    # The integrator, its virtual ground at the inverting input.
    virtual, left, out = 38.7, x + 23.5, x + 33.5
    centre = virtual - 2.3
    axes.add_patch(
        Polygon(
            [(left, centre + 5.6), (left, centre - 5.6), (out, centre)], closed=True, fill=False, edgecolor=INK, lw=1.6
        )
    )
    axes.text(left + 1.6, virtual, "−", ha="center", va="center", fontsize=10.5)
    axes.text(left + 1.6, virtual - 4.6, "+", ha="center", va="center", fontsize=10.5)
    _wire(axes, (node, virtual), (left, virtual))
    _wire(axes, (left, virtual - 4.6), (left - 2.2, virtual - 4.6), (left - 2.2, virtual - 7.4))
    _ground(axes, left - 2.2, virtual - 7.4)

    # The capacitor around it.
    top, corner, plate = 48.2, left - 3.4, (left + out) / 2
    _dot(axes, corner, virtual)
    _wire(axes, (corner, virtual), (corner, top), (plate - 0.6, top))
    for side in (-0.6, 0.6):
        _wire(axes, (plate + side, top - 2), (plate + side, top + 2))
    _wire(axes, (plate + 0.6, top), (out + 1.6, top), (out + 1.6, centre))
    axes.text(plate, top + 3.6, "$C$", ha="center", va="center", fontsize=10.5)
    _wire(axes, (out, centre), (out + 5, centre))
    _dot(axes, out + 1.6, centre)
    axes.text(out + 5.6, centre, "$V_i$", ha="left", va="center", fontsize=10.5)

    # The inverting stage as one symbol.
    low = 27.6
    _wire(axes, (out + 1.6, centre), (out + 1.6, low), (out + 3.0, low))
    axes.add_patch(
        Polygon(
            [(out + 3.0, low + 2), (out + 3.0, low - 2), (out + 6.4, low)],
            closed=True,
            fill=False,
            edgecolor=MINUS,
            lw=1.4,
        )
    )
    axes.add_patch(Circle((out + 6.95, low), 0.5, fill=False, edgecolor=MINUS, lw=1.2))
    axes.text(out + 8, low, "$-V_i$", ha="left", va="center", fontsize=10.5, color=MINUS)


def _voltages(figure: plt.Figure, x: float, times: Array, volts: Array) -> None:
    whole = figure.axes[0]
    _title(whole, x + 11.3, "voltages", r"$V_i \to v_u\,x_i$")
    axes = figure.add_axes((x / WIDTH, 25.5 / HEIGHT, 22.6 / WIDTH, 26.5 / HEIGHT))
    for k in range(3):
        axes.plot(times, volts[:, k], color=CELLS[k], lw=1.2)
    axes.axhline(0, color=GREY, lw=0.7)
    axes.set(xlim=(0, TAU), xticks=[0, TAU / 2, TAU], yticks=[])
    axes.set_xticklabels(["0", f"{TAU / 2:g}τ", f"{TAU:g}τ"], fontsize=8.5)
    axes.tick_params(length=2.5, color=GREY, labelcolor=INK, pad=2)
    axes.set_facecolor(PALE)
    for side in axes.spines.values():
        side.set_visible(False)


def _solution(axes: Axes, x: float, value: Array, exact: Array) -> None:
    _title(axes, x + 7.3, "solution", r"$x = A^{-1} b$")
    widest = 9.5 / np.abs(exact).max()
    zero = x + 5.5
    for k in range(3):
        y = MIDDLE + (1 - k) * 8.0 + 2.0
        axes.add_patch(Rectangle((zero, y - 2.1), widest * value[k], 3.4, color=CELLS[k], alpha=0.85, lw=0))
        _wire(axes, (zero + widest * exact[k], y - 2.9), (zero + widest * exact[k], y + 2.1))
        axes.text(
            zero - 1.2 if exact[k] > 0 else zero + 1.2,
            y - 0.4,
            f"$x_{k + 1}$",
            ha="right" if exact[k] > 0 else "left",
            va="center",
            fontsize=11,
        )
    _wire(axes, (zero, MIDDLE - 11), (zero, MIDDLE + 14))
    axes.text(x + 7.3, MIDDLE - 12.4, "black: exact", ha="center", va="center", fontsize=7.8, color=GREY)


def _packages(axes: Axes) -> None:
    """Who does it: under each picture its package, and below the two packages that use all of them."""
    for left, right, y, name, what in (
        (2, 28.5, 9.2, "spu_circuit", "problem and hardware as data"),
        (30, 103, 9.2, "netlists", "programs resistors, lays out the circuit, writes SPICE decks"),
        (104.5, 158, 9.2, "solvers", "engines compute voltages; Spu is the whole device"),
        (2, 78, 1.2, "optim", "natural gradient descent: a device solves a system a step"),
        (79.5, 158, 1.2, "experiments", "the commands: solve, train, sweep, validate, …"),
    ):
        box = FancyBboxPatch(
            (left, y), right - left, 6.6, boxstyle="round,pad=0,rounding_size=1.2", facecolor=PALE, edgecolor="none"
        )
        axes.add_patch(box)
        middle = (left + right) / 2
        mono: dict[str, Any] = {"family": "DejaVu Sans Mono", "weight": "bold", "fontsize": 9}
        axes.text(middle, y + 4.6, name, ha="center", va="center", color=INK, **mono)
        axes.text(middle, y + 1.9, what, ha="center", va="center", fontsize=7.6, color=INK)


if __name__ == "__main__":
    main()

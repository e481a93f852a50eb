"""A curve for each of several cases, with the interval over seeds: what most claims are drawn as."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import Rows, column, grouped
from experiments.claims.rules import Condition

PALETTE = ("#30638e", "#d1495b", "#edae49", "#66a182", "#8d6a9f", "#3a7d7c", "#b0803c", "#7a7a7a")


def curves(
    rows: Rows, by: str, x: str, y: str, bound: float | None = None, logarithmic: bool = True, **axes: object
) -> tuple[Figure, str] | None:
    """Means over seeds with 95 % intervals.

    Args:
        by: field whose values have a curve each.
        x, y: fields on the axes.
        bound: a line across.
        logarithmic: means are geometric.
        axes: settings of the axes, as labels and scales.

    Returns:
        The figure and what it shows, in words; None where no row has a number.
    """
    figure = Figure()
    panel = figure.subplots()
    ends = []
    for k, (case, own) in enumerate(grouped(rows, by).items()):
        points = _points({place[0]: column(some, y) for place, some in grouped(own, x).items()}, logarithmic)
        if not points:
            continue
        places, means, lows, highs = (np.array(part) for part in zip(*points, strict=True))
        around = [means - lows, highs - means]
        colour = PALETTE[k % len(PALETTE)]
        panel.errorbar(places, means, around, fmt="o-", color=colour, ms=4, capsize=3, label=str(case[0]))
        ends.append(f"{case[0]}: {means[0]:.3g} to {means[-1]:.3g}")
    if not ends:
        return None
    if bound is not None:
        panel.axhline(bound, color="k", lw=1, ls="--")
    panel.set(**axes)
    panel.legend(fontsize=9)
    return figure, f"{axes['ylabel']} against {axes['xlabel']}. {'; '.join(ends)}"


def _points(found: Mapping[float, tuple[float, ...]], logarithmic: bool) -> list[tuple[float, float, float, float]]:
    points = []
    for place, values in found.items():
        finite = tuple(value for value in values if np.isfinite(value) and (value > 0 or not logarithmic))
        if finite:
            point = Condition("", "", finite, 1.0, "below", logarithmic, exact=len(finite) == 1)
            points.append((float(place), *point.interval))
    return sorted(points)

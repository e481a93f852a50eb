"""The points of a grid beside each other: copies, yield and worst copy of each, and which is the worst corner."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.shared.files import inert
from experiments.sweeps.findings import Findings
from experiments.sweeps.group import Group, ranked
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.units import SI_UNITS, interval_share, metric_text, titled, yield_share

WORST = "← worst"
"""Marks the worst corner."""
FILE = "points.csv"


@dataclass(frozen=True)
class Points:
    """A table of points.

    Args:
        rows: texts in the order of the head.
        worst: which row is the worst corner; None: there is one group, or a group is no corner but a kind that varies
            alone.
    """

    head: list[str]
    rows: list[list[str]]
    worst: int | None

    @property
    def corner(self) -> str:
        """The worst corner in words."""
        row = self.rows[self.worst or 0]
        return ", ".join(f"{name} {cell}" for name, cell in zip(self.head, row, strict=True) if name)


def points_of(found: Findings, brief: bool = False) -> Points:
    """As people read them.

    Args:
        brief: without what the page has room for: how many copies there are, failed, are unstable, or keep all limits.
    """
    sweep, groups = found.sweep, found.shown
    drawn, corners = found.chosen.copies.drawn, len(found.study.settings) > 1
    name = ranked(sweep)[0]
    counts = [] if brief else ["copies", "failed", "unstable", *(["keep all limits"] if sweep.limits else [])]
    yields = ["yield", "interval"] if sweep.limits and drawn else []
    head = [*(groups[0].traits or ("setting",)), *counts, *yields]
    head += [f"worst {titled(name)}", *([] if brief else [""])] if corners else []
    worst = worst_of(groups) if corners else None
    rows = []
    for k, group in enumerate(groups):
        given = group.found_yield
        told = [str(len(group.rows)), *(str(group.counted(status)) for status in ("failed", "unstable"))]
        told.append(f"{given.good} of {given.tried}")
        cells = [*(group.traits.values() or ("all copies",)), *told[: len(counts)]]
        cells += [yield_share(given.share), interval_share(*given.interval)] if yields else []
        if corners:
            cells += [metric_text(name, worst_value(group, name)), *([] if brief else [WORST if k == worst else ""])]
        rows.append(cells)
    return Points(head, rows, worst)


def worst_value(group: Group, name: str) -> float:
    """The worst of a metric that a copy of the group has."""
    return float(group.column(name)[int(np.argmax(group.badness(name)))])


def worst_of(groups: Sequence[Group]) -> int:
    """Which group has the lowest yield, or, where yields are alike or nothing is limited, the worst copy."""
    name = ranked(groups[0].sweep)[0]
    keys = [(group.found_yield.share if group.sweep.limits else 0.0, -group.badness(name).max()) for group in groups]
    return min(range(len(groups)), key=keys.__getitem__)


def points_file(found: Findings) -> str:
    """The same as CSV, and the worst of every metric: SI units, shares as fractions."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    names, groups = ranked(found.sweep), found.shown
    head = ["point", *groups[0].traits, "copies", "failed", "unstable"]
    head += ["yield [1]", "low [1]", "high [1]"] if found.sweep.limits else []
    units = {name: SI_UNITS.get(METRICS[name].unit, METRICS[name].unit) for name in names}
    writer.writerow(map(inert, [*head, *(f"worst {name} [{unit}]" for name, unit in units.items()), "worst corner"]))
    worst = worst_of(groups)
    for k, group in enumerate(groups):
        given = group.found_yield
        cells = [group.key[0], *group.traits.values(), len(group.rows), *map(group.counted, ("failed", "unstable"))]
        cells += [repr(value) for value in (given.share, *given.interval)] if found.sweep.limits else []
        cells += [*(repr(worst_value(group, name)) for name in names), int(k == worst)]
        writer.writerow(map(inert, cells))
    return written.getvalue()

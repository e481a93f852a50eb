"""Findings as tables of values: the terminal, the page and the files show the same ones."""

from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

from experiments.sweeps.units import SI_UNITS, text


@dataclass(frozen=True)
class Value:
    """A number in SI with its unit, and its interval where it has one; "%" is a share."""

    number: float
    unit: str = ""
    low: float = nan
    high: float = nan

    def __str__(self) -> str:
        shown = text(self.number, self.unit)
        if not (isfinite(self.low) or isfinite(self.high)):
            return shown
        return f"{shown} ({text(self.low, self.unit)} to {text(self.high, self.unit)})"

    def plain(self) -> dict[str, Any]:
        """For JSON: null where a number is not finite, shares as fractions."""
        found: dict[str, Any] = {"value": finite(self.number), "unit": SI_UNITS.get(self.unit, self.unit)}
        if isfinite(self.low) or isfinite(self.high):
            found |= {"low": finite(self.low), "high": finite(self.high)}
        return found


Cell = str | int | Value


@dataclass(frozen=True)
class Table:
    """What is found about a metric at a point of the grid.

    Args:
        caption: what the numbers are.
        rows: cells in the order of the head; the first says what a row is about.
    """

    metric: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def texts(self) -> list[list[str]]:
        """As people read it."""
        return [[str(cell) for cell in row] for row in self.rows]

    def plain(self) -> dict[str, Any]:
        """For JSON: each row by the names of the head."""
        rows = [
            {name: cell.plain() if isinstance(cell, Value) else cell for name, cell in zip(self.head, row, strict=True)}
            for row in self.rows
        ]
        return {"metric": self.metric, "rows": rows}


def finite(value: float) -> float | None:
    return value if isfinite(value) else None

"""What a claim is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.claims.rules import Condition
from experiments.shared.figures import FigureEntry

Row = Mapping[str, Any]
"""A line of what was measured: texts, numbers, None where there was no solution."""
Rows = Sequence[Row]
FRESH = tuple(range(100, 1000))
"""Seeds that no rule or setting was chosen by: full protocols take theirs here, quick ones count from 0."""


@dataclass(frozen=True)
class Claim:
    """A claim with how it is tested. It is one file, and one line in ``experiments.claims.statements``.

    The rule stands in the file before anything is run: ``conditions`` knows nothing but rows.

    Args:
        name: on the command line and of its files.
        statement: what is claimed, in a sentence.
        source: who claims it.
        method: what is run, in words.
        rule: what makes a condition hold, in words.
        full, quick: protocols: frozen data classes of sizes, seeds and settings, which are all that ``measure`` knows.
        measure: rows from a protocol and a ``Given``.
        conditions: what the verdict is made of.
        finding: what the rows say beyond it, in one or two sentences with numbers.
        figure: of the rows.
        lacks: of a claim on data: what is missing to measure it with a file, and how to get it; empty where nothing is.
            None: it needs no data.
    """

    name: str
    statement: str
    source: str
    method: str
    rule: str
    full: Any
    quick: Any
    measure: Callable[..., Rows]
    conditions: Callable[[Rows], list[Condition]]
    finding: Callable[[Rows], str]
    figure: FigureEntry[Rows]
    lacks: Callable[[Path | None], str] | None = None

    def protocol(self, quick: bool) -> Any:
        """What is run."""
        return self.quick if quick else self.full

    def missing(self, data: Path | None) -> str:
        """Why it cannot be measured with a file, or with none; empty where it can."""
        return self.lacks(data) if self.lacks else ""


def grouped(rows: Rows, *fields: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows that agree in some fields, in their order."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[field] for field in fields), []).append(row)
    return groups


def column(rows: Rows, field: str) -> tuple[float, ...]:
    """Numbers of a field; NaN where there is none."""
    return tuple(float("nan") if row[field] is None else float(row[field]) for row in rows)

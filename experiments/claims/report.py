"""Results as tables, figures and one page."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.claims.claim import Claim
from experiments.claims.rules import Condition, corrected
from experiments.claims.store import Result
from experiments.shared.figures import draw_all
from experiments.shared.files import write, write_csv
from experiments.shared.page import render

HEAD = (
    *("claim", "statement", "source", "rule", "verdict", "held", "failed", "open", "holds", "where", "finding"),
    *("protocol", "command"),
)
CONDITIONS = (
    *("condition", "at", "mean", "low", "high", "wanted", "bound", "seeds", "failed"),
    *("p if wrong", "p if right", "answer"),
)


def write_reports(results: Sequence[Result], left: Sequence[tuple[Claim, str]], folder: Path) -> None:
    """Write claims.csv, of each claim its rows and conditions as CSV and its figure, and claims.html.

    Args:
        results: of protocols of one kind, all of which the page shows.
        left: claims that were not run, each with what it lacks; on the page alone.
    """
    write_csv(folder / "claims.csv", HEAD, (_verdict_row(result) for result in results))
    shown, quick = [], any(result.quick for result in results)
    for result in results:
        name, rows = result.claim.name, result.rows
        # Parts of a claim have columns of their own.
        columns = list(dict.fromkeys(column for row in rows for column in row))
        write_csv(folder / f"{name}.csv", columns, ([row.get(column) for column in columns] for row in rows))
        table = condition_rows(result)
        write_csv(folder / f"{name}-conditions.csv", CONDITIONS, table)
        shown.append((result, [_shown(row) for row in table], draw_all([result.claim.figure], rows, folder)))
    write(
        folder / "claims.html",
        render("claims/report.html", shown=shown, left=left, head=CONDITIONS, protocol=_protocol, quick=quick),
    )


def condition_rows(result: Result) -> list[tuple[Any, ...]]:
    """Every condition with its own interval, its corrected p-values, and its answer."""
    conditions = result.claim.conditions(result.rows)
    return [
        (c.group, c.point, *_interval(c), c.wanted, c.bound, len(c.values), c.failed, *p_values, answer)
        for c, p_values, answer in zip(conditions, corrected(conditions), result.verdict.answers, strict=True)
    ]


def _interval(condition: Condition) -> tuple[float | None, ...]:
    return (None,) * 3 if condition.failed else condition.interval


def _shown(row: Sequence[Any]) -> list[str]:
    return ["–" if cell is None else f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row]


def _verdict_row(result: Result) -> tuple[Any, ...]:
    claim, found = result.claim, result.verdict
    counts = (found.answers.count(answer) for answer in ("holds", "fails", "open"))
    texts = found.shares, found.where, claim.finding(result.rows), "quick" if result.quick else "full", result.command
    return claim.name, claim.statement, claim.source, claim.rule, found.kind, *counts, *texts


def _protocol(result: Result) -> list[tuple[str, str]]:
    """Settings as text."""
    found = asdict(result.claim.protocol(result.quick))
    return [
        (name, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)) for name, value in found.items()
    ]

"""The command that validates: progress while it computes, tables at the end."""

import os
from collections.abc import Sequence
from itertools import groupby
from math import isnan
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from experiments.shared.extras import missing
from experiments.shared.files import make_folder
from experiments.validation.compare import compared
from experiments.validation.conditioning import EVERY_CONDITION, FEW_CONDITIONS, HARDWARE, Point, findings, study
from experiments.validation.evidence import Check, Outcome, beside_bound, number, worst
from experiments.validation.setups import SETUPS
from experiments.validation.tables import Validation, answer, moment, write_tables
from solvers.ngspice_process import ngspice_program

console = Console()

FEW_SYSTEMS, MANY_SYSTEMS = 3, 7
"""Random systems for each condition number, without and with --full: odd, so that a median is one of them."""


def validate(
    full: Annotated[bool, typer.Option("--full", help="Every device and condition number: minutes.")] = False,
    output: Annotated[Path, typer.Option("--output", help="Folder of the tables, figures and page.")] = Path(
        "runs/validation"
    ),
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Devices at a time. Default: one per core.")
    ] = None,
) -> None:
    """Compare ngspice, network, sde and closed forms on a matrix of devices; status 1 where any two disagree.

    Also measures the error of each kind of hardware against the condition number, with what sets it. Under a minute,
    or minutes with --full.
    """
    make_folder(output)
    if not run(full, workers or os.cpu_count() or 1, output):
        raise typer.Exit(1)


def run(full: bool, workers: int, folder: Path) -> bool:
    """Compare, write, and print.

    Args:
        full: all devices and condition numbers.
        workers: devices at a time; changes no result.
        folder: exists.

    Returns:
        Whether every check holds.

    Raises:
        NgspiceMissingError: there is no ngspice.
    """
    ngspice_program()
    setups = tuple(setup for setup in SETUPS if full or not setup.full)
    conditions, systems = (EVERY_CONDITION, MANY_SYSTEMS) if full else (FEW_CONDITIONS, FEW_SYSTEMS)
    outcomes: list[Outcome] = []
    points: list[Point] = []
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as bars:
        comparing = bars.add_task("comparing engines", total=len(setups))
        conditioning = bars.add_task("condition numbers", total=len(HARDWARE) * len(conditions))
        for outcome in compared(setups, workers):
            outcomes.append(outcome)
            bars.advance(comparing)
        for some in study(conditions, systems, workers):
            points += some
            bars.advance(conditioning)
    checks = tuple(check for outcome in outcomes for check in outcome.checks)
    evidence = tuple(piece for outcome in outcomes for piece in outcome.evidence)
    found = Validation(checks, evidence, tuple(points))
    write_tables(found, folder)
    console.print(_checks_table(checks))
    console.print(_findings_table(points))
    console.print(_summary_table(checks))
    if lacking := missing("report"):
        told = f"Tables: {folder}. The page needs {', '.join(lacking)}: pip install 'spu-circuit[report]'"
        console.print(told, highlight=False, markup=False)
    else:
        from experiments.validation.report import write_page

        write_page(found, folder)
        console.print(f"Page: {folder / 'validation.html'}", highlight=False)
    for sentence in answer(checks):
        console.print(sentence, highlight=False)
    return all(check.holds for check in checks)


def _checks_table(checks: Sequence[Check]) -> Table:
    table = Table("quantity", "time", "engines", "difference (bound)", "reason for the bound", "", box=None)
    for setup, mine in groupby(checks, key=lambda check: check.setup):
        table.add_row(f"[bold]{escape(setup.name)}[/bold]")
        for check in mine:
            mark = "yes" if check.holds else "[red]NO[/red]"
            cells = (moment(check), f"{check.engine}, {check.reference}", beside_bound(check), escape(check.reason))
            table.add_row(f"  {check.quantity}", *cells, mark)
    return table


def _findings_table(points: Sequence[Point]) -> Table:
    table = Table("hardware", "condition", "error", "what sets it", box=None)
    for finding in findings(list(points)):
        error = "–" if isnan(finding.error) else number(finding.error)
        table.add_row(f"{finding.topology}, {finding.preset}", number(finding.condition, 6), error, finding.reason)
    return table


def _summary_table(checks: Sequence[Check]) -> Table:
    table = Table("agreement", "worst difference (bound)", "device", box=None)
    for agreement, check in worst(checks).items():
        table.add_row(agreement, beside_bound(check), escape(check.setup.name))
    return table

"""Ledgers and the paper's Table 1 on a terminal and as CSV."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from experiments.cost.ledger import Ledger
from experiments.cost.machines import MACHINES
from experiments.shared.files import write_csv
from optim.asymptotics import Evaluated, Sizes, evaluated
from optim.cost import Item
from spu_circuit.quantity import shown

ORDERS = "table1.csv"
SIZES = ("samples", "outputs", "parameters", "iterations", "cells")


def print_ledger(console: Console, title: str, ledger: Ledger) -> None:
    """The parts of a step and their sum, what is not known of them, and the bound of Landauer."""
    table = _table(title)
    for item in [*ledger.items, ledger.together]:
        table.add_row(item.name, *_both(item))
    console.print(table)
    for reason in dict.fromkeys(item.missing for item in ledger.items if item.missing):
        console.print(f"not known: {reason}", style="dim", highlight=False, markup=False)
    bound = ledger.bound
    told = "" if bound is None else f"kT ln 2 for each bit that is read: {shown(bound, 'J', 3)}\n"
    console.print(told, highlight=False)


def print_digital(console: Console, title: str, items: Iterable[tuple[str, Item]]) -> None:
    """Steps without a device, each with the computer that makes it."""
    table, missing = _table(title), []
    for where, item in items:
        table.add_row(f"{item.name} ({where})", *_both(item))
        missing.append(item.missing)
    console.print(table)
    for reason in filter(None, dict.fromkeys(missing)):
        console.print(f"not known: {reason}", style="dim", highlight=False, markup=False)
    for each in MACHINES.values():
        console.print(
            f"{each.name}: {each.source}; a tenth of that rate is assumed", style="dim", highlight=False, markup=False
        )


def print_orders(console: Console, sizes: Sizes) -> None:
    """The paper's Table 1 at these sizes, beside what is counted here."""
    rows = [order_cells(row) for row in evaluated(sizes)]
    for start, (name, unit) in ((1, ("runtime", "FLOP")), (4, ("memory", "numbers"))):
        columns = [Column(text, justify="right", no_wrap=True) for text in (name, "here", f"counted, {unit}")]
        table = Table(Column("Table 1", no_wrap=True), *columns, box=None)
        for cells in rows:
            table.add_row(cells[0], *cells[start : start + 3])
        console.print("")
        console.print(table)
    console.print(f"arXiv 2405.13817, Table 1, at {at(sizes)}", style="dim", highlight=False, markup=False)


def order_cells(row: Evaluated) -> list[str]:
    """A row as people read it: of runtime and of memory the term, its value and what is counted."""
    relaxing = ("t" if row.analog_time is None else f"{row.analog_time:g} τ") if row.relaxes else ""
    operations = " + ".join(filter(None, (f"{row.operations:.3g}", relaxing)))
    counted = " + ".join(filter(None, (f"{row.flop:.3g}", relaxing)))
    return [row.optimizer, row.runtime, operations, counted, row.memory, f"{row.numbers:.3g}", f"{row.held:.3g}"]


def at(sizes: Sizes) -> str:
    """The sizes in words."""
    work = sizes.work
    time = "" if sizes.analog_time is None else f", t = {sizes.analog_time:g} τ"
    return (
        f"b = {work.samples}, d_z = {sizes.outputs}, N = {work.parameters:,}, c = {work.iterations}{time}; orders have "
        f"no constants. What is counted has K = {work.rows} rows of the curvature factor"
    )


def write_orders(folder: Path, found: Sequence[Sizes]) -> None:
    """Write table1.csv: every row of the table at each of these sizes. The folder exists."""
    head = [*SIZES, *(field.name for field in fields(Evaluated))]
    rows = ([*_numbers(sizes), *astuple(row)] for sizes in found for row in evaluated(sizes))
    write_csv(folder / ORDERS, head, rows)


def _numbers(sizes: Sizes) -> list[int]:
    work = sizes.work
    return [work.samples, sizes.outputs, work.parameters, work.iterations, work.rows]


def _table(title: str) -> Table:
    return Table(Column(title), Column("time", justify="right"), Column("energy", justify="right"), box=None)


def _both(item: Item) -> tuple[str, str]:
    """Time and energy; where they are not known, the fields that lack them."""
    unknown = "not known"
    return (
        unknown if item.seconds is None else shown(item.seconds, "s", 3),
        unknown if item.joules is None else shown(item.joules, "J", 3),
    )

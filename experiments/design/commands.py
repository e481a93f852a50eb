"""The command that designs a board."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from experiments.design.board import Board, claim, design_board, write_board
from experiments.design.config import read_design
from experiments.design.prove import Tried
from experiments.shared.files import make_folder
from experiments.shared.options import Scheduler
from experiments.sweeps.store import SweepStore
from experiments.sweeps.units import metric_text, titled
from spu_circuit.quantity import shown

console = Console()


def design(
    config: Annotated[Path, typer.Argument(help="TOML file, or the shipped config: board.")],
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder of the design. Default: runs/NAME, NAME from the config.")
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes on this machine. They change no result.")
    ] = 2,
    scheduler: Scheduler = None,
) -> None:
    """Find the cheapest board that meets a specification, from a catalogue of parts.

    Every board is predicted by the derivatives of its solution; the cheapest are simulated until one keeps the yield,
    and ngspice repeats a share of its copies. Writes report.html, summary.json, bill.csv, front.csv, front.png,
    hardware.toml and sweep.toml, which "spu-circuit sweep" takes, and the proof's copies with their page in proof.
    """
    asked = read_design(config)
    folder = output or Path("runs") / asked.name
    make_folder(folder)
    claim(asked, folder)

    def told(tried: Tried) -> None:
        verdict = "keeps the yield" if tried.passed else "does not"
        console.print(
            f"{tried.candidate.price:.2f}: {tried.good} of {tried.copies} copies keep all limits, {verdict}",
            highlight=False,
        )

    with closing(SweepStore(folder / "proof")) as store:
        board = design_board(asked, workers, scheduler, told)
        write_board(board, folder, store, workers, scheduler)
    _print(board)
    console.print(f"wrote {folder}", highlight=False)


def _print(board: Board) -> None:
    bill = Table("place", "part", "value", Column("used", justify="right"), Column("total", justify="right"), box=None)
    for line in board.short_bill:
        bill.add_row(line.place, line.part, line.value, str(line.used), f"{line.total:.2f}")
    console.print(bill)
    console.print(f"all parts: {board.price:.2f} {board.catalogue.currency}", highlight=False)
    for name, value in board.measured.items():
        limit = board.asked.limits.get(name)
        text = f"{titled(name)}: {metric_text(name, value)}"
        console.print(text + ("" if limit is None else f" (limit {metric_text(name, limit.max)})"), highlight=False)
    console.print(board.sentence, highlight=False, soft_wrap=True)
    for name in filter(board.audit.__contains__, board.asked.limits):
        apart = shown(board.audit[name], "%", 2)
        console.print(f"{titled(name)} in ngspice: at most {apart} away, of {board.audited} copies", highlight=False)

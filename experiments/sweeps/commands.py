"""The commands of the command line that are about sweeps."""

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from experiments.page import write
from experiments.sweeps.config import read_sweep
from experiments.sweeps.progress import SweepBars
from experiments.sweeps.run import Plan, plan, run
from experiments.sweeps.statistics import yield_of
from experiments.sweeps.store import SweepStore, open_sweep
from experiments.versions import versions
from spu_circuit.errors import InputError

console = Console()

ConfigFile = Annotated[
    Path,
    typer.Argument(help="TOML file, or a shipped config: resistor_tolerance, bench_limits, paper_design_point."),
]
OutputFolder = Annotated[
    Path | None, typer.Option("--output", help="Folder of the sweep. Default: runs/NAME, NAME from the config.")
]
EngineChoice = Annotated[str | None, typer.Option("--engine", help="network or ngspice. Default: the config's.")]
SweepFolder = Annotated[Path, typer.Argument(help="Folder of a sweep, finished or not.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes on this machine. They change no result.")]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", help="Address of a Dask scheduler, such as tcp://host:8786, instead.")
]


def sweep(
    config: ConfigFile,
    output: OutputFolder = None,
    engine: EngineChoice = None,
    audit: Annotated[float, typer.Option("--audit", help="Share of the copies that ngspice repeats, 0 to 1.")] = 0.0,
    workers: Workers = 2,
    scheduler: Scheduler = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Copies that a worker gets at a time. It changes no result.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="End with status 1 where a point's yield is surely below --yield.")
    ] = False,
    wanted: Annotated[float, typer.Option("--yield", min=0, max=1, help="What --check asks for.")] = 0.95,
) -> None:
    """Draw copies of a device with tolerances, and see how many meet the specification.

    Every finished batch is kept at once; the same command goes on with a sweep that was stopped.
    """
    document, grid = read_sweep(config)
    if engine is not None:
        document["engine"] = engine
    planned = plan(document, grid, str(config), audit)
    folder = output or Path("runs") / planned.sweeps[0].name
    with closing(SweepStore(folder)) as store:
        if store.set_aside is not None:
            console.print(f"The store was damaged; it is kept as {store.set_aside}, and what could be read goes on.")
        store.claim(planned.config, versions())
        try:
            with SweepBars(planned, store, console) as bars:
                run(planned, store, workers, scheduler, batch, bars)
        except KeyboardInterrupt:
            _report(store)
            console.print(f"Stopped. What is finished is in {folder}; the same command goes on from there.")
            raise typer.Exit(130) from None
        reached = _print_yields(planned, store, wanted)
        _report(store)
        if check and not reached:
            raise typer.Exit(1)


def export(
    folder: SweepFolder,
    to: Annotated[Path, typer.Option("--to", help="File to write: .parquet or .csv; SI units, in the columns' heads.")],
) -> None:
    """Write every copy of a sweep as a row of a table: what the grid sets, status, weight, metrics."""
    from experiments.sweeps.export import export

    with closing(open_sweep(folder)) as store:
        copies = export(store, to)
    console.print(f"wrote {copies} copies to {to}", highlight=False)


def replay(
    folder: SweepFolder,
    sample: Annotated[int, typer.Argument(help="Number of the copy, as in the report.")],
    point: Annotated[int, typer.Option("--point", help="Number of the point of the grid.")] = 0,
    case: Annotated[str | None, typer.Option("--case", help="Set of copies. Default: the analysis's first.")] = None,
    system: Annotated[int, typer.Option("--system", help="Which of the systems that the copy solves.")] = 0,
    to: Annotated[Path | None, typer.Option("--to", help="File to write. Default: standard output.")] = None,
) -> None:
    """Write the SPICE deck of one copy of a sweep, drawn again from its number; it runs in plain ngspice -b."""
    from experiments.sweeps.replay import replay

    with closing(open_sweep(folder)) as store:
        deck = replay(store, sample, point, case, system)
    if to is None:
        sys.stdout.write(deck)
        return
    try:
        write(to, deck)
    except OSError as error:
        raise InputError(f"to: {str(to)!r} cannot be written: {error.strerror}") from None
    console.print(f"wrote {to}", highlight=False)


def report(folder: Path) -> None:
    """Write the page and summary of a sweep again.

    Raises:
        InputError: it has no finished copy.
    """
    with closing(open_sweep(folder)) as store:
        if not _report(store):
            raise InputError(f"output: {str(folder)!r} holds no finished copy yet; run the sweep first")


def _report(store: SweepStore) -> bool:
    from experiments.sweeps.report import write_report

    written = bool(write_report(store))
    if written:
        console.print(f"Report: {store.folder / 'report.html'}", highlight=False)
    return written


def _print_yields(planned: Plan, store: SweepStore, wanted: float) -> bool:
    """Each point's yield in a sentence. Returns False where one is surely below what is wanted."""
    reached = True
    for key, sweep_, _ in planned.cases():
        if not sweep_.limits:
            continue
        found = yield_of(sweep_, store.rows(key))
        low, high = found.interval
        reached &= high >= wanted
        where = ", ".join(f"{name} = {value}" for name, value in planned.settings[key[0]].items())
        console.print(
            f"{where + ': ' if where else ''}{key[1]}: yield {100 * found.share:.2f} % "
            f"({100 * low:.2f} to {100 * high:.2f} % with 95 % confidence), {found.good} of {found.tried}",
            highlight=False,
        )
    return reached

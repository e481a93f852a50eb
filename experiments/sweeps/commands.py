"""The commands of the command line that are about sweeps."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from experiments.sweeps.config import read_sweep
from experiments.sweeps.progress import SweepBars
from experiments.sweeps.run import Plan, plan, run
from experiments.sweeps.statistics import yield_of
from experiments.sweeps.store import SweepStore
from experiments.versions import versions

console = Console()

ConfigFile = Annotated[
    Path,
    typer.Argument(help="TOML file, or a shipped config: resistor_tolerance, bench_limits, paper_design_point."),
]
OutputFolder = Annotated[
    Path | None, typer.Option("--output", help="Folder of the sweep. Default: runs/NAME, NAME from the config.")
]
EngineChoice = Annotated[str | None, typer.Option("--engine", help="network or ngspice. Default: the config's.")]
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
            console.print(f"Stopped. What is finished is in {folder}; the same command goes on from there.")
            raise typer.Exit(130) from None
        if not _print_yields(planned, store, wanted) and check:
            raise typer.Exit(1)


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

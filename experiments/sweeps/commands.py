"""The commands of the command line that are about sweeps."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from experiments.shared.files import write
from experiments.shared.options import Scheduler
from experiments.shared.versions import versions
from experiments.sweeps.cases import corner_name
from experiments.sweeps.config import Sweep, read_sweep
from experiments.sweeps.contributions import METRIC, explain
from experiments.sweeps.evaluate import Row
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.progress import SweepBars
from experiments.sweeps.run import Plan, plan, run
from experiments.sweeps.sensitivity import one_at_a_time, sobol_indices
from experiments.sweeps.statistics import passes, yield_of
from experiments.sweeps.store import SweepStore, open_sweep
from experiments.sweeps.tolerate import Target, Tried
from experiments.sweeps.tolerate import tolerate as search_tolerance
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
WorkerCount = Annotated[int, typer.Option("--workers", min=1, help="Processes on this machine. They change no result.")]


def sweep(
    config: ConfigFile,
    output: OutputFolder = None,
    engine: EngineChoice = None,
    audit: Annotated[float, typer.Option("--audit", help="Share of the copies that ngspice repeats, 0 to 1.")] = 0.0,
    workers: WorkerCount = 2,
    scheduler: Scheduler = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Copies that a worker gets at a time. It changes no result.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="End with status 1 where a yield is surely below --yield, or a corner breaks a limit."
        ),
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
    if check and not planned.sweeps[0].limits:
        raise InputError("check: without limits every copy is good; add a table [limits]")
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
        _print_effects(planned, store)
        _report(store)
        if not reached and check:
            raise typer.Exit(1)


def tolerate(
    config: ConfigFile,
    part: Annotated[
        str, typer.Option("--part", help="Whose tolerance: KIND.local, KIND.lot, KIND.gradient or temperature.")
    ],
    wanted: Annotated[float, typer.Option("--yield", min=0.01, max=0.9999, help="Yield to keep.")] = 0.95,
    confidence: Annotated[float, typer.Option("--confidence", min=0.5, max=0.9999, help="Of the answer.")] = 0.95,
    width: Annotated[
        float,
        typer.Option("--width", min=0.001, max=1, help="Relative distance of the answer's two tolerances."),
    ] = 0.05,
    output: OutputFolder = None,
    workers: WorkerCount = 2,
    scheduler: Scheduler = None,
) -> None:
    """Find the loosest tolerance of a part that keeps the yield.

    The config is a Monte Carlo sweep; its samples are those of the first look at each tolerance, doubled up to 16 times
    where they do not decide. Writes tolerate.csv and tolerate.json; the same command goes on where it was stopped.
    """
    document, grid = read_sweep(config)
    if grid:
        raise InputError(f"grid: tolerate varies one part of one sweep; leave the grid out of {config}")
    target = Target(part, wanted, confidence, width)
    folder = output or Path("runs") / f"{document.get('name', 'sweep')}-tolerate-{part}"

    def told(tried: Tried) -> None:
        console.print(
            f"{tried.tolerance:.4g} {tried.unit}: yield {100 * tried.good / tried.copies:.2f} % "
            f"({100 * tried.low:.2f} to {100 * tried.high:.2f} %), {tried.copies} copies, {tried.verdict}",
            highlight=False,
            soft_wrap=True,
        )

    try:
        answer = search_tolerance(document, str(config), target, folder, workers, scheduler, told)
    except KeyboardInterrupt:
        console.print(f"Stopped. What is finished is in {folder}; the same command goes on from there.")
        raise typer.Exit(130) from None
    console.print(answer.sentence, highlight=False, soft_wrap=True)
    if answer.contradictions:
        console.print(
            f"{answer.contradictions} copies are good at a tolerance and bad at a tighter one, so the "
            "confidence is that of each line alone.",
            highlight=False,
            soft_wrap=True,
        )
    if answer.passes is None:
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
    write(to, deck, "to")
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
    for key, sweep_, case in planned.cases():
        if not sweep_.limits or (case.sampling is not None and case.sampling.streams):
            continue
        where = _where(planned, key[0])
        if case.sampling is None:
            rows = [row for row in store.rows(key) if row.status != "failed"]
            good = int(passes(sweep_, rows).sum())
            reached &= good == len(rows)
            console.print(f"{where}{key[1]}: {good} of {len(rows)} keep all limits", highlight=False)
            continue
        found = yield_of(sweep_, store.rows(key))
        low, high = found.interval
        reached &= high >= wanted
        console.print(
            f"{where}{key[1]}: yield {100 * found.share:.2f} % "
            f"({100 * low:.2f} to {100 * high:.2f} % with 95 % confidence), {found.good} of {found.tried}",
            highlight=False,
            soft_wrap=True,
        )
    return reached


def _print_effects(planned: Plan, store: SweepStore) -> None:
    """A table for each metric of what moves it, for the analyses that ask."""
    for point, sweep_ in enumerate(planned.sweeps):
        rows = {key[1]: store.rows(key) for key, _, _ in planned.cases() if key[0] == point}
        tables = EFFECTS.get(sweep_.analysis.kind, lambda sweep_, rows: {})(sweep_, rows)
        for metric, table in tables.items():
            console.print(f"\n{_where(planned, point)}{metric}", highlight=False)
            console.print(table, highlight=False)


def _where(planned: Plan, point: int) -> str:
    setting = ", ".join(f"{name} = {value}" for name, value in planned.settings[point].items())
    return f"{setting}: " if setting else ""


def _effects(sweep_: Sweep, rows: Mapping[str, Sequence[Row]]) -> dict[str, Table]:
    tables = _tables(sweep_, "only this varies", "nominal", "median", "5 %", "95 %", "share")
    for effect in one_at_a_time(sweep_, rows):
        shown = [_metric(effect.metric, v) for v in (effect.nominal, effect.median, effect.low, effect.high)]
        share = _left_out(f"{100 * effect.share:.1f} %", effect.left_out)
        tables[effect.metric].add_row(effect.kind, *shown, share)
    return tables


def _indices(sweep_: Sweep, rows: Mapping[str, Sequence[Row]]) -> dict[str, Table]:
    tables = _tables(sweep_, "part", "first order", "with 95 % confidence", "total", "with 95 % confidence")
    for index in sobol_indices(sweep_, rows):
        first, total = (f"{low:.3f} to {high:.3f}" for low, high in (index.first_interval, index.total_interval))
        last = _left_out(total, index.left_out)
        tables[index.metric].add_row(index.kind, f"{index.first:.3f}", first, f"{index.total:.3f}", last)
    return tables


def _bounds(sweep_: Sweep, rows: Mapping[str, Sequence[Row]]) -> dict[str, Table]:
    tables = _tables(sweep_, "", "value", "corner")
    (found,) = rows.values()
    for k, metric in enumerate(sweep_.recorded):
        ranked = sorted((row for row in found if row.status == "ok"), key=lambda row: row.metrics[k])
        for name, row in zip(("lowest", "nominal", "highest"), (*ranked[:1], found[0], *ranked[-1:]), strict=False):
            corner = corner_name(sweep_, row.sample)
            tables[metric].add_row(name, _metric(metric, row.metrics[k]), _left_out(corner, len(found) - len(ranked)))
    return tables


def _contributions(sweep_: Sweep, rows: Mapping[str, Sequence[Row]]) -> dict[str, Table]:
    (found,) = rows.values()
    told = explain(sweep_, found)
    table = Table("adds to the error", "rms alone", "share", box=None)
    for one in (*told.kinds, *told.parts):
        name = f"  {one.kind} {one.part}" if one.part else one.kind
        table.add_row(name, _metric(METRIC, one.rms), f"{100 * one.share:.1f} %")
    low, high = (_metric(METRIC, end) for end in told.interval)
    table.add_row("first order, nominal error included", _metric(METRIC, told.expected), "")
    measured = f"{_metric(METRIC, told.measured)} ({low} to {high})"
    table.add_row("the samples (95 % confidence)", _left_out(measured, told.left_out), "")
    table.add_row("their variance explained", "", f"{100 * told.explained:.1f} %")
    return {METRIC: table}


EFFECTS: dict[str, Callable[[Sweep, Mapping[str, Sequence[Row]]], dict[str, Table]]] = {
    "one at a time": _effects,
    "variance based": _indices,
    "corners": _bounds,
    "worst case": _bounds,
    "contributions": _contributions,
}


def _tables(sweep_: Sweep, *columns: str) -> dict[str, Table]:
    return {metric: Table(*columns, box=None) for metric in sweep_.recorded}


def _metric(name: str, value: float) -> str:
    unit = METRICS[name].unit
    return f"{100 * value:.4g} %" if unit == "%" else f"{value:.4g} {unit}".strip()


def _left_out(text: str, count: int) -> str:
    return f"{text} ({count} without a finite value left out)" if count else text

"""The commands of the command line that are about sweeps."""

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.shared.files import write
from experiments.shared.grid import setting_text
from experiments.shared.options import Scheduler
from experiments.shared.versions import versions
from experiments.sweeps.config import read_sweep
from experiments.sweeps.findings import Findings, findings, study_in
from experiments.sweeps.points import points_of
from experiments.sweeps.progress import SweepBars
from experiments.sweeps.run import MOST_BATCH, run
from experiments.sweeps.sentences import NAMED, answer, warned, yield_text
from experiments.sweeps.size import check_size
from experiments.sweeps.store import SweepStore, open_sweep
from experiments.sweeps.study import study_of
from experiments.sweeps.tolerate import Target, Tried
from experiments.sweeps.tolerate import tolerate as search_tolerance
from experiments.sweeps.units import yield_share
from spu_circuit.errors import InputError

console = Console()

STOPPED = "Stopped. What is finished is in {folder}; the same command goes on from there."

ConfigFile = Annotated[
    Path,
    typer.Argument(
        help="TOML file, or a shipped config: resistor_tolerance, bench_limits, corners, paper_design_point."
    ),
]
OutputFolder = Annotated[
    Path | None, typer.Option("--output", help="Folder of the sweep. Default: runs/NAME, NAME from the config.")
]
EngineChoice = Annotated[str | None, typer.Option("--engine", help="network or ngspice. Default: the config's.")]
SweepFolder = Annotated[Path, typer.Argument(help="Folder of a sweep, finished or not.")]
WorkerCount = Annotated[
    int, typer.Option("--workers", min=1, help="Processes on this machine, at most. They change no result.")
]


def sweep(
    config: ConfigFile,
    output: OutputFolder = None,
    engine: EngineChoice = None,
    linearise: Annotated[
        bool, typer.Option("--linearise", help="network: take amplifiers that saturate by their tangents at rest.")
    ] = False,
    audit: Annotated[float, typer.Option("--audit", help="Share of the copies that ngspice repeats, 0 to 1.")] = 0.0,
    workers: WorkerCount = 2,
    scheduler: Scheduler = None,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch", min=1, max=MOST_BATCH, help="Copies that a worker gets at a time. It changes no result."
        ),
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
    if linearise:
        document["linearise"] = True
    study = study_of(document, grid, str(config), audit)
    if check and not study.sweeps[0].limits:
        raise InputError("check: without limits every copy is good; add a table [limits]")
    folder = output or Path("runs") / study.sweeps[0].name
    size = check_size(study, workers, scheduler)
    if size.seconds:
        console.print(str(size), highlight=False)
    if not study.audit:
        workers = size.processes(workers)
    with closing(SweepStore(folder)) as store:
        if store.set_aside is not None:
            console.print(f"The store was damaged; it is kept as {store.set_aside}, and what could be read goes on.")
        store.claim(study.config, versions())
        try:
            with SweepBars(study, store, console) as bars:
                run(study, store, workers, scheduler, batch, bars)
        except KeyboardInterrupt:
            _report(store)
            console.print(STOPPED.format(folder=folder), soft_wrap=True)
            raise typer.Exit(130) from None
        found = findings(study_in(store), store)
        many = len(found.shown) > NAMED and len(study.settings) > 1
        reached = _print_yields(found, wanted, quiet=many)
        if many:
            _print_points(found)
        if found.shown:
            _print_tables(found)
        for warning in warned(found):
            console.print(f"\nWarning: {warning}", highlight=False, soft_wrap=True)
        _report(store)
        if not reached and check:
            raise typer.Exit(1)


def tolerate(
    config: ConfigFile,
    part: Annotated[
        list[str],
        typer.Option(
            "--part",
            help="Whose tolerance: KIND.local, KIND.lot, KIND.gradient or temperature; several by one factor.",
        ),
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

    Several parts are loosened by one factor. The config is a Monte Carlo sweep; its samples are those of the first look
    at each tolerance, doubled up to 16 times where they may still decide. Writes tolerate.csv and tolerate.json; the
    same command goes on where it was stopped.
    """
    document, grid = read_sweep(config)
    if grid:
        raise InputError(f"grid: tolerate varies parts of one sweep; leave the grid out of {config}")
    target = Target(tuple(part), wanted, confidence, width)
    folder = output or Path("runs") / f"{document.get('name', 'sweep')}-tolerate-{'+'.join(part)}"

    def told(tried: Tried) -> None:
        console.print(
            f"{tried.shown}: yield {yield_share(tried.good / tried.copies)} ({yield_share(tried.low)} to "
            f"{yield_share(tried.high)}), {tried.copies} copies, {tried.verdict}",
            highlight=False,
            soft_wrap=True,
        )

    try:
        answer = search_tolerance(document, str(config), target, folder, workers, scheduler, told)
    except KeyboardInterrupt:
        console.print(STOPPED.format(folder=folder), soft_wrap=True)
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
    parts: Annotated[
        list[str] | None, typer.Option("--parts", help="KIND of which each part's deviation is written; repeatable.")
    ] = None,
) -> None:
    """Write every copy of a sweep as a row of a table: grid, status, weight, limits kept, drawn values, metrics."""
    from experiments.sweeps.export import export

    with closing(open_sweep(folder)) as store:
        copies = export(store, to, parts or ())
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
            raise InputError(f"output: {str(folder)!r} holds no copy that could be simulated; run the sweep first")


def _report(store: SweepStore) -> bool:
    from experiments.sweeps.report import write_report

    written = bool(write_report(store))
    if written:
        console.print(f"Report: {store.folder / 'report.html'}", highlight=False)
    return written


def _print_yields(found: Findings, wanted: float, quiet: bool) -> bool:
    """Each group's yield in a sentence, or none. Returns False where one is surely below what is wanted."""
    reached = True
    for group in found.every:
        if not group.sweep.limits or group.copies.mixed:
            continue
        given = group.found_yield
        where = _where(found, group.key[0])
        if group.copies.drawn:
            reached &= given.interval[1] >= wanted
            said = yield_text(group)
        else:
            reached &= given.good == given.tried
            said = f"{given.good} of {given.tried} keep all limits"
        if not quiet:
            console.print(f"{where}{group.key[1]}: {said}", highlight=False, soft_wrap=True)
    return reached


def _print_points(found: Findings) -> None:
    """Many points beside each other, instead of a sentence for each."""
    given = points_of(found, brief=True)
    shown = Table(box=None, padding=(0, 1, 0, 0))
    for name, *cells in zip(given.head, *given.rows, strict=True):
        shown.add_column(name, min_width=max(map(len, cells)))  # heads break lines before cells do
    for k, row in enumerate(given.rows):
        shown.add_row(*map(escape, row), style="bold" if k == given.worst else "")
    console.print(shown, highlight=False)
    console.print(f"Worst corner: {given.corner}.", highlight=False, soft_wrap=True)


def _print_tables(found: Findings) -> None:
    """What the analysis finds at each point, metric by metric; of many points, at the one that the report is about."""
    for sentence in dict.fromkeys([*answer(found)[:1], *found.said]) if len(found.shown) > NAMED else found.said:
        console.print(f"\n{sentence}", highlight=False, soft_wrap=True)
    few = len(found.tables) <= NAMED
    for point, tables in found.tables.items():
        for table in tables if few or point == found.chosen.key[0] else []:
            shown = Table(*table.head, box=None)
            for row in table.texts():
                shown.add_row(*map(escape, row))
            console.print(f"\n{escape(_where(found, point))}{table.metric}", highlight=False)
            console.print(shown, highlight=False)


def _where(found: Findings, point: int) -> str:
    setting = setting_text(found.study.settings[point])
    return f"{setting}: " if setting else ""

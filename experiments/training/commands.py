"""The commands that train."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from experiments.shared.files import make_folder
from experiments.shared.options import Output, Scheduler, Workers
from experiments.training.config import Training, load_training
from experiments.training.progress import Bars
from experiments.training.store import NAME, open_existing
from spu_circuit.errors import InputError, SpuError
from spu_circuit.files import is_file

console = Console()

ModelName = Annotated[
    str | None,
    typer.Option(
        "--model", help="Pretrained encoder of the task qa: a folder in the usual layout, or a package by its name."
    ),
]
DataPath = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Local copy of the task's samples; of MNIST and Fashion-MNIST a folder of IDX files, or an .npz with "
        "'images' (n, 28, 28) in 0..255 and 'labels' (n,); of qa a file of questions as those of SQuAD v1.1.",
    ),
]


def demo(output: Output = Path("runs/digits"), workers: Workers = None) -> None:
    """Train on handwritten digits through a simulated circuit, one seed of five in ngspice: about two minutes."""
    _train(load_training("digits"), output, None, workers, None)


def train(
    config: Annotated[Path, typer.Argument(help="TOML file, or the name of a shipped config: digits, mnist, fashion.")],
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder of the run. Default: runs/NAME, NAME from the config.")
    ] = None,
    data: DataPath = None,
    model: ModelName = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    record_systems: Annotated[
        bool, typer.Option("--record-systems", help="Keep the linear system of every step, as a workload for sweeps.")
    ] = False,
) -> None:
    """Run a training experiment, or go on with one that was stopped.

    The table 'grid' of the config names fields and the values that each takes; every combination is trained.

    Learning rates and seeds of an optimizer are trained side by side, with the numbers that each would have alone. A
    solve that fails ends its own training; the others are finished before the error is shown.
    """
    training = load_training(config)
    if model is not None:
        training = training.with_model(model)
    if record_systems:
        training = training.changed(record_systems=True)
    _train(training, output or Path("runs") / training.name, data, workers, scheduler)


def report(folder: Path) -> None:
    """Write the page, tables and figures of a training run again.

    Raises:
        InputError: it has no finished step.
    """
    from experiments.training.report import write_reports

    with closing(open_existing(folder)) as store:
        if not write_reports(store):
            raise InputError(f"output: {str(folder)!r} holds no finished step yet; train first")
    console.print(f"wrote {folder / 'report.html'}")


def _train(training: Training, folder: Path, data: Path | None, workers: int | None, scheduler: str | None) -> None:
    from experiments.training.report import write_reports
    from experiments.training.run import prepare, run

    config = prepare(training, data)
    make_folder(folder)
    try:
        with Bars(training, console) as bars:
            if not run(training, config, folder, data, bars, workers, scheduler):
                console.print("This run was finished before; nothing was left to compute.")
    except KeyboardInterrupt:
        if is_file(folder / NAME):
            with closing(open_existing(folder)) as store:
                write_reports(store)
        console.print(f"Stopped. What is finished is in {folder}; the same command goes on from there.")
        raise typer.Exit(130) from None
    except SpuError:
        if is_file(folder / NAME):
            with closing(open_existing(folder)) as store:
                if store.failures():
                    write_reports(store)
        raise
    with closing(open_existing(folder)) as store:
        for sentence in write_reports(store):
            console.print(sentence, highlight=False)
    console.print(f"Report: {folder / 'report.html'}", highlight=False)

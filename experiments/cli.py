"""The command line: which commands there are, and how errors are told."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.cost import commands as cost_commands
from experiments.solve import commands as solve_commands
from experiments.solve import hardware
from experiments.sweeps import commands as sweep_commands
from experiments.sweeps.store import NAME as SWEEP_STORE
from experiments.training import commands as training_commands
from experiments.training.store import NAME as TRAINING_STORE
from experiments.validation import commands as validation_commands
from spu_circuit import __version__
from spu_circuit.errors import InputError, SpuError

# Typer uses its own copy of Click or the installed one, by version; this is the base of its usage errors in both.
UsageError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Simulate a stochastic processing unit, an analog array that solves linear systems, and train models on it.",
)
REPORTS = {TRAINING_STORE: training_commands.report, SWEEP_STORE: sweep_commands.report}
"""By the name of the store that a folder holds."""


def main() -> None:
    """Run the command line; a mistake is one line on standard error and status 2, a failed simulation status 1."""
    try:
        sys.exit(app(standalone_mode=False))
    except SpuError as error:
        _complain(str(error))
        sys.exit(2 if isinstance(error, InputError) else 1)
    except UsageError as error:
        if said := error.format_message():
            _complain(f"{said.rstrip('.')}; see --help")
        else:
            error.show()  # nothing was asked for: the help
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        _complain("stopped")
        sys.exit(130)


def _complain(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a training run or a sweep, finished or not.")],
) -> None:
    """Write report.html and summary.json of a run or a sweep again; of a run also history.csv and the figures."""
    for name, write in REPORTS.items():
        if (folder / name).is_file():
            write(folder)
            return
    raise InputError(
        f"folder: {str(folder)!r} holds neither {' nor '.join(REPORTS)}; give the folder of a run or sweep"
    )


for command in (
    training_commands.demo,
    training_commands.train,
    solve_commands.solve,
    solve_commands.netlist,
    validation_commands.validate,
    cost_commands.cost,
    report,
    sweep_commands.sweep,
    sweep_commands.tolerate,
    sweep_commands.export,
    sweep_commands.replay,
):
    app.command()(command)
app.add_typer(hardware.app, name="hardware")


if __name__ == "__main__":
    main()

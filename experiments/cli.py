"""Which commands there are. The module of a command loads when the command is run: ``--help`` needs none of them."""

import os
import sys
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from experiments.shared.extras import explained, require
from experiments.shared.stopping import loading
from spu_circuit import __version__
from spu_circuit.errors import InputError, SpuError
from spu_circuit.files import shortened

# Typer uses its own copy of Click or the installed one, by version; this is the base of its usage errors in both.
UsageError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


class Entry(NamedTuple):
    """A command.

    Args:
        module: of ``function``: a command, or a Typer app of several.
        summary: the first sentence of its help.
        extra: what must be installed for it, before it begins.
    """

    module: str
    function: str
    summary: str
    extra: str | None = None


TRAINING, SOLVE, SWEEPS = (f"experiments.{room}.commands" for room in ("training", "solve", "sweeps"))
COMMANDS = {
    "demo": Entry(
        TRAINING,
        "demo",
        "Train on handwritten digits through a simulated circuit, one seed of five in ngspice: about two minutes.",
        "train",
    ),
    "train": Entry(TRAINING, "train", "Run a training experiment, or go on with one that was stopped.", "train"),
    "solve": Entry(SOLVE, "solve", "Solve A x = b on a simulated device."),
    "netlist": Entry(
        SOLVE, "netlist", "Write the SPICE deck of a solve to standard output; it runs in plain ngspice -b."
    ),
    "validate": Entry(
        "experiments.validation.commands",
        "validate",
        "Compare ngspice, network, sde and closed forms on a matrix of devices; status 1 where any two disagree.",
    ),
    "claims": Entry(
        "experiments.claims.commands",
        "claims",
        "Test claims about thermodynamic natural gradient descent, each by a rule fixed before, and give verdicts.",
        "train",
    ),
    "cost": Entry(
        "experiments.training.cost_command",
        "cost",
        "Time and energy of a training step: digital work, transfer, writing, converting, relaxing; "
        "beside CPU and GPU.",
    ),
    "report": Entry(
        "experiments.report",
        "report",
        "Write report.html and summary.json of a run or a sweep again; of a run also history.csv and the figures.",
        "report",
    ),
    "sweep": Entry(
        SWEEPS, "sweep", "Draw copies of a device with tolerances, and see how many meet the specification.", "sweep"
    ),
    "tolerate": Entry(SWEEPS, "tolerate", "Find the loosest tolerance of a part that keeps the yield.", "sweep"),
    "design": Entry(
        "experiments.design.commands",
        "design",
        "Find the cheapest board that meets a specification, from a catalogue of parts.",
        "sweep",
    ),
    "export": Entry(
        SWEEPS,
        "export",
        "Write every copy of a sweep as a row of a table: grid, status, weight, limits kept, drawn values, metrics.",
        "sweep",
    ),
    "replay": Entry(
        SWEEPS,
        "replay",
        "Write the SPICE deck of one copy of a sweep, drawn again from its number; it runs in plain ngspice -b.",
    ),
    "amplifier": Entry(
        "experiments.amplifier.commands",
        "amplifier",
        "Measure an op-amp of a SPICE library: gain, bandwidth, slew, offset, limits, noise; and the table to paste.",
    ),
    "hardware": Entry(
        "experiments.solve.hardware", "app", "Show the hardware descriptions that come with the package."
    ),
}


class Commands(TyperGroup):
    """Those of the table: listed by their summaries, loaded when one is run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, loaded(str(name)), rest


def loaded(name: str) -> Any:
    """A command with all its options. Raises InputError where what it needs is not installed."""
    entry = COMMANDS[name]
    if entry.extra is not None:
        require(entry.extra, name)
    with loading():
        found = getattr(import_module(entry.module), entry.function)
        if not isinstance(found, typer.Typer):
            found, function = typer.Typer(add_completion=False), found
            found.command(name)(function)
        return typer.main.get_command(found)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Simulate a stochastic processing unit, an analog array that solves linear systems, and train models on it.",
)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


def _listed() -> None:
    """Stands for a command that is not loaded."""


for name, entry in COMMANDS.items():
    app.command(name, help=entry.summary)(_listed)


def main() -> None:
    """Run the command line, and exit: with status 2 after a mistake, 1 after a failed simulation.

    Raises:
        KeyboardInterrupt: it was stopped.
    """
    sys.exit(_run())


def _run() -> int:
    try:
        # Not through Typer's own way, which makes a status of Ctrl-C without a word.
        group = typer.main.get_command(app)
        with loading():
            context = group.make_context("spu-circuit", sys.argv[1:])
        with context:
            group.invoke(context)
        sys.stdout.flush()
        return 0
    except typer.Exit as done:
        return done.exit_code
    except SpuError as error:
        return _complain(str(error), 2 if isinstance(error, InputError) else 1)
    except ModuleNotFoundError as error:
        if (told := explained(error)) is None:
            raise
        return _complain(told, 2)
    except UsageError as error:
        if said := error.format_message():
            return _complain(f"{said.rstrip('.')}; see --help", 2)
        error.show()  # nothing was asked for: the help
        return 2
    except OSError as error:
        if error.filename is not None:
            return _complain(f"{shortened(error.filename)}: {error.strerror}", 2)
        # Without a name it is standard output, which Python would flush once more. A reader that left is told nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1 if isinstance(error, BrokenPipeError) else _complain(f"standard output: {error.strerror}", 1)


def _complain(message: str, status: int) -> int:
    """One line on standard error."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    main()

"""The command that writes a page again, of whatever a folder holds."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.sweeps import commands as sweep_commands
from experiments.sweeps.store import NAME as SWEEP_STORE
from experiments.training import commands as training_commands
from experiments.training.store import NAME as TRAINING_STORE
from spu_circuit.errors import InputError
from spu_circuit.files import is_file, shortened

REPORTS = {TRAINING_STORE: training_commands.report, SWEEP_STORE: sweep_commands.report}
"""By the name of the store that a folder holds."""


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a training run or a sweep, finished or not.")],
) -> None:
    """Write report.html and summary.json of a run or a sweep again; of a run also history.csv and the figures."""
    for name, write in REPORTS.items():
        if is_file(folder / name):
            write(folder)
            return
    raise InputError(
        f"folder: {shortened(folder)} holds neither {' nor '.join(REPORTS)}; give the folder of a run or sweep"
    )

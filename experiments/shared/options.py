"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Processes on this machine. They change no result. Default: the config's."),
]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", help="Address of a Dask scheduler, such as tcp://host:8786, instead.")
]
Output = Annotated[Path, typer.Option("--output", help="Folder of the run: store, tables, figures, report.")]

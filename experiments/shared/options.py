"""Options that several commands take."""

import re
from pathlib import Path
from typing import Annotated

import typer

from spu_circuit.errors import InputError
from spu_circuit.files import shortened

Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Processes on this machine. They change no result. Default: the config's."),
]


def _address(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"(\w+://)?([^/:\s]+|\[[\da-fA-F:]+\]):\d+", text):
        raise InputError(f"scheduler: {shortened(text)} is no address; write it like tcp://host:8786")
    return text


Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler", callback=_address, help="Address of a Dask scheduler, such as tcp://host:8786, instead."
    ),
]
Output = Annotated[Path, typer.Option("--output", help="Folder of the run: store, tables, figures, report.")]

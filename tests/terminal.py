"""The command line in this process, where what it imports is there already."""

import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from experiments.cli import main


class Ended(NamedTuple):
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


def spu(*arguments: object, cwd: Path | None = None) -> Ended:
    """What ``spu-circuit`` does with arguments, in a folder."""
    out, err, status = StringIO(), StringIO(), 0
    words = ["spu-circuit", *map(str, arguments)]
    with chdir(cwd or Path.cwd()), patch.object(sys, "argv", words), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Ended(status, out.getvalue(), err.getvalue())

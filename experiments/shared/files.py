"""Files are written whole or not at all."""

import csv
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from spu_circuit.errors import InputError
from spu_circuit.files import shortened

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""
QUANTITY = re.compile(r"[+-]\d+(\.\d+)? [A-Za-zµΩ°%][A-Za-zµΩ°²√/]*")
"""A number with a space and a unit, such as "-40 °C", which is no formula: it names no cell and calls nothing."""


def write(path: Path, text: str, field: str = "output") -> None:
    """Write a text in UTF-8. See ``writing``."""
    with writing(path, "x", field, encoding="utf-8", newline="\n") as file:
        file.write(text)


def write_csv(path: Path, head: Iterable[str], rows: Iterable[Iterable[Any]], field: str = "output") -> None:
    """Write a table; its texts are inert. See ``writing``."""
    with writing(path, "x", field, encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(inert, head))
        writer.writerows(map(inert, row) for row in rows)


def inert(value: Any) -> Any:
    """A text that a spreadsheet would compute gets an apostrophe before it; numbers, and those with units, stay as they
    are."""
    risky = isinstance(value, str) and value.startswith(FORMULA) and not QUANTITY.fullmatch(value)
    return f"'{value}" if risky else value


@contextmanager
def writing(path: Path, mode: str = "xb", field: str = "output", **options: Any) -> Iterator[IO[Any]]:
    """A file that takes the place of ``path`` when the block ends, and is gone where the block fails.

    Args:
        mode: "xb", or "x" for text.
        field: what the user calls the path.
        options: of ``open``.

    Raises:
        InputError: see ``check_output``, or nothing can be written there.
    """
    check_output(path, field)
    part = path.with_name(path.name + ".part")
    try:
        # What an interrupted command left goes; whatever else has the name is not followed: mode x takes no link.
        part.unlink(missing_ok=True)
        try:
            with part.open(mode, **options) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, field, error) from None


def check_output(path: Path, field: str = "output") -> None:
    """Raise InputError where there can be no such file: told before anything is computed for it.

    A device, a pipe or a folder is never replaced, and "-" is no name.
    """
    try:
        if path.name in ("", "-"):
            raise InputError(f"{field}: {str(path)!r} names no file; name one")
        if path.exists() and not path.is_file():
            raise InputError(f"{field}: {shortened(path)} is there and is no regular file; name another one")
        with suppress(FileNotFoundError, NotADirectoryError):
            path.with_name(path.name + ".part").lstat()  # a name that is none fails otherwise
        if not path.parent.is_dir():
            folder = shortened(path.parent)
            raise InputError(f"{field}: {shortened(path)} cannot be written: {folder} is no folder; make it first")
    except InputError:
        raise
    except (OSError, ValueError) as error:  # the latter: a zero byte
        raise _unwritable(path, field, error) from None


def make_folder(path: Path, field: str = "output") -> None:
    """Make a folder for results, with those it is in. Raises InputError where there can be none."""
    if path.parts[:1] == ("-",):
        raise InputError(f"{field}: '-' names no folder; name one")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _unwritable(path, field, error) from None


def _unwritable(path: Path, field: str, error: OSError | ValueError) -> InputError:
    reason = error.strerror if isinstance(error, OSError) else error
    return InputError(f"{field}: {shortened(path)} cannot be written: {reason or error}; name another one")

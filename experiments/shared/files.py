"""Files are written whole or not at all."""

import csv
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from spu_circuit.errors import InputError

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


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
    """A text that a spreadsheet would compute gets an apostrophe before it; numbers stay as they are."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


@contextmanager
def writing(path: Path, mode: str = "xb", field: str = "output", **options: Any) -> Iterator[IO[Any]]:
    """A file that takes the place of ``path`` when the block ends, and is gone where the block fails.

    Args:
        mode: "xb", or "x" for text.
        field: what the user calls the path.
        options: of ``open``.

    Raises:
        InputError: there is something else than a regular file, or nothing can be written there.
    """
    part = path.with_name(path.name + ".part")
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{field}: {str(path)!r} is there and is no regular file; name another one")
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
        raise InputError(f"{field}: {str(path)!r} cannot be written: {error.strerror or error}") from None

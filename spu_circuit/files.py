"""Files that somebody else may have written: found, opened and read without waiting, filling memory or a traceback."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from spu_circuit.errors import InputError

MOST_TEXT = 16 * 2**20
"""Bytes of a text file, at most: more than any description or library has."""
KINDS = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def is_file(path: Path) -> bool:
    """Whether there is a regular file; also for what is no path at all, such as a name too long."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def open_file(path: Path, name: str) -> BinaryIO:
    """Open a regular file for reading. A pipe or device, which could block or never end, is not opened.

    Args:
        name: what errors call it.

    Raises:
        InputError: no such file, not a regular one, or it cannot be read.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = KINDS.get(stat.S_IFMT(mode), "a device")
            raise InputError(f"{name}: {shortened(path)} is {kind}; give a regular file")
        return path.open("rb")
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{name}: no file {shortened(path)}") from None
    except (OSError, ValueError) as error:  # the latter: a zero byte in its name
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{name}: {shortened(path)} cannot be read: {reason}") from None


def read_file(path: Path, name: str) -> bytes:
    """What is in a file of text. Raises InputError as ``open_file`` does, and where it is larger than any text."""
    with open_file(path, name) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_TEXT:
                raise InputError(f"{name}: {shortened(path)} has {size} bytes; a text has at most {MOST_TEXT}")
            return file.read(MOST_TEXT)
        except OSError as error:
            raise InputError(f"{name}: {shortened(path)} cannot be read: {error.strerror}") from None


def shortened(value: object) -> str:
    """A value as a message quotes it: one line, and not the whole of what is long."""
    try:
        return cut(repr(str(value) if isinstance(value, Path) else value))
    except (ValueError, RecursionError):  # an integer of thousands of digits, a nest
        return f"a {type(value).__name__} too long to show"


def cut(text: str, longest: int = 200) -> str:
    """A text as one line, without its middle where it is long."""
    text = " ".join(text.splitlines())
    return text if len(text) <= longest else f"{text[: longest // 2]} … {text[-longest // 4 :]}"

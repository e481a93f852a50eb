"""Arrays of numbers in ``.npy`` files, which somebody else may have written."""

import os
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from spu_circuit.errors import InputError
from spu_circuit.files import open_file, shortened
from spu_circuit.memory import refuse_beyond_memory

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
"""Of numbers. Version 3 is of records with names outside ASCII."""
NUMBERS = "biufc"
SAVE_IT = "save one array of numbers with numpy.save"


def read_array(path: Path, name: str) -> np.ndarray[Any, Any]:
    """The array of a ``.npy`` file, whatever the file is called. Nothing is allocated that the file does not hold.

    Args:
        name: what errors call it.

    Returns:
        Booleans, integers, floats or complex numbers, any shape.

    Raises:
        InputError: no regular file; not this format, an archive, pickled objects, not numbers; a header that promises
            another size than the file has; or larger than the machine's memory.
    """
    with open_file(path, name) as file:
        try:
            shape, dtype = _header(file)
        except InputError as error:
            raise InputError(f"{name}: {shortened(path)} {error}; {SAVE_IT}") from None
        except Exception:  # NumPy's reader fails in many ways on garbage
            raise InputError(f"{name}: {shortened(path)} is not a .npy file; {SAVE_IT}") from None
        promised = prod(shape) * dtype.itemsize
        held = os.fstat(file.fileno()).st_size - file.tell()
        if promised != held:
            raise InputError(
                f"{name}: {shortened(path)} should hold {promised} bytes for its shape {shortened(shape)} and holds "
                f"{held}; save it again"
            )
        refuse_beyond_memory(promised, name)
        file.seek(0)
        try:
            found: np.ndarray[Any, Any] = npy.read_array(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{name}: {shortened(path)} cannot be read: {error}") from None
        return found


def _header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type. Raises InputError where they are no array of numbers, anything else where they are garbage."""
    if file.read(4) == b"PK\x03\x04":
        raise InputError("is an archive of several arrays")
    file.seek(0)
    shape, _, dtype = HEADERS[npy.read_magic(file)](file)
    if dtype.kind not in NUMBERS:
        raise InputError(f"holds {'Python objects' if dtype.hasobject else shortened(dtype.str)}, not numbers")
    if any(length < 0 for length in shape):
        raise InputError(f"has the shape {shortened(shape)}")
    return shape, dtype

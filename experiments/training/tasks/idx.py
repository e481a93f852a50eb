"""IDX files, the format of MNIST: a magic number, the lengths of the dimensions, then the values.

See yann.lecun.org/exdb/mnist: two zero bytes, the type (8: unsigned byte), the number of dimensions, each length as a
big-endian 32-bit integer.
"""

import gzip
import zlib
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from spu_circuit.errors import InputError

UNSIGNED_BYTE = 8
LARGEST = 2**30
"""Bytes of an array of samples, unpacked. MNIST has 47 million."""
GZIP = b"\x1f\x8b"


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """An array of unsigned bytes, from a file that is packed by gzip or not.

    No more is read than the lengths say, and one byte to see that there is no more.

    Raises:
        InputError: it cannot be read, is no such file, or its lengths do not fit what it holds.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == GZIP
            raw.seek(0)
            if not packed:
                return _read(raw, path, dimensions)
            with gzip.open(raw) as unpacked:
                return _read(unpacked, path, dimensions)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"data: {str(path)!r} cannot be read: {error}; it may be damaged, copy it again") from None


def _read(file: IO[bytes] | gzip.GzipFile, path: Path, dimensions: int) -> NDArray[np.uint8]:
    magic = bytes([0, 0, UNSIGNED_BYTE, dimensions])
    head = file.read(4 + 4 * dimensions)
    if not head.startswith(magic) or len(head) < 4 + 4 * dimensions:
        raise InputError(
            f"data: {str(path)!r} begins with {head[:4].hex() or 'nothing'}, an IDX file of {dimensions} dimensions "
            f"with {magic.hex()}; give the files as they are published"
        )
    shape = tuple(np.frombuffer(head, ">u4", offset=4).tolist())
    size, lengths = prod(shape), " x ".join(map(str, shape))
    if size > LARGEST:
        raise InputError(f"data: {str(path)!r} says it holds {lengths} bytes; at most {LARGEST} are read")
    values = file.read(size + 1)
    if len(values) != size:
        found = "more" if len(values) > size else f"{len(values)}"
        raise InputError(
            f"data: {str(path)!r} says it holds {lengths} bytes and holds {found}; it is damaged, copy it again"
        )
    return np.frombuffer(values, np.uint8).reshape(shape)

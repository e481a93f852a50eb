"""Errors as arrays: compiled code cannot raise, so a failed step carries the type and the line of its error along."""

import numpy as np
from numpy.typing import NDArray

from optim.systems import ERROR_BYTES
from spu_circuit.errors import SpuError

Bytes = NDArray[np.uint8]


def packed(error: SpuError) -> Bytes:
    """The type and the line of an error in UTF-8, (ERROR_BYTES,), with zeros behind."""
    text = f"{type(error).__name__}: {error}".encode()[:ERROR_BYTES]
    return np.frombuffer(text.ljust(ERROR_BYTES, b"\0"), np.uint8)


def unpacked(error: Bytes) -> SpuError:
    """The error again; one of a type that this project does not have comes back as ``SpuError``."""
    name, line = error.tobytes().rstrip(b"\0").decode(errors="ignore").split(": ", 1)
    return _types(SpuError).get(name, SpuError)(line)


def _types(base: type[SpuError]) -> dict[str, type[SpuError]]:
    found = {base.__name__: base}
    for kind in base.__subclasses__():
        found |= _types(kind)
    return found

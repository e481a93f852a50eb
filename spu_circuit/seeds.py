"""Seeds of random numbers."""

from operator import index
from typing import SupportsIndex

from spu_circuit.errors import InputError

SEEDS = range(2**64)
"""What every generator here takes."""


def check_seed(seed: SupportsIndex, name: str = "seed") -> int:
    """The seed as an integer. Raises InputError where it is none from 0 to 2⁶⁴ − 1."""
    try:
        number = index(seed)
    except TypeError:
        raise InputError(f"{name} is {seed!r}; give a whole number") from None
    if number not in SEEDS:
        shown = f"{number}" if number.bit_length() < 256 else f"a number of {number.bit_length()} bits"
        raise InputError(f"{name} is {shown}; give one from 0 to {SEEDS[-1]}")
    return number

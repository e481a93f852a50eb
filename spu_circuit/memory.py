"""What fits into this machine."""

import os

from spu_circuit.errors import InputError

GIBIBYTE = 2.0**30


def machine_memory() -> int:
    """Bytes of physical memory: what nothing here may exceed."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def refuse_beyond_memory(needed: float, what: str, cure: str = "make it smaller, or take a machine with more") -> None:
    """Raise InputError where ``what`` needs more bytes than the machine has: says both."""
    if needed > (most := machine_memory()):
        raise InputError(
            f"{what} needs about {needed / GIBIBYTE:.3g} GiB of memory, this machine has {most / GIBIBYTE:.3g}; {cure}"
        )

"""What fits into this machine."""

import os
from functools import cache
from pathlib import Path

from spu_circuit.errors import InputError

GIBIBYTE = 2.0**30
LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Where Linux says how much a container may use."""


@cache
def machine_memory() -> int:
    """Bytes of physical memory, or what of it this container may use: what nothing here may exceed."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(LIMIT.read_text()))
    except (OSError, ValueError):  # no such system, or "max"
        return physical


def refuse_beyond_memory(needed: float, what: str, cure: str = "make it smaller, or take a machine with more") -> None:
    """Raise InputError where ``what`` needs more bytes than the machine has: says both."""
    if needed > (most := machine_memory()):
        raise InputError(
            f"{what} needs about {needed / GIBIBYTE:.3g} GiB of memory, this machine has {most / GIBIBYTE:.3g}; {cure}"
        )

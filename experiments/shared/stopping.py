"""Ctrl-C while modules load."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STOPPED = 130
"""Exit status of a program that Ctrl-C ended, as shells have it."""


@contextmanager
def loading() -> Iterator[None]:
    """Ctrl-C inside ends the program at once: nothing is begun yet, and an import may lose what interrupts it."""
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored, or somebody's own
    if usual:
        signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        if usual:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def say_stopped() -> None:
    print("error: stopped", file=sys.stderr, flush=True)


def _end(*_: Any) -> None:
    say_stopped()
    os._exit(STOPPED)

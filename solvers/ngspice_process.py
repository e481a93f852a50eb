"""One deck, one ``ngspice -b`` child process, one raw file."""

import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spu_circuit.errors import SimulationError

Array = NDArray[np.float64]

CONVERGENCE = re.compile(r"(?i)timestep too small|no convergence|singular matrix|iteration limit|stepping failed")
UNSETTLED = "Transient op finished"
"""Where nothing else converges ngspice 39 takes what a transient of its own ended at, settled or not, for an operating
point: with gains of 1e6 it is off by millivolts and volts."""
REFUSAL = re.compile(r"aborted|can't find model")
"""Words of a run that ended well but is not of the deck as written: ngspice 39 leaves out what it cannot find."""
COMPLAINT = re.compile(r"(?i)error|warning|fatal|aborted|unknown|can't|too small|singular")
MOST_SAID = 16 * 2**20
"""Bytes of messages after which ngspice is killed. It prints some lines, or one for each node at most."""
LONGEST_WAIT = 3600.0
"""Seconds of one wait: the operating system takes no number of any size."""
NOTHING_FOUND = "ngspice's raw file holds no result; try another version of ngspice"
WATCH = """read -r group; read -r end
if [ "$group" ]; then kill -s KILL -- "-$group"
else for one in /proc/[0-9]*; do [ "$one/cwd" -ef "$0" ] && kill -s KILL "${one#/proc/}"; done
fi
exec rm -rf -- "$0"
"""
"""Kills a group whose number it reads, or, if nobody was left to tell it, whatever runs in the folder."""
HEADER = re.compile(
    rb"Plotname: (?P<name>[^\n]*)\nFlags: (?P<flags>[^\n]*)\nNo\. Variables: (?P<variables>\d{1,18})\s*\n"
    rb"No\. Points: (?P<points>\d{1,18})\s*\n(?:[^\n]*\n)*?Variables:\n(?P<names>(?:\t[^\n]*\n)*)Binary:\n"
)


class NgspiceMissingError(SimulationError):
    """ngspice is not installed."""


class NgspiceTimeoutError(SimulationError):
    """ngspice took too long and was killed."""


class NgspiceConvergenceError(SimulationError):
    """ngspice found no solution."""


class NgspiceUnsettledError(NgspiceConvergenceError):
    """A transient that ngspice did not begin at an operating point.

    Args:
        data: the raw file.
    """

    def __init__(self, message: str, data: bytes) -> None:
        super().__init__(message)
        self.data = data


class NgspiceCrashError(SimulationError):
    """ngspice refused the deck or died."""


class NgspiceReadError(SimulationError):
    """ngspice ended, but its result cannot be read."""


def ngspice_program() -> str:
    """Path of ngspice.

    Raises:
        NgspiceMissingError: says what to install, and which engine works without it.
    """
    found = shutil.which("ngspice")
    if found is None:
        raise NgspiceMissingError(
            "ngspice is not on the PATH; install it (Debian and Ubuntu: apt-get install ngspice, macOS: brew install "
            "ngspice), or use engine 'network' or 'sde', which need none"
        )
    return found


def run_deck(deck: str, timeout: float, at_rest: bool = False) -> list[dict[str, Array]]:
    """Run a deck of analyses with real results and read these.

    Whatever ends this process, the child ends too and its folder goes.

    Args:
        deck: complete, with its analysis.
        timeout: seconds of wall time.
        at_rest: a transient must begin at an operating point.

    Returns:
        One dictionary per plot, in the order of the analyses: vector name, in small letters, to (points,).

    Raises:
        NgspiceMissingError, NgspiceTimeoutError, NgspiceConvergenceError, NgspiceCrashError, NgspiceReadError.
        NgspiceUnsettledError: a transient begins where ngspice found nothing at rest, and ``at_rest`` is asked for.
    """
    return parse_raw(_raw(deck, timeout, at_rest))


def run_small_signal(deck: str, timeout: float) -> list[dict[str, NDArray[np.complex128]]]:
    """Run a deck of ``.ac`` analyses; see ``run_deck``."""
    return _parsed(_raw(deck, timeout), np.dtype(np.complex128))


def _raw(deck: str, timeout: float, at_rest: bool = False) -> bytes:
    """The raw file that ngspice makes of a deck."""
    program = ngspice_program()
    with tempfile.TemporaryDirectory(prefix="spu-circuit-") as folder:
        Path(folder, "deck.cir").write_text(deck, encoding="utf-8")
        status, said = _run([program, "-n", "-b", "-r", "result.raw", "deck.cir"], folder, timeout)
        raw = Path(folder, "result.raw")
        data = raw.read_bytes() if raw.is_file() else b""
    if status == 0 and data and not REFUSAL.search(said):
        moves = re.search(r"(?m)^\.tran\b", deck)
        if UNSETTLED in said and (at_rest or not moves):
            raise NgspiceUnsettledError("ngspice found no operating point; check the amplifier and its supply", data)
        return data
    if status < 0 and not CONVERGENCE.search(said):  # ngspice 39 may die where it gives up
        raise NgspiceCrashError(
            f"ngspice died of signal {-status}; try a smaller circuit or another version. {_last(said)}"
        )
    if CONVERGENCE.search(said):
        raise NgspiceConvergenceError(f"ngspice did not converge; check the amplifier. {_last(said)}")
    raise NgspiceCrashError(f"ngspice refused the deck (status {status}). {_last(said)}")


def _run(command: list[str], folder: str, timeout: float) -> tuple[int, str]:
    """Exit status of a program in a folder of its own, which is its home too, and what it said.

    Raises:
        NgspiceTimeoutError, and NgspiceCrashError where it cannot be started, or says more than anybody reads.
    """
    with _watcher(folder) as watched:
        try:
            # A session of its own: Ctrl-C at the terminal is for us to handle, and a kill reaches its children too.
            child = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "HOME": folder},  # without one ngspice 39 dies of signal 11
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise NgspiceCrashError(
                f"ngspice at {command[0]!r} cannot be started: {error.strerror}; is it a script whose interpreter (its "
                "first line) does not exist, or a program for another machine?"
            ) from None
        try:
            watched(child.pid)
            said = _said(child, monotonic() + timeout)
            if said is None:
                raise NgspiceTimeoutError(
                    f"ngspice was killed after {timeout:g} s; raise the timeout, or take fewer cells, points or a "
                    "shorter time"
                )
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            assert child.stdout is not None
            child.stdout.close()
    text = said.decode(errors="replace")
    if len(said) > MOST_SAID:
        raise NgspiceCrashError(f"ngspice was killed after {MOST_SAID} bytes of messages. {_last(text)}")
    return child.returncode, text


def _said(child: subprocess.Popen[bytes], deadline: float) -> bytes | None:
    """What a child says until it ends, or more than ``MOST_SAID`` of it; None where the deadline passes first."""
    assert child.stdout is not None
    said, speaks = bytearray(), True
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while len(said) <= MOST_SAID and (left := deadline - monotonic()) > 0:
            wait = min(left, LONGEST_WAIT)
            if not speaks:
                with suppress(subprocess.TimeoutExpired):
                    child.wait(wait)
                    return bytes(said)
            elif selector.select(wait):
                some = os.read(child.stdout.fileno(), 65536)
                speaks = bool(some)
                said += some
    return bytes(said) if len(said) > MOST_SAID else None


@contextmanager
def _watcher(folder: str) -> Iterator[Callable[[int], None]]:
    """A process that outlives this one, should it be killed: it then kills a process group and removes a folder.

    It waits for the end of a pipe that this process alone holds, so no signal is caught, in whatever thread this is.

    Yields:
        What tells it the group.
    """
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", WATCH, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert watcher.stdin is not None

    def watched(group: int) -> None:
        assert watcher.stdin is not None
        watcher.stdin.write(b"%d\n" % group)
        watcher.stdin.flush()

    try:
        yield watched
    finally:
        watcher.kill()
        watcher.wait()
        watcher.stdin.close()


def parse_raw(data: bytes) -> list[dict[str, Array]]:
    """The plots of a binary raw file of real vectors.

    Raises:
        NgspiceReadError: a header is not understood, the file ends too early, or has no plot or a plot without points.
    """
    return _parsed(data, np.dtype(np.float64))


def _parsed(data: bytes, kind: np.dtype[Any]) -> list[dict[str, NDArray[Any]]]:
    plots, at = [], 0
    while (start := data.find(b"Plotname:", at)) >= 0:
        header = HEADER.match(data, start)
        columns = [] if header is None else [line.split(b"\t") for line in header["names"].splitlines()]
        other = header is None or (b"complex" in header["flags"]) != (kind.kind == "c")
        if header is None or other or any(len(column) < 3 for column in columns):
            raise NgspiceReadError("ngspice's raw file has a header that is not understood; is this ngspice too new?")
        names = [column[2].decode(errors="replace").lower() for column in columns]
        name = header["name"].decode(errors="replace")
        shape = int(header["points"]), int(header["variables"])
        if 0 in shape:
            raise NgspiceReadError(f"{NOTHING_FOUND}: {name!r} has no points")
        at = header.end() + kind.itemsize * shape[0] * shape[1]
        if at > len(data) or len(names) != shape[1]:
            raise NgspiceReadError("ngspice's raw file ends too early; is the disk full?")
        values = np.frombuffer(data, dtype=kind, count=shape[0] * shape[1], offset=header.end()).reshape(shape)
        if kind.kind == "c" and names[0] == "frequency":
            # ngspice 39 leaves the imaginary part of frequencies as it finds it in memory: any number, at times NaN.
            values = values.copy()
            values.imag[:, 0] = 0
        # ngspice 39 integrates noise as power laws between points, which overflow for sources whose share is rounding.
        # The spectra, in a plot before, are what is read.
        if name != "Integrated Noise" and not np.isfinite(values).all():
            raise NgspiceReadError(
                f"ngspice's result {header['name'].decode(errors='replace')!r} holds NaN or infinity"
            )
        plots.append({key: values[:, k] for k, key in enumerate(names)})
    if not plots:
        raise NgspiceReadError(f"{NOTHING_FOUND}: it has no plots")
    return plots


def _last(said: str) -> str:
    """What ngspice complained about, or its last words."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    start = next((k for k, line in enumerate(lines) if COMPLAINT.search(line)), max(0, len(lines) - 3))
    return "ngspice said: " + (" | ".join(lines[start : start + 3])[:400] or "nothing")


def ngspice_version() -> str:
    """ "39" and the like; "not installed" where there is none."""
    try:
        with tempfile.TemporaryDirectory(prefix="spu-circuit-") as folder:
            _, said = _run([ngspice_program(), "--version"], folder, 30.0)
    except NgspiceMissingError:
        return "not installed"
    except SimulationError:
        return "unknown"
    found = re.search(r"ngspice-(\S+)", said)
    return found[1] if found else "unknown"

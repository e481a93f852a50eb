"""One deck, one ``ngspice -b`` child process, one raw file."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from math import inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spu_circuit.errors import SimulationError

Array = NDArray[np.float64]

CONVERGENCE = re.compile(r"(?i)timestep too small|no convergence|singular matrix|iteration limit|stepping failed")
REFUSAL = re.compile(r"aborted|can't find model")
"""Words of a run that ended well but is not of the deck as written: ngspice 39 leaves out what it cannot find."""
COMPLAINT = re.compile(r"(?i)error|warning|fatal|aborted|unknown|can't|too small|singular")
HEADER = re.compile(
    rb"Plotname: (?P<name>[^\n]*)\nFlags: (?P<flags>[^\n]*)\nNo\. Variables: (?P<variables>\d+)\s*\n"
    rb"No\. Points: (?P<points>\d+)\s*\n(?:[^\n]*\n)*?Variables:\n(?P<names>(?:\t[^\n]*\n)*)Binary:\n"
)


class NgspiceMissingError(SimulationError):
    """ngspice is not installed."""


class NgspiceTimeoutError(SimulationError):
    """ngspice took too long and was killed."""


class NgspiceConvergenceError(SimulationError):
    """ngspice found no solution."""


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


def run_deck(deck: str, timeout: float) -> list[dict[str, Array]]:
    """Run a deck and read its results.

    Args:
        deck: complete, with its analysis.
        timeout: seconds of wall time.

    Returns:
        One dictionary per plot, in the order of the analyses: vector name, in small letters, to (points,).

    Raises:
        NgspiceMissingError, NgspiceTimeoutError, NgspiceConvergenceError, NgspiceCrashError, NgspiceReadError.
    """
    program = ngspice_program()
    with tempfile.TemporaryDirectory(prefix="spu-circuit-") as folder:
        Path(folder, "deck.cir").write_text(deck, encoding="utf-8")
        # A session of its own: Ctrl-C at the terminal is for us to handle, and a kill reaches its children too.
        child = subprocess.Popen(
            [program, "-n", "-b", "-r", "result.raw", "deck.cir"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            said, _ = child.communicate(timeout=None if timeout == inf else timeout)
        except subprocess.TimeoutExpired:
            raise NgspiceTimeoutError(
                f"ngspice was killed after {timeout:g} s; raise the timeout, or take fewer cells, points or a shorter "
                "time"
            ) from None
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.communicate()
        raw = Path(folder, "result.raw")
        data = raw.read_bytes() if raw.is_file() else b""
    if child.returncode == 0 and data and not REFUSAL.search(said):
        return parse_raw(data)
    if child.returncode < 0:
        raise NgspiceCrashError(
            f"ngspice died of signal {-child.returncode}; try a smaller circuit or another version. {_last(said)}"
        )
    if CONVERGENCE.search(said):
        raise NgspiceConvergenceError(
            f"ngspice did not converge; lower the condition number (more damping) or check the amplifier. {_last(said)}"
        )
    raise NgspiceCrashError(f"ngspice refused the deck (status {child.returncode}). {_last(said)}")


def parse_raw(data: bytes) -> list[dict[str, Array]]:
    """The plots of a binary raw file of real vectors.

    Raises:
        NgspiceReadError: a header is not understood, or the file ends too early.
    """
    plots, at = [], 0
    while (start := data.find(b"Plotname:", at)) >= 0:
        header = HEADER.match(data, start)
        if header is None or b"complex" in header["flags"]:
            raise NgspiceReadError("ngspice's raw file has a header that is not understood; is this ngspice too new?")
        names = [line.split(b"\t")[2].decode().lower() for line in header["names"].splitlines()]
        shape = int(header["points"]), int(header["variables"])
        at = header.end() + 8 * shape[0] * shape[1]
        if at > len(data) or len(names) != shape[1]:
            raise NgspiceReadError("ngspice's raw file ends too early; is the disk full?")
        values = np.frombuffer(data, dtype=np.float64, count=shape[0] * shape[1], offset=header.end()).reshape(shape)
        # ngspice 39 integrates noise as power laws between points, which overflow for sources whose share is rounding.
        # The spectra, in a plot before, are what is read.
        if header["name"] != b"Integrated Noise" and not np.isfinite(values).all():
            raise NgspiceReadError(f"ngspice's result {header['name'].decode()!r} holds NaN or infinity")
        plots.append({name: values[:, k] for k, name in enumerate(names)})
    return plots


def _last(said: str) -> str:
    """What ngspice complained about, or its last words."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    start = next((k for k, line in enumerate(lines) if COMPLAINT.search(line)), max(0, len(lines) - 3))
    return "ngspice said: " + (" | ".join(lines[start : start + 3])[:400] or "nothing")


def ngspice_version() -> str:
    """ "39" and the like; "not installed" where there is none."""
    try:
        said = subprocess.run([ngspice_program(), "--version"], capture_output=True, text=True, timeout=30).stdout
    except NgspiceMissingError:
        return "not installed"
    found = re.search(r"ngspice-(\S+)", said)
    return found[1] if found else "unknown"

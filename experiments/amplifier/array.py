"""The amplifier in the array: how long one cell takes to settle, and the table that a hardware description needs."""

import json
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.amplifier import Amplifier
from spu_circuit.errors import SimulationError
from spu_circuit.hardware import Hardware, Noise
from spu_circuit.problem import LinearSystem
from spu_circuit.quantity import shown

CLOSE = 1e-3
"""Of the final voltage: a cell that stays nearer has settled."""
IDEAL = log(1 / CLOSE)
"""Time constants that a cell with ideal amplifiers takes for it."""
LONGEST = (20.0, 400.0)
"""Time constants that are looked at."""
POINTS = (1000, 100)
"""Steps, at least. Shorter ones ngspice does not always finish, such as those of the published LM741/NS."""


@dataclass(frozen=True)
class Settling:
    """One cell with the matrix 1, from 0 V.

    Args:
        seconds: until it stays within 1e-3 of its end.
        time_constants: the same, in τ = C/g_u.
        error: relative, of the solution at the end, with all that the board rounds.
        note: what ngspice needed for it.
    """

    seconds: float
    time_constants: float
    error: float
    note: str


def settling(hardware: Hardware) -> Settling:
    """Raises SimulationError where the cell does not settle."""
    try:
        return _settling(hardware, POINTS[0])
    except SimulationError:
        return _settling(hardware, POINTS[1])


def _settling(hardware: Hardware, points: int) -> Settling:
    quiet = hardware.model_copy(update={"noise": Noise(thermal=False)})
    for longest in LONGEST:
        solution = Spu(quiet, Ngspice(points=points)).solve(LinearSystem(np.eye(1), np.ones(1)), longest)
        wave, device = solution.waveform, solution.device
        assert wave is not None
        assert device is not None
        volts = wave.volts[:, 0]
        away = np.flatnonzero(np.abs(volts - volts[-1]) > CLOSE * abs(volts[-1]))
        seconds = float(wave.seconds[away[-1]]) if len(away) else 0.0
        if seconds < 0.8 * wave.seconds[-1]:
            error = abs(float(solution.value[0]) - 1)
            return Settling(seconds, seconds / float(device.time_constant), error, solution.note)
    raise SimulationError(f"one cell does not settle to {CLOSE:g} within {LONGEST[-1]:g} time constants")


UNITS = {"supply": "V", "rail": "V", "output_resistance": "Ω", "current_limit": "A"}


def table(amplifier: Amplifier, name: str, library: str) -> str:
    """TOML of the amplifier, to paste.

    Args:
        name: of the table, "amplifier" in a hardware description and "hardware.amplifier" in a config.
        library: the file, as it is found from where the table stands.
    """
    values: dict[str, Any] = {"model": "subckt", "library": library, "subcircuit": amplifier.subcircuit}
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    lines.append(f"pins = [{', '.join(json.dumps(role) for role in amplifier.pins)}]")
    for key, unit in UNITS.items():
        value = getattr(amplifier, key)
        if value:
            lines.append(f"{key} = {json.dumps(shown(value, unit), ensure_ascii=False)}")
    return "\n".join([f"[{name}]", *lines, ""])

"""What ranging must know of an amplifier's output, measured of overdriven outputs."""

import numpy as np

from experiments.amplifier.bench import HEAVY, LOAD, Bench
from spu_circuit.amplifier import Amplifier
from spu_circuit.errors import SimulationError


def limits(bench: Bench) -> Amplifier:
    """The amplifier with what ranging must know of its output: limits of voltage and current, and what the load takes.

    The resistance is that of the overdriven output between 10 kΩ and 2 kΩ: V_10k / V_2k = r gives
    R = (r − 1) / (1/2 kΩ − r/10 kΩ), the worse of both signs. A limit of current is left out where the model has
    none, or where ngspice finds no short circuit, of which the report says why.

    Raises:
        SimulationError: ngspice finds no output.
    """
    found = bench.overdriven
    try:
        currents = (bench.shorted or {}).values()
    except SimulationError:
        currents = {}.values()
    resistances = [0.0]
    for mark in "+-":
        light, heavy = abs(found[f"light{mark}"]), abs(found[f"heavy{mark}"])
        ratio = min(light / heavy, 0.9 * LOAD / HEAVY)
        resistances.append((ratio - 1) / (1 / HEAVY - ratio / LOAD))
    resistance = max(resistances)
    light = min(abs(found["light+"]), abs(found["light-"]))
    update = {
        "rail": _down(light * (1 + resistance / LOAD), 3),
        "output_resistance": _down(resistance, 3),
        "current_limit": _down(min(map(abs, currents), default=0.0), 2),
    }
    if bench.amplifier.supply is not None:
        update["rail"] = min(update["rail"], bench.amplifier.supply)
    return bench.amplifier.model_copy(update={name: value for name, value in update.items() if value > 0})


def _down(value: float, digits: int) -> float:
    """Cut to so many digits that count."""
    if value <= 0:
        return 0.0
    scale = 10.0 ** (digits - 1 - int(np.floor(np.log10(value))))
    return float(np.floor(value * scale * (1 + 1e-9)) / scale)

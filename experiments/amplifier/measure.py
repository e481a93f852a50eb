"""What a designer looks up first in a data sheet, measured of a macromodel in ngspice.

Each quantity is a function of the bench and an entry of ``QUANTITIES``. What a model does not define is None.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log10, pi
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.amplifier.bench import ABSOLUTE, EDGES, LOAD, Bench
from netlists.amplifier_bench import instance
from solvers.amplifier_noise import AmplifierNoise, noise_of
from spu_circuit.amplifiers.subckt import SUPPLIES
from spu_circuit.errors import SimulationError
from spu_circuit.quantity import shown

Array = NDArray[np.float64]
Plot = dict[str, NDArray[Any]]

NOISE_AT = 1e3
"""Hz, where data sheets print the noise density."""
NO_IMPEDANCE = 1e-12
"""Ω, at least, where the logarithm is taken: an output that is a voltage source has none."""
EDGED = 0.9
"""Of the slope of the edge: a steeper output shows the edge, not its own slew rate. One pole at the GBW has 0.6."""


def offset(bench: Bench) -> float:
    """What the output of a follower is above its input, V."""
    return bench.rest["v(o)"]


def bias(bench: Bench) -> float:
    """Mean of the currents into both inputs, A."""
    return (bench.rest["i(vfb)"] - bench.rest["i(vin)"]) / 2


def bias_difference(bench: Bench) -> float:
    """Current into the plus input less that into the minus input, A."""
    difference = -bench.rest["i(vin)"] - bench.rest["i(vfb)"]
    return difference if abs(difference) > ABSOLUTE else 0.0


def supply_current(bench: Bench) -> float | None:
    """At rest without load, from the positive supply, A."""
    current = bench.rest.get(f"i(v{SUPPLIES['positive_supply'][0]})")
    return None if current is None else -current


def phase_margin(bench: Bench) -> float | None:
    """What the phase is above −180° where the gain is 1, degrees."""
    frequencies, gain = bench.response
    crossing = bench.falls_to(1.0)
    if crossing is None:
        return None
    phase = np.unwrap(np.angle(gain))
    at = np.interp(np.log(crossing), np.log(frequencies), phase - phase[0])
    return float(180 + at * 180 / pi)


def follower_error(bench: Bench) -> float:
    """How much less than 1 the gain of a follower is, between ± a third of the supply, relative."""
    volts = []
    for sign in (1, -1):
        lines = [f"Vin p 0 DC {sign * bench.swing!r}", instance("a", "p", "o", "o"), f"Rl o 0 {LOAD!r}"]
        plot = bench.run([*lines, ".options vntol=1e-9"], ".op", "v(o)")
        volts.append(float(plot["v(o)"][0]))
    return 1 - (volts[0] - volts[1]) / (2 * bench.swing)


def slew_up(bench: Bench) -> float:
    """Between a quarter and three quarters of the step up, V/s."""
    times, volts, half = bench.step
    return _slope(times[times < half], volts[times < half], bench.swing, half / EDGES)


def slew_down(bench: Bench) -> float:
    """Of the step down, V/s."""
    times, volts, half = bench.step
    return _slope(times[times > half] - half, -volts[times > half], bench.swing, half / EDGES)


def overshoot(bench: Bench) -> float:
    """Of the follower's large step, relative to the step."""
    _, volts, _ = bench.step
    return max(0.0, float(volts.max()) / bench.swing - 1) / 2


def highest_output(bench: Bench) -> float:
    """Overdriven, into 10 kΩ, V."""
    return bench.overdriven["light+"]


def lowest_output(bench: Bench) -> float:
    """Overdriven, into 10 kΩ, V."""
    return bench.overdriven["light-"]


def source_current(bench: Bench) -> float | None:
    """Into a short circuit, A."""
    return None if bench.shorted is None else bench.shorted["+"]


def sink_current(bench: Bench) -> float | None:
    """From a short circuit, A."""
    return None if bench.shorted is None else bench.shorted["-"]


def output_resistance(bench: Bench) -> float:
    """Open loop, at the lowest frequency, Ω."""
    return float(np.abs(bench.impedance[1][0]))


def fast_output_resistance(bench: Bench) -> float | None:
    """Open loop, at the gain-bandwidth product, Ω."""
    frequencies, impedance = bench.impedance
    bandwidth = bench.gain_bandwidth
    if bandwidth is None:
        return None
    sizes = np.maximum(np.abs(impedance), NO_IMPEDANCE)
    found = float(np.exp(np.interp(np.log(bandwidth), np.log(frequencies), np.log(sizes))))
    return found if found > 2 * NO_IMPEDANCE else 0.0


def noise_density(bench: Bench) -> float | None:
    """Of a follower at 1 kHz, V/√Hz: what the model's resistors and semiconductors make; None: nothing does."""
    lines = ["Vin p 0 DC 0 AC 1", instance("a", "p", "o", "o"), f"Rl o 0 {LOAD!r}"]
    analysis = f".noise v(o) Vin dec 1 {NOISE_AT!r} {10 * NOISE_AT!r}"
    density = float(bench.run(lines, analysis, "onoise_spectrum")["onoise_spectrum"][0])
    return density if density > SILENT else None


def noise_level(which: Callable[[AmplifierNoise], float]) -> Callable[[Bench], float | None]:
    """A number of the noise at the input, as the engines take it; None: there is none.

    Raises:
        SimulationError: ngspice finds nothing.
    """

    def measure(bench: Bench) -> float | None:
        found = noise_of(bench.amplifier, bench.temperature)
        if isinstance(found, str):
            raise SimulationError(found)
        return which(found) or None

    return measure


NO_NOISE = "the model has no noise"
SILENT = 1e-11
"""V/√Hz. Less is the noise of loads and gmin: no op-amp has it, 0.1 nV/√Hz are those of 0.6 Ω."""


@dataclass(frozen=True)
class Quantity:
    """A line of the report.

    Args:
        unit: of ``spu_circuit.quantity``.
        missing: what is said where the model does not define it.
        also: says a value in another unit, too.
    """

    name: str
    unit: str
    measure: Callable[[Bench], float | None]
    missing: str = "not defined by the model"
    also: Callable[[float], str] | None = None

    def text(self, value: float | str | None) -> str:
        """A value, or why there is none."""
        if value is None or isinstance(value, str):
            return value or self.missing
        return shown(value, self.unit) + (f" ({self.also(value)})" if self.also else "")


def decibels(gain: float) -> str:
    return f"{20 * log10(gain):.1f} dB" if gain > 0 else "no gain"


QUANTITIES = {
    "follower_error": Quantity("gain error of a follower", "%", follower_error),
    "dc_gain": Quantity("open-loop DC gain, 10 kΩ load", "", attrgetter("dc_gain"), also=decibels),
    "gain_bandwidth": Quantity(
        "gain-bandwidth product", "Hz", attrgetter("gain_bandwidth"), "none: the gain never falls"
    ),
    "phase_margin": Quantity("phase margin of a follower", "°", phase_margin, "none: the gain never falls to 1"),
    "slew_up": Quantity("slew rate, up", "V/µs", slew_up),
    "slew_down": Quantity("slew rate, down", "V/µs", slew_down),
    "overshoot": Quantity("overshoot of a large step", "%", overshoot),
    "offset": Quantity("input offset voltage", "V", offset),
    "bias": Quantity("input bias current", "A", bias),
    "bias_difference": Quantity("input offset current", "A", bias_difference),
    "highest_output": Quantity("highest output, 10 kΩ load", "V", highest_output),
    "lowest_output": Quantity("lowest output, 10 kΩ load", "V", lowest_output),
    "source_current": Quantity("current into a short circuit", "A", source_current),
    "sink_current": Quantity("current from a short circuit", "A", sink_current),
    "output_resistance": Quantity("open-loop output resistance, DC", "Ω", output_resistance),
    "fast_output_resistance": Quantity("open-loop output impedance at the GBW", "Ω", fast_output_resistance),
    "noise_density": Quantity("input noise density at 1 kHz", "V/√Hz", noise_density, NO_NOISE),
    "input_noise": Quantity(
        "white input noise voltage", "V/√Hz", noise_level(lambda noise: noise.voltage.white), NO_NOISE
    ),
    "noise_corner": Quantity(
        "corner of its flicker noise", "Hz", noise_level(lambda noise: noise.voltage.corner), "no flicker noise"
    ),
    "input_current_noise": Quantity(
        "white input noise current", "A/√Hz", noise_level(lambda noise: noise.current.white), NO_NOISE
    ),
    "supply_current": Quantity("supply current", "A", supply_current, "the model has no supply pin"),
}
"""Key → what is measured, in the order of the report."""


def measured(bench: Bench) -> dict[str, float | str | None]:
    """Key → value in SI; None: the model does not define it; a text: why it could not be measured."""
    found: dict[str, float | str | None] = {}
    for key, quantity in QUANTITIES.items():
        try:
            found[key] = quantity.measure(bench)
        except SimulationError as error:
            found[key] = f"not measured: {error}"
    return found


def _slope(times: Array, volts: Array, swing: float, edge: float) -> float:
    """Of what rises from −swing to swing, between a quarter and three quarters, after what its edge lets through.

    Raises:
        SimulationError: it follows the input's edge of so many seconds.
    """
    begin = int(np.flatnonzero(volts[: int(np.argmax(volts > 0.9 * swing))] <= -swing / 2)[-1]) + 1
    end = begin + int(np.argmax(volts[begin:] > swing / 2))
    first, last = float(times[begin]), float(times[end])
    if end == begin or volts[end] - volts[begin] > EDGED * 2 * swing / edge * (last - first):
        raise SimulationError("the step is faster than the bench resolves")
    return float((volts[end] - volts[begin]) / (last - first))

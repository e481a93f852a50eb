"""What a designer looks up first in a data sheet, measured of a macromodel in ngspice.

Each quantity is a function of the bench and an entry of ``QUANTITIES``. What a model does not define is None.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log10, pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlists.amplifier_bench import bench_deck, instance
from netlists.deck import Numerics
from solvers.amplifier_noise import AmplifierNoise, noise_of
from solvers.ngspice_attempts import attempts, searches
from solvers.ngspice_process import NgspiceConvergenceError, run_deck, run_small_signal
from spu_circuit.amplifier import Amplifier
from spu_circuit.amplifiers.subckt import SUPPLIES
from spu_circuit.errors import SimulationError
from spu_circuit.quantity import shown

Array = NDArray[np.float64]
Plot = dict[str, NDArray[Any]]

LOAD, HEAVY = 10e3, 2e3
"""Loads of data sheets, Ω."""
SHORT = 0.1
"""Ω: no voltage source, which an output that is one would be a loop with."""
STIFF = 0.1
"""Of its voltage into the light load: an output that keeps more into the short circuit has no limit of current."""
SIGNS = {1: "+", -1: "-"}
NOISE_AT = 1e3
"""Hz, where data sheets print the noise density."""
LOWEST, HIGHEST = 1e-4, 1e10
"""Hz, of the open-loop response."""
NO_IMPEDANCE = 1e-12
"""Ω, at least, where the logarithm is taken: an output that is a voltage source has none."""
HUGE = 1e9
"""Henries that close the loop at rest alone, farads that hold the minus input for signals."""
PRECISE = Numerics(reltol=1e-6)
ABSOLUTE = 1e-15
"""A, to which ngspice finds currents at rest."""
SLOWEST = 20_000
"""Of 1/GBW that a step may take."""
DIRECT, CLAMPED = 1e-3, 1e3
"""Between the source of a large step and the input, Ω; the larger one where diodes between the inputs conduct."""
EDGES = 200
"""Of the time that a step has: its edge takes a part of so many."""
EDGED = 0.9
"""Of the slope of the edge: a steeper output shows the edge, not its own slew rate. One pole at the GBW has 0.6."""
CONDUCTED = 5e-3
"""A, at the end of the edge: more than the capacitance between inputs takes of fast outputs, 2 pF at 1.4 kV/µs."""
TIMEOUT = 60.0


@dataclass(frozen=True)
class Bench:
    """An amplifier on the bench. What several quantities need is measured once."""

    amplifier: Amplifier
    temperature: float = 300.15

    @property
    def swing(self) -> float:
        """Of large signals, V: a third of the supply, 5 V at most."""
        return min((self.amplifier.supply or 15.0) / 3, 5.0)

    def run(self, lines: Sequence[str], analysis: str, *saved: str, run: Callable[..., Any] = run_deck) -> Plot:
        """The first result of a deck, by the first settings with which ngspice converges."""
        for numerics in attempts(PRECISE, moves=True) if analysis.startswith(".tran") else searches(PRECISE):
            deck = bench_deck(self.amplifier, lines, analysis, saved, numerics, self.temperature)
            try:
                found: Plot = run(deck, TIMEOUT)[0]
            except NgspiceConvergenceError as error:
                last = error
                continue
            return found
        raise last

    @cached_property
    def rest(self) -> dict[str, float]:
        """A follower at 0 V without load: its output, the currents into both inputs, and from the supply."""
        lines = ["Vin p 0 DC 0", "Vfb o m DC 0", instance("a", "p", "m", "o")]
        supplies = [f"i(v{node})" for role, (node, _) in SUPPLIES.items() if role in self.amplifier.pins]
        # Nanoamperes and microvolts: ngspice's own absolute tolerances, 1 pA and 1 µV, are as large.
        plot = self.run(
            [*lines, f".options vntol=1e-9 abstol={ABSOLUTE!r}"], ".op", "v(o)", "i(vin)", "i(vfb)", *supplies
        )
        return {name: float(value[0]) for name, value in plot.items()}

    @cached_property
    def response(self) -> tuple[Array, NDArray[np.complex128]]:
        """Frequencies and open-loop gain, into 10 kΩ."""
        lines = ["Vin p 0 DC 0 AC 1", f"Rl o 0 {LOAD!r}", *_open_loop()]
        plot = self.run(lines, _sweep(20), "v(o)", "v(p)", "v(m)", run=run_small_signal)
        return plot["frequency"].real, plot["v(o)"] / (plot["v(p)"] - plot["v(m)"])

    @cached_property
    def impedance(self) -> tuple[Array, NDArray[np.complex128]]:
        """Frequencies and open-loop output impedance, Ω."""
        lines = ["Vin p 0 DC 0", "Iout 0 o DC 0 AC 1", *_open_loop()]
        plot = self.run(lines, _sweep(5), "v(o)", run=run_small_signal)
        return plot["frequency"].real, plot["v(o)"]

    @cached_property
    def overdriven(self) -> dict[str, float]:
        """Outputs of open amplifiers, V, by load and sign."""
        loads = {"light": LOAD, "heavy": HEAVY}
        return {
            f"{name}{mark}": self._driven(sign, load) for sign, mark in SIGNS.items() for name, load in loads.items()
        }

    @cached_property
    def shorted(self) -> dict[str, float] | None:
        """Currents of open amplifiers into a short circuit, A, by sign; None: what the model gives has no limit."""
        volts = {mark: self._driven(sign, SHORT) for sign, mark in SIGNS.items()}
        if any(abs(volts[mark]) > STIFF * abs(self.overdriven[f"light{mark}"]) for mark in volts):
            return None
        return {mark: volt / SHORT for mark, volt in volts.items()}

    def _driven(self, sign: int, load: float) -> float:
        """Output of an open amplifier into a load, V."""
        lines = [f"Vin p 0 DC {0.1 * sign * self.swing!r}", instance("a", "p", "0", "o"), f"Rl o 0 {load!r}"]
        return float(self.run(lines, ".op", "v(o)")["v(o)"][0])

    @property
    def step(self) -> tuple[Array, Array, float]:
        """A follower's way up and down between ± the swing: times, output, and the time that up takes.

        Diodes between the inputs drive the output with what drives the input, as fast as it: then a resistor is
        between, as on the board of whoever uses such a part.

        Raises:
            SimulationError: it does not settle to 2 %.
        """
        if isinstance(self._stepped, SimulationError):
            raise self._stepped
        return self._stepped

    @cached_property
    def _stepped(self) -> tuple[Array, Array, float] | SimulationError:
        """A failure is kept, too: it takes longest."""
        try:
            found, current = self._step(DIRECT)
            return self._step(CLAMPED)[0] if current > CONDUCTED else found
        except SimulationError as error:
            return error

    def _step(self, resistance: float) -> tuple[tuple[Array, Array, float], float]:
        """See ``step``; and the current into the input at the end of the edge."""
        bandwidth = gain_bandwidth(self)
        long = 40 / bandwidth if bandwidth else 1e-3
        while True:
            edge = long / EDGES  # a faster one goes to the output through the capacitance between the inputs
            high, low = repr(self.swing), repr(-self.swing)
            wave = f"pwl(0 {low} {edge!r} {low} {2 * edge!r} {high} {long!r} {high} {long + edge!r} {low})"
            lines = [
                f"Vin s 0 {wave}",
                f"Rin s p {resistance!r}",
                instance("a", "p", "o", "o"),
                f"Rl o 0 {LOAD!r}",
            ]
            plot = self.run(lines, f".tran {long / 1000!r} {2 * long!r} 0 {long / 1000!r}", "v(o)", "i(vin)")
            times, volts = plot["time"], plot["v(o)"]
            up = float(np.interp(0.99 * long, times, volts))
            if max(abs(up - self.swing), abs(volts[-1] + self.swing)) < 0.02 * self.swing:
                return (times, volts, long), abs(float(np.interp(2.01 * edge, times, plot["i(vin)"])))
            long *= 5
            if long * (bandwidth or 1.0) > SLOWEST:
                raise SimulationError("the follower does not settle")


def _open_loop() -> list[str]:
    return [instance("a", "p", "m", "o"), f"Lfb o m {HUGE!r}", f"Cfb m 0 {HUGE!r}"]


def _sweep(points: int) -> str:
    return f".ac dec {points} {LOWEST!r} {HIGHEST!r}"


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


def dc_gain(bench: Bench) -> float:
    """Into 10 kΩ, V/V."""
    return float(np.abs(bench.response[1][0]))


def gain_bandwidth(bench: Bench) -> float | None:
    """Frequency times gain where the gain is 100, or the root of the DC gain where that is less, Hz."""
    frequencies, gain = bench.response
    level = min(100.0, dc_gain(bench) ** 0.5)
    crossing = _falls_to(frequencies, np.abs(gain), level)
    return None if crossing is None else crossing * level


def phase_margin(bench: Bench) -> float | None:
    """What the phase is above −180° where the gain is 1, degrees."""
    frequencies, gain = bench.response
    crossing = _falls_to(frequencies, np.abs(gain), 1.0)
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
    bandwidth = gain_bandwidth(bench)
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
    "dc_gain": Quantity("open-loop DC gain, 10 kΩ load", "", dc_gain, also=decibels),
    "gain_bandwidth": Quantity("gain-bandwidth product", "Hz", gain_bandwidth, "none: the gain never falls"),
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


def _falls_to(frequencies: Array, gain: Array, level: float) -> float | None:
    """Where a gain falls to a level for the first time, between points on logarithmic scales."""
    below = np.flatnonzero(gain < level)
    if not len(below) or below[0] == 0:
        return None
    k = int(below[0])
    a, b = np.log(gain[k - 1 : k + 1] / level)
    share = a / (a - b)
    return float(frequencies[k - 1] ** (1 - share) * frequencies[k] ** share)


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

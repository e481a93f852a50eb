"""The bench on which an op-amp's macromodel is measured: its decks, run by ngspice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlists.amplifier_bench import bench_deck, instance
from netlists.deck import Numerics
from solvers.ngspice_attempts import attempts, searches
from solvers.ngspice_process import NgspiceConvergenceError, run_deck, run_small_signal
from spu_circuit.amplifier import Amplifier
from spu_circuit.amplifiers.subckt import SUPPLIES
from spu_circuit.errors import SimulationError

Array = NDArray[np.float64]
Plot = dict[str, NDArray[Any]]

LOAD, HEAVY = 10e3, 2e3
"""Loads of data sheets, Ω."""
SHORT = 0.1
"""Ω: no voltage source, which an output that is one would be a loop with."""
STIFF = 0.1
"""Of its voltage into the light load: an output that keeps more into the short circuit has no limit of current."""
SIGNS = {1: "+", -1: "-"}
LOWEST, HIGHEST = 1e-4, 1e10
"""Hz, of the open-loop response."""
HUGE = 1e9
"""Henries that close the loop at rest alone, farads that hold the minus input for signals."""
PRECISE = Numerics(reltol=1e-6, method="gear")
"""Of the trapezoidal rule the steps of clamped inputs (OPA1611) become ever smaller, and never end."""
ABSOLUTE = 1e-15
"""A, to which ngspice finds currents at rest."""
SLOWEST = 20_000
"""Of 1/GBW that a step may take."""
DIRECT, CLAMPED = 1e-3, 1e3
"""Between the source of a large step and the input, Ω; the larger one where diodes between the inputs conduct."""
EDGES = 200
"""Of the time that a step has: its edge takes a part of so many."""
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

    def falls_to(self, level: float) -> float | None:
        """Hz, where the open-loop gain falls to a level for the first time; None: nowhere."""
        frequencies, gain = self.response
        return _falls_to(frequencies, np.abs(gain), level)

    @property
    def dc_gain(self) -> float:
        """Into 10 kΩ, V/V."""
        return float(np.abs(self.response[1][0]))

    @property
    def gain_bandwidth(self) -> float | None:
        """Frequency times gain where the gain is 100, or the root of the DC gain where that is less, Hz."""
        level = min(100.0, self.dc_gain**0.5)
        crossing = self.falls_to(level)
        return None if crossing is None else crossing * level

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
        bandwidth = self.gain_bandwidth
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


def _falls_to(frequencies: Array, gain: Array, level: float) -> float | None:
    """Where a gain falls to a level for the first time, between points on logarithmic scales."""
    below = np.flatnonzero(gain < level)
    if not len(below) or below[0] == 0:
        return None
    k = int(below[0])
    a, b = np.log(gain[k - 1 : k + 1] / level)
    share = a / (a - b)
    return float(frequencies[k - 1] ** (1 - share) * frequencies[k] ** share)

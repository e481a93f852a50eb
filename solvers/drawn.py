"""Voltages of drawn copies of a device: many at a time in the exact network, one at a time in ngspice."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, log

import numpy as np
from numpy.typing import NDArray

from netlists.amplifier import parameters
from netlists.deck import OperatingPoint, Transient, write_deck
from netlists.parts import AMPLIFIER, board_of
from solvers.moments import moments
from solvers.network import read_netlist
from solvers.ngspice import Ngspice, voltages
from solvers.ngspice_process import run_deck
from solvers.ornstein_uhlenbeck import law_of
from solvers.settling import settling_times
from spu_circuit.copies import Copies
from spu_circuit.program import Device

Array = NDArray[np.float64]

BLOCK = 64
"""Copies that are computed together. Their number decides the last digits, so it is the same everywhere."""
HORIZON = 3.0
"""A transient that looks for the settling time lasts this many times what the ideal law of the nominal parts takes."""


@dataclass(frozen=True)
class Behaviour:
    """What copies do.

    Args:
        volts: of the outputs without noise when they are read, (copies, m).
        settled: at rest, (copies, m).
        settling_seconds: until the outputs stay within the wanted error of rest, (copies,); infinite where they never
            do; NaN where nobody asked.
        noise_volts: one standard deviation of the noise when they are read, (copies, m), without what goes straight to
            an output past every capacitor; NaN where nobody asked, and in ngspice.
        unstable: copies of which a mode grows, (copies,).
    """

    volts: Array
    settled: Array
    settling_seconds: Array
    noise_volts: Array
    unstable: NDArray[np.bool_]


@dataclass(frozen=True)
class Question:
    """What is asked of each copy.

    Args:
        seconds: when the outputs are read; infinite: at rest.
        settling_error: relative, for the settling time; None: it is not wanted.
        noise: whether the noise is wanted.
    """

    seconds: float = inf
    settling_error: float | None = None
    noise: bool = False


class DrawnNetwork:
    """Copies of a device in the exact network.

    Args:
        device: nominal.
        linearise: see ``Network``.

    Raises:
        InputError: the circuit is not linear and ``linearise`` is False, or cannot be read.
    """

    def __init__(self, device: Device, linearise: bool = False) -> None:
        self.board = board_of(device)
        self._linearise = linearise
        noise = device.hardware.noise
        self._equations = read_netlist(self.board.netlist, device.hardware.temperature if noise.thermal else None)
        circuit = self._equations.analysis.circuit
        self._nominal = circuit.values
        position = {element.name.lower(): k for k, element in enumerate(circuit.elements)}
        self._where = {
            group: np.array([position[name.lower()] for name in names], dtype=np.intp)
            for group, names in self.board.names.items()
            if group != "amplifier"
        }
        for kind, (inner, _) in self._amplifier_parameters().items():
            names = [f"{name}.{inner}".lower() for name in self.board.names["amplifier"]]
            self._where[kind] = np.array([position[name] for name in names], dtype=np.intp)
        # The nominal circuit plans the elimination, so that no copy's answer depends on which was first.
        for wanted in (False, True):
            self._equations.analysis.reduce(None, *self._noise(device.hardware.temperature, wanted), linearise)

    def element_values(self, copies: Copies) -> Array:
        """(copies, elements), as ``NodalAnalysis.reduce`` takes them."""
        values = np.tile(self._nominal, (len(copies.temperature), 1))
        changes = {kind: change for kind, (_, change) in self._amplifier_parameters().items()}
        for group, found in self.board.values(copies).items():
            where = self._where[group]
            values[:, where] = changes[group](self._nominal[where], found) if group in AMPLIFIER else found
        return values

    def behaviour(self, copies: Copies, question: Question) -> Behaviour:
        """All copies, in blocks from the first one on."""
        values = self.element_values(copies)
        parts = [
            self._block(values[k : k + BLOCK], copies.temperature[k : k + BLOCK], question)
            for k in range(0, len(values), BLOCK)
        ]
        return Behaviour(*(np.concatenate([getattr(p, name) for p in parts]) for name in Behaviour.__annotations__))

    def _block(self, values: Array, temperature: Array, question: Question) -> Behaviour:
        reduced = self._equations.analysis.reduce(values, *self._noise(temperature, question.noise), self._linearise)
        rest = np.linalg.solve(reduced.drift, reduced.rate[:, :, None])[:, :, 0]
        settled = (reduced.output @ rest[:, :, None])[:, :, 0] + reduced.offset
        start, unstable = self._equations.start(reduced), _grows(reduced.drift)
        # What grows has no voltages worth the name.
        stable = np.flatnonzero(~unstable)
        drift, rate, output = reduced.drift[stable], reduced.rate[stable], reduced.output[stable]
        volts, noise, settling = settled.copy(), np.full_like(settled, np.nan), np.full(len(settled), np.nan)
        if question.seconds < inf and len(stable):
            mean, _ = moments(drift, rate, None, start[stable], question.seconds)
            volts[stable] = (output @ mean[:, :, None])[:, :, 0] + reduced.offset[stable]
        if question.settling_error is not None and len(stable):
            tolerance = question.settling_error * np.linalg.norm(settled[stable], axis=1)
            settling[stable] = settling_times(drift, output, (start - rest)[stable], tolerance)
        if question.noise and len(stable):
            # Twenty time constants of the slowest mode leave e⁻⁴⁰ of a variance.
            until = min(question.seconds, 20 / float(np.linalg.eigvals(drift).real.min()))
            _, spread = moments(drift, rate, reduced.diffusion[stable], start[stable], until)
            assert spread is not None
            noise[stable] = np.sqrt(((output @ spread) * output).sum(axis=2))
        return Behaviour(volts, settled, settling, noise, unstable)

    def _noise(self, temperature: float | Array, wanted: bool) -> tuple[float | Array | None, Array | None]:
        if not wanted:
            return None, None
        return None if self._equations.temperature is None else temperature, self._equations.densities

    def _amplifier_parameters(self) -> dict[str, tuple[str, Callable[[Array, Array], Array]]]:
        if "amplifier" not in self.board.names:
            return {}
        return {f"amplifier_{name}": change for name, change in parameters(self.board.hardware.amplifier).items()}


class DrawnNgspice:
    """Copies of a device in ngspice, one deck each.

    Args:
        device: nominal.
        engine: for points and timeout.
    """

    def __init__(self, device: Device, engine: Ngspice) -> None:
        self.board = board_of(device)
        self._engine = engine
        self._law = law_of(device)

    def deck(self, copies: Copies, copy: int, question: Question) -> str:
        """The deck that answers the question for one of the copies."""
        drawn = self.board.drawn(self.board.values(copies), copy)
        return write_deck(drawn, self._analysis(question), float(copies.temperature[copy]))

    def behaviour(self, copies: Copies, copy: int, question: Question) -> Behaviour:
        """One of the copies. Noise is not asked of ngspice: see ``Ngspice.noise_variance``.

        Raises:
            SimulationError: ngspice failed.
        """
        netlist = self.board.drawn(self.board.values(copies), copy)
        kelvin = float(copies.temperature[copy])
        (plot,) = run_deck(write_deck(netlist, OperatingPoint(), kelvin), self._engine.timeout)
        settled = voltages(plot, netlist.outputs)[-1]
        volts, settling = settled, np.nan
        analysis = self._analysis(question)
        if isinstance(analysis, Transient):
            (plot,) = run_deck(write_deck(netlist, analysis, kelvin), self._engine.timeout)
            wave, times = voltages(plot, netlist.outputs), plot["time"]
            if question.seconds < inf:
                volts = np.array([np.interp(question.seconds, times, column) for column in wave.T])
            if question.settling_error is not None:
                settling = _settling_of(times, wave, settled, question.settling_error)
        return Behaviour(
            volts[None], settled[None], np.array([settling]), np.full((1, len(volts)), np.nan), np.array([False])
        )

    def _analysis(self, question: Question) -> OperatingPoint | Transient:
        stop = 0.0 if question.seconds == inf else question.seconds
        if question.settling_error is not None:
            slowest = float(np.real(self._law.rates).min())
            stop = max(stop, HORIZON * log(1 / question.settling_error) / slowest)
        return Transient(stop, stop / self._engine.points, 1) if stop else OperatingPoint()


def _grows(drift: Array) -> NDArray[np.bool_]:
    """Which systems have a mode that grows. Where the symmetric part is positive definite none does."""
    grows = np.linalg.eigvalsh((drift + drift.transpose(0, 2, 1)) / 2)[:, 0] <= 0
    if grows.any():
        grows[grows] = np.linalg.eigvals(drift[grows]).real.min(axis=1) <= 0
    return grows


def _settling_of(times: Array, wave: Array, settled: Array, error: float) -> float:
    """When a waveform stays within the error of rest, interpolated between its points; infinite where it never does."""
    distance = np.linalg.norm(wave - settled, axis=1) / (error * np.linalg.norm(settled))
    outside = np.flatnonzero(~(distance <= 1))
    if not len(outside):
        return 0.0
    last = int(outside[-1])
    if last + 1 == len(times):
        return inf
    # The distance falls nearly as an exponential.
    share = np.log(distance[last]) / np.log(distance[last] / distance[last + 1])
    return float(times[last] + share * (times[last + 1] - times[last]))

"""ngspice as an engine: the whole non-linear circuit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, inf
from typing import ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray

from netlists.array import ProgrammedArray
from netlists.board import Board
from netlists.deck import Analysis, NoiseSpectrum, OperatingPoint, Probe, Transient, write_deck
from netlists.device import Device
from netlists.elements import ElementTable
from solvers.engine import Reading
from solvers.ideal import law_of
from solvers.ngspice_process import NgspiceConvergenceError, NgspiceReadError, run_deck
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from solvers.solution import Waveform
from spu_circuit.errors import InputError
from spu_circuit.noise import input_noise_density
from spu_circuit.sampling import Samples

Array = NDArray[np.float64]

MOST_HOLDS = 1e6
"""Noise values of a transient, at most: about an hour of ngspice for ten cells."""


@dataclass(frozen=True)
class Ngspice:
    """Operating points and transients of devices' circuits in child processes, one after the other.

    Args:
        points: the transient's steps are at most 1/points of its length; local errors may make them shorter.
        noise_hold: how long each noise value is held, as a fraction of the fastest time constant. The variance of a
            mode of rate r is too small by (r · hold)² / 12: 2 % of the fastest mode's at 0.5.
        timeout: seconds after which ngspice is killed; infinite: it never is.
        reltol: relative tolerance of its iterations and steps.
        method: of integration, "gear" or "trap"; None: ngspice's own, trapezoidal.

    Raises:
        InputError: a setting is out of its range.
    """

    points: int = 100
    noise_hold: float = 0.5
    timeout: float = 600.0
    reltol: float = 1e-4
    method: str | None = None
    name: str = "ngspice"
    bytes_per_resistor: ClassVar[float] = 600.0

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise InputError(f"timeout is {self.timeout:g} s; give one above 0, or inf")
        if not 0 < self.reltol < 1:
            raise InputError(f"reltol is {self.reltol:g}; it must be between 0 and 1, such as 1e-4")
        if self.method not in (None, "gear", "trap"):
            raise InputError(f"method is {self.method!r}; ngspice integrates by 'gear' or 'trap'")

    def prepare(self, board: Board) -> "PreparedNgspice":
        """See ``Engine``."""
        return PreparedNgspice(self, board)

    def simulate(
        self,
        device: Device,
        law: OrnsteinUhlenbeck,
        seconds: float,
        seed: int,
        table: ElementTable | None = None,
        temperature: float | None = None,
    ) -> "Run":
        """One device's transient, or its operating point where the time is infinite.

        Args:
            table: the circuit of a Monte Carlo sample of the device, at a temperature in K; None: nominal.
        """
        table, analysis = table or device.circuit, self._analysis(device, law, seconds, seed)
        plot = self.plots(table, analysis, temperature or device.hardware.temperature)[0]
        volts = voltages(plot, table.probes)
        if seconds == inf:
            return Run(volts[-1], None)
        times = _signal(plot, "time")
        if times[-1] < seconds * (1 - 1e-9):
            raise NgspiceConvergenceError(
                f"ngspice stopped at {times[-1]:.3g} s of {seconds:.3g} s; take a shorter time, more points, or "
                "amplifiers that are not slower than the array"
            )
        # With .tran uic ngspice's first row shows the nodes before the capacitors are charged.
        volts[0] = device.initial_volts
        hold = analysis.noise_hold
        noise = None if hold is None else partial(held_noise, device, law, hold, seconds)
        return Run(volts[-1], Waveform(times, volts), noise)

    def deck(
        self, device: Device, law: OrnsteinUhlenbeck, seconds: float, seed: int, table: ElementTable | None = None
    ) -> str:
        """The deck that ``simulate`` runs."""
        return self._deck(
            table or device.circuit, self._analysis(device, law, seconds, seed), device.hardware.temperature
        )

    def noise_variance(self, device: Device, law: OrnsteinUhlenbeck, probes: Sequence[Probe] | None = None) -> Array:
        """Stationary variance of node voltages by ngspice's small-signal noise analysis: no sampling error.

        Its spectrum is integrated here: the total that ngspice 39 gives is off by 1e-4, and NaN for some circuits.

        Resistors only: injected noise has no place in a small-signal deck.

        Args:
            probes: node names, or pairs of them for a difference; None: every cell.

        Returns:
            (len(probes),), V². The band reaches five decades beyond the fastest and the slowest mode.
        """
        rates = np.abs(law.rates) / (2 * np.pi)
        band = float(rates.min()) * 1e-5, float(rates.max()) * 1e5
        variances = []
        for probe in device.circuit.probes if probes is None else probes:
            frequencies, densities = self.noise_density(device, band, 40, probe)
            # Over ln f both ends of the integrand vanish, where the trapezoidal rule converges faster than any power.
            heights = densities * frequencies
            variances.append((heights[1:] + heights[:-1]) @ np.diff(np.log(frequencies)) / 2)
        return np.array(variances)

    def noise_density(
        self, device: Device, band: tuple[float, float], points_per_decade: int, probe: Probe
    ) -> tuple[Array, Array]:
        """Small-signal noise of a node, or of a pair's difference, by ngspice's noise analysis. Resistors only.

        Args:
            band: first and last frequency, Hz.

        Returns:
            Frequencies (F,), Hz, and one-sided densities (F,), V²/Hz.
        """
        if device.hardware.noise.injected:
            raise InputError("noise.injected must be 0 for a .noise analysis, which knows resistor noise only")
        # A deck for each probe: ngspice 39 stores the results of several .noise lines in reverse order, without names.
        plots = self.plots(device.circuit, NoiseSpectrum(*band, points_per_decade, probe), device.hardware.temperature)
        return _signal(plots[0], "frequency"), _signal(plots[0], "onoise_spectrum") ** 2

    def plots(self, table: ElementTable, analysis: Analysis, temperature: float) -> list[dict[str, Array]]:
        """Results of a table's deck."""
        return run_deck(self._deck(table, analysis, temperature), self.timeout)

    def _deck(self, table: ElementTable, analysis: Analysis, temperature: float) -> str:
        return write_deck(table, analysis, temperature, self.reltol, self.method)

    def _analysis(self, device: Device, law: OrnsteinUhlenbeck, seconds: float, seed: int) -> Analysis:
        seconds = float(seconds)  # a NumPy scalar would write its type into the deck
        if seconds == inf:
            return OperatingPoint()
        seconds, hold = float(seconds), None
        if law.diffusion.any():
            fastest = float(np.abs(law.rates).max())
            holds = seconds * fastest / self.noise_hold
            if holds > MOST_HOLDS:
                raise InputError(
                    f"analog time of {seconds:.3g} s is {holds:.2g} noise values; take at most "
                    f"{MOST_HOLDS * self.noise_hold / fastest:.3g} s ({MOST_HOLDS / holds:.2g} of it), or inf"
                )
            # A whole number of holds; the small part keeps rounding from adding one.
            hold = seconds / max(1, ceil(holds - 1e-6))
        positive = int(np.random.SeedSequence(seed).generate_state(1)[0] >> 1) or 1
        return Transient(seconds, seconds / self.points, positive, hold)


@dataclass(frozen=True)
class Run:
    """One device in ngspice.

    Args:
        volts: of the cells at the end, (n,).
        waveform: their way there; None at an operating point.
        covariance: see ``Reading``.
    """

    volts: Array
    waveform: Waveform | None
    covariance: Callable[[], Array] | None = None


@dataclass(frozen=True)
class PreparedNgspice:
    """The engine with the board whose samples it draws. See ``Prepared``."""

    engine: Ngspice
    board: Board

    def program(self, array: ProgrammedArray, samples: Samples | None) -> "ProgrammedNgspice":
        """See ``Prepared``."""
        return ProgrammedNgspice(self.engine, self.board, samples)


@dataclass(frozen=True)
class ProgrammedNgspice:
    """A batch of devices, each a deck. See ``Programmed``."""

    engine: Ngspice
    board: Board
    samples: Samples | None

    def read(self, device: Device, seconds: Array, seeds: Array, limits: Array | None = None) -> Reading:
        """See ``Programmed``.

        Raises:
            SimulationError: ngspice failed.
        """
        runs = []
        for k, (time, seed) in enumerate(zip(seconds.tolist(), seeds.tolist(), strict=True)):
            one, table, kelvin = device[k], None, None
            if self.samples is not None:
                table, kelvin = self.table(one, k), float(self.samples.temperature[k % self.samples.count])
            runs.append(self.engine.simulate(one, law_of(one), time, seed, table, kelvin))
        waves = [run.waveform for run in runs if run.waveform is not None]
        peaks = [np.abs(run.volts if run.waveform is None else run.waveform.volts) for run in runs]
        noises = [run.covariance for run in runs if run.covariance is not None]
        return Reading(
            np.stack([run.volts for run in runs]),
            ("",) * len(runs),
            np.stack([peak if peak.ndim == 1 else peak.max(axis=0) for peak in peaks]),
            tuple(waves) or None,
            tuple(noises) or None,
            1,
        )

    def table(self, one: Device, which: int) -> ElementTable:
        """The circuit of one of the samples."""
        assert self.samples is not None
        table = one.circuit
        values = {group.label: group.value[None] for group in table.elements if group.part}
        inputs = {key: np.atleast_2d(value) for key, value in one.inputs.items()}
        drawn = self.samples[which % self.samples.count]
        own = {**self.board.values(drawn, values), **self.board.inputs(drawn, inputs)}
        return table.filled({key: value[0] for key, value in own.items()})


def held_noise(device: Device, law: OrnsteinUhlenbeck, hold: float, seconds: float) -> Array:
    """Covariance of the outputs when all noise is held for ``hold`` seconds, (n, n), V².

    An integrator's amplifier adds its input noise e to its output, ``V = W + e``, and drives W with ``K e / C``; e has
    the variance S / (2 hold), and what it did to W since its last change is not independent of it. Amplifiers count
    as fast; a library's own noise is in no transient.
    """
    covariance = law.held_covariance(hold, round(seconds / hold))
    variance = input_noise_density(device.hardware) / (2 * hold)
    if not variance:
        return covariance
    size = len(covariance)
    gain = np.linalg.solve(law.drift, np.eye(size) - scipy.linalg.expm(-law.drift * hold))
    shared = gain @ device.array.amplifier_drive(device.hardware) / device.hardware.cell.capacitance
    return covariance + variance * (np.eye(size) + shared + shared.T)


def voltages(plot: dict[str, Array], probes: Sequence[Probe]) -> Array:
    """Voltages of a result at these nodes or between these pairs, (points, probes)."""
    return np.stack([_voltage(plot, probe) for probe in probes], axis=-1)


def _voltage(plot: dict[str, Array], probe: Probe) -> Array:
    if isinstance(probe, str):
        return _signal(plot, f"v({probe})")
    return _signal(plot, f"v({probe[0]})") - _signal(plot, f"v({probe[1]})")


def _signal(plot: dict[str, Array], name: str) -> Array:
    if name not in plot:
        raise NgspiceReadError(f"ngspice's result has no {name!r}; it has {', '.join(list(plot)[:8])}")
    return plot[name]

"""ngspice as an engine: the whole non-linear circuit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, inf
from typing import ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray

from netlists.array import ProgrammedArray
from netlists.board import Board
from netlists.deck import Analysis, NoiseSpectrum, Numerics, OperatingPoint, Probe, Transient, write_deck
from netlists.device import Device
from netlists.elements import ElementTable
from solvers.engine import Reading
from solvers.ideal import law_of
from solvers.ngspice_attempts import Converged, attempts, begun, converged
from solvers.ngspice_process import NgspiceConvergenceError, NgspiceReadError, run_deck
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from solvers.pins import check_pins
from solvers.solution import Waveform
from solvers.steps import step_error
from spu_circuit.errors import InputError
from spu_circuit.quantity import shown
from spu_circuit.sampling import Samples

Array = NDArray[np.float64]

MOST_HOLDS = 1e6
"""Noise values of a transient, at most: about an hour of ngspice for ten cells."""
DOUBTFUL = 0.1
"""An operating point this far from that of ideal amplifiers and nominal parts, of the largest voltage, is looked at
again: copies of a board with parts of 1 % are not."""
SETTLED = 30.0
"""The slowest time constants until a transient counts as at rest."""
AT_REST = 1e-3
"""Of the largest voltage: two voltages at rest that differ by less are the same."""


@dataclass(frozen=True)
class Ngspice:
    """Operating points and transients of devices' circuits in child processes, one after the other.

    Args:
        points: the transient's steps are at most 1/points of its length; local errors may make them shorter.
        noise_hold: how long each noise value is held, as a fraction of the fastest time constant. The variance of a
            mode of rate r is too small by (r · hold)² / 12: 2 % of the fastest mode's at 0.5.
        timeout: seconds after which ngspice is killed; infinite: it never is.
        reltol: relative tolerance of its iterations and steps.
        method: of integration, "gear" or "trap"; None: ngspice's own, trapezoidal. Where ngspice does not converge with
            these two it tries others, see ``solvers.ngspice_attempts``.

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

    @property
    def numerics(self) -> Numerics:
        """What it is asked to use."""
        return Numerics(self.method, self.reltol)

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
        kelvin = temperature or device.hardware.temperature
        if isinstance(analysis, OperatingPoint):
            return self._rest(device, law, table, kelvin)
        found = self._converged(table, analysis, kelvin, device.initial_volts)
        assert found.times is not None
        # With .tran uic ngspice's first row shows the nodes before the capacitors are charged.
        found.volts[0] = device.initial_volts
        hold = analysis.noise_hold
        noise = None if hold is None else partial(held_noise, device, law, hold, seconds)
        method = found.numerics.method or "trap"
        off = partial(step_error, law, device.initial_volts, found.times, hold, method)
        return Run(
            found.volts[-1], Waveform(found.times, found.volts), noise, found.runs, found.failed, found.note, off
        )

    def _rest(self, device: Device, law: OrnsteinUhlenbeck, table: ElementTable, kelvin: float) -> "Run":
        """Where the array rests: its operating point, or, where that is doubtful, where a transient leads.

        A library's amplifier can have several operating points, of which ngspice finds one: what is far from that of
        ideal amplifiers is doubted.
        """
        try:
            point = self._converged(table, OperatingPoint(), kelvin)
        except NgspiceConvergenceError as error:
            point, why = None, str(error)
        if point is not None:
            ideal = device.at_rest()
            far = np.abs(point.volts[-1] - ideal).max() > DOUBTFUL * np.abs(ideal).max()
            if device.hardware.amplifier.library_text is None or not far:
                return Run(point.volts[-1], None, None, point.runs, point.failed, point.note)
        stop = SETTLED / float(np.abs(law.rates).min())
        try:
            settled = self._converged(table, Transient(stop, stop / self.points, 1), kelvin)
        except NgspiceConvergenceError:
            if point is None:
                raise NgspiceConvergenceError(f"{why}; and no transient leads to one") from None
            return Run(point.volts[-1], None, None, point.runs, point.failed, point.note)
        assert settled.times is not None
        volts, largest = settled.volts[-1], float(np.abs(settled.volts[-1]).max())
        moves = np.abs(settled.volts[settled.times > 0.9 * stop] - volts).max() > AT_REST * largest
        runs, failed = (point.runs, point.failed) if point else (len(attempts(self.numerics, False)),) * 2
        if point is None and moves:
            raise NgspiceConvergenceError(f"{why}; and in a transient the amplifiers do not come to rest")
        if point is None:
            note = f"ngspice found no operating point; it is where a transient of {shown(stop, 's')} leads"
        elif moves:
            volts = point.volts[-1]
            note = "the operating point is not stable: in a transient the amplifiers do not come to rest"
        elif np.abs(point.volts[-1] - volts).max() > AT_REST * largest:
            note = (
                f"ngspice's operating point is not where a transient of {shown(stop, 's')} leads; the voltages are "
                "those of the transient"
            )
        else:
            volts, note = point.volts[-1], point.note
        return Run(volts, None, None, runs + settled.runs, failed + settled.failed, note)

    def _converged(
        self, table: ElementTable, analysis: OperatingPoint | Transient, kelvin: float, begins: Array | None = None
    ) -> Converged:
        """Args: ``begins``: V, where the outputs must be at time 0, but for offsets; None: anywhere."""
        stop = analysis.stop if isinstance(analysis, Transient) else None

        def run(numerics: Numerics) -> tuple[Array | None, Array]:
            def plot_of(search: str, at_rest: bool) -> dict[str, Array]:
                own = replace(numerics, search=search) if search else numerics
                return run_deck(write_deck(table, analysis, kelvin, own), self.timeout, at_rest)[0]

            if begins is None or not table.precharged:
                plot = plot_of("", False)
            else:
                plot = begun(plot_of, partial(voltages, probes=table.probes), begins)
            times = None if stop is None else _signal(plot, "time")
            if times is not None and stop is not None and times[-1] < stop * (1 - 1e-9):
                raise NgspiceConvergenceError(
                    f"ngspice stopped at {times[-1]:.3g} s of {stop:.3g} s; take a shorter time, more points, or "
                    "amplifiers that are not slower than the array"
                )
            return times, voltages(plot, table.probes)

        return converged(attempts(self.numerics, stop is not None), run)

    def deck(
        self, device: Device, law: OrnsteinUhlenbeck, seconds: float, seed: int, table: ElementTable | None = None
    ) -> str:
        """The deck that ``simulate`` runs."""
        analysis = self._analysis(device, law, seconds, seed)
        return write_deck(table or device.circuit, analysis, device.hardware.temperature, self.numerics)

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
        return run_deck(write_deck(table, analysis, temperature, self.numerics), self.timeout)

    def _analysis(
        self, device: Device, law: OrnsteinUhlenbeck, seconds: float, seed: int
    ) -> OperatingPoint | Transient:
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
        runs: of ngspice.
        failed: settings with which it did not converge.
        note: what a user must know of those with which it did.
        step_error: see ``Reading``.
    """

    volts: Array
    waveform: Waveform | None
    covariance: Callable[[], Array] | None = None
    runs: int = 1
    failed: int = 0
    note: str = ""
    step_error: Callable[[], Array] | None = None


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
            InputError: pins of a library's amplifier are exchanged; SimulationError: ngspice failed.
        """
        check_pins(device.hardware.amplifier)
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
            np.array([run.runs for run in runs]),
            retries=np.array([run.failed for run in runs]),
            noting=lambda: tuple(run.note for run in runs),
            step_errors=tuple(run.step_error for run in runs),
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
    as fast.
    """
    covariance = law.held_covariance(hold, round(seconds / hold))
    variance = device.hardware.input_noise_density / (2 * hold)
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

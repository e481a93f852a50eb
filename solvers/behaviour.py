"""What Monte Carlo samples of one device do: voltages, settling times, noise, stability. In either engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log

import numpy as np
import scipy
from numpy.typing import NDArray

from netlists.deck import OperatingPoint, Transient, write_deck
from netlists.device import Device, batch_of
from solvers.ideal import law_of
from solvers.moments import moments
from solvers.network.programmed import PreparedNetwork
from solvers.ngspice import PreparedNgspice, voltages
from solvers.settling import settling_times
from spu_circuit.sampling import Samples

Array = NDArray[np.float64]

BLOCK = 64
"""Samples that are computed together. Their number decides the last digits, so it is the same everywhere."""
HORIZON = 3.0
"""A transient that looks for the settling time lasts this many times what the ideal law of the nominal parts takes."""
LONG_AGO = 20.0
"""Time constants of the slowest mode after which the noise is what it stays: e⁻⁴⁰ of its variance is to come."""


@dataclass(frozen=True)
class Behaviour:
    """What samples do.

    Args:
        volts: of the outputs without noise when they are read, (samples, m).
        settled: at rest, (samples, m).
        settling_seconds: until the outputs stay within the wanted error of rest, (samples,); infinite where they never
            do; NaN where nobody asked.
        noise_volts: one standard deviation of the noise when they are read, (samples, m), without what goes straight to
            an output past every capacitor; NaN where nobody asked, and in ngspice.
        unstable: samples of which a mode grows, (samples,).
        bent: how far limits of amplifiers move outputs at rest, of the largest, (samples,); 0 in ngspice, which needs
            no tangents there.
        rates_off: how far tangents are off on the way, of the rates, (samples,); infinite: by more than Newton's method
            finds; 0 in ngspice and where nothing moves.
    """

    volts: Array
    settled: Array
    settling_seconds: Array
    noise_volts: Array
    unstable: NDArray[np.bool_]
    bent: Array
    rates_off: Array


@dataclass(frozen=True)
class Question:
    """What is asked of each sample.

    Args:
        seconds: when the outputs are read; infinite: at rest.
        settling_error: relative, for the settling time; None: it is not wanted.
        noise: whether the noise is wanted.
    """

    seconds: float = inf
    settling_error: float | None = None
    noise: bool = False

    @property
    def of_motion(self) -> bool:
        """Whether the answer is about more than rest."""
        return self.seconds < inf or self.settling_error is not None or self.noise


def joined(parts: Sequence[Behaviour]) -> Behaviour:
    """Some samples after the others."""
    return Behaviour(*(np.concatenate([getattr(p, name) for p in parts]) for name in Behaviour.__annotations__))


def in_network(prepared: PreparedNetwork, device: Device, samples: Samples, question: Question) -> Behaviour:
    """A block of samples of a nominal device in the exact network.

    Raises:
        InputError: saturating amplifiers are asked about more than rest and the engine does not ``linearise``; a sample
            has no operating point; or tangents of steep amplifiers say nothing of its way.
    """
    nominal = batch_of(device)
    programmed = prepared.program(nominal.array, samples)
    if question.of_motion:
        programmed.refuse_nonlinear()
    motion = programmed.motion(nominal, question.noise)
    law, settled = motion.law, motion.settled
    unstable = _grows(law.drift)
    # What grows has no voltages worth the name.
    stable = np.flatnonzero(~unstable)
    drift, output, away = law.drift[stable], law.output[stable], motion.away[stable]
    volts, noise, settling = settled.copy(), np.full_like(settled, np.nan), np.full(len(settled), np.nan)
    if question.seconds < inf and len(stable):
        left, _ = moments(drift, np.zeros_like(away), None, away, question.seconds)
        if motion.bending is not None:
            ways = [motion.way(k, question.seconds)(np.array([question.seconds])) for k in stable.tolist()]
            left = np.stack(ways)[:, :, 0]
        volts[stable] += (output @ left[:, :, None])[:, :, 0]
    if question.settling_error is not None and len(stable):
        tolerance = question.settling_error * np.linalg.norm(settled[stable], axis=1)
        settling[stable] = found = settling_times(drift, output, away, tolerance)
        if motion.bending is not None:
            each = zip(stable.tolist(), tolerance[stable].tolist(), found.tolist(), strict=True)
            settling[stable] = [motion.settling_time(k, within, guess) for k, within, guess in each]
    if question.noise and len(stable):
        until = min(question.seconds, LONG_AGO / float(np.linalg.eigvals(drift).real.min()))
        _, spread = moments(drift, np.zeros_like(away), law.diffusion[stable], away, until)
        assert spread is not None
        noise[stable] = np.sqrt(((output @ spread) * output).sum(axis=2))
    bent = np.zeros(len(settled)) if motion.bent is None else motion.bent
    moves = question.of_motion and motion.rates_off is not None
    off = motion.rates_off() if moves and motion.rates_off else np.zeros(len(settled))
    return Behaviour(volts, settled, settling, noise, unstable, bent, off)


def in_ngspice(prepared: PreparedNgspice, device: Device, samples: Samples, question: Question) -> Behaviour:
    """Samples in ngspice, one after the other. Noise is not asked of it: see ``Ngspice.noise_variance``.

    Raises:
        SimulationError: ngspice failed.
    """
    return joined([_in_ngspice(prepared, device, samples[k], question) for k in range(samples.count)])


def deck(prepared: PreparedNgspice, device: Device, sample: Samples, question: Question) -> str:
    """The deck that answers the question for one sample, a batch of one."""
    table = prepared.program(device.array, sample).table(device, 0)
    return write_deck(table, _analysis(prepared, device, question), float(sample.temperature[0]))


def _in_ngspice(prepared: PreparedNgspice, device: Device, sample: Samples, question: Question) -> Behaviour:
    engine, kelvin = prepared.engine, float(sample.temperature[0])
    table = prepared.program(device.array, sample).table(device, 0)
    (plot,) = engine.plots(table, OperatingPoint(), kelvin)
    settled = voltages(plot, table.probes)[-1]
    volts, settling = settled, np.nan
    analysis = _analysis(prepared, device, question)
    if isinstance(analysis, Transient):
        (plot,) = engine.plots(table, analysis, kelvin)
        wave, times = voltages(plot, table.probes), plot["time"]
        if question.seconds < inf:
            volts = np.array([np.interp(question.seconds, times, column) for column in wave.T])
        if question.settling_error is not None:
            settling = _settling_of(times, wave, settled, question.settling_error)
    return Behaviour(
        volts[None],
        settled[None],
        np.array([settling]),
        np.full((1, len(volts)), np.nan),
        np.array([False]),
        np.zeros(1),
        np.zeros(1),
    )


def _analysis(prepared: PreparedNgspice, device: Device, question: Question) -> OperatingPoint | Transient:
    stop = 0.0 if question.seconds == inf else question.seconds
    if question.settling_error is not None:
        slowest = float(np.real(law_of(device).rates).min())
        stop = max(stop, HORIZON * log(1 / question.settling_error) / slowest)
    return Transient(stop, stop / prepared.engine.points, 1) if stop else OperatingPoint()


def _grows(drift: Array) -> NDArray[np.bool_]:
    """Which systems have a mode that grows. Where the symmetric part is positive definite none does."""
    symmetric = drift + drift.transpose(0, 2, 1)
    grows = np.array([scipy.linalg.lapack.dpotrf(part, lower=1, clean=0)[1] != 0 for part in symmetric], dtype=bool)
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

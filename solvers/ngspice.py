"""ngspice as an engine: the whole non-linear circuit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, inf

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.linalg import expm

from netlists.build import build_netlist
from netlists.deck import Analysis, NoiseSpectrum, OperatingPoint, Transient, write_deck
from netlists.netlist import Netlist, Probe
from solvers.engine import Reading
from solvers.ngspice_process import NgspiceConvergenceError, NgspiceReadError, run_deck
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from solvers.solution import Waveform
from spu_circuit.errors import InputError
from spu_circuit.noise import input_noise_density
from spu_circuit.program import Device

Array = NDArray[np.float64]

MOST_HOLDS = 1e6
"""Noise values of a transient, at most: about an hour of ngspice for ten cells."""


@dataclass(frozen=True)
class Ngspice:
    """Operating points and transients of a device's circuit in a child process.

    Args:
        points: the transient's steps are at most 1/points of its length; local errors may make them shorter.
        noise_hold: how long each noise value is held, as a fraction of the fastest time constant. The variance of a
            mode of rate r is too small by (r · hold)² / 12: 2 % of the fastest mode's at 0.5.
        timeout: seconds after which ngspice is killed.
    """

    points: int = 100
    noise_hold: float = 0.5
    timeout: float = 600.0
    name: str = "ngspice"

    def simulate(self, device: Device, law: OrnsteinUhlenbeck, seconds: float, seed: int) -> Reading:
        """See ``Engine``."""
        netlist, analysis, hold = self._setup(device, law, seconds, seed)
        (plot,) = self._run(netlist, analysis, device)
        volts = voltages(plot, netlist.outputs)
        if seconds == inf:
            return Reading(volts[-1], ngspice_runs=1)
        times = _signal(plot, "time")
        if times[-1] < seconds * (1 - 1e-9):
            raise NgspiceConvergenceError(
                f"ngspice stopped at {times[-1]:.3g} s of {seconds:.3g} s; take a shorter time, more points, or "
                "amplifiers that are not slower than the array"
            )
        # With .tran uic ngspice's first row shows the nodes before the capacitors are charged.
        volts[0] = device.initial_volts
        noise = None if hold is None else partial(held_noise, device, law, hold, seconds)
        return Reading(volts[-1], Waveform(times, volts), noise, ngspice_runs=1)

    def deck(self, device: Device, law: OrnsteinUhlenbeck, seconds: float, seed: int) -> str:
        """The deck that ``simulate`` runs."""
        netlist, analysis, _ = self._setup(device, law, seconds, seed)
        return write_deck(netlist, analysis, device.hardware.temperature)

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
        for probe in build_netlist(device).outputs if probes is None else probes:
            frequencies, densities = self.noise_density(device, band, 40, probe)
            # Over ln f both ends of the integrand vanish, where the trapezoidal rule converges faster than any power.
            variances.append(trapezoid(densities * frequencies, np.log(frequencies)))
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
        plots = self._run(build_netlist(device), NoiseSpectrum(*band, points_per_decade, probe), device)
        return _signal(plots[0], "frequency"), _signal(plots[0], "onoise_spectrum") ** 2

    def _setup(
        self, device: Device, law: OrnsteinUhlenbeck, seconds: float, seed: int
    ) -> tuple[Netlist, Analysis, float | None]:
        """Circuit, analysis, and how long noise values are held."""
        if seconds == inf:
            return build_netlist(device), OperatingPoint(), None
        hold = None
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
        return build_netlist(device, hold), Transient(seconds, seconds / self.points, positive), hold

    def _run(self, netlist: Netlist, analysis: Analysis, device: Device) -> list[dict[str, Array]]:
        return run_deck(write_deck(netlist, analysis, device.hardware.temperature), self.timeout)


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
    gain = np.linalg.solve(law.drift, np.eye(size) - expm(-law.drift * hold))
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

"""The law of a circuit's outputs: its capacitors' voltages as a process, and what the outputs make of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from spu_circuit.errors import InputError

Array = NDArray[np.float64]

SETTLING_POINTS = 1000
NEGLIGIBLE = 1e-12
"""Share of a noise power that rounding leaves where there is none."""


@dataclass(frozen=True)
class Mode:
    """A way in which the circuit relaxes: as ``e^{−rate t}``, mostly in the voltage of one capacitor."""

    rate: complex
    capacitor: str

    @property
    def time_constant(self) -> float:
        """1 / Re(rate), s; negative where the mode grows."""
        return 1 / self.rate.real


@dataclass(frozen=True)
class StateSpace:
    """``dz = (u − M z) dt + noise``, ``V = O z + o``.

    Args:
        law: of the capacitors' voltages z, in volts and seconds.
        start: z at time 0, (n,).
        output: O, (m, n).
        offset: o, (m,), V.
        noise: one-sided cross densities of the noise in (dz/dt, V), (n + m, n + m).
        capacitors: names of the n states.
        outputs: names of the m nodes.
        readout_bandwidth: Hz, of whoever reads the outputs; must be far above the fastest mode. It bounds the noise
            that goes straight to an output, past every capacitor, whose variance is infinite without it.
    """

    law: OrnsteinUhlenbeck
    start: Array
    output: Array
    offset: Array
    noise: Array
    capacitors: tuple[str, ...]
    outputs: tuple[str, ...]
    readout_bandwidth: float | None = None

    @property
    def noisy(self) -> bool:
        return bool(self.noise.any())

    def operating_point(self) -> Array:
        """The outputs at rest without noise, (m,), V. Raises InputError where a capacitor keeps its charge for ever."""
        return self.output @ self._rest + self.offset

    def mean(self, times: Array) -> Array:
        """E[V(t)] from the circuit's initial charges, (T, m), V."""
        return self.law.mean(times, self.start) @ self.output.T + self.offset

    def covariance(self, time: float) -> Array:
        """Cov[V(t)] from sharp initial charges, (m, m), V². Raises InputError where it is infinite."""
        return self.output @ self.law.covariance(time) @ self.output.T + self._direct_variance()

    def stationary_covariance(self) -> Array:
        """Cov[V] at rest, (m, m), V². Raises InputError where it is infinite, or a mode does not decay."""
        return self.output @ self.law.stationary_covariance() @ self.output.T + self._direct_variance()

    def autocorrelation(self, lags: Array) -> Array:
        """Cov[V(t + lag), V(t)] at rest, (L, m, m), V²: ``O e^{−M lag} Σ Oᵀ`` for lags ≥ 0, s."""
        right = self.law.stationary_covariance() @ self.output.T
        found = np.stack([self.output @ scipy.linalg.expm(-self.law.drift * lag) @ right for lag in lags])
        found[np.asarray(lags) == 0] += self._direct_variance()
        return found

    def noise_density(self, frequencies: Array) -> Array:
        """One-sided densities of the outputs' noise, (F, m), V²/Hz, with what goes straight to them."""
        n = len(self.start)
        found = []
        for frequency in np.asarray(frequencies, dtype=float):
            from_states = np.linalg.solve((2j * np.pi * frequency * np.eye(n) + self.law.drift).T, self.output.T).T
            transfer = np.concatenate([from_states, np.eye(len(self.outputs))], axis=1)
            found.append(np.einsum("ij,jk,ik->i", transfer, self.noise, transfer.conj()).real)
        return np.array(found)

    def sample(self, times: Array, rng: np.random.Generator) -> Array:
        """An exact trajectory of the outputs, (T, m), V, jointly distributed as the circuit's at these times."""
        path = self.law.sample(times, self.start, rng) @ self.output.T + self.offset
        direct = self._direct_variance()
        if direct.any():
            path += rng.multivariate_normal(np.zeros(len(self.outputs)), direct, len(path), method="eigh")
        return path

    def trajectory(self, times: Array) -> Array:
        """The mean at many times, (T, m), V: a sample without noise, which steps instead of starting over."""
        quiet = OrnsteinUhlenbeck(self.law.drift, self.law.input_rate, np.zeros_like(self.law.drift))
        return quiet.sample(times, self.start, np.random.default_rng(0)) @ self.output.T + self.offset

    @cached_property
    def modes(self) -> tuple[Mode, ...]:
        """All modes, the slowest, or the fastest growing, first."""
        rates, vectors = scipy.linalg.eig(self.law.drift)
        order = np.argsort(rates.real)
        largest = np.abs(vectors).argmax(axis=0)
        return tuple(Mode(complex(rates[k]), self.capacitors[largest[k]]) for k in order)

    @property
    def growing(self) -> Mode | None:
        """The mode that grows fastest, or for ever stays; None where all decay, as far as rounding lets see.

        Parasitics of vendors' models are 10¹⁹ times as fast as the slowest mode of a board.
        """
        first, fastest = self.modes[0], max(abs(mode.rate) for mode in self.modes)
        rounding = len(self.modes) * np.finfo(float).eps * fastest
        return None if first.rate.real > 0 or -rounding < first.rate.real < 0 else first

    def settling_time(self, error: float) -> float:
        """Seconds until the mean stays within ``error`` of rest, as ‖V − V∞‖ ≤ error · ‖V∞‖.

        Found on a grid of 1000 points, then by bisection: a swing shorter than a grid step can hide.

        Raises:
            InputError: a mode does not decay, or the circuit rests at 0 V, or the error is not above 0.
        """
        slowest = self.modes[0].rate.real
        if slowest <= 0:
            raise InputError(
                f"mode of {self.modes[0].capacitor} does not decay (rate {slowest:.3g} 1/s); nothing settles"
            )
        rest = self.operating_point()
        size = float(np.linalg.norm(rest))
        if size == 0 or error <= 0:
            raise InputError(f"settling to {error:g} of {size:g} V has no meaning; give an error and inputs above 0")

        def away(state: Array) -> float:
            return float(np.linalg.norm(self.output @ state)) - error * size

        begin = self.start - self._rest
        horizon = 1 / slowest
        norm = np.linalg.norm
        while norm(self.output) * norm(scipy.linalg.expm(-self.law.drift * horizon) @ begin) > error * size:
            horizon *= 2
        step = scipy.linalg.expm(-self.law.drift * (horizon / SETTLING_POINTS))
        path = [begin]
        for _ in range(SETTLING_POINTS):
            path.append(step @ path[-1])
        outside = np.flatnonzero([away(state) > 0 for state in path])
        if not len(outside):
            return 0.0
        low, width = path[outside[-1]], horizon / SETTLING_POINTS
        found = outside[-1] * width
        for _ in range(40):
            width /= 2
            later = scipy.linalg.expm(-self.law.drift * width) @ low
            if away(later) > 0:
                low, found = later, found + width
        return float(found)

    @cached_property
    def _rest(self) -> Array:
        try:
            return self.law.fixed_point()
        except np.linalg.LinAlgError:
            raise InputError(
                "the circuit has no DC operating point: a capacitor keeps its charge; give it a path that discharges it"
            ) from None

    def _direct_variance(self) -> Array:
        """Of the noise that goes straight to the outputs, (m, m), V²."""
        n = len(self.start)
        white = self.noise[n:, n:]
        fastest = float(np.abs(self.law.drift).max())
        through = (self.output @ self.law.diffusion @ self.output.T).diagonal() / fastest
        shown = white.diagonal() * fastest > NEGLIGIBLE * through
        if not shown.any():
            return np.zeros_like(white)
        if self.readout_bandwidth is None:
            first = int(np.flatnonzero(shown)[0])
            raise InputError(
                f"white noise of {np.sqrt(white[first, first]):.3g} V/√Hz goes straight to {self.outputs[first]!r}, "
                "past every capacitor, so its variance is infinite; give the readout_bandwidth (--readout-bandwidth), "
                "or an amplifier without output_resistance"
            )
        return white * self.readout_bandwidth

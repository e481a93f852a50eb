"""The exact law of ``dz = (u − M z) dt + N(0, 2 D dt)``, also where M is neither symmetric nor normal."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, log2

import numpy as np
import scipy
from numpy.typing import NDArray

from spu_circuit.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class OrnsteinUhlenbeck:
    """A linear stochastic differential equation with constant coefficients.

    Args:
        drift: M, (n, n), 1/time.
        input_rate: u, (n,), value/time.
        diffusion: D, (n, n), symmetric positive semidefinite, value²/time.
    """

    drift: Array
    input_rate: Array
    diffusion: Array

    @cached_property
    def symmetric(self) -> bool:
        """M equals its transpose up to rounding, so that an orthogonal eigenbasis exists."""
        M = self.drift
        return bool(np.abs(M - M.T).max() <= 1e-14 * np.abs(M).max())

    @cached_property
    def _modes(self) -> tuple[Array, Array]:
        rates, vectors = scipy.linalg.eigh(self.drift, driver="evd", check_finite=False)
        return rates, vectors

    @cached_property
    def rates(self) -> Array:
        """Eigenvalues of M, (n,): real where M is symmetric, else complex."""
        return self._modes[0] if self.symmetric else scipy.linalg.eigvals(self.drift)

    def fixed_point(self) -> Array:
        """M⁻¹ u, (n,)."""
        return scipy.linalg.solve(self.drift, self.input_rate)

    def mean(self, times: Array, start: Array) -> Array:
        """E[z(t)] from z(0) = start: ``e^{−Mt} z₀ + ∫₀ᵗ e^{−Ms} u ds``.

        Args:
            times: (T,), ≥ 0.
            start: (n,).

        Returns:
            (T, n).
        """
        times = np.asarray(times, dtype=float)
        if self.symmetric:
            rates, vectors = self._modes
            decay = np.exp(-np.outer(times, rates))
            integral = _integrated_decay(rates, times[:, None])
            return (decay * (vectors.T @ start) + integral * (vectors.T @ self.input_rate)) @ vectors.T
        n = len(self.input_rate)
        augmented = np.zeros((n + 1, n + 1))
        augmented[:n, :n], augmented[:n, n] = -self.drift, self.input_rate
        state = np.append(start, 1.0)
        return np.stack([(scipy.linalg.expm(augmented * t) @ state)[:n] for t in times])

    def covariance(self, time: float) -> Array:
        """Cov[z(t)] from a sharp start, (n, n): ``∫₀ᵗ e^{−Ms} 2D e^{−Mᵀs} ds``.

        In the eigenbasis where M is symmetric; else Van Loan's block exponential (IEEE TAC 23:395, 1978) over a short
        step, doubled: ``Σ(2h) = Σ(h) + e^{−Mh} Σ(h) e^{−Mᵀh}``, which cannot overflow.
        """
        if self.symmetric:
            vectors = self._modes[1]
            return vectors @ self._modal_covariance(time) @ vectors.T
        return self._transition(time)[1]

    def stationary_covariance(self) -> Array:
        """Σ of ``M Σ + Σ Mᵀ = 2 D``, (n, n).

        Raises:
            InputError: a mode grows, so that there is no stationary law.
        """
        slowest = float(np.min(np.real(self.rates)))
        if slowest <= 0:
            raise InputError(
                f"drift has a mode of rate {slowest:.3g}, which does not decay; there is no stationary law"
            )
        return scipy.linalg.solve_continuous_lyapunov(self.drift, 2 * self.diffusion)

    def held_covariance(self, hold: float, steps: int | None = None) -> Array:
        """Covariance when the noise is piecewise constant, as a simulator makes it, (n, n).

        Each ``hold`` has an independent value of covariance 2 D / hold, so
        ``Σ ← Φ Σ Φᵀ + Γ (2 D / hold) Γᵀ`` with ``Φ = e^{−M hold}``, ``Γ = ∫₀^hold e^{−Ms} ds``.
        Tends to the covariance of white noise as hold → 0.

        Args:
            steps: number of holds since a sharp start; None: stationary.
        """
        n = len(self.input_rate)
        block = np.zeros((2 * n, 2 * n))
        block[:n, :n], block[:n, n:] = -self.drift, np.eye(n)
        exponential = scipy.linalg.expm(block * hold)
        step, gain = exponential[:n, :n], exponential[:n, n:]
        kick = gain @ (2 * self.diffusion / hold) @ gain.T
        if steps is None:
            return scipy.linalg.solve_discrete_lyapunov(step, kick)
        total = np.zeros((n, n))
        for _ in range(steps):
            total = step @ total @ step.T + kick
        return total

    def sample(self, times: Array, start: Array, rng: np.random.Generator) -> Array:
        """An exact trajectory.

        Args:
            times: (T,), ascending, the first at or after 0, where z = start.
            start: (n,).

        Returns:
            (T, n), jointly distributed as the process at these times, for any spacing.
        """
        gaps = np.diff(np.asarray(times, dtype=float), prepend=0.0)
        if (gaps < 0).any():
            raise InputError("times must ascend from 0")
        kinds, kind_of = np.unique([float(f"{gap:.12g}") for gap in gaps], return_inverse=True)
        noise = rng.standard_normal((len(gaps), len(start)))
        if self.symmetric:
            return self._sample_modes(kinds, kind_of, noise, start)
        offset = self.fixed_point()
        path = np.empty_like(noise)
        steps = []
        for kind, gap in enumerate(kinds):
            transition, covariance = self._transition(gap)
            steps.append(transition)
            noise[kind_of == kind] @= _root(covariance).T
        state = start - offset
        for k, kind in enumerate(kind_of):
            state = steps[kind] @ state + noise[k]
            path[k] = state
        return path + offset

    def _sample_modes(self, kinds: Array, kind_of: NDArray[np.intp], noise: Array, start: Array) -> Array:
        rates, vectors = self._modes
        decay = np.exp(-np.outer(kinds, rates))
        push = _integrated_decay(rates, kinds[:, None]) * (vectors.T @ self.input_rate)
        strength = self.diffusion[0, 0]
        isotropic = np.array_equal(self.diffusion, strength * np.eye(len(rates)))
        for kind, gap in enumerate(kinds):
            rows = kind_of == kind
            if isotropic:
                noise[rows] *= np.sqrt(2 * strength * _integrated_decay(2 * rates, gap))
            else:
                noise[rows] @= _root(self._modal_covariance(gap)).T
        noise += push[kind_of]
        state = vectors.T @ start
        for k, kind in enumerate(kind_of):
            state = decay[kind] * state + noise[k]
            noise[k] = state
        return noise @ vectors.T

    def _modal_covariance(self, time: float) -> Array:
        """Cov[z(t)] in the eigenbasis of a symmetric M."""
        rates, vectors = self._modes
        pairs = rates[:, None] + rates[None, :]
        return 2 * (vectors.T @ self.diffusion @ vectors) * _integrated_decay(pairs, time)

    def _transition(self, time: float) -> tuple[Array, Array]:
        """``e^{−Mt}`` and the covariance gathered in t, by doubling a short Van Loan step."""
        n = len(self.input_rate)
        doublings = max(0, ceil(log2(max(float(np.abs(self.drift).sum(axis=0).max()) * time, 1e-300))))
        block = np.zeros((2 * n, 2 * n))
        block[:n, :n], block[:n, n:], block[n:, n:] = self.drift, 2 * self.diffusion, -self.drift.T
        exponential = scipy.linalg.expm(block * (time / 2**doublings))
        step = exponential[n:, n:].T
        covariance = step @ exponential[:n, n:]
        for _ in range(doublings):
            covariance = covariance + step @ covariance @ step.T
            step = step @ step
        return step, (covariance + covariance.T) / 2


def _integrated_decay(rates: Array, time: Array | float) -> Array:
    """``∫₀ᵗ e^{−rs} ds``, also at r = 0."""
    exponent = rates * time
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(exponent == 0, time, -np.expm1(-exponent) / rates)


def _root(covariance: Array) -> Array:
    """R with R Rᵀ = covariance, also where it is singular."""
    values, vectors = scipy.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0))

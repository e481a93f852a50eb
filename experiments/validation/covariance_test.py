"""Whether samples have a given covariance: every entry of it at once, at one stated false-alarm rate.

A sample is a vector of n voltages. Whitened by the wanted covariance, ``w = Σ^{−1/2} V``, the n(n+1)/2 entries of
``S = mean(w wᵀ)`` are 1 or 0 with standard errors ``√((1 + δ_ij) / samples)``, and its trace, which sees a wrong
strength of all noise together, is n with ``√(2n / samples)``. The statistic is the largest of these deviations in
standard errors. Samples of one run follow each other, so the distribution of that largest deviation under the law is
drawn from the law itself, correlations included; comparing with as many draws is an exact test (Barnard 1963).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

Array = NDArray[np.float64]

FALSE_ALARMS = 0.0025
"""How often right samples fail: what 3 standard errors mean for a single number (0.27 %), here for all jointly."""
DRAWS = 3999
"""Of the law; the rate above is 10 of 4000 ranks."""


@dataclass(frozen=True)
class SampledLaw:
    """A stationary Gaussian process seen at even intervals: ``z ← Φ z + kick``, ``V = O z``.

    Args:
        transition: Φ, (k, k), over one interval.
        covariance: Σ of z, (k, k).
        output: O, (n, k).
    """

    transition: Array
    covariance: Array
    output: Array

    @property
    def voltages(self) -> Array:
        """Covariance of V, (n, n)."""
        return self.output @ self.covariance @ self.output.T

    @cached_property
    def whiten(self) -> Array:
        """W with W Cov[V] Wᵀ = I, (n, n)."""
        return np.asarray(np.linalg.inv(np.linalg.cholesky(self.voltages)), dtype=np.float64)


@dataclass(frozen=True)
class JointDeviation:
    """The largest deviation of a sampled covariance.

    Args:
        deviation: in standard errors, of the entry or the trace that is furthest off.
        bound: what right samples exceed at the rate ``FALSE_ALARMS``.
        relative: ‖S − I‖₂, what the furthest combination of voltages is off in its variance.
        standard_error: of a whitened variance, √(2 / samples).
        samples, entries: how many.
    """

    deviation: float
    bound: float
    relative: float
    standard_error: float
    samples: int
    entries: int


def joint_deviation(samples: Array, law: SampledLaw, rng: np.random.Generator) -> JointDeviation:
    """Compare samples, (runs, intervals, n) in volts about their mean, with the law that they should have."""
    runs, intervals, n = samples.shape
    white = samples.reshape(-1, n) @ law.whiten.T
    found = white.T @ white / len(white)
    return JointDeviation(
        deviation=largest_deviation(samples, law),
        bound=joint_bound(law, runs, intervals, rng),
        relative=float(np.linalg.norm(found - np.eye(n), 2)),
        standard_error=float(np.sqrt(2 / len(white))),
        samples=len(white),
        entries=n * (n + 1) // 2,
    )


def largest_deviation(samples: Array, law: SampledLaw) -> float:
    """Of all entries of the whitened covariance and of its trace, in standard errors."""
    white = samples.reshape(-1, samples.shape[-1]) @ law.whiten.T
    return float(_largest((white.T @ white / len(white))[None], len(white))[0])


def joint_bound(law: SampledLaw, runs: int, intervals: int, rng: np.random.Generator) -> float:
    """What ``largest_deviation`` of samples of the law exceeds at the rate ``FALSE_ALARMS``."""
    ranks = np.sort(_largest(_null(law, runs, intervals, rng), runs * intervals))
    return float(ranks[-round(FALSE_ALARMS * (DRAWS + 1))])


def _largest(moments: Array, samples: int) -> Array:
    """Largest deviation of whitened second moments (draws, n, n), in standard errors, (draws,)."""
    n = moments.shape[-1]
    identity = np.eye(n)
    entries = np.abs(moments - identity) / np.sqrt((1 + identity) / samples)
    total = np.abs(np.trace(moments, axis1=1, axis2=2) - n) / np.sqrt(2 * n / samples)
    return np.maximum(entries.max(axis=(1, 2)), total)


def _null(law: SampledLaw, runs: int, intervals: int, rng: np.random.Generator) -> Array:
    """Whitened second moments of as many samples drawn from the law, (DRAWS, n, n)."""
    kick = _root(law.covariance - law.transition @ law.covariance @ law.transition.T)
    see = law.whiten @ law.output
    start = _root(law.covariance)
    size = len(law.transition)
    moments = np.empty((DRAWS, len(see), len(see)))
    chunk = max(1, 2**18 // (runs * size))
    for first in range(0, DRAWS, chunk):
        count = min(chunk, DRAWS - first)
        state = rng.standard_normal((count, runs, size)) @ start.T
        total = np.zeros((count, len(see), len(see)))
        for interval in range(intervals):
            if interval:
                state = state @ law.transition.T + rng.standard_normal((count, runs, size)) @ kick.T
            white = state @ see.T
            total += white.transpose(0, 2, 1) @ white
        moments[first : first + count] = total / (runs * intervals)
    return moments


def _root(covariance: Array) -> Array:
    values, vectors = eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0))

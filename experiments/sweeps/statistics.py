"""What samples say about the yield and about distributions, each with its uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, betaincinv, ndtri

from experiments.sweeps.config import Sweep
from experiments.sweeps.rows import Row
from experiments.sweeps.samples import SampleSet
from spu_circuit.sampling import shared

Array = NDArray[np.float64]

CONFIDENCE = 0.95
NORMAL = float(ndtri((1 + CONFIDENCE) / 2))
"""Standard errors on either side of a normal interval."""
FEW = 20
"""Bad samples, by their effective number, below which the mean of their weights is not yet normal."""


@dataclass(frozen=True)
class Yield:
    """Share of samples that meet the specification.

    Args:
        share: best estimate.
        interval: two-sided, 95 %.
        good, tried: samples; those that could not be simulated are not among them.
        method: how the interval is made.
    """

    share: float
    interval: tuple[float, float]
    good: int
    tried: int
    method: str


@dataclass(frozen=True)
class Percentile:
    """The value below which a share of the samples lies, with a 95 % interval that holds for any distribution."""

    share: float
    value: float
    interval: tuple[float, float]


def passes(sweep: Sweep, rows: Sequence[Row]) -> NDArray[np.bool_]:
    """Which samples keep all limits, (rows,). An unstable sample keeps none."""
    names = sweep.recorded
    kept = np.array([row.status == "ok" for row in rows], dtype=bool)
    if rows:
        values = np.array([row.metrics for row in rows])
        for name, limit in sweep.limits.items():
            column = values[:, names.index(name)]
            kept &= (column >= limit.min) & (column <= limit.max)
    return kept


def yield_of(sweep: Sweep, copies: SampleSet, rows: Sequence[Row]) -> Yield:
    """The yield, among the samples that could be simulated.

    Plain samples: the exact binomial interval (Clopper and Pearson, Biometrika 26:404, 1934). The estimate of a Latin
    hypercube is no worse than that (its variance is at most n / (n − 1) times as large: Owen, Ann. Statist. 25:1541,
    1997), so its interval is too wide rather than too narrow. A Sobol sequence promises that only for few parts.

    Importance sampling: the mean of the weights of the bad samples, with the normal interval of that mean. With few bad
    samples, or weights so uneven that few of them make the mean, the exact binomial interval of their share among those
    drawn takes its place, times the largest weight.
    """
    tried = [row for row in rows if row.status != "failed"]
    good = passes(sweep, tried)
    count, n = int(good.sum()), len(tried)
    if n == 0:
        return Yield(float("nan"), (0.0, 1.0), 0, 0, "no copies yet")
    if not copies.weighted:
        return Yield(count / n, clopper_pearson(count, n), count, n, "Clopper-Pearson")
    bad = np.array([row.weight for row in tried]) * ~good
    mean = float(bad.mean())
    if _effective(bad) < FEW:
        drawn = clopper_pearson(n - count, n)[1] * _largest_weight(sweep, copies)
        method = "importance sampling, Clopper-Pearson of the copies drawn times the largest weight"
        return Yield(1 - mean, (max(0.0, 1 - drawn), 1.0), count, n, method)
    error = NORMAL * float(bad.std(ddof=1)) / sqrt(n)
    low, high = max(0.0, 1 - mean - error), min(1.0, 1 - mean + error)
    return Yield(1 - mean, (low, high), count, n, "importance sampling, normal interval of the weighted mean")


def clopper_pearson(count: int, tried: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact two-sided binomial interval of a probability."""
    low, high = _exact_intervals(np.array([count]), np.array([tried]), confidence)
    return float(low[0]), float(high[0])


def _exact_intervals(counts: NDArray[np.intp], tried: NDArray[np.intp], confidence: float) -> tuple[Array, Array]:
    """The quantiles of beta distributions that Clopper and Pearson's intervals end at, (n,) each."""
    tail = (1 - confidence) / 2
    low = betaincinv(np.maximum(counts, 1), tried - counts + 1, tail)
    high = betaincinv(counts + 1, np.maximum(tried - counts, 1), 1 - tail)
    return np.where(counts > 0, low, 0.0), np.where(counts < tried, high, 1.0)


def _effective(weights: Array) -> float:
    """How many equal weights have a mean as sure as these: (Σ w)² / Σ w² (Kish, Survey Sampling, 1965)."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def _largest_weight(sweep: Sweep, copies: SampleSet) -> float:
    """Of any sample: the inflation to the power of how many random numbers are inflated."""
    assert copies.sampling is not None
    return copies.sampling.inflation ** shared(sweep.device().variation)


def percentile(values: Array, share: float) -> Percentile:
    """A percentile of plain samples, with the order statistics that bound it (binomial, any distribution).

    Args:
        values: (samples,); infinite ones count as large.
    """
    ordered = np.sort(values)
    n = len(ordered)
    # Quantiles of the number of samples below: where its distribution function reaches them.
    reached = bdtr(np.arange(n + 1), n, share)
    low, high = np.searchsorted(reached, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    bounds = (
        float(ordered[int(low) - 1]) if low >= 1 else -np.inf,
        float(ordered[int(high)]) if high < n else np.inf,
    )
    # The smallest value that this share does not exceed; n · share may be a rounding error above a whole number.
    return Percentile(share, float(ordered[max(0, ceil(n * share - 1e-9) - 1)]), bounds)


def weighted_percentile(values: Array, weights: Array, share: float) -> Percentile:
    """A percentile of what weighted samples stand for; nobody knows how sure it is.

    Args:
        values, weights: (samples,).
    """
    order = np.argsort(values)
    below = np.cumsum(weights[order]) / weights.sum()
    at = min(int(np.searchsorted(below, share)), len(values) - 1)
    return Percentile(share, float(values[order[at]]), (-inf, inf))


def running_yield(
    good: NDArray[np.bool_], weights: Array, weighted: bool, counts: NDArray[np.intp]
) -> tuple[Array, Array, Array]:
    """The yield among so many first samples, and its interval, (counts,) each; of few bad weighted ones a rough one."""
    if not weighted:
        kept = np.cumsum(good, dtype=np.intp)[counts - 1]
        return kept / counts, *_exact_intervals(kept, counts, CONFIDENCE)
    bad = weights * ~good
    mean = np.cumsum(bad)[counts - 1] / counts
    square = np.cumsum(bad**2)[counts - 1] / counts
    variance = np.maximum(square - mean**2, 0) * counts / np.maximum(counts - 1, 1)
    error = NORMAL * np.sqrt(variance / counts)
    return 1 - mean, np.maximum(0, 1 - mean - error), np.minimum(1, 1 - mean + error)

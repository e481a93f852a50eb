"""What samples say about the yield and about distributions, each with its uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, nan

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, betaincinv, gammaincinv, ndtri

from experiments.sweeps.config import Sweep
from experiments.sweeps.rows import Row
from experiments.sweeps.samples import SampleSet

Array = NDArray[np.float64]

CONFIDENCE = 0.95
NORMAL = float(ndtri((1 + CONFIDENCE) / 2))
"""Standard errors on either side of a normal interval."""
FEW = 10
"""Bad samples, by their effective number, below which the heaviest one may not have been seen yet."""


@dataclass(frozen=True)
class Yield:
    """Share of samples that meet the specification.

    Args:
        share: best estimate.
        interval: two-sided, 95 %.
        good, tried: samples; those that could not be simulated are not among them.
        method: how the interval is made.
        effective: how many bad samples of equal weight would be as sure as the bad ones are; NaN of plain samples.
        heaviest: share of the heaviest bad sample in the weight of all; NaN of plain samples, or where none is bad.
    """

    share: float
    interval: tuple[float, float]
    good: int
    tried: int
    method: str
    effective: float = nan
    heaviest: float = nan


@dataclass(frozen=True)
class Percentile:
    """The value below which a share of the samples lies, with a 95 % interval that holds for any distribution."""

    share: float
    value: float
    interval: tuple[float, float]


def limits_kept(sweep: Sweep, rows: Sequence[Row]) -> dict[str, NDArray[np.bool_]]:
    """Metric with a limit → which samples keep it, (rows,). An unstable sample keeps none."""
    values = np.array([row.metrics for row in rows]).reshape(len(rows), len(sweep.recorded))
    ok = np.array([row.status == "ok" for row in rows], dtype=bool)
    columns = {name: values[:, sweep.recorded.index(name)] for name in sweep.limits}
    return {
        name: ok & (columns[name] >= limit.min) & (columns[name] <= limit.max) for name, limit in sweep.limits.items()
    }


def passes(sweep: Sweep, rows: Sequence[Row]) -> NDArray[np.bool_]:
    """Which samples keep all limits, (rows,). An unstable sample keeps none."""
    kept = np.array([row.status == "ok" for row in rows], dtype=bool)
    for own in limits_kept(sweep, rows).values():
        kept &= own
    return kept


def yield_of(sweep: Sweep, copies: SampleSet, rows: Sequence[Row]) -> Yield:
    """The yield, among the samples that could be simulated.

    Plain samples: the exact binomial interval (Clopper and Pearson, Biometrika 26:404, 1934). The estimate of a Latin
    hypercube is no worse than that (its variance is at most n / (n − 1) times as large: Owen, Ann. Statist. 25:1541,
    1997), so its interval is too wide rather than too narrow. A Sobol sequence promises that only for few parts.

    Weighted samples: the mean of the weights of the bad ones; see ``weighted_interval``.
    """
    tried = [row for row in rows if row.status != "failed"]
    good = passes(sweep, tried)
    count, n = int(good.sum()), len(tried)
    if n == 0:
        return Yield(nan, (0.0, 1.0), 0, 0, "no copies yet")
    if not copies.weighted:
        return Yield(count / n, clopper_pearson(count, n), count, n, "Clopper-Pearson")
    bad = np.array([row.weight for row in tried])[~good]
    total, squares, largest = (np.array([value]) for value in (bad.sum(), (bad**2).sum(), bad.max(initial=0.0)))
    low, high = (min(1.0, float(end[0]) / n) for end in weighted_interval(total, squares, largest, copies.heaviest))
    return Yield(
        max(0.0, 1 - float(total[0]) / n),
        (1 - high, 1 - low),
        count,
        n,
        "gamma interval of the sum of the failing copies' weights",
        float(effective(total, squares)[0]),
        float(largest[0] / total[0]) if len(bad) else nan,
    )


def weighted_interval(total: Array, squares: Array, largest: Array, heaviest: float) -> tuple[Array, Array]:
    """Two-sided 95 % interval of the mean that a sum of weights has, by gamma distributions.

    Its upper end has one bad sample more than was seen, as heavy as the largest of these (Fay and Feuer, Stat. Med.
    16:791, 1997); or, where few weights make the sum, as heavy as any can be.

    Args:
        total, squares, largest: sum of the weights of the bad samples, of their squares, and the largest, (any,).
        heaviest: that any can be.
    """
    few = effective(total, squares) < FEW
    unseen = np.where(few, heaviest, largest)
    ends = []
    for mean, variance, share in (
        (total, squares, (1 - CONFIDENCE) / 2),
        (total + unseen, squares + unseen**2, (1 + CONFIDENCE) / 2),
    ):
        some = variance > 0
        scale = np.divide(variance, mean, out=np.ones_like(mean), where=some)
        ends.append(np.where(some, scale * gammaincinv(np.where(some, mean / scale, 1.0), share), 0.0))
    return ends[0], ends[1]


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


def effective(total: Array, squares: Array) -> Array:
    """How many equal weights have a sum as sure as these: (Σ w)² / Σ w² (Kish, Survey Sampling, 1965); none: 0."""
    return np.divide(total**2, squares, out=np.zeros(len(total)), where=squares > 0)


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
    good: NDArray[np.bool_], weights: Array, heaviest: float, counts: NDArray[np.intp]
) -> tuple[Array, Array, Array]:
    """The yield among so many first samples, and its interval, (counts,) each.

    Args:
        heaviest: weight that any can have; 1: all are alike.
    """
    if heaviest == 1:
        kept = np.cumsum(good, dtype=np.intp)[counts - 1]
        return kept / counts, *_exact_intervals(kept, counts, CONFIDENCE)
    bad = weights * ~good
    total, squares = (np.cumsum(powers)[counts - 1] for powers in (bad, bad**2))
    low, high = weighted_interval(total, squares, np.maximum.accumulate(bad)[counts - 1], heaviest)
    return 1 - total / counts, np.maximum(0, 1 - high / counts), np.maximum(0, 1 - low / counts)

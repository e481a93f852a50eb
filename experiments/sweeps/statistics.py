"""What copies say about the yield and about distributions, each with its uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, binomtest, norm

from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import Row

Array = NDArray[np.float64]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Yield:
    """Share of copies that meet the specification.

    Args:
        share: best estimate.
        interval: two-sided, 95 %.
        good, tried: copies; those that could not be simulated are not among them.
        method: how the interval is made.
    """

    share: float
    interval: tuple[float, float]
    good: int
    tried: int
    method: str


@dataclass(frozen=True)
class Percentile:
    """The value below which a share of the copies lies, with a 95 % interval that holds for any distribution."""

    share: float
    value: float
    interval: tuple[float, float]


def passes(sweep: Sweep, rows: Sequence[Row]) -> NDArray[np.bool_]:
    """Which copies keep all limits, (rows,). An unstable copy keeps none."""
    names = sweep.recorded
    kept = np.array([row.status == "ok" for row in rows], dtype=bool)
    if rows:
        values = np.array([row.metrics for row in rows])
        for name, limit in sweep.limits.items():
            column = values[:, names.index(name)]
            kept &= (column >= limit.min) & (column <= limit.max)
    return kept


def yield_of(sweep: Sweep, rows: Sequence[Row]) -> Yield:
    """The yield, among the copies that could be simulated.

    Plain copies: the exact binomial interval (Clopper and Pearson, Biometrika 26:404, 1934). A Latin hypercube or Sobol
    sequence makes the estimate better than that, so the interval is too wide then, never too narrow. Importance
    sampling: the mean of the weights of the bad copies, with the normal interval of that mean.
    """
    tried = [row for row in rows if row.status != "failed"]
    good = passes(sweep, tried)
    count, n = int(good.sum()), len(tried)
    if n == 0:
        return Yield(float("nan"), (0.0, 1.0), 0, 0, "no copies yet")
    if sweep.analysis.kind == "importance":
        bad = np.array([row.weight for row in tried]) * ~good
        mean = float(bad.mean())
        error = float(norm.ppf((1 + CONFIDENCE) / 2)) * float(bad.std(ddof=1)) / sqrt(n) if n > 1 else 1.0
        low, high = max(0.0, 1 - mean - error), min(1.0, 1 - mean + error)
        return Yield(1 - mean, (low, high), count, n, "importance sampling, normal interval of the weighted mean")
    found = binomtest(count, n).proportion_ci(CONFIDENCE, "exact")
    return Yield(count / n, (float(found.low), float(found.high)), count, n, "Clopper-Pearson")


def percentile(values: Array, share: float) -> Percentile:
    """A percentile of plain copies, with the order statistics that bound it (binomial, any distribution).

    Args:
        values: (copies,); infinite ones count as large.
    """
    ordered = np.sort(values)
    n = len(ordered)
    low, high = binom.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], n, share)
    bounds = (
        float(ordered[int(low) - 1]) if low >= 1 else -np.inf,
        float(ordered[int(high)]) if high < n else np.inf,
    )
    return Percentile(share, float(np.quantile(ordered, share, method="inverted_cdf")), bounds)

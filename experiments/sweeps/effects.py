"""Which parts a metric follows, by kind of analysis."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from experiments.sweeps.findings import Group
from experiments.sweeps.redraw import Trait
from experiments.sweeps.units import titled

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """A bar of a tornado: from ``low`` to ``high``."""

    name: str
    low: float
    high: float

    @property
    def size(self) -> float:
        return self.high - self.low


def ranges(alone: Sequence[Group], metric: str) -> list[Effect]:
    """5th to 95th percentile of a metric where one kind of parts varies alone, widest first.

    Args:
        alone: one group for each kind.
    """
    found = []
    for group in alone:
        values = group.column(metric)
        low, high = np.quantile(values, [0.05, 0.95], method="inverted_cdf").tolist()
        found.append(Effect(titled(group.case.only or ""), low, high))
    return sorted(found, key=lambda effect: -effect.size)


def totals(base: Group, mixed: Sequence[Group], metric: str) -> list[Effect]:
    """Total share of each kind of parts in the variance of a metric, largest first.

    E[(f(A) − f(A with the kind of B))²] / 2 Var f (Jansen, Comput. Phys. Commun. 117:35, 1999), over the copies that
    both sets have and in which the metric is finite.

    Args:
        base: case A.
        mixed: one group for each kind.
    """
    found = []
    for group in mixed:
        _, here, there = np.intersect1d(base.samples, group.samples, return_indices=True)
        own, other = base.column(metric)[here], group.column(metric)[there]
        finite = np.isfinite(own) & np.isfinite(other)
        variance = float(np.var(own[finite])) if finite.any() else 0.0
        if variance > 0:
            share = float(np.mean((own[finite] - other[finite]) ** 2)) / 2 / variance
            found.append(Effect(titled(group.mixed[0]), 0.0, share))
    return sorted(found, key=lambda effect: -effect.size)


def correlations(traits: Sequence[Trait], values: Array) -> list[Effect]:
    """Spearman's rank correlation of a metric with each trait of the copies, strongest first.

    Args:
        values: (copies,); infinite ones count as large.

    Returns:
        Bars from 0. A trait or metric that is the same in all copies has none.
    """
    ranks, found = _scores(values), []
    for trait in traits:
        own = _scores(trait.values)
        if ranks is not None and own is not None:
            value = float(ranks @ own)
            found.append(Effect(trait.name, min(value, 0.0), max(value, 0.0)))
    return sorted(found, key=lambda effect: -effect.size)


def _scores(values: Array) -> Array | None:
    """Ranks about their mean, of norm 1; None where all are alike."""
    ranks = rankdata(values)
    ranks -= ranks.mean()
    norm = float(np.linalg.norm(ranks))
    return ranks / norm if norm > 0 else None

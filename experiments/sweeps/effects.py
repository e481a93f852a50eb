"""Which parts a metric follows, by kind of analysis."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from experiments.sweeps.findings import Group
from experiments.sweeps.redraw import Trait
from experiments.sweeps.units import titled

Array = NDArray[np.float64]

EITHER_WAY = " (either way)"
"""Ends the name of a trait that counts by its distance from the median."""


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

    E[(f(A) − f(A with the kind of B))²] / 2 Var f (Jansen, Comput. Phys. Commun. 117:35, 1999), over the samples that
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
    """Spearman's rank correlation of a metric with each trait of the samples, strongest first.

    Errors often grow whichever way a part is off. So each trait is tried as it is and as its distance from its median,
    and the stronger of both is taken.

    Args:
        values: (samples,); infinite ones count as large.

    Returns:
        Bars from 0; the name ends in ``EITHER_WAY`` where it is the distance. A trait or metric that is the same in all
        samples has none.
    """
    ranks, found = _scores(values), []
    for trait in traits:
        tried = {trait.name: trait.values, trait.name + EITHER_WAY: np.abs(trait.values - np.median(trait.values))}
        own = {name: scores for name, each in tried.items() if (scores := _scores(each)) is not None}
        if ranks is not None and own:
            known = {name: float(ranks @ scores) for name, scores in own.items()}
            name = max(known, key=lambda name: abs(known[name]))
            found.append(Effect(name, min(known[name], 0.0), max(known[name], 0.0)))
    return sorted(found, key=lambda effect: -effect.size)


def noise_of(copies: int) -> float:
    """A correlation that independent quantities exceed in one trait of twenty, the stronger of two being taken."""
    return float(ndtri(1 - 0.05 / 4)) / sqrt(max(1, copies - 1))


def _scores(values: Array) -> Array | None:
    """Ranks about their mean, of norm 1; None where all are alike."""
    # Equal values share the mean of their ranks.
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[where]
    ranks -= ranks.mean()
    norm = float(np.linalg.norm(ranks))
    return ranks / norm if norm > 0 else None

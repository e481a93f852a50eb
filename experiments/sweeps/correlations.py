"""How metrics go with what was drawn: Spearman's rank correlation with each trait of the samples."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from experiments.sweeps.bars import CORRELATION, Bar, Bars, longest_first
from experiments.sweeps.group import Group
from experiments.sweeps.redraw import Trait

Array = NDArray[np.float64]

EITHER_WAY = " (either way)"
"""Ends the name of a trait that counts by its distance from the median."""


def correlations(group: Group, which: NDArray[np.intp], traits: Sequence[Trait], metrics: Sequence[str]) -> Bars:
    """Bars of a group's metrics.

    Args:
        which: of the tried samples have the traits.
    """
    found = {name: correlated(traits, group.column(name)[which]) for name in metrics}
    noise = noise_of(len(which)) if group.copies.drawn else 0.0
    return Bars(CORRELATION, {name: bars for name, bars in found.items() if bars}, noise)


def correlated(traits: Sequence[Trait], values: Array) -> tuple[Bar, ...]:
    """Spearman's rank correlation of values with each trait, strongest first.

    Errors often grow whichever way a part is off. So each trait is tried as it is and as its distance from its median,
    and the stronger of both is taken.

    Args:
        values: (samples,); infinite ones count as large.

    Returns:
        Bars from 0; the name ends in ``EITHER_WAY`` where it is the distance. A trait or metric that is the same in all
        samples has none.
    """
    order = None if _same(values) else ranks(values)
    found = []
    for trait in traits:
        tried = {trait.name: trait.values, trait.name + EITHER_WAY: np.abs(trait.values - np.median(trait.values))}
        known = {
            name: float(np.corrcoef(ranks(each), order)[0, 1])
            for name, each in tried.items()
            if order is not None and not _same(each)
        }
        if known:
            name = max(known, key=lambda name: abs(known[name]))
            found.append(Bar(name, min(known[name], 0.0), max(known[name], 0.0)))
    return longest_first(found)


def ranks(values: Array) -> Array:
    """Places of values in their order, from 0; equal ones share the mean of theirs.

    SciPy's own take the import of all its statistics, which lasts longer than a small sweep.
    """
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2)[which])


def noise_of(copies: int) -> float:
    """A correlation that independent quantities exceed in one trait of twenty, the stronger of two being taken."""
    return float(ndtri(1 - 0.05 / 4)) / sqrt(max(1, copies - 1))


def _same(values: Array) -> bool:
    return bool((values == values[0]).all())

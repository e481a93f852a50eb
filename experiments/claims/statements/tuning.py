"""Settings that are tried of an optimizer, and the one that trains best on tuning seeds."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from statistics import fmean
from typing import Any, NamedTuple, TypeVar

from scipy.stats.qmc import Sobol

from experiments.claims.claim import Row

Setting = TypeVar("Setting")


class Range(NamedTuple):
    """Stands in an optimizer's table for a hyperparameter that is tuned; its logarithm is searched.

    Args:
        forgotten: what is searched is 1 less the hyperparameter: what a memory or momentum forgets in a step.
    """

    least: float
    greatest: float
    forgotten: bool = False


FORGOTTEN = Range(0.02, 0.5, forgotten=True)
"""Memories, momenta and β₁ of 0.5 to 0.98."""


def settings(table: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """Tables with values in the place of ranges: points of Sobol's sequence. Cut into ``count`` parts, every range is
    tried once in the middle of each.

    Args:
        count: a power of two.
    """
    ranges = list(_ranges(table))
    points = Sobol(len(ranges), scramble=False).random(count) + 0.5 / count
    found = []
    for point in points:
        values = (_value(own, place) for own, place in zip(ranges, point, strict=True))
        found.append(_filled(table, values))
    return found


def _ranges(part: Any) -> Iterator[Range]:
    """All that stand in a table, in their order."""
    if isinstance(part, Range):
        yield part
    elif isinstance(part, Mapping | list):
        for own in part.values() if isinstance(part, Mapping) else part:
            yield from _ranges(own)


def _value(own: Range, place: float) -> float:
    """At a place between 0 and 1."""
    searched = float(f"{own.least * (own.greatest / own.least) ** place:.3g}")
    return round(1 - searched, 6) if own.forgotten else searched


def _filled(part: Any, values: Iterator[float]) -> Any:
    """A table with values in the place of ranges."""
    if isinstance(part, Range):
        return next(values)
    if isinstance(part, Mapping):
        return {field: _filled(own, values) for field, own in part.items()}
    return [_filled(own, values) for own in part] if isinstance(part, list) else part


Cost = Callable[[Row], float | None]
"""Of a training on a tuning seed; None where it broke off."""


def rank(rows: Iterable[Row], cost: Cost) -> tuple[int, float]:
    """How a setting does, the least the best: trainings that broke off, and the mean cost of the others."""
    costs = [cost(row) for row in rows]
    known = [own for own in costs if own is not None]
    return len(costs) - len(known), fmean(known) if known else inf


def tuned(tried: Iterable[tuple[Setting, Iterable[Row]]], cost: Cost) -> tuple[list[Row], Setting]:
    """Rows of all settings, and the best of these; the first of those that are alike.

    Args:
        tried: settings, each with its rows on the tuning seeds.
    """
    known = [(setting, list(rows)) for setting, rows in tried]
    ranks = [rank(rows, cost) for _, rows in known]
    return [row for _, rows in known for row in rows], known[ranks.index(min(ranks))][0]

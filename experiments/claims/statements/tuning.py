"""Settings that are tried of an optimizer, and the one that trains best on tuning seeds."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from scipy.stats.qmc import Sobol

from experiments.claims.claim import Row, Rows

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


def tuned(tried: Iterable[tuple[Setting, Iterable[Row]]], cost: Callable[[Rows], float]) -> tuple[list[Row], Setting]:
    """Rows of all settings, and the one of least cost; the first of those that are alike.

    Args:
        tried: settings, each with its rows on the tuning seeds.
        cost: of these rows; infinite where a training broke off.
    """
    known = [(setting, list(rows)) for setting, rows in tried]
    costs = [cost(rows) for _, rows in known]
    return [row for _, rows in known for row in rows], known[costs.index(min(costs))][0]

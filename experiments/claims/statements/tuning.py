"""The setting that trains best on tuning seeds."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from experiments.claims.claim import Row, Rows

Setting = TypeVar("Setting")


def tuned(tried: Iterable[tuple[Setting, Iterable[Row]]], cost: Callable[[Rows], float]) -> tuple[list[Row], Setting]:
    """Rows of all settings, and the one of least cost; the first of those that are alike.

    Args:
        tried: settings, each with its rows on the tuning seeds.
        cost: of these rows; infinite where a training broke off.
    """
    known = [(setting, list(rows)) for setting, rows in tried]
    costs = [cost(rows) for _, rows in known]
    return [row for _, rows in known for row in rows], known[costs.index(min(costs))][0]

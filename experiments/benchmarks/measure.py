"""A measured figure, and paired timing."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Args:
        wanted: the promised bound as text, such as "≤ 1.25"; empty for a figure that is only reported.
        reached: whether the bound holds; None where there is none.
        note: how it was measured.
    """

    name: str
    value: float
    unit: str
    wanted: str = ""
    reached: bool | None = None
    note: str = ""


def at_most(name: str, value: float, unit: str, bound: float, note: str = "") -> Figure:
    return Figure(name, value, unit, f"≤ {bound:g}", value <= bound, note)


def at_least(name: str, value: float, unit: str, bound: float, note: str = "") -> Figure:
    return Figure(name, value, unit, f"≥ {bound:g}", value >= bound, note)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = perf_counter()
    work()
    return perf_counter() - began


def paired(first: Callable[[], object], second: Callable[[], object], runs: int) -> tuple[float, float, float]:
    """Run the two in turn, after one warm-up each.

    Returns:
        Median seconds of the first, of the second, and the median of the ratios first / second, pair by pair.
    """
    first(), second()
    pairs = [(seconds(first), seconds(second)) for _ in range(runs)]
    return median(a for a, _ in pairs), median(b for _, b in pairs), median(a / b for a, b in pairs)

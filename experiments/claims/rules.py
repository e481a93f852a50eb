"""Decision rules: pure functions from what was measured over seeds to a verdict.

A condition alone holds where the 95 % interval of its mean lies beyond its bound on the wanted side, and fails where
the interval lies on the other side. Intervals are Student's over seeds. All conditions of a claim are judged together:
the p-values are corrected after Holm (Scand. J. Statist. 6, 65, 1979), so that the chance of any wrong "holds" among
them is at most 2.5 %, and of any wrong "fails" as much. So an interval beyond its bound may leave its condition open.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, log
from typing import Literal

import numpy as np
from scipy.stats import t as student

Answer = Literal["holds", "fails", "open"]
Wanted = Literal["below", "above", "within"]
Kind = Literal["confirmed", "refuted", "holds under conditions", "undecided"]

LEVEL = 0.025
"""Chance of a wrong answer to each side: the interval of both has 95 %."""
MOST_SEEDS = 10_000
"""What is asked for to decide an open condition, at most."""


@dataclass(frozen=True)
class Condition:
    """A claim under one condition, as numbers that are compared with a bound.

    Args:
        group, point: the condition in words: hardware or optimizer, and where.
        values: one for each seed. One that is not finite, where there was no solution, makes the condition fail.
        bound: what their mean is compared with; "within": how far from zero it may be.
        wanted: on which side of the bound the mean is if the claim is right.
        logarithmic: the logarithms are compared, so the mean is geometric; values and bound are positive.
        exact: one value that is computed without chance.
    """

    group: str
    point: str
    values: tuple[float, ...]
    bound: float
    wanted: Wanted
    logarithmic: bool = False
    exact: bool = False

    def __post_init__(self) -> None:
        if not self.values or (len(self.values) < 2 and not self.exact):
            raise ValueError(f"{self.group}, {self.point}: {len(self.values)} values; a mean needs two seeds or more")

    @property
    def failed(self) -> int:
        """Seeds without a finite value."""
        return sum(not isfinite(value) for value in self.values)

    @property
    def interval(self) -> tuple[float, float, float]:
        """Mean, and the 95 % interval around it; NaN where a value is not finite."""
        if self.failed:
            return (np.nan, np.nan, np.nan)
        mean, error = self._moments()
        half = float(student.ppf(1 - LEVEL, len(self.values) - 1)) * error if error else 0.0
        found = mean, mean - half, mean + half
        return (exp(found[0]), exp(found[1]), exp(found[2])) if self.logarithmic else found

    @property
    def p_values(self) -> tuple[float, float]:
        """How likely such values are if the condition does not hold, and if it does."""
        if self.failed:
            return 1.0, 0.0
        bound = log(self.bound) if self.logarithmic else self.bound
        if self.wanted == "within":
            above, below = self._tail(bound), self._tail(-bound)
            return max(above, 1 - below), min(1.0, 2 * min(1 - above, below))
        below_bound = self._tail(bound)
        return (below_bound, 1 - below_bound) if self.wanted == "below" else (1 - below_bound, below_bound)

    def seeds_needed(self) -> float:
        """About how many seeds decide it, if mean and spread stay as they are; inf: more than anybody runs."""
        if self.failed:
            return 0.0
        mean, error = self._moments()
        bound = log(self.bound) if self.logarithmic else self.bound
        away = abs(abs(mean) - bound) if self.wanted == "within" else abs(mean - bound)
        needed = len(self.values) * (2 * error / away) ** 2 if away else inf
        return max(needed, len(self.values) + 1) if needed <= MOST_SEEDS else inf

    def _moments(self) -> tuple[float, float]:
        """Mean and its standard error, of the logarithms where these are compared."""
        values = np.log(self.values) if self.logarithmic else np.array(self.values)
        return float(values.mean()), 0.0 if self.exact else float(values.std(ddof=1) / np.sqrt(len(values)))

    def _tail(self, bound: float) -> float:
        """How likely a mean as small as this, or smaller, is where the true one is at the bound."""
        mean, error = self._moments()
        if error == 0:
            return 0.5 if mean == bound else 0.0 if mean < bound else 1.0
        return float(student.cdf((mean - bound) / error, len(self.values) - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values that are corrected for being several, in their order."""
    order = np.argsort(p_values, kind="stable")
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order.tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def corrected(conditions: Sequence[Condition]) -> list[tuple[float, float]]:
    """The p-values of each condition, judged together with the others."""
    doubts, trusts = zip(*(condition.p_values for condition in conditions), strict=True)
    return list(zip(holm(doubts), holm(trusts), strict=True))


def answers(conditions: Sequence[Condition]) -> list[Answer]:
    """Whether each condition holds, fails, or is open, judged together."""
    return [
        "holds" if against <= LEVEL else "fails" if for_it <= LEVEL else "open"
        for against, for_it in corrected(conditions)
    ]


@dataclass(frozen=True)
class Verdict:
    """What a claim's conditions make of it.

    Args:
        kind: confirmed and refuted: so under every condition. Holds under conditions: under some. Undecided: under
            none, and some are open.
        shares: of how many conditions each group holds, in words.
        where: which conditions hold, fail, and are open with what would decide them; empty where there is one answer.
    """

    kind: Kind
    shares: str
    where: str
    answers: tuple[Answer, ...]


def verdict(conditions: Sequence[Condition]) -> Verdict:
    """The verdict on a claim from all of its conditions."""
    found = answers(conditions)
    shares = _shares(conditions, found)
    if all(answer == "holds" for answer in found):
        return Verdict("confirmed", shares, "", tuple(found))
    if all(answer == "fails" for answer in found):
        return Verdict("refuted", shares, "", tuple(found))
    kind: Kind = "holds under conditions" if "holds" in found else "undecided"
    told = [
        f"{answer.capitalize()}: {_listed(conditions, found, answer)}"
        for answer in ("holds", "fails", "open")
        if answer in found
    ]
    if "open" in found:
        needed = max(c.seeds_needed() for c, a in zip(conditions, found, strict=True) if a == "open")
        told.append(
            f"About {needed:.0f} seeds would decide" if isfinite(needed) else f"{MOST_SEEDS:,} seeds would not decide"
        )
    return Verdict(kind, shares, ". ".join(told), tuple(found))


def _shares(conditions: Sequence[Condition], found: Sequence[Answer]) -> str:
    """Of each group, in how many of its points it holds, and how many are open."""
    told = []
    for group, points in _by_group(conditions, found).items():
        own = [answer for _, answer in points]
        held, left = own.count("holds"), own.count("open")
        told.append(f"{group} {held} of {len(own)}" + (f" ({left} open)" if left else ""))
    return "; ".join(told)


def _listed(conditions: Sequence[Condition], found: Sequence[Answer], wanted: Answer) -> str:
    """Groups with the points that have an answer; a group alone, where all of its points do."""
    told = []
    for group, points in _by_group(conditions, found).items():
        chosen = [point for point, answer in points if answer == wanted]
        if chosen:
            told.append(group if len(chosen) == len(points) else f"{group} ({', '.join(chosen)})")
    return "; ".join(told)


def _by_group(conditions: Sequence[Condition], found: Sequence[Answer]) -> dict[str, list[tuple[str, Answer]]]:
    """Points with their answers."""
    groups: dict[str, list[tuple[str, Answer]]] = {}
    for condition, answer in zip(conditions, found, strict=True):
        groups.setdefault(condition.group, []).append((condition.point, answer))
    return groups

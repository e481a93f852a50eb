"""The finished samples of one set at one point of the grid, with what they say of a metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np
from numpy.typing import NDArray

from experiments.sweeps.config import Sweep
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.rows import Row
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.statistics import Percentile, Yield, passes, percentile, weighted_percentile, yield_of

Array = NDArray[np.float64]

CASE = "case"


@dataclass(frozen=True)
class Group:
    """The finished samples of one set at one point of the grid.

    Args:
        traits: what sets it apart from the others, name → value; empty where it is alone.
        audit: what ngspice found for some of them.
    """

    key: tuple[int, str]
    traits: dict[str, str]
    sweep: Sweep
    copies: SampleSet
    rows: tuple[Row, ...]
    audit: tuple[Row, ...] = ()

    @property
    def label(self) -> str:
        return ", ".join(value if name == CASE else f"{name} = {value}" for name, value in self.traits.items())

    @property
    def short(self) -> str:
        return ", ".join(self.traits.values())

    @cached_property
    def tried(self) -> list[Row]:
        """Those that could be simulated."""
        return [row for row in self.rows if row.status != "failed"]

    @cached_property
    def samples(self) -> NDArray[np.intp]:
        return np.array([row.sample for row in self.tried], dtype=np.intp)

    @cached_property
    def weights(self) -> Array:
        return np.array([row.weight for row in self.tried])

    @cached_property
    def good(self) -> NDArray[np.bool_]:
        return passes(self.sweep, self.tried)

    @cached_property
    def found_yield(self) -> Yield:
        return yield_of(self.sweep, self.copies, self.rows)

    def counted(self, status: str) -> int:
        return sum(row.status == status for row in self.rows)

    def column(self, name: str) -> Array:
        """A metric of the samples that could be simulated; of unstable ones it is as bad as can be, (tried,)."""
        return self._columns[:, self.sweep.recorded.index(name)]

    def without_value(self, name: str) -> int:
        """How many samples have no finite value of a metric."""
        return len(self.rows) - int(np.isfinite(self.column(name)).sum())

    @cached_property
    def _columns(self) -> Array:
        found = np.array([row.metrics for row in self.tried]).reshape(len(self.tried), len(self.sweep.recorded))
        worst = np.array([-inf if METRICS[name].larger_is_better else inf for name in self.sweep.recorded])
        unstable = np.array([row.status == "unstable" for row in self.tried], dtype=bool)
        return np.where(unstable[:, None], worst, found)

    def badness(self, name: str) -> Array:
        """Larger is worse, (tried,)."""
        limit = self.sweep.limits.get(name)
        low_is_bad = METRICS[name].larger_is_better if limit is None else limit.max == inf and limit.min > -inf
        return -self.column(name) if low_is_bad else self.column(name)

    def percentile(self, name: str, share: float) -> Percentile:
        """With its interval where the samples are plain ones; by weight, without one, where they are not."""
        if self.copies.weighted:
            return weighted_percentile(self.column(name), self.weights, share)
        return percentile(self.column(name), share)

    def worst(self, count: int) -> list[Row]:
        """The samples with the worst of the first metric, limited ones before others."""
        order = np.argsort(-self.badness(ranked(self.sweep)[0]), kind="stable")
        return [self.tried[k] for k in order[:count].tolist()]


Groups = Mapping[str, Group]
"""The groups of one point of the grid, by the name of their set; each has a sample that could be simulated."""


def ranked(sweep: Sweep) -> list[str]:
    """The metrics, limited ones first."""
    return [
        *(name for name in sweep.recorded if name in sweep.limits),
        *(name for name in sweep.recorded if name not in sweep.limits),
    ]


def changing(found: Sequence[Group]) -> list[str]:
    """The metrics that are not the same in all samples, limited ones first; the first metric where all are."""
    names = ranked(found[0].sweep)
    return [name for name in names if len(np.unique(np.concatenate([g.column(name) for g in found]))) > 1] or names[:1]

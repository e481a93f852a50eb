"""What a sweep's store holds, as numbers ready to be shown."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np
from numpy.typing import NDArray

from experiments.shared.grid import axis_name, check_grid, value_text
from experiments.shared.store import first_difference
from experiments.sweeps.cases import Case
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import Row
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.run import Plan, plan
from experiments.sweeps.statistics import Percentile, Yield, passes, percentile, yield_of
from experiments.sweeps.store import Key, SweepStore
from experiments.sweeps.units import titled
from spu_circuit.errors import InputError

Array = NDArray[np.float64]

CASE = "case"


@dataclass(frozen=True)
class Group:
    """The finished samples of one case at one point of the grid.

    Args:
        traits: what sets it apart from the others, name → value; empty where it is alone.
        audit: what ngspice found for some of them.
    """

    key: Key
    traits: dict[str, str]
    sweep: Sweep
    case: Case
    rows: tuple[Row, ...]
    audit: tuple[Row, ...]

    @property
    def label(self) -> str:
        return ", ".join(value if name == CASE else f"{name} = {value}" for name, value in self.traits.items())

    @property
    def short(self) -> str:
        return ", ".join(self.traits.values())

    @property
    def mixed(self) -> tuple[str, ...]:
        """Kinds of parts that come from another set of samples, in a variance-based analysis."""
        return () if self.case.sampling is None else tuple(self.case.sampling.streams)

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
        return yield_of(self.sweep, self.rows)

    def counted(self, status: str) -> int:
        return sum(row.status == status for row in self.rows)

    def column(self, name: str) -> Array:
        """A metric of the samples that could be simulated; of unstable ones it is as bad as can be, (tried,)."""
        return self._columns[:, self.sweep.recorded.index(name)]

    @cached_property
    def _columns(self) -> Array:
        found = np.array([row.metrics for row in self.tried]).reshape(len(self.tried), -1)
        worst = np.array([-inf if METRICS[name].of_training else inf for name in self.sweep.recorded])
        unstable = np.array([row.status == "unstable" for row in self.tried], dtype=bool)
        return np.where(unstable[:, None], worst, found)

    def badness(self, name: str) -> Array:
        """Larger is worse, (tried,)."""
        limit = self.sweep.limits.get(name)
        low_is_bad = METRICS[name].of_training if limit is None else limit.max == inf and limit.min > -inf
        return -self.column(name) if low_is_bad else self.column(name)

    def percentile(self, name: str, share: float) -> Percentile:
        """With its interval where the samples are plain ones; by weight, without one, where they are not."""
        values = self.column(name)
        if self.sweep.analysis.kind != "importance":
            return percentile(values, share)
        order = np.argsort(values)
        below = np.cumsum(self.weights[order]) / self.weights.sum()
        at = min(int(np.searchsorted(below, share)), len(values) - 1)
        return Percentile(share, float(values[order[at]]), (-inf, inf))

    def worst(self, count: int) -> list[Row]:
        """The samples with the worst of the first metric, limited ones before others."""
        order = np.argsort(-self.badness(ranked(self.sweep)[0]), kind="stable")
        return [self.tried[k] for k in order[:count].tolist()]


def planned(store: SweepStore) -> Plan:
    """The plan that a store was filled by.

    Raises:
        InputError: the folder has none, or a file that the sweep reads has changed since.
    """
    claimed = store.claimed().get("sweep")
    if claimed is None:
        raise InputError(f"output: {str(store.folder)!r} holds no sweep yet; run one with --output")
    where = str(store.path)
    document, grid, audit = (claimed.get(name) for name in ("document", "grid", "audit"))
    if not isinstance(document, dict) or isinstance(audit, bool) or not isinstance(audit, int | float):
        raise InputError(f"output: {where!r} is damaged or foreign: it names no document or no audit; restore the file")
    check_grid(grid, where)
    assert isinstance(grid, dict)
    try:
        found = plan(document, grid, where, audit)
    except RecursionError:
        raise InputError(f"output: {where!r} is damaged or foreign: its config is nested too deeply") from None
    if difference := first_difference(claimed, json.loads(json.dumps(found.config))):
        name, old, new = difference
        raise InputError(
            f"output: the sweep in {str(store.folder)!r} was made with {name} = {old!r}, which now reads {new!r}; "
            "restore the files that its config names"
        )
    return found


def groups(plan: Plan, store: SweepStore) -> list[Group]:
    """Every case of every point that has samples."""
    cases = list(plan.cases())
    several = len({key[1] for key, _, _ in cases}) > 1
    found = []
    for key, sweep, case in cases:
        named = {axis_name(name): value_text(value) for name, value in plan.settings[key[0]].items()}
        if several:
            named[CASE] = f"only {titled(key[1])}" if case.only else key[1]
        rows = store.rows_of(key, sweep, case)
        if rows:
            found.append(
                Group(key, named, sweep, case, tuple(rows), tuple(store.rows_of(key, sweep, case, audit=True)))
            )
    return found


def ranked(sweep: Sweep) -> list[str]:
    """The metrics, limited ones first."""
    return [
        *(name for name in sweep.recorded if name in sweep.limits),
        *(n for n in sweep.recorded if n not in sweep.limits),
    ]


def focus(found: list[Group]) -> Group:
    """Of the first case, the point whose yield is nearest to one half, where most can be learnt, or the first point."""
    first = [group for group in found if group.key[1] == found[0].key[1]]
    return min(first, key=lambda group: abs(group.found_yield.share - 0.5)) if first[0].sweep.limits else first[0]


def disagreements(group: Group) -> Iterator[tuple[str, float, float]]:
    """How far ngspice and the network are apart: metric, median and worst |a − b| / max(|a|, |b|) of the samples."""
    mine = {row.sample: row for row in group.rows}
    pairs = [(mine[row.sample].metrics, row.metrics) for row in group.audit if row.status == "ok"]
    if not pairs:
        return
    network, ngspice = np.array(pairs).transpose(1, 0, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.abs(network - ngspice) / np.maximum(np.abs(network), np.abs(ngspice))
    apart[network == ngspice] = 0.0
    for name, column in zip(group.sweep.recorded, apart.T, strict=True):
        if not np.isnan(column).all():
            yield name, float(np.nanmedian(column)), float(np.nanmax(column))

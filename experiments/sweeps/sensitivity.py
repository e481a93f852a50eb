"""Which kinds of parts move a metric, and how much: from the rows of a sweep to numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.sweeps.cases import NOMINAL
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import Row
from experiments.sweeps.statistics import CONFIDENCE

Array = NDArray[np.float64]

RESAMPLES = 200
"""Bootstrap resamples behind an interval, whose width they give to 1/√400 = 5 %."""
SEED = 1
"""Of the bootstrap. SALib takes 0 for none."""


@dataclass(frozen=True)
class Effect:
    """What one kind of parts does to one metric when it varies alone.

    Args:
        nominal: where nothing varies.
        median, low, high: 50th, 5th and 95th percentile.
        share: its mean square distance from nominal, over the sum of those of all kinds; NaN where nothing moves it.
        left_out: samples without a finite value, which count for none of this.
    """

    kind: str
    metric: str
    nominal: float
    median: float
    low: float
    high: float
    share: float
    left_out: int


@dataclass(frozen=True)
class Index:
    """How much of a metric's variance one kind of parts accounts for.

    Args:
        first: alone (S₁), with its 95 % interval.
        total: with all that it does together with others (S_T), with its 95 % interval.
        samples: base samples behind it.
        left_out: base samples of which one evaluation has no finite value or is not finished.
    """

    kind: str
    metric: str
    first: float
    first_interval: tuple[float, float]
    total: float
    total_interval: tuple[float, float]
    samples: int
    left_out: int


def one_at_a_time(sweep: Sweep, rows: Mapping[str, Sequence[Row]]) -> list[Effect]:
    """The effects of each kind on each metric, by metric, in the order of the kinds.

    Args:
        rows: of the cases of such a sweep, by name.
    """
    found = []
    kinds = [name for name in rows if name != NOMINAL]
    for k, metric in enumerate(sweep.recorded):
        nominal = _finite(rows[NOMINAL], k)
        center = float(nominal[0]) if len(nominal) else np.nan
        values = {kind: _finite(rows[kind], k) for kind in kinds}
        power = {kind: float(np.mean((at - center) ** 2)) if len(at) else np.nan for kind, at in values.items()}
        total = float(np.nansum(list(power.values())))
        for kind, at in values.items():
            median, low, high = np.quantile(at, [0.5, 0.05, 0.95]).tolist() if len(at) else [np.nan] * 3
            share = power[kind] / total if total > 0 else np.nan
            found.append(Effect(kind, metric, center, median, low, high, share, len(rows[kind]) - len(at)))
    return found


def sobol_indices(sweep: Sweep, rows: Mapping[str, Sequence[Row]]) -> list[Index]:
    """First-order and total indices of each kind for each metric, by metric, in the order of the kinds.

    All parts of a kind together are one input (Saltelli et al., Comput. Phys. Commun. 181:259, 2010: S₁ from
    ``B (AB − A)``, S_T from ``(A − AB)²``), computed by SALib; intervals by its bootstrap. An index near 0 may come out
    below it.

    Args:
        rows: of the cases of such a sweep: "A", "B", and "A with KIND of B" for each kind.
    """
    mixed = [name for name in rows if name not in ("A", "B")]
    kinds = [name.removeprefix("A with ").removesuffix(" of B") for name in mixed]
    # The order in which SALib takes the evaluations of a base sample.
    order = ["A", *mixed, "B"]
    by_sample = [{row.sample: row.metrics for row in rows[name]} for name in order]
    everywhere = sorted(set.intersection(*(set(of_case) for of_case in by_sample)))
    started = len(set.union(*(set(of_case) for of_case in by_sample)))
    table = np.array([[of_case[sample] for of_case in by_sample] for sample in everywhere])
    found = []
    for k, metric in enumerate(sweep.recorded):
        values = table[:, :, k] if everywhere else np.empty((0, len(order)))
        values = values[np.isfinite(values).all(axis=1)]
        indices = _analyzed(values, kinds)
        for j, kind in enumerate(kinds):
            s1, st, w1, wt = (float(indices[name][j]) for name in ("S1", "ST", "S1_conf", "ST_conf"))
            samples, left_out = len(values), started - len(values)
            found.append(Index(kind, metric, s1, (s1 - w1, s1 + w1), st, (st - wt, st + wt), samples, left_out))
    return found


def _analyzed(values: Array, kinds: Sequence[str]) -> Mapping[str, Array]:
    if len(values) < 2 or np.ptp(values) == 0:
        return {name: np.full(len(kinds), np.nan) for name in ("S1", "ST", "S1_conf", "ST_conf")}
    from SALib.analyze import sobol  # with pandas, which takes a second

    problem = {"num_vars": len(kinds), "names": list(kinds), "bounds": [[0, 1]] * len(kinds)}
    found: Mapping[str, Array] = sobol.analyze(
        problem, values.ravel(), calc_second_order=False, num_resamples=RESAMPLES, conf_level=CONFIDENCE, seed=SEED
    )
    return found


def _finite(rows: Sequence[Row], metric: int) -> Array:
    values = np.array([row.metrics[metric] for row in rows])
    return values[np.isfinite(values)] if len(rows) else values

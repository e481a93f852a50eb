"""Sobol indices: how much of a metric's variance each kind of parts accounts for, alone and together with others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.sweeps.analyses.kind import AnalysisKind
from experiments.sweeps.bars import VARIANCE, Bar, Bars, longest_first
from experiments.sweeps.config import Sweep
from experiments.sweeps.group import Groups
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.statistics import CONFIDENCE
from experiments.sweeps.tables import Table, Value
from experiments.sweeps.units import SHARE, titled
from spu_circuit.errors import InputError
from spu_circuit.sampling import Sampling, varying

Array = NDArray[np.float64]

RECOMMENDED = 4096
"""Base samples: an index then has a standard error of about 0.02. Any number will do, since the samples are
independent; a power of two fills the blocks."""
OTHER_SEED = 0x5EED_B0A2D
"""Added to the seed of the second, independent set of samples."""
RESAMPLES = 200
"""Bootstrap resamples behind an interval, whose width they give to 1/√400 = 5 %."""
SEED = 1
"""Of the bootstrap. SALib takes 0 for none."""
CAPTION = (
    "Shares of each kind of parts in a metric's variance, with 95 % intervals: alone (first order), and with all that "
    "it does together with others (total). Base samples that lack a finite value in one set are left out."
)
HEAD = ("part", "first order", "total", "base samples", "left out")


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


def sets(sweep: Sweep) -> dict[str, SampleSet]:
    count, seed, variation = sweep.analysis.samples, sweep.seed, sweep.device().variation
    if variation.correlation:
        raise InputError(
            "analysis.kind 'variance based' shares the variance among kinds that vary independently; leave "
            "hardware.variation.correlation out"
        )
    if count < 2:
        raise InputError(f"analysis.samples is {count}, of which there is no variance; take {RECOMMENDED}")
    other = seed + OTHER_SEED
    own = {"A": SampleSet(count, Sampling(seed)), "B": SampleSet(count, Sampling(other))}
    return own | {
        f"A with {kind} of B": SampleSet(count, Sampling(seed, streams={kind: other})) for kind in varying(variation)
    }


def indices(point: Groups, metric: str) -> list[Index]:
    """First-order and total indices of each kind for a metric, in the order of the kinds.

    All parts of a kind together are one input (Saltelli et al., Comput. Phys. Commun. 181:259, 2010: S₁ from
    ``B (AB − A)``, S_T from ``(A − AB)²``), computed by SALib; intervals by its bootstrap. An index near 0 may come out
    below it.
    """
    mixed = {group.copies.mixed[0]: group for group in point.values() if group.copies.mixed}
    if not mixed or not {"A", "B"} <= point.keys():
        return []
    # The order in which SALib takes the evaluations of a base sample.
    order = [point["A"], *mixed.values(), point["B"]]
    everywhere = sorted(set.intersection(*(set(group.samples.tolist()) for group in order)))
    started = len(set().union(*({row.sample for row in group.rows} for group in order)))
    values = np.array([group.column(metric)[np.searchsorted(group.samples, everywhere)] for group in order]).T
    values = values[np.isfinite(values).all(axis=1)]
    found = _analysed(values, list(mixed))
    return [
        Index(kind, metric, s1, (s1 - w1, s1 + w1), st, (st - wt, st + wt), len(values), started - len(values))
        for kind, s1, w1, st, wt in zip(
            mixed, *(found[name].tolist() for name in ("S1", "S1_conf", "ST", "ST_conf")), strict=True
        )
    ]


def _analysed(values: Array, kinds: Sequence[str]) -> Mapping[str, Array]:
    if len(values) < 2 or np.ptp(values) == 0:
        return {name: np.full(len(kinds), np.nan) for name in ("S1", "ST", "S1_conf", "ST_conf")}
    from SALib.analyze import sobol  # with pandas, which takes a second

    problem = {"num_vars": len(kinds), "names": list(kinds), "bounds": [[0, 1]] * len(kinds)}
    found: Mapping[str, Array] = sobol.analyze(
        problem, values.ravel(), calc_second_order=False, num_resamples=RESAMPLES, conf_level=CONFIDENCE, seed=SEED
    )
    return found


def tables(point: Groups) -> list[Table]:
    metrics = next(iter(point.values())).sweep.recorded
    found = [(metric, indices(point, metric)) for metric in metrics]
    return [Table(metric, CAPTION, HEAD, tuple(_row(one) for one in those)) for metric, those in found if those]


def _row(one: Index) -> tuple[str | int | Value, ...]:
    first, total = Value(one.first, SHARE, *one.first_interval), Value(one.total, SHARE, *one.total_interval)
    return one.kind, first, total, one.samples, one.left_out


def bars(point: Groups, metrics: Sequence[str]) -> Bars:
    known = {metric: [one for one in indices(point, metric) if np.isfinite(one.total)] for metric in metrics}
    return Bars(
        VARIANCE,
        {
            metric: longest_first(
                [Bar(titled(one.kind), min(one.total, 0.0), max(one.total, 0.0), one.total_interval) for one in those]
            )
            for metric, those in known.items()
            if those
        },
    )


VARIANCE_BASED = AnalysisKind(("samples",), sets, tables=tables, bars=bars, title="Indices")

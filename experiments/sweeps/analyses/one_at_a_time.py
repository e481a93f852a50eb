"""Each kind of parts varies alone: which one moves a metric most."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan

import numpy as np

from experiments.sweeps.analyses.kind import AnalysisKind, by_number
from experiments.sweeps.bars import RANGE, Bar, Bars, longest_first
from experiments.sweeps.bench import Bench
from experiments.sweeps.config import Sweep
from experiments.sweeps.group import Groups, ranked
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.samples import NOMINAL, SampleSet
from experiments.sweeps.tables import Table, Value
from experiments.sweeps.units import SHARE, metric_text, text, titled
from spu_circuit.sampling import Samples, Sampling, corners, varying

CAPTION = (
    "Each kind of parts varies alone: percentiles, and the share of its mean square distance from nominal in the sum "
    "over all kinds. Copies without a finite value count as beyond every percentile and have no part in the share."
)
NAMED = 3
"""Kinds that the finding names."""
LEAST = 0.05
"""Share of one that is worth a name."""
HEAD = ("only this varies", "nominal", "median", "5 %", "95 %", "share", "left out")


@dataclass(frozen=True)
class Range:
    """What one kind of parts does to one metric when it varies alone.

    Args:
        nominal: where nothing varies.
        median, low, high: 50th, 5th and 95th percentile; samples without a finite value are beyond them.
        share: its mean square distance from nominal, over the sum of those of all kinds; NaN where nothing moves it.
        left_out: samples without a finite value, which have no part in the share.
    """

    kind: str
    metric: str
    nominal: float
    median: float
    low: float
    high: float
    share: float
    left_out: int


def sets(sweep: Sweep) -> dict[str, SampleSet]:
    count = sweep.analysis.samples
    sampling = Sampling(sweep.seed, sweep.analysis.design, count)
    kinds = varying(sweep.device().variation)
    return {NOMINAL: SampleSet(1, None)} | {kind: SampleSet(count, sampling, kind) for kind in kinds}


def draw(sweep: Sweep, copies: SampleSet, bench: Bench, numbers: range) -> Samples:
    if copies.drawn:
        return by_number(sweep, copies, bench, numbers)
    hardware = bench.device.hardware
    still = {"temperature": np.zeros((len(numbers), 1))}
    return corners(hardware.variation, hardware.temperature, bench.board.places, still)


def ranges(point: Groups, metric: str) -> list[Range]:
    """What each kind does to a metric, in the order of the kinds."""
    nominal = point[NOMINAL].column(metric) if NOMINAL in point else np.array([])
    center = float(nominal[0]) if len(nominal) and np.isfinite(nominal[0]) else nan
    alone = {group.copies.only: group for group in point.values() if group.copies.only is not None}
    finite = {kind: (at := group.column(metric))[np.isfinite(at)] for kind, group in alone.items()}
    squares = {kind: float(np.mean((at - center) ** 2)) if len(at) else nan for kind, at in finite.items()}
    total = float(np.nansum(list(squares.values())))
    return [
        Range(
            kind,
            metric,
            center,
            group.percentile(metric, 0.5).value,
            group.percentile(metric, 0.05).value,
            group.percentile(metric, 0.95).value,
            squares[kind] / total if total > 0 else nan,
            group.without_value(metric),
        )
        for kind, group in alone.items()
    ]


def tables(point: Groups) -> list[Table]:
    metrics = next(iter(point.values())).sweep.recorded
    return [Table(metric, CAPTION, HEAD, tuple(_row(one) for one in ranges(point, metric))) for metric in metrics]


def _row(one: Range) -> tuple[str | int | Value, ...]:
    unit = METRICS[one.metric].unit
    values = (Value(value, unit) for value in (one.nominal, one.median, one.low, one.high))
    return one.kind, *values, Value(one.share, SHARE), one.left_out


def bars(point: Groups, metrics: Sequence[str]) -> Bars:
    found = {metric: ranges(point, metric) for metric in metrics}
    return Bars(
        RANGE,
        {
            metric: longest_first([Bar(titled(one.kind), one.low, one.high) for one in those])
            for metric, those in found.items()
        },
        floor={metric: those[0].nominal for metric, those in found.items() if those},
    )


def answer(point: Groups) -> list[str]:
    """What is there without any spread, and which kinds add most of the rest."""
    metric = ranked(next(iter(point.values())).sweep)[0]
    found = sorted(ranges(point, metric), key=lambda one: -one.share if isfinite(one.share) else inf)
    if not found or not isfinite(found[0].share):
        return []
    name = titled(metric)
    floor = f"Without any spread {name} is {metric_text(metric, found[0].nominal)}. "
    most = [f"{titled(one.kind)} ({text(one.share, SHARE)})" for one in found[:NAMED] if one.share >= LEAST]
    return [
        f"{floor}Of what spread does to it, each kind of part for itself, most comes from {', then '.join(most)}: "
        f"where only {titled(found[0].kind)} varies, 90 % of the copies have {metric_text(metric, found[0].low)} to "
        f"{metric_text(metric, found[0].high)}."
    ]


ONE_AT_A_TIME = AnalysisKind(("samples", "design"), sets, draw, tables, bars, "Ranges", answer, leads=True)

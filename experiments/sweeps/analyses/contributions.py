"""What each part adds to the error of the samples, to first order, beside what the samples themselves say."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import nan, sqrt

import numpy as np
from numpy.typing import NDArray

from experiments.shared.files import inert
from experiments.sweeps.analyses.kind import AnalysisKind, by_number
from experiments.sweeps.analyses.linear import refuse_without_derivatives
from experiments.sweeps.bars import capital
from experiments.sweeps.bench import benches
from experiments.sweeps.config import Sweep
from experiments.sweeps.group import Group, Groups
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.statistics import NORMAL
from experiments.sweeps.tables import Table, Value
from experiments.sweeps.units import SHARE, percent, titled
from netlists.device import batch_of
from solvers.network import Network
from solvers.sensitivity import Contributions, adjoint_of, contributions_of
from spu_circuit.converters import quantize
from spu_circuit.errors import InputError
from spu_circuit.sampling import Sampling

Array = NDArray[np.float64]

METRIC = "relative_error"
"""Of which first order knows the share of each part."""
BLOCK = 256
"""Copies that are drawn together: of 64 cells 17 MB."""
TOP = 10
"""Single parts that tables list."""
CAPTION = (
    "What each kind of parts, and the single parts that matter most, add to the mean square of the relative error, "
    "by the derivatives of the nominal solution. Stuck resistors are not in it. Every part is in contributions.csv."
)
HEAD = ("adds to the error", "part", "rms relative error", "share")


@dataclass(frozen=True)
class FirstOrder:
    """The linear law of a device's parts, and what it says of the samples.

    Args:
        found: shares of the mean square of ‖δx‖ / ‖A⁻¹b‖.
        nominal: relative error of the nominal device.
        predicted: relative error of each sample, (samples,).
    """

    found: Contributions
    nominal: float
    predicted: Array


@dataclass(frozen=True)
class Addition:
    """What a kind of parts, or one part, adds.

    Args:
        part: its element's name; "": all of the kind.
        rms: root mean square of the relative error that it makes alone; NaN where correlation with another kind takes
            away.
        share: of the mean square that all variation makes.
    """

    kind: str
    part: str
    rms: float
    share: float


@dataclass(frozen=True)
class Explained:
    """First order beside the samples.

    Args:
        kinds, parts: what adds most first.
        expected: root mean square relative error by first order, that of the nominal device included.
        measured: the same of the samples, with its 95 % interval.
        explained: share of the variance of the samples' relative error that goes with what first order says of each.
        left_out: samples without a finite value.
    """

    kinds: tuple[Addition, ...]
    parts: tuple[Addition, ...]
    expected: float
    measured: float
    interval: tuple[float, float]
    explained: float
    left_out: int


@lru_cache(maxsize=4)
def first_order(sweep: Sweep) -> FirstOrder:
    """Of a sweep of this kind, by one solve of the transposed equations of its nominal device."""
    (bench,) = benches(sweep, sweep.engine)
    (copies,) = sets(sweep).values()
    device, exact = batch_of(bench.device), bench.exact
    adjoint = adjoint_of(Network().prepare(bench.board).program(device.array), device)
    moved = []
    for start in range(0, copies.samples, BLOCK):
        samples = by_number(sweep, copies, bench, range(start, min(start + BLOCK, copies.samples)))
        found = contributions_of(adjoint, bench.board, device, exact, samples)
        moved.append(found.moved)
    changes = np.concatenate(moved)
    nominal = adjoint.volts[0] * bench.device.unknowns_per_volt
    codes, _ = quantize(adjoint.volts + changes / bench.device.unknowns_per_volt, bench.device.hardware.adc)
    unit = float(np.linalg.norm(exact))
    predicted = np.linalg.norm(codes * bench.device.unknowns_per_volt - exact, axis=1) / unit
    return FirstOrder(found, float(np.linalg.norm(nominal - exact)) / unit, predicted)


def additions(found: Contributions) -> Iterator[Addition]:
    """Of every kind that varies, then of every part of it whose mismatch counts."""
    total = found.total

    def made(kind: str, part: str, square: float) -> Addition:
        return Addition(kind, part, sqrt(square) if square >= 0 else nan, square / total if total > 0 else nan)

    for kind, square in found.kinds.items():
        yield made(kind, "", square)
        if kind in found.local:
            for name, own in zip(found.board.names(kind), found.local[kind].tolist(), strict=True):
                yield made(kind, name, own)


def explain(group: Group) -> Explained:
    """What adds most, and whether the finished samples agree."""
    first = first_order(group.sweep)
    every = sorted(additions(first.found), key=lambda addition: -addition.share)
    column = group.column(METRIC)
    values = column[np.isfinite(column)]
    predicted = first.predicted[group.samples[np.isfinite(column)]]
    expected = sqrt(first.nominal**2 + first.found.total)
    measured, low, high, explained = nan, nan, nan, nan
    if len(values) > 1:
        squares = values**2
        mean, error = float(squares.mean()), NORMAL * float(squares.std(ddof=1)) / sqrt(len(squares))
        measured, low, high = sqrt(mean), sqrt(max(0.0, mean - error)), sqrt(mean + error)
        if (variance := float(values.var())) > 0:
            explained = 1 - float((values - predicted).var()) / variance
    return Explained(
        tuple(addition for addition in every if not addition.part),
        tuple(addition for addition in every if addition.part)[:TOP],
        expected,
        measured,
        (low, high),
        explained,
        group.without_value(METRIC),
    )


def tables(point: Groups) -> list[Table]:
    (group,) = point.values()
    told, unit = explain(group), METRICS[METRIC].unit
    rows: list[tuple[str | Value, ...]] = [
        (one.kind, one.part or "all", Value(one.rms, unit), Value(one.share, SHARE))
        for one in (*told.kinds, *told.parts)
    ]
    rows.append(("first order, nominal error included", "", Value(told.expected, unit), ""))
    left_out = f"{told.left_out} without a finite value left out" if told.left_out else ""
    rows.append(("the samples", left_out, Value(told.measured, unit, *told.interval), ""))
    rows.append(("their variance explained", "", "", Value(told.explained, SHARE)))
    return [Table(METRIC, CAPTION, HEAD, tuple(rows))]


def answer(point: Groups) -> list[str]:
    (group,) = point.values()
    told = explain(group)
    most = told.kinds[0]
    return [
        f"{capital(titled(most.kind))} adds most to it: {percent(most.share)} of the mean square, to first order, "
        f"which explains {percent(told.explained)} of the variance of the samples' relative error."
    ]


def files(groups: Sequence[Group]) -> dict[str, str]:
    """Every kind and part of every point as CSV; shares and relative errors as fractions."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["point", "kind", "part", "rms_relative_error [1]", "share [1]"])
    for group in groups:
        for one in additions(first_order(group.sweep).found):
            writer.writerow(map(inert, [group.key[0], one.kind, one.part, repr(one.rms), repr(one.share)]))
    return {"contributions.csv": written.getvalue()}


def sets(sweep: Sweep) -> dict[str, SampleSet]:
    """Raises InputError where first order has no answer."""
    refuse_without_derivatives(sweep)
    if METRIC not in sweep.recorded:
        raise InputError(f"analysis.kind 'contributions' shares the {METRIC} out; add it to metrics")
    count = sweep.analysis.samples
    return {"copies": SampleSet(count, Sampling(sweep.seed, sweep.analysis.design, count))}


CONTRIBUTIONS = AnalysisKind(
    ("samples", "design", "stop_width"), sets, tables=tables, title="Contributions", answer=answer, files=files
)

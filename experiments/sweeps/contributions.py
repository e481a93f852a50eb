"""What each part adds to the error of the samples, to first order, beside what the samples themselves say."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import nan, sqrt

import numpy as np
from numpy.typing import NDArray

from experiments.sweeps.cases import cases_of
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import Row, benches, drawn_samples
from netlists.device import batch_of
from solvers.network import Network
from solvers.sensitivity import Contributions, adjoint_of, contributions_of
from spu_circuit.converters import quantize

Array = NDArray[np.float64]

METRIC = "relative_error"
"""Of which first order knows the share of each part."""
BLOCK = 256
"""Copies that are drawn together: of 64 cells 17 MB."""
TOP = 10
"""Single parts that tables list."""


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
    (case,) = cases_of(sweep).values()
    device, exact = batch_of(bench.device), bench.exact
    adjoint = adjoint_of(Network().prepare(bench.board).program(device.array), device)
    moved = []
    for start in range(0, case.samples, BLOCK):
        samples = drawn_samples(sweep, case, bench, range(start, min(start + BLOCK, case.samples)))
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


def explain(sweep: Sweep, rows: Sequence[Row]) -> Explained:
    """What adds most, and whether the finished samples agree."""
    first = first_order(sweep)
    every = sorted(additions(first.found), key=lambda addition: -addition.share)
    column = sweep.recorded.index(METRIC)
    known = [row for row in rows if np.isfinite(row.metrics[column])]
    values = np.array([row.metrics[column] for row in known])
    predicted = first.predicted[[row.sample for row in known]]
    expected = sqrt(first.nominal**2 + first.found.total)
    measured, low, high, explained = nan, nan, nan, nan
    if len(values) > 1:
        squares = values**2
        mean, error = float(squares.mean()), 1.96 * float(squares.std(ddof=1)) / sqrt(len(squares))
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
        len(rows) - len(known),
    )


def table_of(sweeps: Sequence[Sweep]) -> str:
    """Every kind and part of every point as CSV; shares and relative errors as fractions."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["point", "kind", "part", "rms_relative_error [1]", "share [1]"])
    for point, sweep in enumerate(sweeps):
        for one in additions(first_order(sweep).found):
            writer.writerow([point, one.kind, one.part, repr(one.rms), repr(one.share)])
    return written.getvalue()

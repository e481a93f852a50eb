"""What each part adds to the error of samples, to first order, by one solve of the transposed nominal circuit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf, nan, sqrt

import numpy as np
from numpy.typing import NDArray

from experiments.sweeps.analyses.derivatives import without_derivatives
from experiments.sweeps.analyses.kind import by_number, copies_of
from experiments.sweeps.bench import Bench, benches, question_of
from experiments.sweeps.config import Sweep
from experiments.sweeps.group import Group
from experiments.sweeps.statistics import NORMAL
from netlists.device import batch_of
from solvers.network import Network
from solvers.sensitivity import Contributions, adjoint_of, contributions_of
from spu_circuit.converters import quantize
from spu_circuit.errors import SpuError
from spu_circuit.sampling import at_scores, joined

Array = NDArray[np.float64]

METRIC = "relative_error"
"""Of which first order knows the share of each part."""
MOST_VALUES = 500_000
"""Drawn values of the samples that first order is compared with, about a tenth of a second's worth."""
FEWEST = 64
"""Samples that it is compared with at least."""


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
class FirstOrder:
    """The linear law of a device's parts, and what it says of the samples.

    Args:
        additions: of every kind that varies, then of every part of it whose mismatch counts. Of several systems the
            mean squares are averaged.
        total: mean square of the relative error that all variation makes.
        nominal: root mean square relative error of the nominal device.
        predicted: relative error of each of the first samples, the largest of several systems, (samples,).
    """

    additions: tuple[Addition, ...]
    total: float
    nominal: float
    predicted: Array

    @property
    def expected(self) -> float:
        """Root mean square of the relative error, that of the nominal device included."""
        return sqrt(self.nominal**2 + self.total)


@dataclass(frozen=True)
class Explained:
    """First order beside the samples.

    Args:
        measured: root mean square of the samples' relative error, with its 95 % interval.
        explained: share of the variance of the samples' relative error that goes with what first order says of each.
        left_out: samples without a finite value.
    """

    measured: float
    interval: tuple[float, float]
    explained: float
    left_out: int


def first_order(sweep: Sweep, inflation: float = 1.0) -> FirstOrder | str:
    """Of the nominal device of a sweep; or why there is none, in words that follow "since".

    Args:
        inflation: with which its samples are drawn; see ``Sampling``.
    """
    return unfit(sweep) or _found(sweep, inflation)


def unfit(sweep: Sweep) -> str:
    """Why a sweep has no first order, as far as its description says; "" where it may have one."""
    if METRIC not in sweep.recorded:
        return f"it shares out the {METRIC}, which is not among the metrics"
    return without_derivatives(sweep)


@lru_cache(maxsize=32)
def _found(sweep: Sweep, inflation: float) -> FirstOrder | str:
    squares: dict[tuple[str, str], float] = {}
    nominal, predicted = [], []
    try:
        for bench in benches(sweep, sweep.engine):
            found, error, errors = _of_system(sweep, bench, inflation)
            for key, square in _squares(found):
                squares[key] = squares.get(key, 0.0) + square
            nominal.append(error)
            predicted.append(errors)
    except SpuError as error:
        return str(error)
    count = len(nominal)
    total = sum(square for (_, part), square in squares.items() if not part) / count
    return FirstOrder(
        tuple(_addition(*key, square / count, total) for key, square in squares.items()),
        total,
        sqrt(float(np.mean(np.square(nominal)))),
        np.max(predicted, axis=0),
    )


def _of_system(sweep: Sweep, bench: Bench, inflation: float) -> tuple[Contributions, float, Array]:
    """Shares of a system's error, the relative error without any spread, and those of the first samples."""
    device, exact = batch_of(bench.device), bench.exact
    seconds = question_of(sweep, bench.device).seconds
    prepared = bench.prepared if sweep.engine == "network" else Network().prepare(bench.board)
    programmed = prepared.program(device.array)
    adjoint = adjoint_of(programmed, device, np.array([seconds]) if seconds < inf else None)
    values = sum(len(places.slots) for places in bench.board.places.values())
    copies = copies_of(sweep)
    assert copies.sampling is not None
    copies = replace(copies, sampling=replace(copies.sampling, inflation=inflation))
    count = min(copies.samples, max(FEWEST, MOST_VALUES // values))
    samples = by_number(sweep, copies, bench, range(count))
    # Without spread parts are not nominal where they are aged, warm, or at a corner of their lot.
    hardware = bench.device.hardware
    medians = at_scores(hardware.variation, hardware.temperature, bench.board.places, {})
    none_stuck = np.zeros((count, 0), dtype=bool)
    every = joined([medians, replace(samples, open=none_stuck, closed=none_stuck)])
    found = contributions_of(adjoint, bench.board, device, exact, every)
    unit, scale = float(np.linalg.norm(exact)), bench.device.unknowns_per_volt
    codes, _ = quantize(adjoint.volts + found.moved[1:] / scale, hardware.adc)
    errors = np.linalg.norm(codes * scale - exact, axis=1) / unit
    return found, float(np.linalg.norm(adjoint.volts[0] * scale + found.moved[0] - exact)) / unit, errors


def _squares(found: Contributions) -> Sequence[tuple[tuple[str, str], float]]:
    """What every kind adds to the mean square, and every part of it."""
    made = []
    for kind, square in found.kinds.items():
        made.append(((kind, ""), square))
        if kind in found.local:
            made += [((kind, n), s) for n, s in zip(found.board.names(kind), found.local[kind].tolist(), strict=True)]
    return made


def _addition(kind: str, part: str, square: float, total: float) -> Addition:
    return Addition(kind, part, sqrt(square) if square >= 0 else nan, square / total if total > 0 else nan)


def explain(group: Group, first: FirstOrder) -> Explained:
    """Whether the finished samples agree, each as much as it stands for."""
    column = group.column(METRIC)
    finite = np.isfinite(column)
    values, weights, measured, low, high, explained = column[finite], group.weights[finite], nan, nan, nan, nan
    if len(values) > 1:
        squares, count = values**2, len(values)
        mean = float(np.average(squares, weights=weights))
        off = np.linalg.norm(weights * (squares - mean)) / weights.sum()
        error = NORMAL * float(off) * sqrt(count / (count - 1))
        measured, low, high = sqrt(mean), sqrt(max(0.0, mean - error)), sqrt(mean + error)
    known = finite & (group.samples < len(first.predicted))
    values, predicted, weights = column[known], first.predicted[group.samples[known]], group.weights[known]
    if len(values) > 1 and (variance := _variance(values, weights)) > 0:
        explained = 1 - _variance(values - predicted, weights) / variance
    return Explained(measured, (low, high), explained, group.without_value(METRIC))


def _variance(values: Array, weights: Array) -> float:
    mean = np.average(values, weights=weights)
    return float(np.average((values - mean) ** 2, weights=weights))

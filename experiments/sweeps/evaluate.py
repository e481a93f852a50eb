"""What a worker does: some samples of one case of one point of a sweep, from description to metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from experiments.sweeps.cases import Case, samples_of
from experiments.sweeps.config import Sweep
from experiments.sweeps.metrics import METRICS, Answers
from experiments.sweeps.training import final_accuracy
from experiments.sweeps.workload import systems_of
from experiments.sweeps.worst import worst_extremes
from netlists.board import Board
from netlists.device import Device
from solvers.behaviour import BLOCK, Behaviour, Question, in_network, in_ngspice
from solvers.digital import Digital
from solvers.ideal import IdealLaw
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.converters import quantize
from spu_circuit.errors import SpuError
from spu_circuit.sampling import Samples, bounded, corners

Array = NDArray[np.float64]

TRIES = 2
"""How often a sample is simulated before its failure counts."""
STATUSES = ("ok", "unstable", "failed")
"""Of samples; unstable: a mode of its circuit grows, so that it solves nothing."""
POINTS = 200
"""Steps of an ngspice transient, at least."""


@dataclass(frozen=True)
class Row:
    """One sample's result.

    Args:
        status: one of ``STATUSES``.
        reason: why it failed.
        weight: see ``Samples``.
        metrics: in the order of ``Sweep.recorded``; NaN where there is none.
    """

    sample: int
    status: str
    reason: str
    weight: float
    metrics: tuple[float, ...]


@dataclass(frozen=True)
class Bench:
    """A nominal device with one system on it, ready for samples.

    Args:
        prepared: the board, by an engine.
        find: what samples of the device do, by the same engine.
    """

    device: Device
    exact: Array
    board: Board
    prepared: Any
    find: Callable[[Any, Device, Samples, Question], Behaviour]

    def behaviour(self, samples: Samples, question: Question) -> Behaviour:
        return self.find(self.prepared, self.device, samples, question)


@lru_cache(maxsize=4)
def benches(sweep: Sweep, engine: str) -> tuple[Bench, ...]:
    """The devices of a point, one for each system. The voltage scale is ranged once, by the nominal ideal law."""
    hardware = sweep.device()
    chosen = sweep.chosen()
    spice = chosen if isinstance(chosen, Ngspice) else Ngspice()
    spice = replace(spice, points=sweep.points or POINTS)
    found = []
    for system in systems_of(sweep.workload):
        exact = Digital("cholesky").solve(system).value
        device = Spu(hardware, IdealLaw()).ranged(system)
        board = Board(hardware, device.circuit)
        if engine == "network" and isinstance(chosen, Network):
            prepared = chosen.prepare(board)
            if question_of(sweep, device).of_motion:
                prepared.program(device.array).refuse_nonlinear()
            found.append(Bench(device, exact, board, prepared, in_network))
        else:
            found.append(Bench(device, exact, board, spice.prepare(board), in_ngspice))
    return tuple(found)


def evaluate(sweep: Sweep, case: Case, numbers: range, engine: str) -> list[Row]:
    """Simulate consecutive samples.

    Args:
        numbers: starting at a multiple of ``BLOCK``, where the engine is network.
    """
    size = BLOCK if engine == "network" and sweep.workload.kind != "training" else 1
    rows: list[Row] = []
    # The processes share the work; BLAS threads would only wait for each other.
    with threadpool_limits(1, user_api="blas"):
        for start in range(numbers.start, numbers.stop, size):
            block = range(start, min(start + size, numbers.stop))
            try:
                rows += _rows(sweep, case, block, engine)
            except Exception:  # whatever a sample does, it must not stop the sweep
                rows += [_alone(sweep, case, number, engine) for number in block]
    return rows


def question_of(sweep: Sweep, device: Device) -> Question:
    """What a sweep asks of every sample of a device."""
    needs = {METRICS[name].needs for name in sweep.recorded}
    settling = sweep.settling_error if "settling" in needs else None
    return Question(sweep.time * float(device.time_constant), settling, "noise" in needs)


def failed(sweep: Sweep, sample: int, reason: str) -> Row:
    """The row of a sample that could not be simulated."""
    return Row(sample, "failed", " ".join(reason.split()), 1.0, (np.nan,) * len(sweep.recorded))


def _alone(sweep: Sweep, case: Case, sample: int, engine: str) -> Row:
    reason = ""
    for _ in range(TRIES - (engine == "ngspice")):
        try:
            return _rows(sweep, case, range(sample, sample + 1), engine)[0]
        except SpuError as error:
            reason = str(error)
        except Exception as error:  # kept with its reason, as a sample that ngspice cannot simulate
            reason = f"{type(error).__name__}: {error}"
    return failed(sweep, sample, reason)


def drawn_samples(sweep: Sweep, case: Case, bench: Bench, numbers: range) -> Samples:
    """Some of the samples of a case, of a worst case too."""
    hardware, places = bench.device.hardware, bench.board.places
    if sweep.analysis.kind != "worst case":
        return samples_of(case, hardware.variation, hardware.temperature, places, numbers)
    extremes = {purpose: at[numbers.start : numbers.stop] for purpose, at in _worst(sweep).items()}
    return corners(hardware.variation, hardware.temperature, places, extremes)


@lru_cache(maxsize=4)
def _worst(sweep: Sweep) -> dict[str, Array]:
    (bench,) = benches(sweep, sweep.engine)
    hardware, places = bench.device.hardware, bench.board.places

    def measured(extremes: Mapping[str, Array]) -> Array:
        count, size = len(next(iter(extremes.values()))), BLOCK if sweep.engine == "network" else 1
        found = []
        for start in range(0, count, size):
            some = {purpose: at[start : start + size] for purpose, at in extremes.items()}
            samples = corners(hardware.variation, hardware.temperature, places, some)
            found.append(metrics_of(sweep, bench, samples)[0])
        return np.concatenate(found, axis=1)

    return worst_extremes(bounded(hardware.variation, places), len(sweep.recorded), measured)


def _rows(sweep: Sweep, case: Case, numbers: range, engine: str) -> list[Row]:
    if sweep.workload.kind == "training":
        return [Row(number, "ok", "", 1.0, (final_accuracy(sweep, case, number),)) for number in numbers]
    worst = np.full((len(sweep.recorded), len(numbers)), -inf)
    weights, unstable = np.ones(len(numbers)), np.zeros(len(numbers), dtype=bool)
    for bench in benches(sweep, engine):
        samples = drawn_samples(sweep, case, bench, numbers)
        found, grows = metrics_of(sweep, bench, samples)
        worst, unstable = np.maximum(worst, found), unstable | grows
        weights = samples.weights
    return [
        Row(number, "unstable" if unstable[k] else "ok", "", float(weights[k]), tuple(worst[:, k].tolist()))
        for k, number in enumerate(numbers)
    ]


def metrics_of(sweep: Sweep, bench: Bench, samples: Samples) -> tuple[Array, NDArray[np.bool_]]:
    """The metrics of samples, (metrics, samples), NaN where they are unstable, and which are."""
    device, question = bench.device, question_of(sweep, bench.device)
    behaviour = bench.behaviour(samples, question)
    codes, _ = quantize(bench.board.read(samples, behaviour.volts), device.hardware.adc)
    answers = Answers(device, bench.exact, codes * device.unknowns_per_volt, behaviour, question.seconds)
    found = np.empty((len(sweep.recorded), samples.count))
    for k, name in enumerate(sweep.recorded):
        measure = METRICS[name].measure
        assert measure is not None
        found[k] = measure(answers)
    found[:, behaviour.unstable] = np.nan
    return found, behaviour.unstable

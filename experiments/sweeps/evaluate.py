"""What a worker does: some copies of one case of one point of a sweep, from description to metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import inf

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from experiments.sweeps.cases import Case, copies_of
from experiments.sweeps.config import Sweep
from experiments.sweeps.metrics import METRICS, Answers
from experiments.sweeps.training import final_accuracy
from experiments.sweeps.workload import systems_of
from experiments.sweeps.worst import worst_ends
from netlists.parts import converter_errors
from solvers.digital import Digital
from solvers.drawn import BLOCK, Behaviour, DrawnNetwork, DrawnNgspice, Question
from solvers.engine import IdealLaw
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.converters import characteristic, quantize
from spu_circuit.copies import Copies, bounded, corners
from spu_circuit.errors import SpuError
from spu_circuit.program import Device

Array = NDArray[np.float64]

TRIES = 2
"""How often a copy is simulated before its failure counts."""
POINTS = 200
"""Steps of an ngspice transient, at least."""


@dataclass(frozen=True)
class Row:
    """One copy's result.

    Args:
        status: "ok"; "unstable": a mode of its circuit grows, so that it solves nothing; "failed".
        reason: why it failed.
        weight: see ``Copies``.
        metrics: in the order of ``Sweep.recorded``; NaN where there is none.
    """

    sample: int
    status: str
    reason: str
    weight: float
    metrics: tuple[float, ...]


@dataclass(frozen=True)
class Bench:
    """A nominal device with one system on it, ready for copies."""

    device: Device
    exact: Array
    network: DrawnNetwork | None
    ngspice: DrawnNgspice


@lru_cache(maxsize=4)
def benches(sweep: Sweep, engine: str) -> tuple[Bench, ...]:
    """The devices of a point, one for each system. The voltage scale is ranged once, by the nominal ideal law."""
    hardware = sweep.device()
    found = []
    for system in systems_of(sweep.workload):
        exact = Digital("cholesky").solve(system).value
        device = Spu(hardware, IdealLaw()).ranged(system)
        network = DrawnNetwork(device, sweep.linearise) if engine == "network" else None
        found.append(Bench(device, exact, network, DrawnNgspice(device, Ngspice(points=POINTS))))
    return tuple(found)


def evaluate(sweep: Sweep, case: Case, samples: range, engine: str) -> list[Row]:
    """Simulate consecutive copies.

    Args:
        samples: starting at a multiple of ``BLOCK``, where the engine is network.
    """
    size = BLOCK if engine == "network" and sweep.workload.kind != "training" else 1
    rows: list[Row] = []
    # The processes share the work; BLAS threads would only wait for each other.
    with threadpool_limits(1, user_api="blas"):
        for start in range(samples.start, samples.stop, size):
            block = range(start, min(start + size, samples.stop))
            try:
                rows += _rows(sweep, case, block, engine)
            except Exception:  # whatever a copy does, it must not stop the sweep
                rows += [_alone(sweep, case, sample, engine) for sample in block]
    return rows


def question_of(sweep: Sweep, device: Device) -> Question:
    """What a sweep asks of every copy of a device."""
    needs = {METRICS[name].needs for name in sweep.recorded}
    settling = sweep.settling_error if "settling" in needs else None
    return Question(sweep.time * device.time_constant, settling, "noise" in needs)


def failed(sweep: Sweep, sample: int, reason: str) -> Row:
    """The row of a copy that could not be simulated."""
    return Row(sample, "failed", " ".join(reason.split()), 1.0, (np.nan,) * len(sweep.recorded))


def _alone(sweep: Sweep, case: Case, sample: int, engine: str) -> Row:
    reason = ""
    for _ in range(TRIES - (engine == "ngspice")):
        try:
            return _rows(sweep, case, range(sample, sample + 1), engine)[0]
        except SpuError as error:
            reason = str(error)
        except Exception as error:  # kept with its reason, as a copy that ngspice cannot simulate
            reason = f"{type(error).__name__}: {error}"
    return failed(sweep, sample, reason)


def drawn_copies(sweep: Sweep, case: Case, bench: Bench, samples: range) -> Copies:
    """Some of the copies of a case, of a worst case too."""
    hardware, places = bench.device.hardware, bench.ngspice.board.places
    if sweep.analysis.kind != "worst case":
        return copies_of(case, hardware.variation, hardware.temperature, places, samples)
    ends = {purpose: at[samples.start : samples.stop] for purpose, at in _worst(sweep).items()}
    return corners(hardware.variation, hardware.temperature, places, ends)


@lru_cache(maxsize=4)
def _worst(sweep: Sweep) -> dict[str, Array]:
    (bench,) = benches(sweep, sweep.engine)
    hardware, places = bench.device.hardware, bench.ngspice.board.places

    def measured(ends: Mapping[str, Array]) -> Array:
        count, size = len(next(iter(ends.values()))), BLOCK if sweep.engine == "network" else 1
        found = []
        for start in range(0, count, size):
            some = {purpose: at[start : start + size] for purpose, at in ends.items()}
            copies = corners(hardware.variation, hardware.temperature, places, some)
            found.append(metrics_of(sweep, bench, copies)[0])
        return np.concatenate(found, axis=1)

    return worst_ends(bounded(hardware.variation, places), len(sweep.recorded), measured)


def _rows(sweep: Sweep, case: Case, samples: range, engine: str) -> list[Row]:
    if sweep.workload.kind == "training":
        return [Row(sample, "ok", "", 1.0, (final_accuracy(sweep, case, sample),)) for sample in samples]
    worst = np.full((len(sweep.recorded), len(samples)), -inf)
    weights, unstable = np.ones(len(samples)), np.zeros(len(samples), dtype=bool)
    for bench in benches(sweep, engine):
        copies = drawn_copies(sweep, case, bench, samples)
        found, grows = metrics_of(sweep, bench, copies)
        worst, unstable = np.maximum(worst, found), unstable | grows
        weights = copies.weights
    return [
        Row(sample, "unstable" if unstable[k] else "ok", "", float(weights[k]), tuple(worst[:, k].tolist()))
        for k, sample in enumerate(samples)
    ]


def metrics_of(sweep: Sweep, bench: Bench, copies: Copies) -> tuple[Array, NDArray[np.bool_]]:
    """The metrics of copies, (metrics, copies), NaN where they are unstable, and which are."""
    device, question = bench.device, question_of(sweep, bench.device)
    if bench.network is not None:
        behaviour = bench.network.behaviour(copies, question)
    else:
        behaviour = bench.ngspice.behaviour(copies, 0, question)
    answers = Answers(device, bench.exact, _read(device, copies, behaviour), behaviour, question.seconds)
    found = np.empty((len(sweep.recorded), len(copies.temperature)))
    for k, name in enumerate(sweep.recorded):
        measure = METRICS[name].measure
        assert measure is not None
        found[k] = measure(answers)
    found[:, behaviour.unstable] = np.nan
    return found, behaviour.unstable


def _read(device: Device, copies: Copies, behaviour: Behaviour) -> Array:
    """What comes through the copies' ADCs, in the problem's units."""
    adc = device.hardware.adc
    volts, _ = quantize(characteristic(behaviour.volts, adc, **converter_errors(copies, "adc")), adc)
    return volts * device.unknowns_per_volt

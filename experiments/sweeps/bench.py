"""A nominal device with a system on it, and what samples of it are measured to do."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.sweeps.config import Sweep
from experiments.sweeps.metrics import METRICS, Answers
from experiments.sweeps.workloads import systems_of
from netlists.board import Board, populated
from netlists.device import Device
from solvers.behaviour import Behaviour, Question, in_network, in_ngspice
from solvers.digital import Digital
from solvers.ideal import IdealLaw
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.precision.description import Precision
from solvers.spu import Spu
from spu_circuit.converters import quantize
from spu_circuit.problem import LinearSystem, LinearSystems
from spu_circuit.sampling import Samples

Array = NDArray[np.float64]

POINTS = 200
"""Steps of an ngspice transient, at least."""


@dataclass(frozen=True)
class Bench:
    """A nominal device with one system on it, ready for samples.

    Args:
        system: that is on it.
        spu: the device as a solver, by the same engine.
        prepared: the board, by an engine.
        find: what samples of the device do, by the same engine.
    """

    device: Device
    exact: Array
    board: Board
    system: LinearSystem
    spu: Spu
    prepared: Any
    find: Callable[[Any, Device, Samples, Question], Behaviour]

    def behaviour(self, samples: Samples, question: Question) -> Behaviour:
        return self.find(self.prepared, self.device, samples, question)


@lru_cache(maxsize=4)
def benches(sweep: Sweep, engine: str) -> tuple[Bench, ...]:
    """The devices of a point, one for each system. The voltage scale is ranged once, by the nominal ideal law
    and supply."""
    hardware = sweep.powered()
    chosen = sweep.chosen()
    spice = chosen if isinstance(chosen, Ngspice) else Ngspice()
    spice = replace(spice, points=sweep.points or POINTS)
    found = []
    for system in systems_of(sweep.workload):
        exact = Digital("cholesky").solve(system).value
        device = Spu(sweep.device(), IdealLaw()).ranged(system)
        if sweep.supply != 1:
            # Whoever chose the scale does not know what the supply is today.
            device = Spu(hardware, IdealLaw()).program(system, float(device.volts_per_unit))
        for law in filter(None, (METRICS[name].law for name in sweep.recorded)):
            law(device, device.at_rest()[None])
        # What is refined is programmed with other matrices, too, which need all resistors.
        table = device.circuit if sweep.precision is None else populated(device.circuit, hardware)
        board = Board(hardware, table)
        if engine == "network" and isinstance(chosen, Network):
            prepared = chosen.prepare(board)
            prepared.refuse_temperatures()
            if question_of(sweep, device).of_motion:
                prepared.program(device.array).refuse_nonlinear()
            found.append(Bench(device, exact, board, system, Spu(hardware, chosen), prepared, in_network))
        else:
            own = Spu(hardware, spice)
            found.append(Bench(device, exact, board, system, own, spice.prepare(board), in_ngspice))
    return tuple(found)


def question_of(sweep: Sweep, device: Device) -> Question:
    """What a sweep asks of every sample of a device."""
    needs = {METRICS[name].needs for name in sweep.recorded}
    settling = sweep.settling_error if "settling" in needs else None
    return Question(sweep.time * float(device.time_constant), settling, "noise" in needs)


class Measured(NamedTuple):
    """What samples were measured to do.

    Args:
        metrics: (metrics, samples), NaN where they are unstable.
        unstable: which are, (samples,).
        bent, rates_off: see ``Behaviour``.
    """

    metrics: Array
    unstable: NDArray[np.bool_]
    bent: Array
    rates_off: Array


def metrics_of(sweep: Sweep, bench: Bench, samples: Samples) -> Measured:
    """The metrics of samples."""
    device, question = bench.device, question_of(sweep, bench.device)
    behaviour = bench.behaviour(samples, question)
    if sweep.precision is None or behaviour.unstable.all():
        codes, _ = quantize(bench.board.read(samples, behaviour.volts), device.hardware.adc)
        solutions, solves, programs = codes * device.unknowns_per_volt, *np.ones((2, samples.count))
    else:
        solutions, solves, programs = _precise(sweep, sweep.precision, bench, samples)
    answers = Answers(device, bench.exact, solutions, behaviour, question.seconds, solves, programs)
    found = np.empty((len(sweep.recorded), samples.count))
    for k, name in enumerate(sweep.recorded):
        measure = METRICS[name].measure
        assert measure is not None
        found[k] = measure(answers)
    found[:, behaviour.unstable] = np.nan
    return Measured(found, behaviour.unstable, behaviour.bent, behaviour.rates_off)


def _precise(sweep: Sweep, precision: Precision, bench: Bench, samples: Samples) -> tuple[Array, Array, Array]:
    """Solutions (samples, n) that each sample refines for itself, and how many solves and programs they took. What is
    random in them, noise and rounding, is the same in all samples."""
    count, system = samples.count, bench.system
    systems = LinearSystems(np.tile(system.A, (count, 1, 1)), np.tile(system.b, (count, 1)))
    solver = precision.of(replace(bench.spu, sample=samples))
    found = solver.solve_batch(systems, sweep.time, None, [sweep.seed] * count)
    statistics = found.statistics
    return found.values, statistics.solves.astype(float), statistics.programs.astype(float)

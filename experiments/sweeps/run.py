"""Run a sweep: what is not in the store yet, batch by batch."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from experiments.shared.executor import Executor, executor
from experiments.sweeps.cases import Case, cases_of
from experiments.sweeps.config import Sweep, points
from experiments.sweeps.evaluate import Row, benches, evaluate, failed
from experiments.sweeps.statistics import yield_of
from experiments.sweeps.store import Key, SweepStore
from experiments.sweeps.training import trained
from experiments.sweeps.workload import digests
from solvers.behaviour import BLOCK
from solvers.ngspice_process import ngspice_program
from spu_circuit.errors import InputError, SimulationError

CHECK = 16 * BLOCK
"""A sweep that may stop early looks at its yield each time that so many more samples are finished."""
SMALL = 8
"""Samples that a worker gets at a time where each takes long."""
FEWEST = 50
"""Samples before a share of failures means anything."""


class Progress(Protocol):
    """Told of every finished batch."""

    def __call__(self, key: Key, done: int, total: int, rows: list[Row]) -> None: ...


@dataclass(frozen=True)
class Plan:
    """A checked sweep.

    Args:
        config: all that determines its results.
        settings: what the grid sets at each point.
        sweeps: each point's sweep.
        audit: share of the samples that ngspice repeats.
    """

    config: dict[str, Any]
    settings: list[dict[str, Any]]
    sweeps: list[Sweep]
    audit: float

    def cases(self) -> Iterator[tuple[Key, Sweep, Case]]:
        for point, sweep in enumerate(self.sweeps):
            for name, case in cases_of(sweep).items():
                yield (point, name), sweep, case


@dataclass(frozen=True)
class Batch:
    """Consecutive copies of one case that a worker gets at a time.

    Args:
        audit: ngspice repeats what the network computed.
    """

    sweep: Sweep
    case: Case
    samples: range
    audit: bool = False

    def rows(self) -> list[Row]:
        return evaluate(self.sweep, self.case, self.samples, "ngspice" if self.audit else self.sweep.engine)

    def halves(self) -> list[Self]:
        """Two parts, cut between blocks where there are several."""
        first, last = self.samples.start, self.samples.stop
        unit = BLOCK if last - first > BLOCK else 1
        middle = first + max(1, (last - first) // (2 * unit)) * unit
        return [replace(self, samples=part) for part in (range(first, middle), range(middle, last))]


def plan(document: Mapping[str, Any], grid: Mapping[str, list[Any]], where: str, audit: float = 0.0) -> Plan:
    """Check every point of a sweep before anything is computed.

    Raises:
        InputError: a field is wrong, or a nominal device cannot be made.
    """
    if not 0 <= audit <= 1:
        raise InputError(f"audit is {audit:g}; it must be a share from 0 to 1")
    found = points(document, grid, where)
    sweeps = [sweep for _, sweep in found]
    for sweep in sweeps:
        if audit and (sweep.engine == "ngspice" or sweep.workload.kind == "training"):
            raise InputError("audit repeats copies of engine 'network' in ngspice; leave it out here")
        cases_of(sweep)
        if sweep.workload.kind == "training":
            trained(sweep)
        else:
            benches(sweep, sweep.engine)
    config = {
        "document": dict(document),
        "grid": dict(grid),
        "hardware": [sweep.device().model_dump(mode="json") for sweep in sweeps],
        "files": [digests(sweep.workload) for sweep in sweeps],
        "audit": audit,
    }
    return Plan(config, [setting for setting, _ in found], sweeps, audit)


def run(
    plan: Plan,
    store: SweepStore,
    workers: int = 1,
    scheduler: str | None = None,
    batch: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Compute what is missing; every finished batch is in the store at once.

    Args:
        batch: samples that a worker gets at a time; of engine network rounded up to whole blocks. It changes no result.

    Raises:
        SimulationError: too many samples fail.
        InputError: the scheduler does not answer.
    """
    if scheduler is None and (plan.audit or any(sweep.engine == "ngspice" for sweep in plan.sweeps)):
        ngspice_program()
    with executor(workers, scheduler) as computers:
        compute(plan, store, computers, batch, progress)


def compute(
    plan: Plan, store: SweepStore, computers: Executor, batch: int | None = None, progress: Progress | None = None
) -> None:
    """``run`` with an executor that is there already."""
    for key, sweep, case in plan.cases():
        _run_case(store, computers, key, sweep, case, batch, progress)
    if plan.audit:
        for key, sweep, case in plan.cases():
            chosen = audited(sweep, case, plan.audit)
            ok = {row.sample for row in store.rows_of(key, sweep, case) if row.status == "ok"}
            todo = sorted((chosen & ok) - store.samples(key, audit=True))
            batches = [Batch(sweep, case, range(sample, sample + 1), audit=True) for sample in todo]
            for rows in _finished(computers, batches):
                store.commit(key, rows, audit=True)


def audited(sweep: Sweep, case: Case, share: float) -> set[int]:
    """Numbers of the samples that ngspice repeats: chosen by the seed, each for itself."""
    rng = np.random.default_rng([sweep.seed, 0xA0D17])
    return set(np.flatnonzero(rng.random(case.samples) < share).tolist())


def _run_case(
    store: SweepStore,
    computers: Executor,
    key: Key,
    sweep: Sweep,
    case: Case,
    batch: int | None,
    progress: Progress | None,
) -> None:
    slow = sweep.engine == "ngspice" or sweep.workload.kind == "training"
    size = batch or (SMALL if slow else 4 * BLOCK)
    if not slow:
        size = -(-size // BLOCK) * BLOCK
    stop = sweep.analysis.stop_width
    round_size = case.samples if stop is None else CHECK
    for begin in range(0, case.samples, round_size):
        end = min(begin + round_size, case.samples)
        finished = store.samples(key)
        todo = [
            Batch(sweep, case, range(first, min(first + size, end)))
            for first in range(begin, end, size)
            if not finished.issuperset(range(first, min(first + size, end)))
        ]
        done = len(finished)
        for rows in _finished(computers, todo):
            fresh = [row for row in rows if row.sample not in finished]
            store.commit(key, fresh)
            done += len(fresh)
            if progress is not None:
                progress(key, done, case.samples, fresh)
            _refuse_failures(store, key, sweep)
        if stop is not None and end < case.samples:
            low, high = yield_of(sweep, store.rows_of(key, sweep, case)).interval
            if high - low <= stop:
                return


def _finished(computers: Executor, batches: Iterable[Batch]) -> Iterator[list[Row]]:
    """Rows of batches, as they get ready. One whose worker dies is halved, until a single copy is to blame."""
    queue = deque(batches)
    for batch, rows in computers.results(Batch.rows, queue):
        if rows is not None:
            yield rows
        elif len(batch.samples) > 1:
            queue.extend(batch.halves())
        else:
            yield [failed(batch.sweep, batch.samples.start, "its worker process died, twice")]


def _refuse_failures(store: SweepStore, key: Key, sweep: Sweep) -> None:
    tried, bad, reason = store.failures(key)
    if tried >= FEWEST and bad > sweep.most_failures * tried:
        raise SimulationError(
            f"stopped: {bad} of {tried} copies of {key[1]!r} at point {key[0]} cannot be simulated, above "
            f"most_failures = {sweep.most_failures:.0%}; the last reason is: {reason}"
        )

"""Run a sweep: what is not in the store yet, batch by batch."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np

from experiments.shared.executor import Executor, executor
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.kept import keep
from experiments.sweeps.rows import Row, failed
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.statistics import yield_of
from experiments.sweeps.store import SweepStore
from experiments.sweeps.study import Key, Study
from experiments.sweeps.workloads import WORKLOADS
from solvers.behaviour import BLOCK
from solvers.ngspice_process import ngspice_program
from spu_circuit.errors import SimulationError

CHECK = 16 * BLOCK
"""A sweep that may stop early looks at its yield each time that so many more samples are finished."""
SMALL = 8
"""Samples that a worker gets at a time where each takes long."""
MOST_BATCH = 65_536
"""Samples that a worker may get at a time: what it has finished is kept when all are."""
FEWEST = 50
"""Samples before a share of failures means anything."""


class Progress(Protocol):
    """Told of every finished batch."""

    def __call__(self, key: Key, done: int, total: int, rows: list[Row]) -> None: ...


@dataclass(frozen=True)
class Batch:
    """Consecutive copies of one set that a worker gets at a time.

    Args:
        audit: ngspice repeats what the network computed.
    """

    sweep: Sweep
    copies: SampleSet
    samples: range
    audit: bool = False

    def rows(self) -> list[Row]:
        return evaluate(self.sweep, self.copies, self.samples, "ngspice" if self.audit else self.sweep.engine)

    def halves(self) -> list[Self]:
        """Two parts, cut between blocks where there are several."""
        first, last = self.samples.start, self.samples.stop
        unit = BLOCK if last - first > BLOCK else 1
        middle = first + max(1, (last - first) // (2 * unit)) * unit
        return [replace(self, samples=part) for part in (range(first, middle), range(middle, last))]


def run(
    study: Study,
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
        SimulationError: too many samples fail, or all of a set.
        InputError: the scheduler does not answer.
    """
    if scheduler is None and (study.audit or any(sweep.engine == "ngspice" for sweep in study.sweeps)):
        ngspice_program()
    with executor(workers, scheduler) as computers:
        compute(study, store, computers, batch, progress)


def compute(
    study: Study, store: SweepStore, computers: Executor, batch: int | None = None, progress: Progress | None = None
) -> None:
    """``run`` with an executor that is there already."""
    keep(study, store)
    for key, sweep, copies in study.sets():
        _run_set(store, computers, key, sweep, copies, batch, progress)
    for key, _, _ in study.sets():
        _refuse_nothing(store, key)
    if study.audit:
        for key, sweep, copies in study.sets():
            chosen = audited(sweep, copies, study.audit)
            ok = {row.sample for row in store.rows_of(key, sweep, copies) if row.status == "ok"}
            todo = sorted((chosen & ok) - store.samples(key, audit=True))
            batches = [Batch(sweep, copies, range(sample, sample + 1), audit=True) for sample in todo]
            for rows in _finished(computers, batches):
                store.commit(key, rows, audit=True)


def audited(sweep: Sweep, copies: SampleSet, share: float) -> set[int]:
    """Numbers of the samples that ngspice repeats: chosen by the seed, each for itself."""
    rng = np.random.default_rng([sweep.seed, 0xA0D17])
    return set(np.flatnonzero(rng.random(copies.samples) < share).tolist())


def _run_set(
    store: SweepStore,
    computers: Executor,
    key: Key,
    sweep: Sweep,
    copies: SampleSet,
    batch: int | None,
    progress: Progress | None,
) -> None:
    slow = sweep.engine == "ngspice" or WORKLOADS[sweep.workload.kind].systems is None
    size = batch or (SMALL if slow else 4 * BLOCK)
    if not slow:
        size = -(-size // BLOCK) * BLOCK
    stop = sweep.analysis.stop_width
    round_size = copies.samples if stop is None else CHECK
    for begin in range(0, copies.samples, round_size):
        end = min(begin + round_size, copies.samples)
        finished = store.samples(key)
        todo = [
            Batch(sweep, copies, range(first, min(first + size, end)))
            for first in range(begin, end, size)
            if not finished.issuperset(range(first, min(first + size, end)))
        ]
        done = len(finished)
        for rows in _finished(computers, todo):
            fresh = [row for row in rows if row.sample not in finished]
            store.commit(key, fresh)
            done += len(fresh)
            if progress is not None:
                progress(key, done, copies.samples, fresh)
            _refuse_failures(store, key, sweep)
        if stop is not None and end < copies.samples:
            # What is there beyond comes from before the sweep was extended, or from a run that was stopped.
            rows = [row for row in store.rows_of(key, sweep, copies) if row.sample < end]
            low, high = yield_of(sweep, copies, rows).interval
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
            yield [failed(batch.samples.start, "its worker process died, twice", len(batch.sweep.recorded))]


def _refuse_failures(store: SweepStore, key: Key, sweep: Sweep) -> None:
    tried, bad, reason = store.failures(key)
    if tried >= FEWEST and bad > sweep.most_failures * tried:
        raise _stopped(key, tried, bad, f", above most_failures = {sweep.most_failures:.0%}", reason)


def _refuse_nothing(store: SweepStore, key: Key) -> None:
    """However few the copies are: a set of which none can be simulated says nothing."""
    tried, bad, reason = store.failures(key)
    if bad == tried:
        raise _stopped(key, tried, bad, "", reason)


def _stopped(key: Key, tried: int, bad: int, why: str, reason: str) -> SimulationError:
    return SimulationError(
        f"stopped: {bad} of {tried} copies of {key[1]!r} at point {key[0]} cannot be simulated{why}; "
        f"the first reason is: {reason}"
    )

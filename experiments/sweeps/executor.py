"""Where copies are computed: in this process, in worker processes, or on any Dask cluster."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from experiments.sweeps.cases import Case
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import Row, evaluate, failed
from experiments.sweeps.store import Key
from solvers.drawn import BLOCK
from spu_circuit.errors import InputError, SimulationError

PATIENCE = "20 s"
"""How long a scheduler may take to answer."""
DEATHS = 1
"""Workers that may die of a batch before it is taken apart."""


@dataclass(frozen=True)
class Batch:
    """Consecutive copies of one case that a worker gets at a time.

    Args:
        audit: ngspice repeats what the network computed.
    """

    key: Key
    samples: range
    audit: bool = False


class Executor(Protocol):
    """Computes batches."""

    def results(self, sweep: Sweep, case: Case, batches: Sequence[Batch]) -> Iterator[tuple[Batch, list[Row]]]:
        """Each batch with its rows, as they get ready."""
        ...


class Here:
    """This process, one batch after the other."""

    def results(self, sweep: Sweep, case: Case, batches: Sequence[Batch]) -> Iterator[tuple[Batch, list[Row]]]:
        for batch in batches:
            yield batch, evaluate(sweep, case, batch.samples, _engine(sweep, batch))


class Cluster:
    """A Dask cluster. Decks and circuits are made in its workers."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def results(self, sweep: Sweep, case: Case, batches: Sequence[Batch]) -> Iterator[tuple[Batch, list[Row]]]:
        from distributed import CancelledError, KilledWorker, as_completed
        from distributed.comm import CommClosedError

        def submit(batch: Batch) -> Any:
            future = self._client.submit(evaluate, sweep, case, batch.samples, _engine(sweep, batch), pure=False)
            meant[future] = batch
            return future

        meant: dict[Any, Batch] = {}
        waiting = as_completed([submit(batch) for batch in batches])
        for future in waiting:
            batch = meant.pop(future)
            try:
                yield batch, future.result()
            except KilledWorker:
                if len(batch.samples) > 1:
                    for part in _halves(batch):
                        waiting.add(submit(part))
                else:
                    yield batch, [failed(sweep, batch.samples.start, "its worker process died, twice")]
            except (CancelledError, CommClosedError):
                raise SimulationError(
                    "the Dask scheduler is gone; what is finished is kept, and the same command goes on from there"
                ) from None


@contextmanager
def executor(workers: int, scheduler: str | None) -> Iterator[Executor]:
    """Something that computes batches.

    Args:
        workers: processes on this machine; 1: this process itself.
        scheduler: address of a Dask scheduler, such as tcp://host:8786, instead.

    Raises:
        InputError: the scheduler does not answer. SimulationError: worker processes cannot be started.
    """
    if scheduler is None and workers == 1:
        yield Here()
        return
    import dask
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": DEATHS}))
        if scheduler is not None:
            try:
                client = Client(scheduler, timeout=PATIENCE)
            except (OSError, ValueError) as error:
                raise InputError(
                    f"scheduler: {scheduler!r} does not answer ({' '.join(str(error).split())}); start one with "
                    "'dask scheduler', or leave it out"
                ) from None
        else:
            try:
                cluster = LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=50, memory_limit=0
                )
            except (OSError, RuntimeError) as error:
                raise SimulationError(f"worker processes did not start ({error}); try again") from None
            client = Client(stack.enter_context(cluster))
        yield Cluster(stack.enter_context(client))


def _engine(sweep: Sweep, batch: Batch) -> str:
    return "ngspice" if batch.audit else sweep.engine


def _halves(batch: Batch) -> list[Batch]:
    """Two parts, cut between blocks where there are several."""
    first, last = batch.samples.start, batch.samples.stop
    unit = BLOCK if last - first > BLOCK else 1
    middle = first + max(1, (last - first) // (2 * unit)) * unit
    return [Batch(batch.key, range(first, middle), batch.audit), Batch(batch.key, range(middle, last), batch.audit)]

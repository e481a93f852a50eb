"""Where jobs are computed: in this process, in worker processes, or on any Dask cluster."""

import logging
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from typing import Any, Protocol, TypeVar

from experiments.shared.memory import machine_memory, size_text
from spu_circuit.errors import InputError, SimulationError

Job = TypeVar("Job")
Result = TypeVar("Result")

PATIENCE = "20 s"
"""How long a scheduler may take to answer."""
DEATHS = 1
"""Workers that may die of a job before it is given up."""
AHEAD = 2
"""Jobs that each worker thread has at a time, so that it never waits for the next one, where they are short."""
WORKER_MEMORY = 150_000_000
"""Bytes that a worker process takes when it has imported what it needs."""
GONE = "the Dask scheduler is gone; what is finished is kept, and the same command goes on from there"
UNREADABLE = "Error during deserialization"
"""How Dask begins its complaint about a job whose function or classes it does not find."""
TLS = "distributed.comm.tls"
"""Where Dask's settings name certificates; DASK_DISTRIBUTED__COMM__TLS__CA_FILE and the like in the environment."""
LARGE = "1 GB"
"""Size of a job above which Dask warns: the state of a trial may well be some megabytes."""
HEAP = {
    f"distributed.nanny.pre-spawn-environ.MALLOC_{name}_THRESHOLD_": 2**size
    for name, size in (("TRIM", 27), ("MMAP", 25))
}
"""Workers keep freed arrays below 32 MiB for the next job. By Dask's own setting they ask the kernel for each anew,
which zeroes it page by page: more than half of the time of a block of a sweep."""


class Executor(Protocol):
    """Computes jobs."""

    def results(
        self, work: Callable[[Job], Result], queue: deque[Job], ahead: int = AHEAD
    ) -> Iterator[tuple[Job, Result | None]]:
        """Each job of a queue with its result, as they get ready; None: its worker process died, twice.

        Jobs are taken from the left, each when a worker is about to be free. What is put into the queue meanwhile is
        taken too.

        Args:
            work: a function of a module, so that a worker finds it by its name.
            ahead: jobs that each worker thread has at a time; 1 where a job takes minutes, so that none waits behind
                another while a thread is free.

        Raises:
            SimulationError: the scheduler is gone; InputError: a worker lacks a package. Whatever ``work`` raises.
        """
        ...

    def processes(self) -> int:
        """How many jobs are computed at a time, as far as it is known now."""
        ...


class Here:
    """This process, one job after the other."""

    def processes(self) -> int:
        return 1

    def results(
        self, work: Callable[[Job], Result], queue: deque[Job], ahead: int = AHEAD
    ) -> Iterator[tuple[Job, Result | None]]:
        while queue:
            job = queue.popleft()
            yield job, work(job)


class Cluster:
    """A Dask cluster. Its workers may come and go."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def results(
        self, work: Callable[[Job], Result], queue: deque[Job], ahead: int = AHEAD
    ) -> Iterator[tuple[Job, Result | None]]:
        from distributed import CancelledError, KilledWorker, as_completed
        from distributed.comm import CommClosedError

        running: dict[Any, Job] = {}
        ready = as_completed()
        while queue or running:
            wanted = ahead * self.processes()
            while queue and len(running) < wanted:
                job = queue.popleft()
                future = self._client.submit(work, job, pure=False)
                running[future] = job
                ready.add(future)
            future = next(ready)
            job, result = running.pop(future), None
            try:
                result = future.result()
            except KilledWorker:
                pass
            except (CancelledError, CommClosedError):
                raise SimulationError(GONE) from None
            except ImportError as error:
                raise InputError(
                    f"scheduler: a worker cannot import {error.name}; install there what is installed here"
                ) from None
            except RuntimeError as error:
                if not str(error).startswith(UNREADABLE):
                    raise
                raise InputError(
                    "scheduler: it has no spu-circuit, or another version; install there what is installed here"
                ) from None
            yield job, result

    def processes(self) -> int:
        try:
            return max(1, sum(self._client.nthreads().values()))
        except OSError:
            raise SimulationError(GONE) from None


@contextmanager
def executor(workers: int, scheduler: str | None) -> Iterator[Executor]:
    """Something that computes jobs.

    Args:
        workers: processes on this machine; 1: this process itself.
        scheduler: address of a Dask scheduler, such as tcp://host:8786 or tls://host:8786, instead. Certificates are
            those that Dask's own settings name.

    Raises:
        InputError: the scheduler does not answer, or wants certificates that are not there; or so many workers do not
            fit into memory. SimulationError: worker processes cannot be started.
    """
    if scheduler is None and workers * WORKER_MEMORY > (memory := machine_memory()):
        raise InputError(
            f"workers: {workers} processes take about {size_text(workers * WORKER_MEMORY)} of memory, and this machine "
            f"has {size_text(memory)}; take at most {memory // WORKER_MEMORY}"
        )
    if scheduler is None and workers == 1:
        yield Here()
        return
    import dask
    from distributed import Client, LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": DEATHS,
        "distributed.admin.large-graph-warning-threshold": LARGE,
        **HEAP,
    }
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        if scheduler is not None:
            # A scheduler that goes away is told once, by us.
            logger = logging.getLogger("distributed.client")
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
            client = _connected(scheduler)
        else:
            with stops_kept():
                try:
                    cluster = LocalCluster(
                        n_workers=workers,
                        threads_per_worker=1,
                        dashboard_address="127.0.0.1:0",  # any free port: another run may have the usual one
                        scheduler_kwargs={"dashboard": False},
                        silence_logs=50,
                        memory_limit=0,
                    )
                except (OSError, RuntimeError) as error:
                    raise SimulationError(f"worker processes did not start ({error}); try again") from None
                stack.enter_context(cluster)
            client = Client(cluster)
        yield Cluster(stack.enter_context(client))


@contextmanager
def stops_kept() -> Iterator[None]:
    """Ctrl-C inside counts when the block ends; processes that are begun inside never see one, as this one ends them.

    Threads and processes inherit that it is blocked. Other threads of this process may still be told of it, so it is
    noted.
    """
    resource_tracker.ensure_running()  # whoever starts it would let Ctrl-C through again
    noted: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda *_: noted.append(signal.SIGINT))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if noted and callable(handler):
        handler(signal.SIGINT, None)


def _connected(scheduler: str) -> Any:
    """A Dask client, with the certificates that Dask's settings name."""
    from distributed import Client, Security

    security = Security()
    try:
        secret = security.get_connection_args("client")["ssl_context"]
    except OSError as error:
        raise InputError(
            f"scheduler: a certificate of Dask's settings cannot be used ({error}); check the files that "
            f"{TLS}.ca-file, client.cert and client.key name"
        ) from None
    encrypted = scheduler.startswith("tls://")
    if encrypted and secret is None:
        raise InputError(
            f"scheduler: {scheduler!r} needs certificates; name their files in Dask's settings {TLS}.ca-file, "
            "client.cert and client.key"
        )
    if security.require_encryption and not encrypted:
        raise InputError(
            f"scheduler: {scheduler!r} is not encrypted, which Dask's setting require-encryption asks for; give an "
            "address that begins with tls://"
        )
    try:
        return Client(scheduler, security=security, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise InputError(
            f"scheduler: {scheduler!r} does not answer ({' '.join(str(error).split())}); start one with "
            "'dask scheduler', or leave it out"
        ) from None

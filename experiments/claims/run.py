"""Claims, measured where that was not done before."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from threadpoolctl import threadpool_limits

from experiments.claims.claim import Rows
from experiments.claims.given import Given
from experiments.claims.statements import MINUTES, claim_named
from experiments.claims.store import FOLDER, Result, digest_of, given, keep, kept
from experiments.shared.executor import executor
from experiments.shared.files import make_folder
from spu_circuit.errors import SimulationError


class Job(NamedTuple):
    """A claim to be measured."""

    name: str
    quick: bool
    given: Given


def results(
    names: Sequence[str], quick: bool, folder: Path, workers: int, scheduler: str | None, data: Path | None = None
) -> Iterator[Result]:
    """The results of claims as they are there: first those of before, then each as it is finished and written.

    The longest claims begin first, so that those that end are short. What is finished of an interrupted claim is not
    computed again.

    Args:
        folder: exists.
        workers: processes; they change no number.
        data: of claims on data.

    Raises:
        InputError, SimulationError: a file is damaged, or a claim cannot be measured; what was finished is kept.
    """
    make_folder(folder / FOLDER)
    left: deque[Job] = deque()
    of_data = digest_of(data)
    for claim in map(claim_named, sorted(names, key=lambda name: -MINUTES.get(name, 0))):
        if (result := kept(folder, claim, quick, of_data)) is not None:
            yield result
        else:
            left.append(Job(claim.name, quick, given(folder, claim, quick, data)))
    if not left:
        return
    with executor(min(workers, len(left)), scheduler) as machine:
        for job, found in machine.results(measured, left, ahead=1):
            if found is None:
                raise SimulationError(f"claim {job.name!r}: its process died; run it alone, with --workers 1")
            rows, seconds = found
            yield keep(folder, claim_named(job.name), quick, rows, seconds, of_data)


def measured(job: Job) -> tuple[Rows, float]:
    """Rows of a claim, and the seconds that they took. In one thread, so that sums have one order."""
    claim, began = claim_named(job.name), perf_counter()
    with threadpool_limits(1, user_api="blas"):
        rows = claim.measure(claim.protocol(job.quick), job.given)
    return rows, perf_counter() - began

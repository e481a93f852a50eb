"""A training experiment: all its trials at every point of its grid, on any executor, resumable."""

import json
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from itertools import groupby
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from experiments.shared.executor import Executor, executor
from experiments.shared.versions import versions
from experiments.training.config import Experiment, Optimizer, Training, points_of
from experiments.training.data import Sizes, Split, fingerprint
from experiments.training.store import Chunk, Step, Store, Trial
from experiments.training.tasks import task_named
from solvers.ngspice_process import ngspice_program
from spu_circuit.errors import InputError, SimulationError, SpuError
from spu_circuit.hardware import Hardware

if TYPE_CHECKING:
    from experiments.training.methods import Method
    from experiments.training.stepping import Place

CHUNK_SECONDS = 1.0
"""About how long a worker computes before it hands over its steps."""
METHODS = 16
"""Optimizers whose solvers and compiled programs a process keeps."""

Progress = Callable[[dict[Trial, tuple[int, Step]]], None]


@dataclass(frozen=True)
class Job:
    """The next steps of trials of one optimizer, with all that they are computed from.

    Args:
        places: trials that differ in learning rate, seed and copy alone, and where they stand.
        hardware: of the optimizer, where it has a device.
        data_path: of a local copy of the samples, which the worker reads.
        data_sha256: of the samples.
        steps: how many.
        double_precision: whether the command's numbers have 64 bits.
    """

    experiment: Experiment
    places: "tuple[Place, ...]"
    hardware: Hardware | None
    data_path: Path | None
    data_sha256: str
    steps: int
    double_precision: bool = False

    @property
    def settings(self) -> Optimizer:
        return self.experiment.optimizers[self.places[0].trial.optimizer]


def trials(training: Training) -> list[Trial]:
    """All trials, those that simulate an array first, since they take longest.

    What is the same at several points is trained at the first of them.
    """
    found = [
        Trial(point, name, rate, seed, copy)
        for point, experiment in enumerate(training.experiments)
        for name, settings in experiment.optimizers.items()
        if training.trained_at[point][name] == point
        for rate in settings.learning_rates
        for seed in experiment.seeds_of(name)
        for copy in settings.copy_numbers
    ]
    return sorted(found, key=lambda t: not training.experiments[t.point].optimizers[t.optimizer].entry.analog)


def resolve(experiment: Experiment) -> dict[str, Any]:
    """The config with its hardware descriptions and its task's measures spelled out.

    Raises:
        InputError: an unknown hardware or engine, or settings that contradict each other.
    """
    from experiments.training.methods import build_natural, build_preconditioner, build_solver

    for name, settings in experiment.optimizers.items():
        try:
            if solver := build_solver(settings):
                build_natural(settings, solver, experiment.steps)
            build_preconditioner(experiment, name)
        except InputError as error:
            raise InputError(f"config: optimizers.{name}: {error}") from None
    # Through text, which is where infinities become strings.
    resolved = json.loads(experiment.model_dump_json(exclude={"workers", "record_systems"}))
    for name, settings in experiment.optimizers.items():
        own = {k: v for k, v in resolved["optimizers"][name].items() if k in settings.taken}
        resolved["optimizers"][name] = own | ({"mapping": settings.placement} if "mapping" in own else {})
    devices = {name: settings.device() for name, settings in experiment.optimizers.items()}
    resolved["hardware"] = {name: json.loads(own.model_dump_json()) for name, own in devices.items() if own}
    task = task_named(experiment.task)
    beside = asdict(task.beside) if task.beside else None
    return resolved | {
        "samples": task.samples,
        "loss": asdict(task.loss),
        "score": asdict(task.score),
        "beside": beside,
        "double_precision": double_precision(),
    }


def double_precision() -> bool:
    """Whether JAX has numbers of 64 bits in this process, as JAX_ENABLE_X64 says."""
    import jax.numpy as jnp

    return bool(jnp.zeros(0).dtype == jnp.float64)


def prepare(training: Training, data_path: Path | None) -> dict[str, Any]:
    """Check all that can be checked before the first step: what the store keeps, to know the experiment again.

    Returns:
        The resolved experiment; where there is a grid, that of every point.

    Raises:
        InputError: see ``resolve``, ``Task.load`` and ``check_memory``.
    """
    from experiments.training.size import check_memory

    digests: dict[tuple[str, Sizes], dict[str, Any]] = {}
    found = []
    for experiment in training.experiments:
        resolved, key = resolve(experiment), (experiment.task, experiment.data)
        if key not in digests:
            data = task_named(experiment.task).load(experiment.data, data_path)
            digests[key] = {"data_sha256": fingerprint(data)} | ({"notes": list(data.notes)} if data.notes else {})
        for name in experiment.optimizers:
            check_memory(experiment, name)
        found.append(resolved | digests[key])
    if not training.grids:
        return found[0]
    parts = zip(training.settings, training.trained_at, found, strict=True)
    points = [{"setting": setting, "trained_at": where} | point for setting, where, point in parts]
    return {"name": training.name, "grid": [dict(grid) for grid in training.grids], "points": points}


def run(
    training: Training,
    config: dict[str, Any],
    folder: Path,
    data_path: Path | None,
    progress: Progress,
    workers: int | None = None,
    scheduler: str | None = None,
) -> bool:
    """Finish every trial; what an earlier run finished is kept. A trial whose solve fails ends there, the others go on.

    Args:
        config: what ``prepare`` returns for this experiment.
        workers: processes on this machine; 1: this process itself; None: as many as the config says.
        scheduler: address of a Dask scheduler instead. Only this process writes the store.

    Returns:
        Whether there was anything left to do.

    Raises:
        KeyboardInterrupt: stopped by the user; what is finished is in the store, up to about a second ago.
        InputError: the folder cannot be written or holds another experiment, or the scheduler does not answer.
        NgspiceMissingError: ngspice is asked for and not installed.
        InputError, SimulationError: a solve failed, after all other trials are finished.
    """
    used = [settings for experiment in training.experiments for settings in experiment.optimizers.values()]
    if scheduler is None and any(settings.simulated for settings in used):
        ngspice_program()
    with closing(Store(folder)) as store:
        store.claim(config, versions())
        store.keep_sizes(sizes(training))
        latest = store.latest()
        progress(latest)
        todo = [trial for trial in trials(training) if not _ended(training, trial, latest)]
        if todo:
            digests = [point["data_sha256"] for point in points_of(config)]
            with executor(min(workers or training.experiments[0].workers, len(todo)), scheduler) as computers:
                _finish(training, todo, data_path, digests, store, computers, latest, progress)
    return bool(todo)


def sizes(training: Training) -> list[dict[str, Any]]:
    """Of every point, what decides the cost of a step of each optimizer."""
    from experiments.training.methods import sizes_of

    return [{name: sizes_of(experiment, name) for name in experiment.optimizers} for experiment in training.experiments]


def _finish(
    training: Training,
    todo: list[Trial],
    data_path: Path | None,
    digests: list[str],
    store: Store,
    computers: Executor,
    latest: dict[Trial, tuple[int, Step]],
    progress: Progress,
) -> None:
    """Compute trials chunk by chunk; each is in the store before the next one of its trial begins."""
    from experiments.training.stepping import Place

    queue: deque[Job] = deque()
    device = cache(Optimizer.device)
    for group in _groups(training, todo, computers.processes()):
        experiment, point = training.experiments[group[0].point], group[0].point
        settings = experiment.optimizers[group[0].optimizer]
        places = tuple(Place(trial, *store.state(trial)) for trial in group)
        queue.append(Job(experiment, places, device(settings), data_path, digests[point], 1, double_precision()))
    failures: list[tuple[Trial, SpuError]] = []
    for job, result in computers.results(advanced, queue):
        if result is None:
            raise SimulationError(
                f"worker processes died twice of a step of {job.places[0].trial.optimizer} (out of memory?); finished "
                "steps are kept and the same command goes on from there"
            )
        chunks, seconds = result
        going = []
        for chunk in chunks:
            store.commit(chunk)
            trial = chunk.trial
            if chunk.steps:
                latest[trial] = chunk.steps[-1].step + 1, chunk.steps[-1]
            if chunk.error:
                failures.append((trial, chunk.error))
            elif not _ended(training, trial, latest):
                going.append(Place(trial, latest[trial][1], chunk.state))
        progress(latest)
        if going:
            # What was begun goes on first, so that few trials are open at a time.
            queue.appendleft(replace(job, steps=_pace(job.steps, seconds), places=tuple(going)))
    if failures:
        trial, error = min(failures, key=lambda failure: todo.index(failure[0]))
        more = f"; {len(failures) - 1} more failed, see 'failed' in summary.json" if len(failures) > 1 else ""
        raise type(error)(f"{trial}, step {latest[trial][0] if trial in latest else 0}: {error}{more}")


def _groups(training: Training, todo: Sequence[Trial], processes: int) -> list[list[Trial]]:
    """Trials that are advanced together. The results do not depend on it, only the time.

    Every process computes where a device is simulated; for other trials it would compile for longer than it computes.
    """
    from experiments.training.methods import width

    found = []
    for (point, name), group in groupby(todo, key=lambda trial: (trial.point, trial.optimizer)):
        mine, experiment = list(group), training.experiments[point]
        size = width(experiment, name)
        if experiment.optimizers[name].entry.analog:
            size = min(size, ceil(len(mine) / processes))
        found += [mine[start : start + size] for start in range(0, len(mine), size)]
    return found


def advanced(job: Job) -> tuple[list[Chunk], float]:
    """What a worker does, and the seconds that it took. Raises InputError where it computes in another precision."""
    from experiments.training.trial import advance

    if double_precision() != job.double_precision:
        raise InputError(
            "JAX_ENABLE_X64: a worker computes in another precision than this command; set it alike for both"
        )
    began = perf_counter()
    data = _data(job.experiment.task, job.experiment.data, job.data_path, job.data_sha256)
    method = _method(job.settings, job.experiment.steps, job.hardware)
    chunks = advance(job.experiment, job.places, data, job.steps, method)
    return chunks, perf_counter() - began


_METHODS: "dict[tuple[Optimizer, int], tuple[Hardware | None, Method]]" = {}


def _method(settings: Optimizer, steps: int, hardware: Hardware | None) -> "Method":
    """Built once in a process for an optimizer, since it keeps what is prepared and compiled."""
    from experiments.training.methods import Method, build_solver

    known, method = _METHODS.get((settings, steps), (None, None))
    if method is None or known != hardware:
        method = Method(settings, build_solver(settings, hardware), steps)
        while len(_METHODS) >= METHODS:
            _METHODS.pop(next(iter(_METHODS)))
        _METHODS[settings, steps] = hardware, method
    return method


def _ended(training: Training, trial: Trial, latest: dict[Trial, tuple[int, Step]]) -> bool:
    if trial not in latest:
        return False
    count, last = latest[trial]
    return count == training.experiments[trial.point].steps or last.diverged


def _pace(steps: int, seconds: float) -> int:
    """Steps of the next chunk, after so many took so long."""
    if seconds < CHUNK_SECONDS / 2:
        return 2 * steps
    return max(1, steps // 2) if seconds > 2 * CHUNK_SECONDS else steps


@lru_cache(maxsize=2)
def _data(task: str, sizes: Sizes, path: Path | None, sha256: str) -> Split:
    """The samples. Raises InputError where a worker finds others than the command did."""
    data = task_named(task).load(sizes, path)
    if fingerprint(data) != sha256:
        raise InputError("data: a worker reads other samples than this command; give both the same files and packages")
    return data

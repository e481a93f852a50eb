"""A training experiment: all its trials, in worker processes, resumable."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from experiments.config import Experiment
from experiments.data import fingerprint, load_data
from experiments.store import Step, Store, Trial
from experiments.versions import versions
from solvers.ngspice_process import ngspice_program
from spu_circuit.errors import InputError, SimulationError
from spu_circuit.hardware import load_hardware

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
"""A worker computes in one thread, so that sums have one order and workers do not fight for cores."""

Progress = Callable[[dict[Trial, tuple[int, Step]]], None]

_stop: Event | None = None
_parent = 0


def trials(experiment: Experiment) -> list[Trial]:
    """All trials, those that simulate circuits first, since they take longest."""
    names = sorted(experiment.optimizers, key=lambda name: experiment.optimizers[name].kind != "tngd")
    return [
        Trial(name, rate, seed)
        for name in names
        for rate in experiment.optimizers[name].learning_rates
        for seed in experiment.seeds
    ]


def resolve(experiment: Experiment) -> dict[str, Any]:
    """The config with its hardware descriptions spelled out.

    Raises:
        InputError: an unknown hardware or engine, or settings that contradict each other.
        NgspiceMissingError: ngspice is asked for and not installed.
    """
    from experiments.trial import build_optimizer

    for trial in trials(experiment):
        try:
            build_optimizer(experiment.optimizers[trial.optimizer], trial)
        except InputError as error:
            raise InputError(f"config: optimizers.{trial.optimizer}: {error}") from None
    used = [o for o in experiment.optimizers.values() if o.kind == "tngd" and o.hardware != "none"]
    if any(o.engine == "ngspice" for o in used):
        ngspice_program()
    # Through text, which is where infinities become strings.
    resolved = json.loads(experiment.model_dump_json(exclude={"workers", "record_systems"}))
    for name, optimizer in experiment.optimizers.items():
        resolved["optimizers"][name] = {k: v for k, v in resolved["optimizers"][name].items() if k in optimizer.taken}
    resolved["hardware"] = {o.hardware: json.loads(load_hardware(o.hardware).model_dump_json()) for o in used}
    return resolved


def prepare(experiment: Experiment, data_path: Path | None) -> dict[str, Any]:
    """Check all that can be checked before the first step: what the store keeps, to know the experiment again.

    Raises:
        InputError, NgspiceMissingError: see ``resolve`` and ``load_data``.
    """
    return resolve(experiment) | {"data_sha256": fingerprint(load_data(experiment.data, data_path))}


def run(
    experiment: Experiment, config: dict[str, Any], folder: Path, data_path: Path | None, progress: Progress
) -> bool:
    """Finish every trial; what an earlier run finished is kept.

    Args:
        config: what ``prepare`` returns for this experiment.

    Returns:
        Whether there was anything left to do.

    Raises:
        KeyboardInterrupt: stopped by the user; every finished step is in the store.
        InputError: the folder cannot be written or holds another experiment. SimulationError: a solve failed.
    """
    with closing(Store(folder)) as store:
        store.claim(config, versions())
        latest = store.latest().items()
        finished = {trial for trial, (count, step) in latest if count == experiment.steps or step.diverged}
        todo = [trial for trial in trials(experiment) if trial not in finished]
        progress(store.latest())
        if todo:
            _run_trials(experiment, todo, folder, data_path, store, progress)
        progress(store.latest())
    return bool(todo)


def _run_trials(
    experiment: Experiment, todo: list[Trial], folder: Path, data_path: Path | None, store: Store, progress: Progress
) -> None:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    kept = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        with ProcessPoolExecutor(experiment.workers, context, _start_worker, (stop,)) as pool:
            # A process begun while Ctrl-C is ignored ignores it from its first moment.
            handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
            waiting: set[Future[None]] = {pool.submit(_work, experiment, t, folder, data_path) for t in todo}
            signal.signal(signal.SIGINT, handler)
            try:
                while waiting:
                    done, waiting = wait(waiting, timeout=0.25)
                    progress(store.latest())
                    for future in done:
                        future.result()
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise
    except BrokenProcessPool:
        raise SimulationError(
            "a worker process died (out of memory?); finished steps are kept and the same command goes on from there"
        ) from None
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start_worker(stop: Event) -> None:
    """The parent handles Ctrl-C; a worker finishes its step and looks at ``stop``, and whether the parent lives."""
    global _stop, _parent
    _stop, _parent = stop, os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _stopped() -> bool:
    return (_stop is not None and _stop.is_set()) or os.getppid() != _parent


def _work(experiment: Experiment, trial: Trial, folder: Path, data_path: Path | None) -> None:
    from experiments.trial import run_trial

    if _stopped():
        return
    data = load_data(experiment.data, data_path)
    with closing(Store(folder)) as store:
        for _ in run_trial(experiment, trial, data, store):
            if _stopped():
                return

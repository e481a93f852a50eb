"""Sweeps whose process is killed at random moments, over and over: what they lose of it."""

import tempfile
from collections.abc import Mapping
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from signal import SIGKILL
from typing import Any

import numpy as np

from experiments.benchmarks.measure import Figure, at_most, seconds
from experiments.sweeps.run import run
from experiments.sweeps.store import SweepStore
from experiments.sweeps.study import Study, study_of

KILLS = 100
PARTS = 8
"""A process lives for up to two of so many parts of the time that a whole sweep takes."""
DOCUMENT: Mapping[str, Any] = {
    "name": "killed",
    "hardware": {
        "base": "paper",
        "variation": {"array_resistor": {"local": {"tolerance": "1 %", "meaning": "sigma"}, "stuck_open": 1e-3}},
    },
    "workload": {"kind": "random", "size": 8, "condition": 5, "systems": 2},
    "analysis": {"kind": "monte carlo", "samples": 4096},
    "limits": {"relative_error": {"max": "2 %"}},
}
Rows = dict[int, str]
"""What a store holds of each copy, to the last bit."""


def kills(count: int = KILLS, document: Mapping[str, Any] = DOCUMENT) -> list[Figure]:
    """As many SIGKILLs of the process that computes and stores; it goes on until the sweep is whole, then anew.

    Args:
        count: of processes that are killed while they run.
        document: of the sweep.
    """
    study, sweeps, hit, lost = study_of(document, {}, "benchmark"), 0, 0, 0
    rng, context = np.random.default_rng(0), get_context("forkserver")
    context.set_forkserver_preload(["experiments.sweeps.run", "experiments.sweeps.analyses"])
    with tempfile.TemporaryDirectory() as folder:
        took = seconds(lambda: _swept(document, Path(folder, "whole")))
        whole = _rows(study, Path(folder, "whole"))
        while hit < count:
            sweeps += 1
            path, kept = Path(folder, str(sweeps)), Rows()
            while len(kept) < len(whole) and hit < count:
                process = context.Process(target=_swept, args=(document, path))
                process.start()
                process.join(rng.uniform(0, 2 * took / PARTS))
                process.kill()
                process.join()
                if process.exitcode not in (0, -SIGKILL):
                    raise RuntimeError(f"the sweep ended with status {process.exitcode}")
                hit += process.exitcode == -SIGKILL
                found = _rows(study, path)
                lost += _lost(kept, found)
                kept = found
                if process.exitcode == 0:
                    break
            _swept(document, path)
            lost += _lost(whole, _rows(study, path))
    note = (
        f"{hit} of the processes that computed and stored {sweeps} sweeps of {len(whole):,} copies, at random moments"
    )
    return [at_most(f"copies lost or changed by {hit} SIGKILLs", lost, "", 0, note)]


def _swept(document: Mapping[str, Any], folder: Path) -> None:
    """What is missing in the store is computed."""
    study = study_of(document, {}, "benchmark")
    with closing(SweepStore(folder)) as store:
        store.claim(study.config, {})
        run(study, store, batch=1)


def _rows(study: Study, folder: Path) -> Rows:
    """Of the one set, by number."""
    with closing(SweepStore(folder)) as store:
        store.claim(study.config, {})
        ((key, _, _),) = study.sets()
        return {row.sample: repr(row) for row in store.rows(key)}


def _lost(before: Rows, after: Rows) -> int:
    return sum(after.get(sample) != row for sample, row in before.items())

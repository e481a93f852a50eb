"""Linear systems recorded from a training run, as a workload for sweeps."""

from contextlib import closing
from pathlib import Path

import numpy as np

from experiments.training.store import open_existing
from spu_circuit.errors import InputError
from spu_circuit.problem import GgnSystem


def read_systems(folder: Path, count: int) -> list[GgnSystem]:
    """Recorded systems of a training run, spread evenly over its steps, trial after trial.

    Args:
        folder: of a run with ``--record-systems``.
        count: how many.

    Raises:
        InputError: there is no run, or it has fewer systems than that.
    """
    with closing(open_existing(folder)) as store:
        recorded = list(store.systems().values())
    if len(recorded) < count:
        raise InputError(
            f"workload.systems: {count} are asked for, {str(folder)!r} has {len(recorded)} recorded systems; lower it, "
            "or train in a new folder with --record-systems"
        )
    chosen = np.unique(np.linspace(0, len(recorded) - 1, count).round().astype(int))
    return [GgnSystem(r["B"], float(r["damping"]), r["gradient"]) for r in (recorded[k] for k in chosen)]

"""What every sample of a device does: the kinds of workloads, one entry each."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.shared.memory import machine_memory, size_text
from experiments.shared.systems import dominant_system, spd_system
from experiments.sweeps.config import Sweep, Workload
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.training import trained_metrics, training_of
from experiments.training.recording import read_systems
from solvers.behaviour import BLOCK
from spu_circuit.arrays import read_array
from spu_circuit.errors import InputError
from spu_circuit.files import is_file
from spu_circuit.problem import LinearSystem

OF_SYSTEM, OF_SAMPLE = 300, 190
"""Bytes an entry of the matrix that a prepared system takes at least, and a sample while it is computed: those of ideal
amplifiers, of up to 256 cells."""


@dataclass(frozen=True)
class WorkloadKind:
    """A kind of workload.

    Args:
        takes: fields of ``Workload`` besides its kind.
        needs: those without a default.
        systems: that every sample solves, the same wherever they are made; of a sample's metrics the worst counts.
        check: raises InputError where it cannot be done, besides what ``systems`` raises.
        measure: the metrics of one sample, in the order of ``Sweep.recorded``, where it solves no given systems.
        gives: which metrics; see ``Metric.of``.
        files: that it reads.
    """

    takes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    systems: Callable[[Workload], list[LinearSystem]] | None = None
    check: Callable[[Sweep], Any] | None = None
    measure: Callable[[Sweep, SampleSet, int], tuple[float, ...]] | None = None
    gives: str = "systems"
    files: Callable[[Workload], Iterable[str | None]] = lambda workload: ()


def _made(make: Callable[[int, float, int], LinearSystem]) -> Callable[[Workload], list[LinearSystem]]:
    return lambda given: [make(given.size, given.condition, given.seed + k) for k in range(given.systems)]


def _check_memory(sweep: Sweep) -> None:
    """Raise InputError where the matrices, or the samples that are computed together, cannot fit into memory."""
    given = sweep.workload
    together = BLOCK if sweep.engine == "network" else 1
    taken = given.size**2 * (given.systems * OF_SYSTEM + together * OF_SAMPLE)
    if taken > (held := machine_memory()):
        raise InputError(
            f"workload.size: {given.systems} systems of {given.size} cells take at least {size_text(float(taken))} of "
            f"memory, and this machine has {size_text(held)}; lower workload.size or workload.systems"
        )


def _of_files(workload: Workload) -> list[LinearSystem]:
    matrix = read_array(Path(str(workload.matrix)), "workload.matrix")
    return [LinearSystem(matrix, read_array(Path(str(workload.vector)), "workload.vector"))]


def numbered(folder: str | Path, number: int) -> tuple[Path, Path]:
    """The files of matrix and vector of a folder's system."""
    return Path(folder, f"matrix-{number}.npy"), Path(folder, f"vector-{number}.npy")


def _of_folder(workload: Workload) -> list[LinearSystem]:
    pairs = [numbered(str(workload.folder), number) for number in range(workload.systems)]
    return [LinearSystem(*(read_array(path, "workload.folder") for path in pair)) for pair in pairs]


def _recorded(workload: Workload) -> list[LinearSystem]:
    """Their dual, which has a cell for each row of B."""
    return [system.dual() for system in read_systems(Path(str(workload.folder)), workload.systems)]


RANDOM = ("size", "condition", "systems", "seed")
WORKLOADS = {
    "random": WorkloadKind(RANDOM, systems=_made(spd_system), check=_check_memory),
    "dominant": WorkloadKind(RANDOM, systems=_made(dominant_system), check=_check_memory),
    "file": WorkloadKind(
        ("matrix", "vector"), ("matrix", "vector"), _of_files, files=lambda given: (given.matrix, given.vector)
    ),
    "folder": WorkloadKind(
        ("folder", "systems"),
        ("folder",),
        _of_folder,
        files=lambda given: [str(p) for k in range(given.systems) for p in numbered(str(given.folder), k)],
    ),
    "recorded": WorkloadKind(
        ("folder", "systems"),
        ("folder",),
        _recorded,
        files=lambda given: (str(Path(str(given.folder), "run.sqlite")),),
    ),
    "training": WorkloadKind(
        ("config", "optimizer", "learning_rate"),
        ("config", "optimizer"),
        check=training_of,
        measure=trained_metrics,
        gives="training",
        files=lambda given: (given.config,),
    ),
}


def systems_of(workload: Workload) -> list[LinearSystem]:
    """The systems that every sample solves; none where it does something else.

    Raises:
        InputError: a file is missing or holds no system.
    """
    make = WORKLOADS[workload.kind].systems
    return make(workload) if make is not None else []


def digests(workload: Workload) -> dict[str, str]:
    """SHA-256 of the files that a workload reads, so that a changed file is noticed."""
    names = WORKLOADS[workload.kind].files(workload)
    return {name: digest(Path(name)) for name in names if name and is_file(Path(name))}


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

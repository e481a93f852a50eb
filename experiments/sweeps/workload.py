"""The systems that every sample of a device solves."""

import hashlib
from pathlib import Path

from experiments.shared.systems import dominant_system, spd_system
from experiments.sweeps.config import Workload
from experiments.training.recording import read_systems
from spu_circuit.arrays import read_array
from spu_circuit.files import is_file
from spu_circuit.problem import LinearSystem


def systems_of(workload: Workload) -> list[LinearSystem]:
    """The systems, the same wherever they are made; of recorded ones their dual, which has a cell for each row of B.

    Raises:
        InputError: a file is missing or holds no system.
    """
    if workload.kind == "random":
        return [spd_system(workload.size, workload.condition, workload.seed + k) for k in range(workload.systems)]
    if workload.kind == "dominant":
        return [dominant_system(workload.size, workload.condition, workload.seed + k) for k in range(workload.systems)]
    if workload.kind == "file":
        assert workload.matrix is not None
        assert workload.vector is not None
        matrix = read_array(Path(workload.matrix), "workload.matrix")
        return [LinearSystem(matrix, read_array(Path(workload.vector), "workload.vector"))]
    assert workload.folder is not None
    return [system.dual() for system in read_systems(Path(workload.folder), workload.systems)]


def digests(workload: Workload) -> dict[str, str]:
    """SHA-256 of the files that a workload reads, so that a changed file is noticed."""
    names = [workload.matrix, workload.vector, workload.config]
    if workload.folder is not None:
        names.append(str(Path(workload.folder, "run.sqlite")))
    return {name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in names if name and is_file(Path(name))}

"""Linear systems recorded from a training run."""

from pathlib import Path

from spu_circuit.problem import LinearSystem


def read_systems(folder: Path, count: int) -> list[LinearSystem]:
    raise NotImplementedError

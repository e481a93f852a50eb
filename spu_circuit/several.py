"""Systems of any kind as if they were a batch of arrays."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spu_circuit.errors import InputError
from spu_circuit.problem import GgnSystems, LinearSystems, System

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Several:
    """Systems of one size: one alone, those with a Hessian, or of several kinds.

    Raises:
        InputError: their sizes differ.
    """

    systems: tuple[System, ...]

    def __post_init__(self) -> None:
        sizes = {len(system.b) for system in self.systems}
        if len(sizes) != 1:
            shown = ", ".join(map(str, sorted(sizes)))
            raise InputError(f"systems have {shown} unknowns; a batch has systems of one size")

    def __len__(self) -> int:
        return len(self.systems)

    def __getitem__(self, k: int) -> System:
        return self.systems[k]

    def __iter__(self) -> Iterator[System]:
        return iter(self.systems)

    @property
    def b(self) -> Array:
        """(m, n)."""
        return np.stack([system.b for system in self.systems])

    @property
    def flops(self) -> int:
        """Of the ``product`` of the first."""
        return self.systems[0].flops

    def primal(self) -> LinearSystems:
        """Their matrices, formed densely."""
        return LinearSystems(np.stack([system.primal().A for system in self.systems]), self.b)

    def damped(self, damping: float) -> "Several":
        """With this much more on the diagonals."""
        return Several(tuple(system.damped(damping) for system in self.systems))

    def facing(self, b: Array) -> "Several":
        """With other right-hand sides, (m, n)."""
        return Several(tuple(system.facing(own) for system, own in zip(self.systems, b, strict=True)))

    def product(self, x: Array) -> Array:
        """A x of every system, (m, n)."""
        return np.stack([system.product(own) for system, own in zip(self.systems, x, strict=True)])

    def residual(self, x: Array) -> Array:
        """(m,): ‖A x − b‖ / ‖b‖, or ‖A x‖ where b = 0."""
        return np.array([system.residual(own) for system, own in zip(self.systems, x, strict=True)])


Batch = LinearSystems | GgnSystems | Several
"""What is solved at once."""

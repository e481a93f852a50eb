"""Rotation into the eigenvectors of an older matrix before programming, and scaling to a unit diagonal.

With ``T = Q diag(d)``, Q orthogonal and ``d = diag(QᵀAQ)^{−1/2}``, the device holds ``Tᵀ A T``, solves it for ``Tᵀ b``,
and ``x = T y``. Where Q are the eigenvectors of A that matrix is the identity; where they are those of a matrix a few
steps older it is close to it, so that coarse levels hold small corrections of it instead of all of A. All of this is
digital work: ``4n³`` to rotate a matrix, ``4n²`` for each right-hand side, and about ``9n³`` for new eigenvectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from solvers.held import Answer, Held, Rows, Wrapper, hold
from spu_circuit.admissible import real_array
from spu_circuit.errors import InputError
from spu_circuit.problem import LinearSystems
from spu_circuit.several import Batch

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Basis:
    """Eigenvectors that were fresh some solves ago. Whoever solves a sequence of systems keeps it.

    Args:
        vectors: Q, orthonormal columns, (n, n), or one for each of m systems, (m, n, n).
        age: solves since they were computed.
    """

    vectors: Array
    age: int = 0


def refreshed(basis: Basis | None, A: Array, every: int) -> Basis:
    """The basis of the next solve: a fresh one in each ``every``-th, else the old one, a solve older.

    Args:
        A: (..., n, n), symmetric.

    Raises:
        InputError: ``every`` is below 1.
    """
    if every < 1:
        raise InputError(f"a basis is refreshed every {every} solves; give 1 or more")
    if basis is None or basis.age + 1 >= every or basis.vectors.shape != A.shape:
        return Basis(np.linalg.eigh(A).eigenvectors)
    return Basis(basis.vectors, basis.age + 1)


def rotation(A: Array, vectors: Array) -> Array:
    """T = Q diag(d), which makes ``Tᵀ A T`` with a unit diagonal, (..., n, n).

    Raises:
        InputError: a column of Q sees no positive curvature, so A is singular or indefinite.
    """
    diagonal = np.einsum("...ij,...ij->...j", vectors, A @ vectors)
    if not (diagonal > 0).all():
        raise InputError(
            f"matrix is singular or indefinite: along a vector of the basis its curvature is {diagonal.min():.3g}; "
            "raise the damping"
        )
    return np.asarray(vectors / np.sqrt(diagonal)[..., None, :])


def rotated(systems: LinearSystems, T: Array) -> LinearSystems:
    """``Tᵀ A T y = Tᵀ b`` of every system, whose solutions are ``x = T y``."""
    A = np.swapaxes(T, -1, -2) @ systems.A @ T
    return LinearSystems((A + A.swapaxes(1, 2)) / 2, _times(np.swapaxes(T, -1, -2), systems.b))


@dataclass(frozen=True)
class Rotated(Wrapper):
    """A solver that is given systems in other coordinates. A ``GgnSystem`` is formed densely, in its N unknowns.

    Args:
        vectors: Q, orthonormal columns, (n, n), or one for each system of a batch, (m, n, n); see ``refreshed``.

    Raises:
        InputError: not square, or the columns are not orthonormal.
    """

    vectors: Array

    def __post_init__(self) -> None:
        Q = real_array(self.vectors, "basis", np.ndim(self.vectors))
        if Q.ndim not in (2, 3) or Q.shape[-1] != Q.shape[-2]:
            raise InputError(f"basis has shape {Q.shape}; it must be (n, n), or (m, n, n) for a batch")
        off = float(np.abs(np.swapaxes(Q, -1, -2) @ Q - np.eye(Q.shape[-1])).max())
        if off > 1e-6:
            raise InputError(f"basis is off orthonormal by {off:.2g}; give eigenvectors, such as those of numpy's eigh")
        object.__setattr__(self, "vectors", Q)

    def hold(self, systems: Batch, seeds: Sequence[int]) -> "HeldRotation":
        """See ``Holder``."""
        dense = systems.primal()
        m, n = dense.b.shape
        if self.vectors.shape not in ((n, n), (m, n, n)):
            raise InputError(f"basis has shape {self.vectors.shape}; these systems need {(n, n)} or {(m, n, n)}")
        T = rotation(dense.A, self.vectors)
        held = hold(self.solver, rotated(dense, T), seeds)
        return HeldRotation(held, T, held.programs, held.flops + 4.0 * n**3)


@dataclass(frozen=True)
class HeldRotation:
    """See ``Held``."""

    held: Held
    T: Array
    programs: int
    flops: float

    def solve(
        self,
        b: Array,
        analog_time: float = inf,
        initial_states: Array | None = None,
        seeds: Sequence[int] | None = None,
        asked: Rows | None = None,
    ) -> Answer:
        """See ``Held``."""
        states = None
        if initial_states is not None:
            states = np.asarray(np.linalg.solve(self.T, initial_states[..., None])[..., 0], dtype=np.float64)
        found = self.held.solve(_times(np.swapaxes(self.T, -1, -2), b), analog_time, states, seeds, asked)
        digital = 4.0 * b.shape[1] ** 2 * (1.0 if asked is None else asked)
        statistics = found.statistics._replace(flops=found.statistics.flops + digital)
        return Answer(_times(self.T, found.values), statistics, found.solver)


def _times(matrices: Array, vectors: Array) -> Array:
    return np.asarray((matrices @ vectors[..., None])[..., 0])

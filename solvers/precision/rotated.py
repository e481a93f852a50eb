"""Rotation into the eigenvectors of an older matrix before programming, and scaling to a unit diagonal.

With ``T = Q diag(d)``, Q orthogonal and ``d = diag(QᵀAQ)^{−1/2}``, the device holds ``Tᵀ A T``, solves it for ``Tᵀ b``,
and ``x = T y``. Where Q are the eigenvectors of A that matrix is the identity; where they are those of a matrix a few
steps older it is close to it, so that coarse levels hold small corrections of it instead of all of A. All of this is
digital work: ``4n³`` to rotate a matrix, ``4n²`` for each right-hand side, and about ``9n³`` for new eigenvectors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from solvers.held import Answer, Held, Rows, Wrapper, hold
from solvers.solution import Solver
from spu_circuit.admissible import real_array
from spu_circuit.errors import InputError, MappingError
from spu_circuit.problem import LinearSystems
from spu_circuit.several import Batch

Array = NDArray[np.float64]


EIGENVECTORS = 9.0
"""Digital operations for the eigenvectors of a matrix, in units of n³ (Golub and Van Loan, section 8.3)."""


@dataclass(frozen=True)
class Rotating:
    """A solver of systems one after the other, in eigenvectors that are old and renewed now and then.

    Whoever solves the sequence keeps the eigenvectors: see ``renewed``.

    Args:
        around: makes the solver from the eigenvectors, (m, n, n), of m systems.
        every: solves from one renewal to the next; 1: each has its own.

    Raises:
        InputError: ``every`` is below 1.
    """

    around: Callable[[Array], Solver]
    every: int
    analog: bool = True

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError(f"a basis is renewed every {self.every} solves; give 1 or more")

    def renewed(self, vectors: Array, A: Array, numbers: NDArray[np.intp]) -> tuple[Array, Rows]:
        """The eigenvectors of the next solve, and which are new.

        Args:
            vectors: of the last one, (m, n, n); anything before the first.
            A: matrices of the next one, (m, n, n), symmetric.
            numbers: how many solves were before, (m,).
        """
        fresh = numbers % self.every == 0
        found = vectors.copy()
        found[fresh] = np.linalg.eigh(A[fresh]).eigenvectors
        return found, fresh


def rotation(A: Array, vectors: Array) -> Array:
    """T = Q diag(d), which makes ``Tᵀ A T`` with a unit diagonal, (..., n, n).

    Raises:
        MappingError: a column of Q sees no positive curvature, so A is singular or indefinite.
    """
    diagonal = np.einsum("...ij,...ij->...j", vectors, A @ vectors)
    if not (diagonal > 0).all():
        raise MappingError(
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
        vectors: Q, orthonormal columns, (n, n), or one for each system of a batch, (m, n, n); see ``Rotating``.

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

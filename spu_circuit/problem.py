"""The systems that a device is asked to solve, checked once here and trusted afterwards."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

from spu_circuit.admissible import SYMMETRY_TOLERANCE, check_damping, indefinite, real_array, semidefinite
from spu_circuit.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LinearSystem:
    """``A x = b`` with A symmetric positive definite.

    Args:
        A: (n, n), real.
        b: (n,), real.

    Raises:
        InputError: wrong shape, not finite, not symmetric, or not positive definite (then a damping is suggested).
    """

    A: Array
    b: Array

    def __post_init__(self) -> None:
        A = real_array(self.A, "matrix", 2)
        b = real_array(self.b, "vector", 1)
        rows, columns = A.shape
        if rows != columns:
            raise InputError(f"matrix is {rows} x {columns}; it must be square")
        if len(b) != rows:
            raise InputError(f"vector has length {len(b)}, the matrix {rows} rows; they must agree")
        asymmetry = float(np.abs(A - A.T).max())
        if asymmetry > SYMMETRY_TOLERANCE * np.abs(A).max():
            raise InputError(f"matrix is not symmetric: entries differ from their mirror by up to {asymmetry:.3g}")
        A = (A + A.T) / 2
        try:
            scipy.linalg.cholesky(A, check_finite=False)
        except np.linalg.LinAlgError:
            raise InputError(f"matrix {indefinite(A)}") from None
        object.__setattr__(self, "A", A)
        object.__setattr__(self, "b", b)

    def primal(self) -> "LinearSystem":
        """Itself."""
        return self

    def factored(self) -> "GgnSystem":
        """The same system with A as ``BᵀB + λI``: λ is the lowest eigenvalue, so that B has n − 1 rows or fewer.

        Rows of B are eigenvectors, times the roots of what their eigenvalues have above λ.
        """
        values, vectors = scipy.linalg.eigh(self.A, check_finite=False)
        above = values - values[0]
        kept = above > np.finfo(float).eps * len(values) * values[-1]
        kept[-1] = True  # a multiple of the identity keeps one row, of zeros
        return GgnSystem(np.sqrt(above[kept])[:, None] * vectors.T[kept], float(values[0]), self.b)

    def damped(self, damping: float) -> "LinearSystem":
        """With this much more on the diagonal."""
        return LinearSystem(self.A + damping * np.eye(len(self.b)), self.b)

    def facing(self, b: Array) -> "LinearSystem":
        """With another right-hand side, (n,)."""
        return replace(self, b=b)

    @property
    def flops(self) -> int:
        """Of a ``product``."""
        return 2 * self.A.size

    def product(self, x: Array) -> Array:
        """A x, (n,)."""
        return self.A @ x

    def residual(self, x: Array) -> float:
        """‖A x − b‖ / ‖b‖, or ‖A x‖ where b = 0."""
        return _relative(self.product(x) - self.b, self.b)


@dataclass(frozen=True)
class GgnSystem:
    """``(BᵀB + λI) g̃ = g``: a step of natural gradient descent.

    Args:
        B: (K, N), the curvature factor; BᵀB is the generalized Gauss-Newton matrix or the empirical Fisher.
        damping: λ > 0.
        gradient: (N,), g.
        H: (K, K), symmetric positive semidefinite; the matrix is ``BᵀHB + λI``, so that B is the Jacobian J and H the
            Hessian of the loss (arXiv 2405.13817, Eq. 8). None: the identity.

    Raises:
        InputError: wrong shape, not finite, damping not above zero, or H not symmetric or not semidefinite.
    """

    B: Array
    damping: float
    gradient: Array
    H: Array | None = None

    def __post_init__(self) -> None:
        B = real_array(self.B, "curvature factor B", 2)
        gradient = real_array(self.gradient, "gradient", 1)
        if B.shape[1] != len(gradient):
            raise InputError(f"gradient has length {len(gradient)}, B {B.shape[1]} columns; they must agree")
        check_damping(self.damping)
        object.__setattr__(self, "B", B)
        object.__setattr__(self, "gradient", gradient)
        object.__setattr__(self, "damping", float(self.damping))
        if self.H is not None:
            object.__setattr__(self, "H", semidefinite(self.H, len(B)))

    @property
    def b(self) -> Array:
        """The right-hand side, g."""
        return self.gradient

    @cached_property
    def folded(self) -> "GgnSystem":
        """The same system without H: ``LᵀB`` in the place of B, ``H = L Lᵀ``."""
        if self.H is None:
            return self
        values, vectors = scipy.linalg.eigh(self.H, check_finite=False)
        root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
        return GgnSystem(root @ self.B, self.damping, self.gradient)

    def primal(self) -> LinearSystem:
        """The N×N system itself, formed densely."""
        B = self.folded.B
        return LinearSystem(B.T @ B + self.damping * np.eye(B.shape[1]), self.gradient)

    def dual(self) -> LinearSystem:
        """The K×K Woodbury system ``(BBᵀ + λI) y = B g``, with H folded into B."""
        B = self.folded.B
        return LinearSystem(B @ B.T + self.damping * np.eye(len(B)), B @ self.gradient)

    def from_dual(self, y: Array) -> Array:
        """``g̃ = (g − Bᵀ y) / λ`` from the dual solution (K,) (Woodbury identity)."""
        return (self.gradient - self.folded.B.T @ y) / self.damping

    def factored(self) -> "GgnSystem":
        """Itself."""
        return self

    def damped(self, damping: float) -> "GgnSystem":
        """With this much more damping."""
        return replace(self, damping=self.damping + damping)

    def facing(self, b: Array) -> "GgnSystem":
        """With another right-hand side, (N,)."""
        return replace(self, gradient=b)

    @property
    def flops(self) -> int:
        """Of a ``product``."""
        return 4 * self.B.size + 2 * len(self.b) + (0 if self.H is None else 2 * self.H.size)

    def product(self, x: Array) -> Array:
        """(BᵀHB + λI) x, (N,), without forming the matrix."""
        inner = self.B @ x
        return self.B.T @ (inner if self.H is None else self.H @ inner) + self.damping * x

    def residual(self, x: Array) -> float:
        """‖(BᵀHB + λI) x − g‖ / ‖g‖, or without the quotient where g = 0."""
        return _relative(self.product(x) - self.gradient, self.gradient)


System = LinearSystem | GgnSystem


@dataclass(frozen=True)
class LinearSystems:
    """m systems ``A x = b`` of one size, checked in one pass.

    Args:
        A: (m, n, n), symmetric. Whether it is positive definite shows when it is factorised: see ``cholesky``.
        b: (m, n).

    Raises:
        InputError: wrong shape, not finite, or not symmetric.
    """

    A: Array
    b: Array

    def __post_init__(self) -> None:
        A = real_array(self.A, "matrices", 3)
        b = real_array(self.b, "vectors", 2)
        m, rows, columns = A.shape
        if rows != columns:
            raise InputError(f"matrices are {rows} x {columns}; they must be square")
        if b.shape != (m, rows):
            raise InputError(f"vectors have shape {b.shape}, the matrices {A.shape}; vectors must be {(m, rows)}")
        mirrored = A.swapaxes(1, 2)
        if not np.array_equal(A, mirrored):
            asymmetry = np.abs(A - mirrored).max(axis=(1, 2))
            if (wrong := asymmetry > SYMMETRY_TOLERANCE * np.abs(A).max(axis=(1, 2))).any():
                k = int(np.argmax(wrong))
                raise InputError(
                    f"{_numbered('matrix', k, m)} is not symmetric: entries differ from their mirror by up to "
                    f"{asymmetry[k]:.3g}"
                )
            A = (A + mirrored) / 2
        object.__setattr__(self, "A", A)
        object.__setattr__(self, "b", b)

    def __len__(self) -> int:
        return len(self.b)

    def __getitem__(self, k: int) -> LinearSystem:
        """System k. Raises InputError where its matrix is not positive definite."""
        return LinearSystem(self.A[k], self.b[k])

    def cholesky(self) -> Array:
        """L (m, n, n), lower triangular, of every ``A = L Lᵀ``.

        Raises:
            InputError: a matrix is not positive definite; names the first one and the damping that would cure it.
        """
        try:
            return np.asarray(np.linalg.cholesky(self.A), dtype=np.float64)
        except np.linalg.LinAlgError:
            for k, A in enumerate(self.A):
                try:
                    np.linalg.cholesky(A)
                except np.linalg.LinAlgError:
                    raise InputError(f"{_numbered('matrix', k, len(self))} {indefinite(A)}") from None
            raise

    def primal(self) -> "LinearSystems":
        """Themselves."""
        return self

    def damped(self, damping: float) -> "LinearSystems":
        """With this much more on the diagonals."""
        return replace(self, A=self.A + damping * np.eye(self.b.shape[1]))

    def facing(self, b: Array) -> "LinearSystems":
        """With other right-hand sides, (m, n)."""
        return replace(self, b=b)

    @property
    def flops(self) -> int:
        """Of the ``product`` of one of them."""
        return 2 * self.A[0].size

    def product(self, x: Array) -> Array:
        """A x of every system, (m, n)."""
        return _times(self.A, x)

    def residual(self, x: Array) -> Array:
        """(m,): ‖A x − b‖ / ‖b‖, or ‖A x‖ where b = 0."""
        return _relative_each(self.product(x) - self.b, self.b)


@dataclass(frozen=True)
class GgnSystems:
    """m systems ``(BᵀB + λI) g̃ = g`` of one size, checked in one pass.

    Args:
        B: (m, K, N).
        damping: (m,), λ > 0.
        gradient: (m, N).

    Raises:
        InputError: wrong shape, not finite, or a damping not above zero.
    """

    B: Array
    damping: Array
    gradient: Array

    def __post_init__(self) -> None:
        B = real_array(self.B, "curvature factors B", 3)
        damping = real_array(self.damping, "damping", 1)
        gradient = real_array(self.gradient, "gradients", 2)
        m, _, parameters = B.shape
        if gradient.shape != (m, parameters):
            raise InputError(f"gradients have shape {gradient.shape}, B {B.shape}; they must be {(m, parameters)}")
        if damping.shape != (m,):
            raise InputError(f"damping has shape {damping.shape}; give one for each of the {m} systems")
        check_damping(float(damping.min()))
        object.__setattr__(self, "B", B)
        object.__setattr__(self, "damping", damping)
        object.__setattr__(self, "gradient", gradient)

    def __len__(self) -> int:
        return len(self.gradient)

    def __getitem__(self, k: int) -> GgnSystem:
        """System k."""
        return GgnSystem(self.B[k], float(self.damping[k]), self.gradient[k])

    @property
    def b(self) -> Array:
        """The right-hand sides, g."""
        return self.gradient

    def primal(self) -> LinearSystems:
        """The N×N systems themselves, formed densely."""
        return LinearSystems(self.B.swapaxes(1, 2) @ self.B + self._identities(self.B.shape[2]), self.gradient)

    def dual(self) -> LinearSystems:
        """The K×K Woodbury systems ``(BBᵀ + λI) y = B g``."""
        A = self.B @ self.B.swapaxes(1, 2) + self._identities(self.B.shape[1])
        return LinearSystems(A, _times(self.B, self.gradient))

    def from_dual(self, y: Array) -> Array:
        """``g̃ = (g − Bᵀ y) / λ``, (m, N), from the dual solutions (m, K) (Woodbury identity)."""
        return (self.gradient - _times(self.B.swapaxes(1, 2), y)) / self.damping[:, None]

    def damped(self, damping: float) -> "GgnSystems":
        """With this much more damping."""
        return replace(self, damping=self.damping + damping)

    def facing(self, b: Array) -> "GgnSystems":
        """With other right-hand sides, (m, N)."""
        return replace(self, gradient=b)

    @property
    def flops(self) -> int:
        """Of the ``product`` of one of them."""
        return 4 * self.B[0].size + 2 * self.b.shape[1]

    def product(self, x: Array) -> Array:
        """(BᵀB + λI) x of every system, (m, N), without forming the matrices."""
        return _times(self.B.swapaxes(1, 2), _times(self.B, x)) + self.damping[:, None] * x

    def residual(self, x: Array) -> Array:
        """(m,): ‖(BᵀB + λI) x − g‖ / ‖g‖, or without the quotient where g = 0."""
        return _relative_each(self.product(x) - self.gradient, self.gradient)

    def _identities(self, size: int) -> Array:
        return self.damping[:, None, None] * np.eye(size)


Systems = LinearSystems | GgnSystems


def _times(matrices: Array, vectors: Array) -> Array:
    return (matrices @ vectors[..., None])[..., 0]


def _numbered(name: str, k: int, m: int) -> str:
    return name if m == 1 else f"{name} {k} of {m}"


def _relative(difference: Array, reference: Array) -> float:
    return float(_relative_each(difference[None], reference[None])[0])


def _relative_each(difference: Array, reference: Array) -> Array:
    """(m,) from (m, n): ‖difference‖ / ‖reference‖, or ‖difference‖ where the reference is 0."""
    unit = np.abs(reference).max(axis=1, keepdims=True)
    unit = np.where(unit == 0, 1.0, unit)  # squares of large numbers overflow
    length = np.linalg.norm(reference / unit, axis=1)
    return np.linalg.norm(difference / unit, axis=1) / np.where(length == 0, 1.0, length)

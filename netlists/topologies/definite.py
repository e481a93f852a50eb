"""Whether programmed matrices are positive definite, as every array needs that relaxes to a solution."""

from typing import Protocol

import numpy as np
import scipy
from numpy.typing import NDArray

from spu_circuit.errors import MappingError
from spu_circuit.hardware import Hardware

Array = NDArray[np.float64]


CERTAIN = 1e-6
"""Smallest over largest pivot above which nobody asks for the condition. Of 4,000 singular matrices of levels, with up
to 90 cells, none had more than 3e-12."""


class _Programmed(Protocol):
    @property
    def matrix(self) -> Array: ...

    @property
    def siemens_per_unit(self) -> Array: ...


def is_definite(matrix: Array) -> bool:
    """Whether a symmetric matrix, (n, n), is positive definite by more than its rounding.

    Pivots of a Cholesky factor do not tell: where two rows are alike the last one is rounding, which the condition of
    the others magnifies. The condition number tells, which LAPACK estimates from the factor.
    """
    factor, info = scipy.linalg.lapack.dpotrf(matrix.T, clean=0)
    if info != 0:
        return False
    pivots = factor.diagonal() ** 2
    if float(pivots.min()) > CERTAIN * float(pivots.max()):
        return True
    inverse_condition, _ = scipy.linalg.lapack.dpocon(factor, float(np.abs(matrix).sum(axis=0).max()))
    return bool(inverse_condition > len(matrix) * np.finfo(float).eps)


def refuse_indefinite(array: _Programmed, A: Array, lost: NDArray[np.intp], step: float, hardware: Hardware) -> None:
    """Refuse matrices that lost their definiteness when they were rounded to levels, or that are singular to rounding.

    Args:
        A: as wanted, (..., n, n).
        lost: how many of its entries are, (...).
        step: S, what lies below is lost.

    Raises:
        MappingError: says how many entries are lost, and what to do.
    """
    matrices = array.matrix.reshape(-1, *A.shape[-2:])
    n = A.shape[-1]
    for which, matrix in enumerate(matrices):
        if is_definite(matrix):
            continue
        wanted = A.reshape(-1, n, n)[which]
        lowest = float(scipy.linalg.eigvalsh(matrix, subset_by_index=[0, 0])[0])
        unit = step / float(np.ravel(array.siemens_per_unit)[which])
        on_diagonal = int(((wanted != 0) & (matrix == 0)).diagonal().sum())
        scale = "" if hardware.scaling == "jacobi" else "set scaling = 'jacobi', "
        raise MappingError(
            f"hardware {hardware.name!r} cannot hold this matrix: {int(np.ravel(lost)[which])} of {wanted.size} "
            f"entries ({on_diagonal} on the diagonal) are lost below its smallest step of {unit:.2g}, and "
            f"rounded to its levels the matrix is not positive definite (lowest eigenvalue {lowest:.2g}); "
            f"add a damping above {max(-lowest, unit):.2g}, {scale}or take hardware with finer levels"
        )

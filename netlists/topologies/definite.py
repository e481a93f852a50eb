"""Whether programmed matrices are positive definite, as every array needs that relaxes to a solution."""

from typing import Protocol

import numpy as np
import scipy
from numpy.typing import NDArray

from spu_circuit.errors import MappingError
from spu_circuit.hardware import Hardware

Array = NDArray[np.float64]


class _Programmed(Protocol):
    @property
    def matrix(self) -> Array: ...

    @property
    def siemens_per_unit(self) -> Array: ...


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
        factor, info = scipy.linalg.lapack.dpotrf(matrix.T, clean=0)
        diagonal = factor.diagonal()
        if info == 0 and float(diagonal.min()) ** 2 > n * np.finfo(float).eps * float(diagonal.max()) ** 2:
            continue
        matrix = array.matrix.reshape(-1, n, n)[which]
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

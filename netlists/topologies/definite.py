"""Whether programmed matrices are positive definite, as every array needs that relaxes to a solution."""

import numpy as np
import scipy
from numpy.typing import NDArray

from netlists.array import ProgrammedArray
from spu_circuit.errors import MappingError
from spu_circuit.hardware import Hardware

Array = NDArray[np.float64]


def refuse_indefinite(array: ProgrammedArray, A: Array, step: float, hardware: Hardware) -> None:
    """Refuse symmetric matrices that lost their definiteness when they were rounded, or that are nearly singular.

    Args:
        A: as wanted, (..., n, n).
        step: S, what lies below is lost.

    Raises:
        MappingError: says how many entries are lost, and what to do.
    """
    n, lost = A.shape[-1], np.ravel(array.lost_entries)
    for which in np.flatnonzero(np.isnan(array.roots[..., 0, 0]))[:1].tolist():
        matrix = array.matrix.reshape(-1, n, n)[which]
        wanted = A.reshape(-1, n, n)[which]
        lowest = float(scipy.linalg.eigvalsh(matrix, subset_by_index=[0, 0])[0])
        unit = step / float(np.ravel(array.siemens_per_unit)[which])
        on_diagonal = int(((wanted != 0) & (matrix == 0)).diagonal().sum())
        scale = "" if hardware.scaling == "jacobi" else "set scaling = 'jacobi', "
        raise MappingError(
            f"hardware {hardware.name!r} cannot hold this matrix: {int(lost[which])} of {wanted.size} "
            f"entries ({on_diagonal} on the diagonal) are lost below its smallest step of {unit:.2g}, and "
            f"rounded to its levels the matrix is not positive definite (lowest eigenvalue {lowest:.2g}); "
            f"add a damping above {max(-lowest, unit):.2g}, {scale}or take hardware with finer levels"
        )
    vars(array)["definite"] = True  # it is as symmetric as A

"""What numbers a system may hold, and what is wrong with a matrix that has no solution."""

from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from spu_circuit.errors import InputError

Array = NDArray[np.float64]

SYMMETRY_TOLERANCE = 1e-6
"""Largest |A − Aᵀ| taken for rounding, relative to max |A|: ten units of single precision, which products come in."""
LARGEST = 1e60
"""Largest number of a system, and the inverse of the smallest that its arrays may have as their largest. Products such
as BᵀHB, and their squares, then stay in double precision."""


def real_array(value: Any, name: str, ndim: int) -> Array:
    """A finite, non-empty float64 array of the wanted number of dimensions.

    Raises:
        InputError: complex, not numeric, wrong dimensions, empty, NaN or infinity, or so large or small that products
            leave double precision.
    """
    array = np.asarray(value)
    if np.iscomplexobj(array):
        raise InputError(f"{name} is complex; only real systems can be mapped to conductances")
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
        raise InputError(f"{name} holds {array.dtype}, not numbers")
    if array.ndim != ndim:
        shape = {1: "a vector (n,)", 2: "a matrix (n, n)", 3: "a stack of matrices (m, n, n)"}[ndim]
        raise InputError(f"{name} has shape {array.shape}; it must be {shape}")
    if array.size == 0:
        raise InputError(f"{name} is empty (shape {array.shape})")
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused
        array = array.astype(np.float64)
    largest = max(array.max(), -array.min())
    if not largest <= LARGEST:
        finite = np.isfinite(array)
        bad = np.unravel_index(np.argmin(finite) if not finite.all() else np.argmax(np.abs(array)), array.shape)
        cure = f"scale the system to at most {LARGEST:g}" if finite.all() else "every entry must be finite"
        raise InputError(f"{name} has {array[bad]:g} at {[int(i) for i in bad]}; {cure}")
    if 0 < largest < 1 / LARGEST:
        raise InputError(f"{name} has no entry above {largest:g}; scale the system to at least {1 / LARGEST:g}")
    return array


def check_damping(damping: float) -> None:
    if not (np.isfinite(damping) and damping > 0):
        raise InputError(f"damping is {damping}; it must be above zero, or the system is singular")
    if not 1 / LARGEST <= damping <= LARGEST:
        raise InputError(f"damping is {damping:g}; it must be from {1 / LARGEST:g} to {LARGEST:g}: scale the system")


def indefinite(A: Array) -> str:
    """What is wrong with a matrix that has no Cholesky factor, and the cure."""
    lowest = float(scipy.linalg.eigvalsh(A, subset_by_index=[0, 0])[0])
    # Twice the depth, or where that drowns in rounding a millionth of the largest entry.
    damping = max(2 * abs(lowest), 1e-6 * float(np.abs(A).max())) or 1.0
    return (
        f"is not positive definite: its lowest eigenvalue is {lowest:.3g}; "
        f"a damping of {damping:.2g} added to its diagonal would cure it"
    )


def semidefinite(H: Any, rows: int) -> Array:
    """H as a symmetric float64 array."""
    H = real_array(H, "Hessian H", 2)
    if H.shape != (rows, rows):
        raise InputError(f"Hessian H has shape {H.shape}, B {rows} rows; H must be {rows} x {rows}")
    largest = float(np.abs(H).max())
    asymmetry = float(np.abs(H - H.T).max())
    if asymmetry > SYMMETRY_TOLERANCE * largest:
        raise InputError(f"Hessian H is not symmetric: entries differ from their mirror by up to {asymmetry:.3g}")
    H = (H + H.T) / 2
    lowest = float(scipy.linalg.eigvalsh(H, subset_by_index=[0, 0])[0])
    if lowest < -SYMMETRY_TOLERANCE * largest * rows:
        raise InputError(
            f"Hessian H has the eigenvalue {lowest:.3g}; it must be positive semidefinite: "
            "take the Gauss-Newton Hessian of a convex loss"
        )
    return H

"""What a topology is: resistors that hold a matrix, and the circuit that they make."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Self

import numpy as np
import scipy
from numpy.typing import NDArray

from netlists.elements import ElementTable, Values
from netlists.levels import Rounding, nearest_level
from spu_circuit.hardware import Hardware
from spu_circuit.problem import System

Array = NDArray[np.float64]

CERTAIN = 1e-6
"""Smallest over largest pivot above which nobody asks for the condition. Of 4,000 singular matrices of levels, with up
to 90 cells, none had more than 3e-12."""


class ProgrammedArray(ABC):
    """The resistors that hold a matrix, as one topology arranges them, or a batch (...) of such arrays.

    The array solves ``D A D y = D b`` with the diagonal matrix D of ``scaling`` (..., n), and ``x = D y``. A topology
    is a frozen data class of arrays with ``program``, ``circuit``, ``values``, ``inputs`` and ``matrix``. The rest has
    defaults: those of an array without amplifiers, and of noise that is read off the circuit.
    """

    dacs_per_cell = 1
    """DACs with opposite signs count apart."""
    drive = 1.0
    """How a DAC voltage counts: a cell's input current is ``drive · V_DAC / R_in``."""
    stacks = False
    """Whether ``program`` takes many systems of one size at once."""
    siemens_per_unit: Array
    """g_u, S per unit of the matrix, (...)."""
    scaling: Array
    """The diagonal of D, (..., n)."""
    lost_entries: NDArray[np.intp]
    """Non-zero entries that no level can hold, (...)."""

    @classmethod
    @abstractmethod
    def program(cls, system: System, hardware: Hardware, rounding: Rounding = nearest_level) -> Self:
        """Put the matrix of a system on the hardware.

        Args:
            rounding: which levels its resistors take.

        Raises:
            MappingError: the topology or its levels cannot hold the matrix.
        """
        ...

    @classmethod
    def resistors(cls, unknowns: int, rows: int | None = None) -> int:
        """About how many an array has that solves for so many unknowns, with a factor of so many rows if it has one."""
        return 2 * unknowns**2

    @property
    @abstractmethod
    def matrix(self) -> Array:
        """The programmed ``D A D`` in the problem's units, as the levels hold it, (..., n, n)."""
        ...

    @abstractmethod
    def circuit(self, hardware: Hardware) -> ElementTable:
        """The netlist of one array, its inputs and charges at 0 V. Which elements it has does not depend on values."""
        ...

    @abstractmethod
    def values(self) -> Values:
        """What the programmed elements of ``circuit`` have, (..., elements)."""
        ...

    def conductances(self) -> Values:
        """``values`` as conductances, S, where all that is programmed are resistors held as such; else nothing."""
        return {}

    @abstractmethod
    def inputs(self, dac_volts: Array, initial_volts: Array) -> Values:
        """What the sources of ``circuit`` have, and what its capacitors and amplifiers begin at, (..., elements)."""
        ...

    @cached_property
    def roots(self) -> Array:
        """The matrices' Cholesky factors, see ``cholesky``, where they are symmetric."""
        return cholesky(self.matrix)

    @cached_property
    def definite(self) -> bool:
        """Whether all matrices are symmetric and positive definite as they are programmed."""
        return bool((self.matrix == self.matrix.swapaxes(-1, -2)).all()) and not np.isnan(self.roots[..., 0, 0]).any()

    def at_rest(self, currents: Array, leakage: float) -> Array:
        """Voltages of the cells, (..., n), where ideal amplifiers hold them with these currents, A, and leakage, S."""
        unit = np.asarray(self.siemens_per_unit)[..., None]
        if leakage or not self.definite:
            matrix = self.matrix + (leakage / unit)[..., None] * np.eye(self.scaling.shape[-1])
            return np.asarray(np.linalg.solve(matrix, currents[..., None])[..., 0] / unit)
        return solved(self.roots, currents) / unit

    def by_matrix(self, conductances: Values) -> dict[str, Array]:
        """Derivatives by what was programmed, quantization taken as the identity, and scales as constant.

        Args:
            conductances: derivatives by the conductances of ``values``, (..., elements).

        Returns:
            Field of the system → of its shape: "A", or "B" and "damping". What the array does not know is left out.
        """
        return {}

    @classmethod
    def strongest(cls, cells: int, together: int, hardware: Hardware) -> Self | None:
        """Two definite arrays whose cells drive each other as much as can be, in blocks of so many cells.

        No array whose outputs drive less is faster: a row's conductances bound its rates. One has entries of one sign,
        the other of both. None: the topology knows of no such arrays.
        """
        return None

    def loads(self, hardware: Hardware) -> Array:
        """Conductance that each of ``outputs`` and its inverse drive into virtual grounds, S, (..., 2, n + m)."""
        return np.zeros((*self.scaling.shape[:-1], 2, self.scaling.shape[-1]))

    def dac_currents(self, volts: Array, dac_volts: Array, hardware: Hardware) -> Array:
        """Of one DAC of each cell, A, (samples, n), when the cells are at ``volts`` (samples, n)."""
        return (dac_volts - volts) / hardware.cell.input_resistance

    def outputs(self, volts: Array) -> Array:
        """Voltages that rails limit, (..., n + m), from those of the cells, (..., n), which come first.

        The other m are those of amplifiers between the cells; with ideal ones they follow the cells at once.
        """
        return volts

    def output_limits(self, hardware: Hardware) -> Array:
        """Largest |V| that each of ``outputs`` can be trusted to reach, (..., n + m); infinite without rails."""
        return np.full(self.scaling.shape, np.inf)

    def diffusion(self, hardware: Hardware) -> Array | None:
        """D in V²/s, (..., n, n), of ``dV = (u − M V) dt + N(0, 2 D dt)``, amplifiers ideal but for their noise.

        None: it is read off the circuit.
        """
        return None

    def injected_noise_density(self, hardware: Hardware) -> Array:
        """One-sided density of the injected noise current into each cell, A²/Hz, (...): ``4 κ₀ g_u C``."""
        return 4 * hardware.noise.injected**2 * self.siemens_per_unit * hardware.cell.capacitance

    def amplifier_drive(self, hardware: Hardware) -> Array:
        """K in S, (..., n, n): input noise e of the integrators' amplifiers makes ``V = W + e``, ``C dW = K e dt``."""
        return np.zeros((*self.scaling.shape, self.scaling.shape[-1]))

    def direct_noise(self, hardware: Hardware) -> Array:
        """Variance that amplifiers add to each cell past its capacitor, faster than the array, V², (..., n)."""
        return np.zeros(self.scaling.shape)


def cholesky(matrices: Array) -> Array:
    """Cholesky factors of symmetric matrices, (..., n, n): the upper triangles U of ``Uᵀ U``.

    Lower triangles are not theirs. The factor of a matrix that is not positive definite by more than its rounding
    begins with NaN. Pivots do not tell: where two rows are alike the last one is rounding, which the condition of the
    others magnifies. The condition number tells, which LAPACK estimates from the factor.
    """
    found = np.array(matrices)
    n = found.shape[-1]
    stack, lapack = found.reshape(-1, n, n), scipy.linalg.lapack
    # Transposes lie as LAPACK wants them, and are factorised where they lie.
    failed = np.array([lapack.dpotrf(one.T, lower=1, clean=0, overwrite_a=1)[1] != 0 for one in stack])
    pivots = np.einsum("kii->ki", stack) ** 2
    doubtful = ~failed & ~(pivots.min(axis=1) > CERTAIN * pivots.max(axis=1))
    for k in np.flatnonzero(doubtful).tolist():
        norm = float(np.abs(matrices.reshape(-1, n, n)[k]).sum(axis=0).max())
        inverse_condition, _ = lapack.dpocon(stack[k].T, norm, uplo="L")
        failed[k] = not inverse_condition > n * np.finfo(float).eps
    stack[failed, 0, 0] = np.nan
    return found


def solved(roots: Array, right: Array) -> Array:
    """``A⁻¹`` times right-hand sides, (..., n), from the factors of ``cholesky``."""
    n = right.shape[-1]
    right = np.broadcast_to(right, roots.shape[:-1])
    pairs = zip(roots.reshape(-1, n, n), right.reshape(-1, n), strict=True)
    return np.array([scipy.linalg.lapack.dpotrs(root.T, own, lower=1)[0] for root, own in pairs]).reshape(right.shape)

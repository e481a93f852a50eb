"""A digital solve with a device's errors: its levels, drawn resistors, converters and noise, without its circuit."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from netlists.array import ProgrammedArray, cholesky
from netlists.board import Board
from netlists.device import Device
from netlists.topologies.active import ActiveArray
from solvers.engine import Reading
from spu_circuit.errors import InputError, MappingError
from spu_circuit.sampling import Samples

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Arithmetic:
    """An engine that computes instead of settling: what digital natural gradients lose by the same errors.

    The matrix is the one that the resistors hold, each as far off as in the sample; inputs and outputs take the codes
    of the converters with their errors; injected noise adds what it adds to settled cells, covariance ``κ₀ A⁻¹``. There
    are no amplifiers, no wires, no thermal noise, and nothing takes time.

    Args:
        iterations: of conjugate gradients from zero, which end early where the matrix is not positive along their
            direction; None: the matrix is factorised, and refused where an array of it would not settle.
    """

    iterations: int | None = None
    points: int = 0
    name: str = "arithmetic"
    bytes_per_resistor: ClassVar[float] = 100.0

    def prepare(self, board: Board) -> "PreparedArithmetic":
        """See ``Engine``.

        Raises:
            InputError: the topology is not "active", whose resistors are the matrix's entries.
        """
        topology = board.hardware.topology
        if topology != "active":
            raise InputError(
                f"a digital solve has the errors of an active topology, not of a {topology} one; take such"
            )
        return PreparedArithmetic(self, board)


@dataclass(frozen=True)
class PreparedArithmetic:
    """See ``Prepared``."""

    engine: Arithmetic
    board: Board

    def program(self, array: ProgrammedArray, samples: Samples | None) -> "ProgrammedArithmetic":
        """See ``Prepared``.

        Raises:
            MappingError: with the parts of a sample an eigenvalue is not positive, and the matrix is to be factorised.
        """
        assert isinstance(array, ActiveArray)
        if samples is not None:
            values = self.board.values(samples, array.values())
            direct, inverted = (1 / np.reshape(values[key], (-1, *array.direct.shape[-2:])) for key in ("Rp", "Rm"))
            array = replace(array, direct=direct, inverted=inverted)
        found = ProgrammedArithmetic(self.engine, self.board, array, samples)
        if self.engine.iterations is None and found.grows:
            raise MappingError("with the parts of this sample no array would settle; add a damping λ to the matrix")
        return found


@dataclass(frozen=True)
class ProgrammedArithmetic:
    """Matrices that are kept with errors. See ``Programmed``.

    Args:
        array: of the resistors as they are.
    """

    engine: Arithmetic
    board: Board
    array: ActiveArray
    samples: Samples | None

    @cached_property
    def matrix(self) -> Array:
        """In the problem's units, (batch, n, n); of samples not quite symmetric."""
        return self.array.matrix.reshape(-1, *self.array.matrix.shape[-2:])

    @cached_property
    def roots(self) -> Array:
        """Cholesky factors of the symmetric parts, (batch, n, n); see ``netlists.array.cholesky``."""
        return cholesky((self.matrix + self.matrix.swapaxes(-1, -2)) / 2)

    @property
    def grows(self) -> bool:
        """Whether an eigenvalue of any of the matrices is not in the right half plane. Where the symmetric part is
        definite none is; else they are looked at."""
        doubtful = self.matrix[np.isnan(self.roots[:, 0, 0])]
        return len(doubtful) > 0 and bool((np.linalg.eigvals(doubtful).real <= 0).any())

    def read(self, device: Device, seconds: Array, seeds: Array, limits: Array | None = None) -> Reading:
        """See ``Programmed``; it takes no time. Raises InputError where a time is asked for."""
        if not np.isinf(seconds).all():
            raise InputError("a digital solve knows no time; use analog_time = inf")
        hardware = device.hardware
        inputs = device.inputs
        if self.samples is not None:
            inputs = self.board.inputs(self.samples, inputs)
        unit = np.asarray(self.array.siemens_per_unit)[..., None]
        right = self.array.drive * inputs["Vin"] / hardware.cell.input_resistance / unit
        right = np.broadcast_to(right, self.matrix.shape[:-1])
        if self.engine.iterations is None:
            volts = np.linalg.solve(self.matrix, right[..., None])[..., 0]
        else:
            volts = conjugate_gradients(self.matrix, right, self.engine.iterations)
        noise = self._noise(seeds) if hardware.noise.injected else None
        return Reading(volts, ("",) * len(volts), np.abs(volts), noise=noise)

    def _noise(self, seeds: Array) -> Callable[[], Array]:
        def noise() -> Array:
            batch, cells = self.matrix.shape[:2]
            found = np.zeros((batch, cells))
            for k, seed in enumerate(seeds.tolist()):
                white = np.random.default_rng(seed).standard_normal(cells)
                # Where it is not definite nothing settles; then the noise is that of A = 1.
                definite = not np.isnan(self.roots[k, 0, 0])
                found[k] = np.linalg.solve(np.triu(self.roots[k]), white) if definite else white
            return self.board.hardware.noise.injected * found

        return noise


def conjugate_gradients(A: Array, b: Array, iterations: int) -> Array:
    """Iterates from zero of a batch of systems, each for itself (Hestenes and Stiefel, 1952).

    Args:
        A: (batch, n, n), symmetric but for errors; b: (batch, n).
        iterations: at most; a system ends where it is solved, or where A is not positive along its direction.

    Returns:
        (batch, n).
    """
    x, residual = np.zeros_like(b), b.copy()
    direction, square = residual.copy(), np.einsum("bn,bn->b", b, b)
    least = np.finfo(float).eps ** 2 * square
    for _ in range(iterations):
        along = np.einsum("bij,bj->bi", A, direction)
        curvature = np.einsum("bn,bn->b", direction, along)
        going = (curvature > 0) & (square > least)
        if not going.any():
            break
        step = np.where(going, square / np.where(going, curvature, 1.0), 0.0)[:, None]
        x += step * direction
        residual -= step * along
        following = np.where(going, np.einsum("bn,bn->b", residual, residual), square)
        turn = np.where(going, following / np.where(going, square, 1.0), 0.0)[:, None]
        direction = np.where(going[:, None], residual + turn * direction, direction)
        square = following
    return x

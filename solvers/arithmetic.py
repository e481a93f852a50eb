"""A digital solve with a device's errors: its resistors, wires, converters, offsets and noise, without its circuit."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from netlists.array import ProgrammedArray, cholesky
from netlists.board import Board
from netlists.device import Device
from netlists.topologies.active import ActiveArray
from solvers.engine import Reading
from solvers.network.wires import between_beginnings
from spu_circuit.errors import InputError, MappingError
from spu_circuit.sampling import Samples

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Arithmetic:
    """An engine that computes instead of settling: what digital natural gradients lose by the same errors.

    The matrix is the one that the resistors hold, each as far off as in the sample, as virtual grounds see it behind
    wires; inputs and outputs take the codes of the converters with their errors. Right-hand sides are off by what
    offsets of amplifiers do to settled cells, and each solution has noise of its own, thermal and injected, with the
    covariance of settled cells. Amplifiers are ideal but for these, without bias currents, and nothing takes time.

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
        values = array.values() if samples is None else self.board.values(samples, array.values())
        wire, square = self.board.hardware.array.wire_resistance, array.direct.shape[-2:]
        if samples is not None or wire:
            held = [1 / np.reshape(values[key], (-1, *square)) for key in ("Rp", "Rm")]
            seen = [between_beginnings(own, wire)[0] for own in held] if wire else held
            array = replace(array, direct=seen[0], inverted=seen[1])
        nominal = self.board.hardware.amplifier.offset
        offsets = [nominal + values.get(f"{label}.offset", np.zeros((1, square[0]))) for label in ("Xv", "Xn")]
        off = array.offset_currents(offsets[0], offsets[1], self.board.hardware)
        found = ProgrammedArithmetic(self.engine, self.board, array, off, samples)
        if self.engine.iterations is None and found.grows:
            raise MappingError("with the parts of this sample no array would settle; add a damping λ to the matrix")
        return found


@dataclass(frozen=True)
class ProgrammedArithmetic:
    """Matrices that are kept with errors. See ``Programmed``.

    Args:
        array: of the resistors as they are.
        off: currents that offsets add to those of the inputs, A, (batch, n) or (1, n).
    """

    engine: Arithmetic
    board: Board
    array: ActiveArray
    off: Array
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
        right = (self.array.drive * inputs["Vin"] / hardware.cell.input_resistance + self.off) / unit
        right = np.broadcast_to(right, self.matrix.shape[:-1])
        if self.engine.iterations is None:
            volts = np.linalg.solve(self.matrix, right[..., None])[..., 0]
        else:
            volts = conjugate_gradients(self.matrix, right, self.engine.iterations)
        noisy = hardware.noise.injected > 0 or hardware.noise.thermal
        noise = partial(self._noise, seeds) if noisy else None
        return Reading(volts, ("",) * len(volts), np.abs(volts), noise=noise)

    def _noise(self, seeds: Array) -> Array:
        white = [np.random.default_rng(seed).standard_normal(self.matrix.shape[-1]) for seed in seeds.tolist()]
        return np.asarray((np.linalg.cholesky(self.covariance) @ np.stack(white)[:, :, None])[:, :, 0])

    @cached_property
    def covariance(self) -> Array:
        """Of the noise of settled cells with amplifiers that are ideal but for theirs, V², (batch, n, n).

        That of ``dV = −M V dt + N(0, 2 D dt)``: ``M Σ + Σ M = 2 D``, in the eigenvectors of M's symmetric part; and
        what amplifiers add past the capacitors. Of a matrix that is not definite nothing settles; then it is D's of M
        with eigenvalues of 1 beside those that are not positive.
        """
        hardware = self.board.hardware
        rate = np.asarray(self.array.siemens_per_unit)[..., None, None] / hardware.cell.capacitance
        eigenvalues, Q = np.linalg.eigh((self.matrix + self.matrix.swapaxes(-1, -2)) / 2)
        eigenvalues = np.where(eigenvalues > 0, eigenvalues, 1.0)
        D = Q.swapaxes(-1, -2) @ self.array.diffusion(hardware) @ Q
        settled = Q @ (2 * D / (rate * (eigenvalues[..., :, None] + eigenvalues[..., None, :]))) @ Q.swapaxes(-1, -2)
        return settled + self.array.direct_noise(hardware)[..., None] * np.eye(self.matrix.shape[-1])


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

"""A factor of a matrix on levels: what holds B, its transpose, a Hessian between the two, and the damping."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import scipy
from numpy.typing import NDArray

from netlists.array import ProgrammedArray
from netlists.elements import Values
from netlists.levels import Rounding, nearest_level, rails, smallest_step
from spu_circuit.errors import MappingError
from spu_circuit.hardware import Hardware
from spu_circuit.problem import GgnSystem, System

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SignedResistors:
    """Resistors from outputs (``direct``) and from their inverses (``inverted``) to virtual grounds.

    Both in siemens, (..., virtual grounds, outputs). ``lost`` counts the non-zero entries that no level can hold.
    """

    direct: Array
    inverted: Array
    lost: NDArray[np.intp]

    @property
    def net(self) -> Array:
        return self.direct - self.inverted

    @property
    def into_rows(self) -> Array:
        """Conductance that ends in each virtual ground, S."""
        return self.direct.sum(axis=-1) + self.inverted.sum(axis=-1)

    def loads(self, inverter_resistance: float) -> Array:
        """Conductance that each output and its inverse drive, S, (..., 2, outputs), with the inverting stages."""
        return np.stack([self.direct.sum(axis=-2), self.inverted.sum(axis=-2)], axis=-2) + 1 / inverter_resistance


@dataclass(frozen=True)
class Stage:
    """A layer of summing amplifiers: ``u = −feedback · resistors · V``, feedback in ohms."""

    resistors: SignedResistors
    feedback: Array

    @property
    def gain(self) -> Array:
        """(..., outputs, inputs), V/V."""
        return -np.asarray(self.feedback)[..., None, None] * self.resistors.net


@dataclass(frozen=True)
class ProgrammedFactor(ProgrammedArray):
    """The resistors of two or three arrays, or of a batch (...) of them. See ``ProgrammedArray``.

    Args:
        stages: from the cells onwards; one, or two with a Hessian.
        backward: from the last stage's outputs to the virtual grounds of the integrators, (..., n, K).
        damping: (..., n), S, from the output of each cell to its own virtual ground.
        siemens_per_unit: g_u.
        scaling: (..., n).
        lost_damping: how many of ``damping`` no level can hold.
    """

    stages: tuple[Stage, ...]
    backward: SignedResistors
    damping: Array
    siemens_per_unit: Array
    scaling: Array
    lost_damping: NDArray[np.intp]

    @classmethod
    def program(cls, system: System, hardware: Hardware, rounding: Rounding = nearest_level) -> Self:
        """Both copies of the factor, the damping and the Hessian, each to levels.

        ``G₁ = g B`` and ``G₂ = g Bᵀ`` with ``g = (G_max − G_off) / max|B_kj|``, so ``g_u = g² R_f`` per unit of the
        matrix, and the damping's conductance is ``g_u λ``. Where R_f is switched it is ``1 / (g σ)``, σ the largest
        singular value of B, so that ``‖u‖ ≤ ‖V‖``, or less where ``g_u λ`` would exceed G_max. A given R_f keeps ``g_u
        λ`` at G_max by a lower g instead. A Hessian has ``G_H = g_H H``, ``g_H = (G_max − G_off) / max|H|``, and by the
        same rule ``R_H = 1 / (g_H ‖H‖)`` or the given resistance; then ``g_u = g² g_H R_f R_H``. With Jacobi scaling
        ``B D`` takes the place of B and ``λ D²`` that of λ, ``D² = 1 / diag(BᵀHB + λI)``.

        Raises:
            MappingError: the levels cannot hold the damping, or with a rounded Hessian the matrix is not positive
                definite.
        """
        system = system.factored()
        resistors, given = hardware.array, hardware.cell.summing_resistance
        span = resistors.G_max - resistors.off_conductance
        scaling = _jacobi(system) if hardware.scaling == "jacobi" else np.ones(system.B.shape[1])
        B, damping = system.B * scaling, system.damping * scaling**2
        middle, hessian_gain = [], 1.0
        if system.H is not None:
            per_unit = span / _largest(system.H)
            feedback = given or 1 / (per_unit * _norm(system.H))
            middle = [Stage(_signed(per_unit * system.H, hardware, rounding), np.array(feedback))]
            hessian_gain = per_unit * feedback
        per_unit = span / _largest(B)
        most = resistors.G_max / float(damping.max())  # of g_u
        if given:
            per_unit = min(per_unit, np.sqrt(most / (given * hessian_gain)))
        feedback = given or min(1 / (per_unit * _norm(B)), most / (per_unit**2 * hessian_gain))
        siemens_per_unit = float(per_unit**2 * feedback * hessian_gain)
        forward = _signed(per_unit * B, hardware, rounding)
        stages = (Stage(forward, np.array(feedback)), *middle)
        # Every stage turns the sign, and the integrators take +(BᵀB) V.
        rails = (forward.direct.T, forward.inverted.T)
        backward = SignedResistors(*(rails if len(stages) > 1 else rails[::-1]), forward.lost)
        held = rounding(siemens_per_unit * damping, resistors)
        lost = held == resistors.off_conductance
        if not held.all():
            least = smallest_step(resistors) / siemens_per_unit
            raise MappingError(
                f"hardware {hardware.name!r} cannot hold this damping: {int(lost.sum())} of {len(held)} of its "
                f"resistors need {siemens_per_unit * float(damping.min()):.2g} S, below its smallest step; raise the "
                f"damping to {least / float(scaling.min()) ** 2:.2g}, raise summing_resistance, or take hardware with "
                "a wider range"
            )
        array = cls(stages, backward, held, np.array(siemens_per_unit), scaling, lost.sum())
        if middle:
            _refuse_indefinite(array, hardware)
        return array

    @classmethod
    def resistors(cls, unknowns: int, rows: int | None = None) -> int:
        """See ``ProgrammedArray``: two copies of the factor, and the damping."""
        return (4 * (unknowns if rows is None else rows) + 1) * unknowns

    @property
    def lost_entries(self) -> NDArray[np.intp]:  # type: ignore[override]
        """See ``ProgrammedArray``."""
        return self.backward.lost + self.lost_damping + sum(stage.resistors.lost for stage in self.stages)

    @property
    def driven(self) -> tuple[SignedResistors, ...]:
        """What the outputs of each stage drive."""
        return (*(stage.resistors for stage in self.stages[1:]), self.backward)

    @property
    def matrix(self) -> Array:
        """See ``ProgrammedArray``; formed densely, for checks and the ideal law."""
        product = self.stages[0].gain
        for stage in self.stages[1:]:
            product = stage.gain @ product
        damping = self.damping[..., None] * np.eye(self.damping.shape[-1])
        return (self.backward.net @ product + damping) / np.asarray(self.siemens_per_unit)[..., None, None]

    @cached_property
    def definite(self) -> bool:
        """See ``ProgrammedArray``: the backward array mirrors the forward one, their signs cancel, and damping adds.

        What levels make of a Hessian is looked at when it is programmed.
        """
        forward, back = self.stages[0].resistors, self.backward
        mirrored = (back.direct, back.inverted) if len(self.stages) > 1 else (back.inverted, back.direct)
        hessians = [stage.resistors.net for stage in self.stages[1:]]
        return all(
            bool((one == other.swapaxes(-1, -2)).all())
            for one, other in (
                (forward.direct, mirrored[0]),
                (forward.inverted, mirrored[1]),
                *((net, net) for net in hessians),
            )
        )

    def at_rest(self, currents: Array, leakage: float) -> Array:
        """See ``ProgrammedArray``: by the Woodbury identity, since the product of the arrays has low rank."""
        product = self.stages[0].gain
        for stage in self.stages[1:]:
            product = stage.gain @ product
        alone = 1 / (self.damping + leakage)
        inner = np.eye(product.shape[-2]) + product @ (alone[..., None] * self.backward.net)
        driven = alone * currents
        through = np.linalg.solve(inner, product @ driven[..., None])
        return driven - alone * (self.backward.net @ through)[..., 0]

    def by_matrix(self, conductances: Values) -> dict[str, Array]:
        """See ``ProgrammedArray``: of both copies of B. With a Hessian, of the damping alone."""
        unit = np.asarray(self.siemens_per_unit)[..., None]
        found = {"damping": (unit * self.scaling**2 * conductances["Rd"]).sum(axis=-1)}
        if len(self.stages) > 1:
            return found
        stage, back = self.stages[0], self.backward
        forward = _of_sign(stage.resistors, conductances["Rs0p"], conductances["Rs0m"])
        # The stage turns the sign, so the copy behind it holds −Bᵀ.
        behind = _of_sign(back, conductances["Rbp"], conductances["Rbm"])
        per_unit = np.sqrt(unit / np.asarray(stage.feedback)[..., None])[..., None]
        return found | {"B": per_unit * self.scaling[..., None, :] * (forward - _transposed(behind))}

    def summed(self, volts: Array) -> list[Array]:
        """Outputs of each stage, (..., K), from the cells' voltages, (..., n), with ideal amplifiers."""
        found = []
        for stage in self.stages:
            volts = (stage.gain @ volts[..., None])[..., 0]
            found.append(volts)
        return found


def _refuse_indefinite(array: ProgrammedFactor, hardware: Hardware) -> None:
    """``JᵀHJ`` has the non-zero eigenvalues of ``R H Rᵀ`` with ``J Jᵀ = Rᵀ R``, K of them."""
    forward, middle = (stage.gain for stage in array.stages)
    # The two factors' signs cancel, and the backward array has the forward one's levels.
    root = np.linalg.qr(forward.T).R
    conductance = float(1 / array.stages[0].feedback)
    eigenvalues = conductance * scipy.linalg.eigvalsh(-root @ middle @ root.T)
    lowest, damping = float(eigenvalues[0]), float(array.damping.min())
    rounding = len(eigenvalues) * np.finfo(float).eps * float(np.abs(eigenvalues).max())
    if lowest + damping <= rounding:
        raise MappingError(
            f"hardware {hardware.name!r} cannot hold this Hessian: rounded to its levels the matrix is not positive "
            f"definite (lowest eigenvalue {(lowest + damping) / array.siemens_per_unit:.2g}); raise "
            f"the damping by {(rounding - lowest) / array.siemens_per_unit:.2g}, or fold the Hessian into B"
        )


def _signed(wanted: Array, hardware: Hardware, rounding: Rounding) -> SignedResistors:
    """The levels that net conductances, S, of either sign take."""
    direct, inverted, lost = rails(wanted, hardware.array, rounding)
    return SignedResistors(direct, inverted, lost.sum())


def _of_sign(held: SignedResistors, direct: Array, inverted: Array) -> Array:
    """Derivatives by net conductances, of the resistor that holds each sign; where there is none, the direct one."""
    shape = held.direct.shape
    return np.where(held.inverted > held.direct, -inverted.reshape(shape), direct.reshape(shape))


def _jacobi(system: GgnSystem) -> Array:
    """``F_ii^{−1/2}``, (n,), without forming F."""
    inner = system.B if system.H is None else system.H @ system.B
    return (np.einsum("kn,kn->n", system.B, inner) + system.damping) ** -0.5


def _largest(matrix: Array) -> float:
    return float(np.abs(matrix).max()) or 1.0


def _norm(matrix: Array) -> float:
    """Largest singular value; 1 for zeros."""
    return float(np.linalg.norm(matrix, 2)) or 1.0


def _transposed(matrix: Array) -> Array:
    return matrix.swapaxes(-1, -2)

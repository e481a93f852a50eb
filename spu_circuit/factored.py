"""The factored array: ``BᵀB + λI`` from the factor B alone, by summing amplifiers between two arrays of resistors.

Summing amplifiers form ``u = −R_f G₁ V`` of the cells' voltages, a second array brings ``G₂ u`` back to the virtual
grounds of the integrators, and one resistor per cell is the damping, so the product ``BᵀB`` is never formed
(arXiv 2405.13817, where a third array between the two holds the Hessian H of the loss).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigvalsh

from spu_circuit.errors import MappingError
from spu_circuit.hardware import Hardware
from spu_circuit.levels import nearest_level, smallest_step
from spu_circuit.limits import trusted_outputs
from spu_circuit.noise import input_noise_density, johnson_current_density
from spu_circuit.problem import GgnSystem

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SignedResistors:
    """Resistors from outputs (``direct``) and from their inverses (``inverted``) to virtual grounds.

    Both in siemens, (virtual grounds, outputs). ``lost`` counts the non-zero entries that no level can hold.
    """

    direct: Array
    inverted: Array
    lost: int

    @property
    def net(self) -> Array:
        return self.direct - self.inverted

    @property
    def into_rows(self) -> Array:
        """Conductance that ends in each virtual ground, S."""
        return self.direct.sum(axis=1) + self.inverted.sum(axis=1)

    def loads(self, inverter_resistance: float) -> Array:
        """Conductance that each output and its inverse drive, S, (2, outputs), with the inverting stages in use."""
        inverter = self.inverted.any(axis=0) / inverter_resistance
        return np.stack([self.direct.sum(axis=0), self.inverted.sum(axis=0)]) + inverter

    def fully_populated(self, conductance: float) -> "SignedResistors":
        """See ``ProgrammedArray``."""
        direct, inverted = (np.where(G == 0, conductance, G) for G in (self.direct, self.inverted))
        return replace(self, direct=direct, inverted=inverted)


@dataclass(frozen=True)
class Stage:
    """A layer of summing amplifiers: ``u = −feedback · resistors · V``, feedback in ohms."""

    resistors: SignedResistors
    feedback: float

    @property
    def gain(self) -> Array:
        """(outputs, inputs), V/V."""
        return -self.feedback * self.resistors.net


@dataclass(frozen=True)
class FactoredArray:
    """Two or three arrays of resistors. See ``ProgrammedArray``.

    Args:
        stages: from the cells onwards; one, or two with a Hessian.
        backward: from the last stage's outputs to the virtual grounds of the integrators, (n, K).
        damping: (n,), S, from the output of each cell to its own virtual ground.
        siemens_per_unit: g_u.
        scaling: (n,).
        lost_damping: how many of ``damping`` no level can hold.
    """

    stages: tuple[Stage, ...]
    backward: SignedResistors
    damping: Array
    siemens_per_unit: float
    scaling: Array
    lost_damping: int

    dacs_per_cell = 1
    drive = -1.0
    """The integrators invert, so the DACs hold the negative right-hand side."""

    @property
    def lost_entries(self) -> int:
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
        return (self.backward.net @ product + np.diag(self.damping)) / self.siemens_per_unit

    def summed(self, volts: Array) -> list[Array]:
        """Outputs of each stage, (..., K), from the cells' voltages, (..., n), with ideal amplifiers."""
        found = []
        for stage in self.stages:
            volts = volts @ stage.gain.T
            found.append(volts)
        return found

    def outputs(self, volts: Array) -> Array:
        """See ``ProgrammedArray``: the cells' and those of the summing amplifiers, stage by stage."""
        return np.concatenate([volts, *self.summed(volts)], axis=-1)

    def fully_populated(self, conductance: float) -> "FactoredArray":
        """See ``ProgrammedArray``."""
        stages = tuple(replace(s, resistors=s.resistors.fully_populated(conductance)) for s in self.stages)
        return replace(self, stages=stages, backward=self.backward.fully_populated(conductance))

    def output_limits(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``."""
        return trusted_outputs(hardware.amplifier, self.loads(hardware).max(axis=0))

    def loads(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``.

        A cell drives its column of the first array, its damping and an inverting stage; a summing amplifier its column
        of the next array, its feedback and an inverting stage.
        """
        inverter = hardware.cell.inverter_resistance
        loads = [self.stages[0].resistors.loads(inverter)]
        loads[0][0] += self.damping
        for stage, after in zip(self.stages, self.driven, strict=True):
            loads.append(after.loads(inverter))
            loads[-1][0] += 1 / stage.feedback
        return np.concatenate(loads, axis=1)

    def dac_currents(self, volts: Array, dac_volts: Array, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: into virtual grounds."""
        return np.broadcast_to(dac_volts / hardware.cell.input_resistance, volts.shape)

    def injected_noise_density(self, hardware: Hardware) -> float:
        """One-sided density of the injected noise current, A²/Hz: ``4 κ₀ g_u C``, alone variance κ₀ / A in a cell."""
        return 4 * hardware.noise.injected**2 * self.siemens_per_unit * hardware.cell.capacitance

    def integrator_noise_density(self, hardware: Hardware) -> Array:
        """One-sided density of the noise current into each integrator's virtual ground, A²/Hz, (n,)."""
        total = self._row_conductance(hardware) + hardware.cell.leakage_conductance
        return self._johnson(total, hardware) + self.injected_noise_density(hardware)

    def summing_noise_density(self, stage: Stage, hardware: Hardware) -> Array:
        """One-sided density of the noise current into the virtual grounds of a stage, A²/Hz, (K,)."""
        return self._johnson(stage.resistors.into_rows + 1 / stage.feedback, hardware)

    def inverter_noise_density(self, hardware: Hardware) -> float:
        """One-sided density of the noise current into an inverting stage's virtual ground, A²/Hz: two resistors."""
        return float(self._johnson(np.array(2 / hardware.cell.inverter_resistance), hardware))

    def _johnson(self, conductance: Array, hardware: Hardware) -> Array:
        if not hardware.noise.thermal:
            return np.zeros_like(conductance)
        return johnson_current_density(conductance, hardware.temperature)

    def diffusion(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``.

        A current of one-sided density S into an integrator gives D = S / (4 C²). Into a summing amplifier it is a
        voltage R_f² S at its output, into an inverting stage R_inv² S, and these drive all that follows: with ``G`` the
        net conductances from a stage's outputs to the integrators, ``G R_f² S Gᵀ``, and with ``G⁻`` those from
        inverses, ``R_inv² S G⁻ G⁻ᵀ``; behind stages in between, what their gains make of it. Input noise e of an
        amplifier is ``2 e`` behind an inverting stage, a current ``e (ΣG + 1 / R_f)`` into a summing amplifier, and
        as in the active array ``(diag(ΣG) − g_u A) e`` into the integrators.
        """
        cell, amplifier = hardware.cell, input_noise_density(hardware)
        inverse = cell.inverter_resistance**2 * self.inverter_noise_density(hardware) + 4 * amplifier
        onward, from_inverses = self.backward.net, self.backward.inverted
        total = np.diag(self.integrator_noise_density(hardware)) + inverse * from_inverses @ from_inverses.T
        if amplifier:
            drive = self.amplifier_drive(hardware)
            total += amplifier * drive @ drive.T
        for stage in reversed(self.stages):
            # Everything that reaches this stage's virtual grounds, its own noise and that of the inverses before it.
            inverted = stage.resistors.inverted
            own = self.summing_noise_density(stage, hardware)
            own += amplifier * (stage.resistors.into_rows + 1 / stage.feedback) ** 2
            currents = np.diag(own) + inverse * inverted @ inverted.T
            transfer = stage.feedback * onward
            total += transfer @ currents @ transfer.T
            onward = onward @ stage.gain
        return total / (4 * cell.capacitance**2)

    def amplifier_drive(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``."""
        return np.diag(self._row_conductance(hardware)) - self.siemens_per_unit * self.matrix

    def direct_noise(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``, and the active array, whose integrators these are."""
        amplifier = hardware.amplifier
        driven = self.stages[0].resistors.direct.sum(axis=0) + self.damping + 1 / hardware.cell.inverter_resistance
        loop = 1 + amplifier.output_resistance * (self._row_conductance(hardware) + driven)
        return input_noise_density(hardware) * np.pi / 2 * (amplifier.gain_bandwidth or 0.0) / loop

    def _row_conductance(self, hardware: Hardware) -> Array:
        """What ends in each integrator's virtual ground and does not begin at its own output's capacitor, S, (n,)."""
        return self.backward.into_rows + self.damping + 1 / hardware.cell.input_resistance


def program_factored(system: GgnSystem, hardware: Hardware) -> FactoredArray:
    """Both copies of the factor, the damping and the Hessian, each to the nearest level.

    ``G₁ = g B`` and ``G₂ = g Bᵀ`` with ``g = (G_max − G_off) / max|B_kj|``, so ``g_u = g² R_f`` per unit of the matrix,
    and the damping's conductance is ``g_u λ``. Where R_f is switched it is ``1 / (g σ)``, σ the largest singular value
    of B, so that ``‖u‖ ≤ ‖V‖``, or less where ``g_u λ`` would exceed G_max. A given R_f keeps ``g_u λ`` at G_max by a
    lower g instead. A Hessian has ``G_H = g_H H``, ``g_H = (G_max − G_off) / max|H|``, and by the same rule
    ``R_H = 1 / (g_H ‖H‖)`` or the given resistance; then ``g_u = g² g_H R_f R_H``. With Jacobi scaling ``B D`` takes
    the place of B and ``λ D²`` that of λ, ``D² = 1 / diag(BᵀHB + λI)``.

    Raises:
        MappingError: the levels cannot hold the damping, or with a rounded Hessian the matrix is not positive definite.
    """
    resistors, given = hardware.array, hardware.cell.summing_resistance
    span = resistors.G_max - resistors.off_conductance
    scaling = _jacobi(system) if hardware.scaling == "jacobi" else np.ones(system.B.shape[1])
    B, damping = system.B * scaling, system.damping * scaling**2
    middle, hessian_gain = [], 1.0
    if system.H is not None:
        per_unit = span / _largest(system.H)
        feedback = given or 1 / (per_unit * _norm(system.H))
        middle = [Stage(_signed(per_unit * system.H, hardware), feedback)]
        hessian_gain = per_unit * feedback
    per_unit = span / _largest(B)
    most = resistors.G_max / float(damping.max())  # of g_u
    if given:
        per_unit = min(per_unit, np.sqrt(most / (given * hessian_gain)))
    feedback = given or min(1 / (per_unit * _norm(B)), most / (per_unit**2 * hessian_gain))
    siemens_per_unit = float(per_unit**2 * feedback * hessian_gain)
    stages = (Stage(_signed(per_unit * B, hardware), feedback), *middle)
    # Every stage turns the sign, and the integrators take +(BᵀB) V.
    backward = _signed((-1) ** len(stages) * per_unit * B.T, hardware)
    held = nearest_level(siemens_per_unit * damping, resistors)
    lost = held == resistors.off_conductance
    if not held.all():
        least = smallest_step(resistors) / siemens_per_unit
        raise MappingError(
            f"hardware {hardware.name!r} cannot hold this damping: {int(lost.sum())} of {len(held)} of its resistors "
            f"need {siemens_per_unit * float(damping.min()):.2g} S, below its smallest step; raise the damping to "
            f"{least / float(scaling.min()) ** 2:.2g}, raise summing_resistance, or take hardware with a wider range"
        )
    array = FactoredArray(stages, backward, held, siemens_per_unit, scaling, int(lost.sum()))
    if middle:
        _refuse_indefinite(array, hardware)
    return array


def _refuse_indefinite(array: FactoredArray, hardware: Hardware) -> None:
    """``JᵀHJ`` has the non-zero eigenvalues of ``R H Rᵀ`` with ``J Jᵀ = Rᵀ R``, K of them."""
    forward, middle = (stage.gain for stage in array.stages)
    # The two factors' signs cancel, and the backward array has the forward one's levels.
    root = np.linalg.qr(forward.T).R
    conductance = 1 / array.stages[0].feedback
    lowest = conductance * float(eigvalsh(-root @ middle @ root.T, subset_by_index=[0, 0])[0])
    if lowest + float(array.damping.min()) <= 0:
        raise MappingError(
            f"hardware {hardware.name!r} cannot hold this Hessian: rounded to its levels the matrix is not positive "
            f"definite (lowest eigenvalue {(lowest + float(array.damping.min())) / array.siemens_per_unit:.2g}); raise "
            f"the damping by {-lowest / array.siemens_per_unit:.2g}, or fold the Hessian into B"
        )


def _signed(wanted: Array, hardware: Hardware) -> SignedResistors:
    """The nearest levels to net conductances, S, of either sign."""
    resistors = hardware.array
    off = resistors.off_conductance
    used = nearest_level(np.abs(wanted) + off, resistors)
    lost = int(np.count_nonzero((wanted != 0) & (used == off)))
    return SignedResistors(np.where(wanted > 0, used, off), np.where(wanted < 0, used, off), lost)


def _jacobi(system: GgnSystem) -> Array:
    """``F_ii^{−1/2}``, (n,), without forming F."""
    inner = system.B if system.H is None else system.H @ system.B
    return (np.einsum("kn,kn->n", system.B, inner) + system.damping) ** -0.5


def _largest(matrix: Array) -> float:
    return float(np.abs(matrix).max()) or 1.0


def _norm(matrix: Array) -> float:
    """Largest singular value; 1 for zeros."""
    return float(np.linalg.norm(matrix, 2)) or 1.0

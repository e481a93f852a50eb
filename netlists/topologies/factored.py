"""The factored array: ``BᵀB + λI`` from the factor B alone, by summing amplifiers between two arrays of resistors.

Summing amplifiers form ``u = −R_f G₁ V`` of the cells' voltages, a second array brings ``G₂ u`` back to the virtual
grounds of the integrators, and one resistor per cell is the damping, so the product ``BᵀB`` is never formed
(arXiv 2405.13817, where a third array between the two holds the Hessian H of the loss).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

from netlists.amplifier import AmplifierCircuit
from netlists.array import ProgrammedArray
from netlists.crossbar import crossbar, own_noise, resistances
from netlists.elements import Elements, ElementTable, Nodes, NoiseCurrents, Values, ground
from netlists.levels import Rounding, nearest_level, rails, smallest_step
from netlists.limits import trusted_outputs
from spu_circuit.errors import MappingError
from spu_circuit.hardware import Hardware
from spu_circuit.noise import input_noise_density, johnson_current_density
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
class FactoredArray(ProgrammedArray):
    """Two or three arrays of resistors, or a batch (...) of them. See ``ProgrammedArray``.

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

    drive = -1.0
    """The integrators invert, so the DACs hold the negative right-hand side."""

    @classmethod
    def program(cls, system: System, hardware: Hardware, rounding: Rounding = nearest_level) -> "FactoredArray":
        """See ``ProgrammedArray``."""
        return program_factored(system.factored(), hardware, rounding)

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

    def circuit(self, hardware: Hardware) -> ElementTable:
        """See ``ProgrammedArray``.

        Nodes of cell i: ``in<i>`` (DAC), ``g<i>`` (virtual ground of the integrator), ``v<i>`` (its output, the
        unknown), ``h<i>`` and ``n<i>`` (virtual ground and output of the inverting stage). Nodes of summing amplifier k
        of stage s, counted from 0: ``g<s>_<k>``, ``u<s>_<k>``, and ``h<s>_<k>``, ``n<s>_<k>``. Wires start at outputs
        and end in virtual grounds; see ``crossbar``.
        """
        cell, wires = hardware.cell, hardware.array.wire_resistance
        noise_each = wires > 0 and hardware.noise.thermal
        n = self.damping.shape[-1]
        cells: NDArray[np.intp] = np.arange(n)
        each: Array = np.ones(n)
        ins, g, v = (Nodes(family, cells) for family in ("in", "g", "v"))
        elements = [
            Elements("Vin", (ins, ground(n)), 0 * each, cells, part="dac"),
            Elements("Rin", (ins, g), cell.input_resistance * each, cells, part="input_resistor"),
            Elements("C", (v, g), cell.capacitance * each, cells, part="capacitor", parameters={"start": 0 * each}),
            Elements("Xv", (ground(n), g, v), 0 * each, cells, None, "amplifier", 0, {"start": 0 * each}),
            Elements("Rd", (v, g), 1 / self.damping, cells, None, "array_resistor", 6),
        ]
        if cell.leakage_resistance is not None:
            elements.append(Elements("Rleak", (v, g), cell.leakage_resistance * each, cells))
        arrays: list[Elements] = []

        def own(density: Array, resistors: SignedResistors) -> Array:
            """Without the array's resistors where each has a noise current of its own: behind wires."""
            return (
                density - johnson_current_density(resistors.into_rows, hardware.temperature) if noise_each else density
            )

        def inverters(tag: str, output: str, count: int, which: int) -> None:
            k, ones = np.arange(count), np.ones(count)
            v, h, inverse = Nodes(output, k), Nodes(f"h{tag}", k), Nodes(f"n{tag}", k)
            ohms = cell.inverter_resistance * ones
            elements.extend(
                [
                    Elements(f"Rh{tag}", (v, h), ohms, k, None, "inverter_resistor", 2 * which),
                    Elements(f"Rn{tag}", (h, inverse), ohms, k, None, "inverter_resistor", 2 * which + 1),
                    Elements(
                        f"Xn{tag}",
                        (ground(count), h, inverse),
                        0 * ones,
                        k,
                        None,
                        "amplifier",
                        2 * which + 1,
                        {"start": 0 * ones},
                    ),
                ]
            )
            density = self.inverter_noise_density(hardware) * ones
            noise.append(NoiseCurrents(f"Ih{tag}", (ground(count), h), density, k))

        noise = [
            NoiseCurrents("Ig", (ground(n), g), own(self.integrator_noise_density(hardware), self.backward), cells)
        ]
        inverters("", "v", n, 0)
        output, inverse = "v", "n"
        for s, stage in enumerate(self.stages):
            rows, tag = stage.resistors.direct.shape[-2], f"{s}_"
            k, ones = np.arange(rows), np.ones(rows)
            node, out = Nodes(f"g{tag}", k), Nodes(f"u{tag}", k)
            ohms = stage.feedback * ones
            elements += [
                Elements(f"Rf{tag}", (out, node), ohms, k, None, "summing_resistor", s),
                Elements(
                    f"Xu{tag}",
                    (ground(rows), node, out),
                    0 * ones,
                    k,
                    None,
                    "amplifier",
                    2 + 2 * s,
                    {"start": 0 * ones},
                ),
            ]
            density = own(self.summing_noise_density(stage, hardware), stage.resistors)
            noise.append(NoiseCurrents(f"Ig{tag}", (ground(rows), node), density, k))
            inverters(tag, f"u{tag}", rows, 1 + s)
            arrays += crossbar(f"Rs{s}p", stage.resistors.direct, output, f"g{tag}", which=2 * s, wire_resistance=wires)
            arrays += crossbar(
                f"Rs{s}m", stage.resistors.inverted, inverse, f"g{tag}", which=2 * s + 1, wire_resistance=wires
            )
            output, inverse = f"u{tag}", f"n{tag}"
        arrays += crossbar("Rbp", self.backward.direct, output, "g", which=4, wire_resistance=wires)
        arrays += crossbar("Rbm", self.backward.inverted, inverse, "g", which=5, wire_resistance=wires)
        if noise_each:
            noise += own_noise(arrays, hardware.temperature)
        injected = self.injected_noise_density(hardware)
        kind = "H between B and its transpose" if len(self.stages) > 1 else "B and its transpose"
        return ElementTable(
            "spu-circuit: factored array",
            (*elements, *arrays),
            AmplifierCircuit(hardware),
            (v,),
            "Vin0",
            (f"{kind}: Rs<stage>p and m into summing amplifiers, Rbp and Rbm back into integrators, Rd the damping",),
            tuple(noise),
            ((g, injected * each),) if np.any(injected) else (),
            hardware.amplifier.library_text is not None,
        )

    def values(self) -> Values:
        """See ``ProgrammedArray``."""
        found = {"Rd": 1 / self.damping}
        for s, stage in enumerate(self.stages):
            found[f"Rs{s}p"] = resistances(stage.resistors.direct)
            found[f"Rs{s}m"] = resistances(stage.resistors.inverted)
            found[f"Rf{s}_"] = np.asarray(stage.feedback)[..., None] * np.ones(stage.resistors.direct.shape[-2])
        return found | {"Rbp": resistances(self.backward.direct), "Rbm": resistances(self.backward.inverted)}

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

    def inputs(self, dac_volts: Array, initial_volts: Array) -> Values:
        """See ``ProgrammedArray``."""
        found = {"Vin": dac_volts, "C.start": initial_volts, "Xv.start": initial_volts, "Xn.start": -initial_volts}
        for s, volts in enumerate(self.summed(initial_volts)):
            found |= {f"Xu{s}_.start": volts, f"Xn{s}_.start": -volts}
        return found

    def summed(self, volts: Array) -> list[Array]:
        """Outputs of each stage, (..., K), from the cells' voltages, (..., n), with ideal amplifiers."""
        found = []
        for stage in self.stages:
            volts = (stage.gain @ volts[..., None])[..., 0]
            found.append(volts)
        return found

    def outputs(self, volts: Array) -> Array:
        """See ``ProgrammedArray``: the cells' and those of the summing amplifiers, stage by stage."""
        return np.concatenate([volts, *self.summed(volts)], axis=-1)

    def output_limits(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``."""
        return trusted_outputs(hardware.amplifier, self.loads(hardware).max(axis=-2))

    def loads(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``.

        A cell drives its column of the first array, its damping and an inverting stage; a summing amplifier its column
        of the next array, its feedback and an inverting stage.
        """
        inverter = hardware.cell.inverter_resistance
        loads = [self.stages[0].resistors.loads(inverter)]
        loads[0][..., 0, :] += self.damping
        for stage, after in zip(self.stages, self.driven, strict=True):
            loads.append(after.loads(inverter))
            loads[-1][..., 0, :] += np.asarray(1 / stage.feedback)[..., None]
        return np.concatenate(loads, axis=-1)

    def dac_currents(self, volts: Array, dac_volts: Array, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: into virtual grounds."""
        return np.broadcast_to(dac_volts / hardware.cell.input_resistance, volts.shape)

    def integrator_noise_density(self, hardware: Hardware) -> Array:
        """One-sided density of the noise current into each integrator's virtual ground, A²/Hz, (..., n)."""
        total = self._row_conductance(hardware) + hardware.cell.leakage_conductance
        return self._johnson(total, hardware) + np.asarray(self.injected_noise_density(hardware))[..., None]

    def summing_noise_density(self, stage: Stage, hardware: Hardware) -> Array:
        """One-sided density of the noise current into the virtual grounds of a stage, A²/Hz, (K,)."""
        return self._johnson(stage.resistors.into_rows + np.asarray(1 / stage.feedback)[..., None], hardware)

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
        total = _diagonal(self.integrator_noise_density(hardware)) + inverse * from_inverses @ _transposed(
            from_inverses
        )
        if amplifier:
            drive = self.amplifier_drive(hardware)
            total = total + amplifier * drive @ _transposed(drive)
        for stage in reversed(self.stages):
            # Everything that reaches this stage's virtual grounds, its own noise and that of the inverses before it.
            inverted, feedback = stage.resistors.inverted, np.asarray(stage.feedback)[..., None]
            own = self.summing_noise_density(stage, hardware)
            own = own + amplifier * (stage.resistors.into_rows + 1 / feedback) ** 2
            currents = _diagonal(own) + inverse * inverted @ _transposed(inverted)
            transfer = feedback[..., None] * onward
            total = total + transfer @ currents @ _transposed(transfer)
            onward = onward @ stage.gain
        return total / (4 * cell.capacitance**2)

    def amplifier_drive(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``."""
        unit = np.asarray(self.siemens_per_unit)[..., None, None]
        return _diagonal(self._row_conductance(hardware)) - unit * self.matrix

    def direct_noise(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``, and the active array, whose integrators these are."""
        amplifier = hardware.amplifier
        driven = self.stages[0].resistors.direct.sum(axis=-2) + self.damping + 1 / hardware.cell.inverter_resistance
        loop = 1 + amplifier.output_resistance * (self._row_conductance(hardware) + driven)
        return input_noise_density(hardware) * np.pi / 2 * (amplifier.gain_bandwidth or 0.0) / loop

    def _row_conductance(self, hardware: Hardware) -> Array:
        """What ends in each integrator's virtual ground and does not begin at its own output's capacitor, S."""
        return self.backward.into_rows + self.damping + 1 / hardware.cell.input_resistance


def program_factored(system: GgnSystem, hardware: Hardware, rounding: Rounding = nearest_level) -> FactoredArray:
    """Both copies of the factor, the damping and the Hessian, each to levels.

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
            f"hardware {hardware.name!r} cannot hold this damping: {int(lost.sum())} of {len(held)} of its resistors "
            f"need {siemens_per_unit * float(damping.min()):.2g} S, below its smallest step; raise the damping to "
            f"{least / float(scaling.min()) ** 2:.2g}, raise summing_resistance, or take hardware with a wider range"
        )
    array = FactoredArray(stages, backward, held, np.array(siemens_per_unit), scaling, lost.sum())
    if middle:
        _refuse_indefinite(array, hardware)
    return array


def _refuse_indefinite(array: FactoredArray, hardware: Hardware) -> None:
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


def _diagonal(entries: Array) -> Array:
    """(..., n) as diagonal matrices (..., n, n)."""
    return entries[..., None] * np.eye(entries.shape[-1])


def _transposed(matrix: Array) -> Array:
    return matrix.swapaxes(-1, -2)

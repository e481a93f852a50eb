"""The active array: op-amp integrators whose outputs feed each other's virtual grounds through resistors.

Fig. 6 of arXiv 2405.13817, with an inverting stage per cell for entries of the other sign:
``C dV_i/dt = −Σ_j (G⁺_ij − G⁻_ij) V_j − V_DAC,i / R_in + I_n``.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from netlists.amplifier import AmplifierCircuit
from netlists.array import ProgrammedArray
from netlists.capacitors import capacitors
from netlists.crossbar import crossbar, own_noise, resistances
from netlists.elements import Elements, ElementTable, Nodes, NoiseCurrents, Values, ground
from netlists.levels import Rounding, nearest_level, rails, smallest_step
from netlists.limits import limited, trusted_outputs
from netlists.topologies.definite import refuse_indefinite
from spu_circuit.hardware import Hardware
from spu_circuit.noise import johnson_current_density
from spu_circuit.problem import System

Array = NDArray[np.float64]


COUPLED = 0.9
"""Of the diagonal that entries beside it have in the strongest arrays, so that all their modes decay."""


@dataclass(frozen=True)
class ActiveArray(ProgrammedArray):
    """The resistors that hold a matrix, or a batch of matrices (...). See ``ProgrammedArray``.

    ``direct[..., i, j]`` joins the output of cell j to the virtual ground of cell i, ``inverted[..., i, j]`` its
    inverse; both in siemens. Their difference is ``siemens_per_unit`` (g_u) times the matrix that the device really
    solves.
    """

    direct: Array
    inverted: Array
    siemens_per_unit: Array
    scaling: Array
    lost_entries: NDArray[np.intp]

    stacks = True
    drive = -1.0
    """The integrators invert, so the DACs hold the negative right-hand side."""

    @classmethod
    def program(cls, system: System, hardware: Hardware, rounding: Rounding = nearest_level) -> "ActiveArray":
        """See ``ProgrammedArray``."""
        return program_active(system.primal().A, hardware, rounding)

    @cached_property
    def matrix(self) -> Array:
        """See ``ProgrammedArray``."""
        net = self.direct - self.inverted
        net /= np.asarray(self.siemens_per_unit)[..., None, None]
        return net

    def circuit(self, hardware: Hardware) -> ElementTable:
        """See ``ProgrammedArray``.

        Nodes of cell i: ``in<i>`` (DAC), ``g<i>`` (virtual ground of the integrator), ``v<i>`` (its output, the
        unknown), ``h<i>`` and ``n<i>`` (virtual ground and output of the inverting stage). Wires start at v, n and g;
        see ``crossbar``.
        """
        cell, n = hardware.cell, self.scaling.shape[-1]
        i = np.arange(n)
        each: Array = np.ones(n)
        ins, g, v, h, inverse = (Nodes(family, i) for family in ("in", "g", "v", "h", "n"))
        wire_resistance = hardware.array.wire_resistance
        array = [
            crossbar("Rp", self.direct, "v", "g", 0, wire_resistance),
            crossbar("Rm", self.inverted, "n", "g", 1, wire_resistance),
        ]
        elements = [
            Elements("Vin", (ins, ground(n)), 0 * each, i, part="dac"),
            Elements("Rin", (ins, g), cell.input_resistance * each, i, part="input_resistor"),
            capacitors("C", (v, g), hardware, i, 0),
            Elements("Xv", (ground(n), g, v), 0 * each, i, None, "amplifier", 0, {"start": 0 * each}),
            Elements("Rh", (v, h), cell.inverter_resistance * each, i, None, "inverter_resistor", 0),
            Elements("Rn", (h, inverse), cell.inverter_resistance * each, i, None, "inverter_resistor", 1),
            Elements("Xn", (ground(n), h, inverse), 0 * each, i, None, "amplifier", 1, {"start": 0 * each}),
            *array,
        ]
        if cell.leakage_resistance is not None:
            elements.append(Elements("Rleak", (v, g), cell.leakage_resistance * each, i))
        rows = self.integrator_noise_density(hardware)
        noise = [
            NoiseCurrents("Ig", (ground(n), g), rows, i),
            NoiseCurrents("Ih", (ground(n), h), self.inverter_noise_density(hardware) * each, i),
        ]
        if wire_resistance and hardware.noise.thermal:
            # Behind wires the array's resistors do not end in the virtual ground: each has a noise current of its own.
            rows -= johnson_current_density((self.direct + self.inverted).sum(axis=-1), hardware.temperature)
            noise += own_noise(array, hardware.temperature)
        injected = self.injected_noise_density(hardware)
        return ElementTable(
            "spu-circuit: active array",
            tuple(elements),
            AmplifierCircuit(hardware),
            (v,),
            "Vin0",
            ("matrix entry = (G_p - G_m) / g_u; resistors in ohms",),
            tuple(noise),
            ((g, injected * each),) if np.any(injected) else (),
            hardware.amplifier.library_text is not None,
        )

    def values(self) -> Values:
        """See ``ProgrammedArray``."""
        return {"Rp": resistances(self.direct), "Rm": resistances(self.inverted)}

    def conductances(self) -> Values:
        """See ``ProgrammedArray``."""
        flat = (*self.direct.shape[:-2], -1)
        return {"Rp": self.direct.reshape(flat), "Rm": self.inverted.reshape(flat)}

    def by_matrix(self, conductances: Values) -> dict[str, Array]:
        """See ``ProgrammedArray``: of the rail that holds an entry's sign; where it is zero, of the direct one."""
        direct, inverted = (conductances[key].reshape(self.direct.shape) for key in ("Rp", "Rm"))
        per_entry = np.where(self.inverted > self.direct, -inverted, direct)
        scale = self.scaling[..., :, None] * self.scaling[..., None, :]
        return {"A": np.asarray(self.siemens_per_unit)[..., None, None] * scale * per_entry}

    def inputs(self, dac_volts: Array, initial_volts: Array) -> Values:
        """See ``ProgrammedArray``."""
        return {
            "Vin": dac_volts,
            "C.start": initial_volts,
            "Xv.start": initial_volts,
            "Xn.start": -initial_volts,
        }

    def output_limits(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``."""
        if not limited(hardware.amplifier):
            return np.full(self.scaling.shape, np.inf)
        return trusted_outputs(hardware.amplifier, self.loads(hardware).max(axis=-2))

    @classmethod
    def strongest(cls, cells: int, together: int, hardware: Hardware) -> "ActiveArray":
        """See ``ProgrammedArray``."""
        cell = np.arange(cells)
        block = cell // together
        same = COUPLED * (block[:, None] == block) + (1 - COUPLED) * np.eye(cells)
        signs = np.where(cell % 2, -1.0, 1.0)
        net = hardware.array.G_max * np.stack([same, signs[:, None] * same * signs])
        unit: Array = np.full(2, hardware.array.G_max)
        return cls(np.maximum(net, 0), np.maximum(-net, 0), unit, np.ones((2, cells)), np.zeros(2, dtype=np.intp))

    def loads(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: a column of resistors and the inverting stage, or its own feedback."""
        return self._column_conductances + 1 / hardware.cell.inverter_resistance

    @cached_property
    def _column_conductances(self) -> Array:
        """Of the array's resistors, S, (..., 2, n)."""
        ones: Array = np.ones(self.scaling.shape[-1])
        return np.stack([ones @ self.direct, ones @ self.inverted], axis=-2)

    def dac_currents(self, volts: Array, dac_volts: Array, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: into virtual grounds."""
        return np.broadcast_to(dac_volts / hardware.cell.input_resistance, volts.shape)

    def integrator_noise_density(self, hardware: Hardware) -> Array:
        """One-sided density of the board's noise current into each integrator's virtual ground, A²/Hz, (..., n).

        Johnson noise of the row's resistors, the input resistor and the capacitor's leakage, which adds up because all
        of them end in low-impedance nodes, and the injected noise.
        """
        density = np.zeros(self.scaling.shape) + self.injected_noise_density(hardware)[..., None]
        if hardware.noise.thermal:
            total = self._row_conductance(hardware) + hardware.cell.leakage_conductance
            density += johnson_current_density(total, hardware.temperature)
        return density

    def inverter_noise_density(self, hardware: Hardware) -> float:
        """One-sided density of two resistors' noise current into an inverting stage's virtual ground, A²/Hz."""
        if not hardware.noise.thermal:
            return 0.0
        return johnson_current_density(2 / hardware.cell.inverter_resistance, hardware.temperature)

    def diffusion(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``.

        A current of one-sided density S into a virtual ground gives D = S / (4 C²). The noise of an inverting stage is
        a voltage R_inv² S_inv at its output; it drives every row that uses this output, so D is not diagonal. Input
        noise e_j of an amplifier moves its virtual ground and its output: with ``V = W + e`` it is the current
        ``K e, K = diag(ΣG) − (G⁺ − G⁻)``, which drives W, and ``2 G⁻ e`` from the inverting stages. Its
        noise current adds to that of the resistors.
        """
        cell, current = hardware.cell, hardware.input_current_noise_density
        rows = (self.integrator_noise_density(hardware) + current)[..., None] * np.eye(self.scaling.shape[-1])
        inverter = cell.inverter_resistance**2 * (self.inverter_noise_density(hardware) + current)
        amplifier = hardware.input_noise_density
        shared = (inverter + 4 * amplifier) * self.inverted @ self.inverted.swapaxes(-1, -2)
        if amplifier:
            drive = self.amplifier_drive(hardware)
            shared = shared + amplifier * drive @ drive.swapaxes(-1, -2)
        return (rows + shared) / (4 * cell.capacitance**2)

    def amplifier_drive(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``."""
        total = self._row_conductance(hardware)[..., None] * np.eye(self.scaling.shape[-1])
        return total - (self.direct - self.inverted)

    def _row_conductance(self, hardware: Hardware) -> Array:
        """What ends in each integrator's virtual ground and does not begin at its own output's capacitor, S."""
        return self.direct.sum(axis=-1) + self.inverted.sum(axis=-1) + 1 / hardware.cell.input_resistance

    def offset_currents(self, integrators: Array, inverters: Array, hardware: Hardware) -> Array:
        """Currents into virtual grounds that do to the settled array what offsets of its amplifiers do, A, (..., n).

        A virtual ground at its amplifier's offset takes ``ΣG`` of it from its row; an inverse is off by twice its own.

        Args:
            integrators, inverters: offsets of their amplifiers, V, (..., n).
        """
        through = (self.inverted @ np.asarray(inverters)[..., None])[..., 0]
        return self._row_conductance(hardware) * integrators - 2 * through

    def direct_noise(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: the e in ``V = W + e``, in the bandwidth of the amplifier's own loop.

        ``e_n² (π/2) GBW / (1 + R_out G)``: at these frequencies the capacitor joins output and virtual ground, and G is
        all that loads the two. Left out are what comes from the other amplifiers through R_out, a tenth of the
        deviation in the preset bench, and, without a gain-bandwidth product, all of it, since it has no bound.
        """
        amplifier = hardware.amplifier
        driven = self.direct.sum(axis=-2) + 1 / hardware.cell.inverter_resistance
        loop = 1 + amplifier.output_resistance * (self._row_conductance(hardware) + driven)
        return hardware.input_noise_density * np.pi / 2 * (amplifier.gain_bandwidth or 0.0) / loop


def program_active(A: Array, hardware: Hardware, rounding: Rounding = nearest_level) -> ActiveArray:
    """Signs to rails, magnitudes to levels.

    ``g_u = (G_max − G_off) / max|A_ij|``: the largest entry uses the whole range. With Jacobi scaling
    ``D^{−1/2} A D^{−1/2}`` takes the place of A, D its diagonal.

    Args:
        A: (..., n, n), symmetric positive definite.

    Raises:
        MappingError: what the levels leave of A is not positive definite; says how many entries are lost.
    """
    resistors = hardware.array
    diagonal = np.diagonal(A, axis1=-2, axis2=-1)
    scaling: Array = diagonal**-0.5 if hardware.scaling == "jacobi" else np.ones_like(diagonal)
    if hardware.scaling == "jacobi":
        A = A * (scaling[..., :, None] * scaling[..., None, :])
    largest = np.maximum(A.max(axis=(-2, -1)), -A.min(axis=(-2, -1)))
    siemens_per_unit = (resistors.G_max - resistors.off_conductance) / largest
    direct, inverted, lost = rails(np.asarray(siemens_per_unit)[..., None, None] * A, resistors, rounding)
    array = ActiveArray(direct, inverted, siemens_per_unit, scaling, lost.sum(axis=(-2, -1)))
    refuse_indefinite(array, A, smallest_step(resistors), hardware)
    return array

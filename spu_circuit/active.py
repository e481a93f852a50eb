"""The active array: op-amp integrators that feed each other through two resistors per entry of the matrix."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, eigvalsh

from spu_circuit.errors import MappingError
from spu_circuit.hardware import Hardware
from spu_circuit.levels import nearest_level, smallest_step
from spu_circuit.limits import trusted_outputs
from spu_circuit.noise import input_noise_density, johnson_current_density

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ActiveArray:
    """The resistors that hold a matrix. See ``ProgrammedArray``.

    ``direct[i, j]`` joins the output of cell j to the virtual ground of cell i, ``inverted[i, j]`` its inverse; both in
    siemens, (n, n). Their difference is ``siemens_per_unit`` (g_u) times the matrix that the device really solves.
    """

    direct: Array
    inverted: Array
    siemens_per_unit: float
    scaling: Array
    lost_entries: int

    dacs_per_cell = 1
    drive = -1.0
    """The integrators invert, so the DACs hold the negative right-hand side."""

    @property
    def matrix(self) -> Array:
        return (self.direct - self.inverted) / self.siemens_per_unit

    def fully_populated(self, conductance: float) -> "ActiveArray":
        """See ``ProgrammedArray``."""
        direct, inverted = (np.where(G == 0, conductance, G) for G in (self.direct, self.inverted))
        return replace(self, direct=direct, inverted=inverted)

    def outputs(self, volts: Array) -> Array:
        """See ``ProgrammedArray``: the cells'; their inverses are no larger."""
        return volts

    def output_limits(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``."""
        return trusted_outputs(hardware.amplifier, self.loads(hardware).max(axis=0))

    def loads(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: a column of resistors and the inverting stage, or its own feedback."""
        inverter = self.inverted.any(axis=0) / hardware.cell.inverter_resistance
        return np.stack([self.direct.sum(axis=0), self.inverted.sum(axis=0)]) + inverter

    def dac_currents(self, volts: Array, dac_volts: Array, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: into virtual grounds."""
        return np.broadcast_to(dac_volts / hardware.cell.input_resistance, volts.shape)

    def injected_noise_density(self, hardware: Hardware) -> float:
        """One-sided density of the injected noise current, A²/Hz: ``4 κ₀ g_u C``, alone variance κ₀ / A in a cell."""
        return 4 * hardware.noise.injected**2 * self.siemens_per_unit * hardware.cell.capacitance

    def integrator_noise_density(self, hardware: Hardware) -> Array:
        """One-sided density of the noise current into each integrator's virtual ground, A²/Hz, (n,).

        Johnson noise of the row's resistors, the input resistor and the capacitor's leakage, which adds up because all
        of them end in low-impedance nodes, and the injected noise.
        """
        density = np.full(len(self.direct), self.injected_noise_density(hardware))
        if hardware.noise.thermal:
            total = self._row_conductance(hardware) + hardware.cell.leakage_conductance
            density += johnson_current_density(total, hardware.temperature)
        return density

    def inverter_noise_density(self, hardware: Hardware) -> float:
        """One-sided density of the noise current into an inverting stage's virtual ground, A²/Hz: two resistors."""
        if not hardware.noise.thermal:
            return 0.0
        return johnson_current_density(2 / hardware.cell.inverter_resistance, hardware.temperature)

    def diffusion(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``.

        A current of one-sided density S into a virtual ground gives D = S / (4 C²). The noise of an inverting stage is
        a voltage R_inv² S_inv at its output; it drives every row that uses this output, so D is not diagonal. Input
        noise e_j of an amplifier moves its virtual ground and its output: with ``V = W + e`` it is the current
        ``K e, K = diag(ΣG) − (G⁺ − G⁻)``, which drives W, and ``2 G⁻ e`` from the inverting stages.
        """
        cell = hardware.cell
        rows = np.diag(self.integrator_noise_density(hardware))
        inverter = cell.inverter_resistance**2 * self.inverter_noise_density(hardware)
        amplifier = input_noise_density(hardware)
        drive = self.amplifier_drive(hardware)
        shared = (inverter + 4 * amplifier) * self.inverted @ self.inverted.T + amplifier * drive @ drive.T
        return (rows + shared) / (4 * cell.capacitance**2)

    def amplifier_drive(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``."""
        return np.diag(self._row_conductance(hardware)) - (self.direct - self.inverted)

    def direct_noise(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: the e in ``V = W + e``, in the bandwidth of the amplifier's own loop.

        ``e_n² (π/2) GBW / (1 + R_out G)``: at these frequencies the capacitor joins output and virtual ground, and G is
        all that loads the two. Left out are what comes from the other amplifiers through R_out, a tenth of the
        deviation in the preset bench, and, without a gain-bandwidth product, all of it, since it has no bound.
        """
        amplifier = hardware.amplifier
        driven = self.direct.sum(axis=0) + 1 / hardware.cell.inverter_resistance
        loop = 1 + amplifier.output_resistance * (self._row_conductance(hardware) + driven)
        return input_noise_density(hardware) * np.pi / 2 * (amplifier.gain_bandwidth or 0.0) / loop

    def _row_conductance(self, hardware: Hardware) -> Array:
        """What ends in each integrator's virtual ground and does not begin at its own output's capacitor, S, (n,)."""
        return self.direct.sum(axis=1) + self.inverted.sum(axis=1) + 1 / hardware.cell.input_resistance


def program_active(A: Array, hardware: Hardware) -> ActiveArray:
    """Signs to rails, magnitudes to the nearest level.

    ``g_u = (G_max − G_off) / max|A_ij|``: the largest entry uses the whole range. With Jacobi scaling
    ``D^{−1/2} A D^{−1/2}`` takes the place of A, D its diagonal.

    Args:
        A: (n, n), symmetric positive definite.

    Raises:
        MappingError: what the levels leave of A is not positive definite; says how many entries are lost.
    """
    resistors = hardware.array
    scaling = A.diagonal() ** -0.5 if hardware.scaling == "jacobi" else np.ones(len(A))
    A = scaling[:, None] * A * scaling
    siemens_per_unit = (resistors.G_max - resistors.off_conductance) / float(np.abs(A).max())
    used = nearest_level(siemens_per_unit * np.abs(A) + resistors.off_conductance, resistors)
    direct = np.where(A > 0, used, resistors.off_conductance)
    inverted = np.where(A < 0, used, resistors.off_conductance)
    lost = (A != 0) & (used == resistors.off_conductance)
    array = ActiveArray(direct, inverted, siemens_per_unit, scaling, int(lost.sum()))
    try:
        cholesky(array.matrix, check_finite=False)
    except LinAlgError:
        lowest = float(eigvalsh(array.matrix, subset_by_index=[0, 0])[0])
        step = smallest_step(resistors) / siemens_per_unit
        raise MappingError(
            f"hardware {hardware.name!r} cannot hold this matrix: {array.lost_entries} of {A.size} entries "
            f"({int(lost.diagonal().sum())} on the diagonal) are lost below its smallest step of {step:.2g}, and "
            f"rounded to its levels the matrix is not positive definite (lowest eigenvalue {lowest:.2g}); "
            f"add a damping above {max(-lowest, step):.2g}, set scaling = 'jacobi', or take hardware with finer levels"
        ) from None
    return array

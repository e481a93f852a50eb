"""The passive array: capacitors and resistors only, in differential cells, for diagonally dominant matrices.

Cell i has two nodes, p and q, each with a capacitor C to ground; its unknown is ``V_p − V_q``. A resistor pair joins
two cells straight (p to p, q to q) for a negative entry of A and crossed (p to q, q to p) for a positive one. What a
row's resistors and its input resistor leave of the diagonal goes to ground as a leak, so it must not be negative.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.constants import Boltzmann
from scipy.linalg import LinAlgError, solve

from spu_circuit.errors import MappingError
from spu_circuit.hardware import Hardware
from spu_circuit.levels import nearest_level, smallest_step

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PassiveArray:
    """The resistors that hold a matrix, in siemens. See ``ProgrammedArray``.

    ``straight`` and ``crossed`` (n, n) are symmetric with an empty diagonal; ``leak`` (n,) is at both nodes of a cell.
    """

    straight: Array
    crossed: Array
    leak: Array
    input_conductance: float
    siemens_per_unit: float
    scaling: Array
    lost_entries: int

    dacs_per_cell = 2
    drive = 2.0
    """The DACs of a cell have opposite signs, and both count."""

    @property
    def matrix(self) -> Array:
        """See ``ProgrammedArray``; with what the input resistors add to the diagonal."""
        total = (self.straight + self.crossed).sum(axis=1) + self.leak + self.input_conductance
        return (np.diag(total) + self.crossed - self.straight) / self.siemens_per_unit

    def fully_populated(self, conductance: float) -> "PassiveArray":
        """See ``ProgrammedArray``."""
        straight, crossed, leak = (np.where(G == 0, conductance, G) for G in (self.straight, self.crossed, self.leak))
        np.fill_diagonal(straight, 0.0)
        np.fill_diagonal(crossed, 0.0)
        return replace(self, straight=straight, crossed=crossed, leak=leak)

    def injected_noise_density(self, hardware: Hardware) -> float:
        """One-sided density of the injected noise current of each node, A²/Hz: ``2 κ₀ g_u C``, κ₀ / A in a cell."""
        return 2 * hardware.noise.injected**2 * self.siemens_per_unit * hardware.cell.capacitance

    def loads(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: there is no amplifier."""
        return np.zeros((2, len(self.leak)))

    def dac_currents(self, volts: Array, dac_volts: Array, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: each node of a cell is at half of its voltage."""
        return (dac_volts - volts / 2) / hardware.cell.input_resistance

    def outputs(self, volts: Array) -> Array:
        """See ``ProgrammedArray``: the cells' alone."""
        return volts

    def output_limits(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: there is no amplifier."""
        return np.full(len(self.leak), np.inf)

    def amplifier_drive(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: there is no amplifier."""
        return np.zeros((len(self.leak), len(self.leak)))

    def direct_noise(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: there is no amplifier."""
        return np.zeros(len(self.leak))

    def diffusion(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: ``D = (2kT/C) M``, so every cell's variance is 2kT/C whatever the matrix."""
        capacitance = hardware.cell.capacitance
        thermal = Boltzmann * hardware.temperature * hardware.noise.thermal
        injected = hardware.noise.injected**2
        identity = np.eye(len(self.leak))
        conductances = self.siemens_per_unit * self.matrix + hardware.cell.leakage_conductance * identity
        noise = 2 * thermal / capacitance * conductances + injected * self.siemens_per_unit * identity
        return noise / capacitance


def program_passive(A: Array, hardware: Hardware) -> PassiveArray:
    """Couplings to the nearest level, then each leak to the level that corrects its row best.

    Args:
        A: (n, n), symmetric positive definite.

    Raises:
        MappingError: no diagonal scaling makes A dominant enough for the input resistors; names the rows.
    """
    resistors, input_conductance = hardware.array, 1 / hardware.cell.input_resistance
    scaling = dominance_scaling(A)
    scaled = scaling[:, None] * A * scaling
    off = np.abs(scaled) - np.diag(scaled.diagonal())
    slack = scaled.diagonal() - off.sum(axis=1)
    siemens_per_unit = (resistors.G_max - resistors.off_conductance) / float(max(off.max(), slack.max()))
    coupling = nearest_level(siemens_per_unit * off + resistors.off_conductance, resistors)
    coupling[off == 0] = resistors.off_conductance
    np.fill_diagonal(coupling, 0.0)
    other = np.full_like(coupling, resistors.off_conductance)
    np.fill_diagonal(other, 0.0)
    straight, crossed = np.where(scaled < 0, coupling, other), np.where(scaled > 0, coupling, other)
    rest = siemens_per_unit * scaled.diagonal() - (straight + crossed).sum(axis=1) - input_conductance
    missing = np.flatnonzero(rest < -smallest_step(resistors))
    if missing.size:
        rows = ", ".join(map(str, missing[:8])) + (", …" if missing.size > 8 else "")
        raise MappingError(
            f"hardware {hardware.name!r} is passive, and in row {rows} couplings and input resistor "
            f"({input_conductance:.3g} S) take more than the diagonal has; raise the damping by "
            f"{float(-rest.min()) / siemens_per_unit:.2g}, raise input_resistance, or use an active topology"
        )
    leak = nearest_level(np.maximum(rest, 0.0), resistors)
    lost = (off > 0) & (coupling == resistors.off_conductance)
    return PassiveArray(straight, crossed, leak, input_conductance, siemens_per_unit, scaling, int(lost.sum()))


def dominance_scaling(A: Array) -> Array:
    """Positive d, (n,), for which ``diag(d) A diag(d)`` is strictly diagonally dominant; ones where A already is.

    With the comparison matrix ``M`` of A (diagonal as it is, minus the magnitudes elsewhere) dominance says
    ``M d > 0``; ``M d = 1`` has a positive solution exactly if A is an H-matrix (Berman and Plemmons, *Nonnegative
    Matrices in the Mathematical Sciences*, 1979).

    Raises:
        MappingError: A is no H-matrix; names the rows that fail and the damping that cures it.
    """
    comparison = 2 * np.diag(A.diagonal()) - np.abs(A)
    slack = comparison.sum(axis=1)
    if (slack > 0).all():
        return np.ones(len(A))
    try:
        scaling = solve(comparison, np.ones(len(A)))
    except LinAlgError:
        scaling = np.zeros(len(A))
    if not (scaling > 0).all():
        failing = np.flatnonzero(slack <= 0)
        rows = ", ".join(map(str, failing[:8])) + (", …" if failing.size > 8 else "")
        raise MappingError(
            f"matrix is not diagonally dominant in row {rows} and no scaling makes it so, which a passive array needs; "
            f"raise the damping by {float(-slack.min()):.2g}, or use an active topology"
        )
    return scaling / scaling.max()

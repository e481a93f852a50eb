"""The passive array: capacitors and resistors only, in differential cells, for diagonally dominant matrices.

Cell i has two nodes, p and q, each with a capacitor C to ground; its unknown is ``V_p − V_q``. A resistor pair joins
two cells straight (p to p, q to q) for a negative entry of A and crossed (p to q, q to p) for a positive one. What a
row's resistors and its input resistor leave of the diagonal goes to ground as a leak, so it must not be negative.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from netlists.array import ProgrammedArray
from netlists.capacitors import capacitors
from netlists.crossbar import own_noise, resistances
from netlists.elements import Elements, ElementTable, Nodes, NoiseCurrents, Values, ground
from netlists.levels import Rounding, nearest_level, smallest_step
from spu_circuit.errors import MappingError
from spu_circuit.hardware import Hardware
from spu_circuit.noise import BOLTZMANN
from spu_circuit.problem import System

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PassiveArray(ProgrammedArray):
    """The resistors that hold a matrix, or a batch of matrices (...), in siemens. See ``ProgrammedArray``.

    ``straight`` and ``crossed`` (..., n, n) are symmetric with an empty diagonal; ``leak`` (..., n) is at both nodes of
    a cell.
    """

    straight: Array
    crossed: Array
    leak: Array
    input_conductance: Array
    siemens_per_unit: Array
    scaling: Array
    lost_entries: NDArray[np.intp]

    dacs_per_cell = 2
    drive = 2.0
    """The DACs of a cell have opposite signs, and both count."""

    @classmethod
    def program(cls, system: System, hardware: Hardware, rounding: Rounding = nearest_level) -> "PassiveArray":
        """See ``ProgrammedArray``."""
        return program_passive(system.primal().A, hardware, rounding)

    @property
    def matrix(self) -> Array:
        """See ``ProgrammedArray``; with what the input resistors add to the diagonal."""
        total = (self.straight + self.crossed).sum(axis=-1) + self.leak + np.asarray(self.input_conductance)[..., None]
        net = total[..., None] * np.eye(total.shape[-1]) + self.crossed - self.straight
        return net / np.asarray(self.siemens_per_unit)[..., None, None]

    def circuit(self, hardware: Hardware) -> ElementTable:
        """See ``ProgrammedArray``.

        Nodes of cell i: ``p<i>`` and ``q<i>``, whose difference is the unknown, and ``inp<i>`` and ``inq<i>``, DAC
        outputs of opposite sign. Wires of a cell's nodes run as rows and as columns; each pair of cells crosses once.
        Every resistor has a noise current of its own, since that of a coupling resistor reaches two cells.
        """
        cell, n = hardware.cell, self.scaling.shape[-1]
        i = np.arange(n)
        each: Array = np.ones(n)
        elements: list[Elements] = []
        for which, (kind, row, column) in enumerate(
            (("pp", "p", "p"), ("qq", "q", "q"), ("pq", "p", "q"), ("qp", "q", "p"))
        ):
            held = self.straight if row == column else self.crossed
            elements.append(_pairs(f"R{kind}", held, column, row, which, hardware.array.wire_resistance))
        for which, node in enumerate("pq"):
            own, into = Nodes(node, i), Nodes(f"in{node}", i)
            zero = ground(n)
            elements += [
                Elements(f"Vin{node}", (into, zero), 0 * each, i, None, "dac", which),
                capacitors(f"C{node}", (own, zero), hardware, i, which),
                Elements(f"Rin{node}", (into, own), cell.input_resistance * each, i, None, "input_resistor", which),
                Elements(f"Rl{node}", (own, zero), _ohms(self.leak), i, None, "array_resistor", 4 + which),
            ]
            if cell.leakage_resistance is not None:
                elements.append(Elements(f"Rleak{node}", (own, zero), cell.leakage_resistance * each, i))
        injected = self.injected_noise_density(hardware)
        noise = own_noise(elements, hardware.temperature) if hardware.noise.thermal else []
        currents = tuple((Nodes(node, i), injected * each) for node in "pq") if np.any(injected) else ()
        noise += [NoiseCurrents(f"In{n.family}", (ground(len(d)), n), d, i) for n, d in currents]
        return ElementTable(
            "spu-circuit: passive array",
            tuple(elements),
            None,
            (Nodes("p", i), Nodes("q", i)),
            "Vinp0",
            ("matrix entry = conductance / g_u; resistors in ohms",),
            tuple(noise),
            currents,
        )

    def values(self) -> Values:
        """See ``ProgrammedArray``."""
        i, j = np.tril_indices(self.scaling.shape[-1], -1)
        straight, crossed = _ohms(self.straight[..., i, j]), _ohms(self.crossed[..., i, j])
        leak = _ohms(self.leak)
        return {"Rpp": straight, "Rqq": straight, "Rpq": crossed, "Rqp": crossed, "Rlp": leak, "Rlq": leak}

    def by_matrix(self, conductances: Values) -> dict[str, Array]:
        """See ``ProgrammedArray``: an entry and its mirror are one coupling, and what it takes the leaks lose."""
        i, j = np.tril_indices(self.scaling.shape[-1], -1)
        straight, crossed = (conductances[f"R{a}"] + conductances[f"R{b}"] for a, b in (("pp", "qq"), ("pq", "qp")))
        leak = conductances["Rlp"] + conductances["Rlq"]
        negative = (self.straight > self.crossed)[..., i, j]
        coupling = np.where(negative, straight, crossed) - leak[..., i] - leak[..., j]
        found = leak[..., None] * np.eye(leak.shape[-1])
        found[..., i, j] = found[..., j, i] = np.where(negative, -0.5, 0.5) * coupling
        scale = self.scaling[..., :, None] * self.scaling[..., None, :]
        return {"A": np.asarray(self.siemens_per_unit)[..., None, None] * scale * found}

    def inputs(self, dac_volts: Array, initial_volts: Array) -> Values:
        """See ``ProgrammedArray``."""
        start = initial_volts / 2
        return {"Vinp": dac_volts, "Vinq": -dac_volts, "Cp.start": start, "Cq.start": -start}

    def injected_noise_density(self, hardware: Hardware) -> Array:
        """One-sided density of the injected noise current of each node, A²/Hz: ``2 κ₀ g_u C``, κ₀ / A in a cell."""
        return 2 * hardware.noise.injected**2 * self.siemens_per_unit * hardware.cell.capacitance

    def dac_currents(self, volts: Array, dac_volts: Array, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: each node of a cell is at half of its voltage."""
        return (dac_volts - volts / 2) / hardware.cell.input_resistance

    def diffusion(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: ``D = (2kT/C) M``, so every cell's variance is 2kT/C whatever the matrix."""
        capacitance = hardware.cell.capacitance
        thermal = BOLTZMANN * hardware.temperature * hardware.noise.thermal
        injected = hardware.noise.injected**2
        identity = np.eye(self.leak.shape[-1])
        unit = np.asarray(self.siemens_per_unit)[..., None, None]
        conductances = unit * self.matrix + hardware.cell.leakage_conductance * identity
        noise = 2 * thermal / capacitance * conductances + injected * unit * identity
        return noise / capacitance


def _ohms(conductances: Array) -> Array:
    return resistances(conductances[..., None, :])


def _pairs(label: str, held: Array, column: str, row: str, which: int, wire_resistance: float) -> Elements:
    """A resistor for each pair of cells, the later one's row crossing the earlier one's column."""
    i, j = np.tril_indices(held.shape[-1], -1)
    nodes, ohms = (Nodes(column, j), Nodes(row, i)), _ohms(held[..., i, j])
    return Elements(label, nodes, ohms, i, j, "array_resistor", which, wire_resistance=wire_resistance)


def program_passive(A: Array, hardware: Hardware, rounding: Rounding = nearest_level) -> PassiveArray:
    """Couplings to levels, then each leak to the level that corrects its row best.

    Args:
        A: (n, n), symmetric positive definite.

    Raises:
        MappingError: no diagonal scaling makes A dominant enough for the input resistors, naming the rows; or nothing
            but rounding joins the cells to ground.
    """
    resistors, input_conductance = hardware.array, 1 / hardware.cell.input_resistance
    scaling = dominance_scaling(A)
    scaled = scaling[:, None] * A * scaling
    off = np.abs(scaled) - np.diag(scaled.diagonal())
    slack = scaled.diagonal() - off.sum(axis=1)
    siemens_per_unit = (resistors.G_max - resistors.off_conductance) / float(max(off.max(), slack.max()))
    coupling = rounding(siemens_per_unit * off + resistors.off_conductance, resistors)
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
    leak = rounding(np.maximum(rest, 0.0), resistors)
    held = (straight + crossed).sum(axis=1) + leak + input_conductance
    if (leak + input_conductance <= len(A) * np.finfo(float).eps * held).all():
        raise MappingError(
            f"hardware {hardware.name!r} cannot hold this matrix: it leaves no leaks, and beside the couplings the "
            f"input resistors ({input_conductance:.3g} S) are rounding; raise the damping, or lower input_resistance"
        )
    lost = (off > 0) & (coupling == resistors.off_conductance)
    return PassiveArray(
        straight, crossed, leak, np.array(input_conductance), np.array(siemens_per_unit), scaling, lost.sum()
    )


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
        scaling = scipy.linalg.solve(comparison, np.ones(len(A)))
    except np.linalg.LinAlgError:
        scaling = np.zeros(len(A))
    if not (scaling > 0).all():
        failing = np.flatnonzero(slack <= 0)
        rows = ", ".join(map(str, failing[:8])) + (", …" if failing.size > 8 else "")
        raise MappingError(
            f"matrix is not diagonally dominant in row {rows} and no scaling makes it so, which a passive array needs; "
            f"raise the damping by {float(-slack.min()):.2g}, or use an active topology"
        )
    return scaling / scaling.max()

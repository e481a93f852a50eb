"""From a system of equations to component values: conductances, DAC codes and scales."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, eigvalsh

from spu_circuit.converters import quantize
from spu_circuit.errors import MappingError
from spu_circuit.hardware import Hardware, ResistorArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ProgrammedArray:
    """The resistors that hold a matrix.

    ``direct[i, j]`` joins the output of cell j to the virtual ground of cell i, ``inverted[i, j]`` its inverse; both in
    siemens, (n, n). Their difference is ``siemens_per_unit`` (g_u) times the matrix that the device really solves.
    """

    direct: Array
    inverted: Array
    siemens_per_unit: float
    lost_entries: int

    @property
    def matrix(self) -> Array:
        """The programmed matrix in the problem's units: A as the levels hold it."""
        return (self.direct - self.inverted) / self.siemens_per_unit


@dataclass(frozen=True)
class Device:
    """A programmed array with its inputs: all that a circuit needs.

    ``dac_volts`` (n,) drive the input resistors, ``initial_volts`` (n,) are on the capacitors at time 0. Node voltages
    are ``volts_per_unit`` (v_u) times the unknowns. ``clipped_codes`` counts DAC values beyond full scale.
    """

    hardware: Hardware
    array: ProgrammedArray
    volts_per_unit: float
    dac_volts: Array
    initial_volts: Array
    clipped_codes: int

    @property
    def cells(self) -> int:
        return len(self.dac_volts)

    @property
    def time_constant(self) -> float:
        """τ = C / g_u: seconds in one unit of dimensionless time."""
        return self.hardware.cell.capacitance / self.array.siemens_per_unit

    @property
    def drift(self) -> Array:
        """M = (G⁺ − G⁻) / C in 1/s, the drift of the ideal circuit: dV/dt = −M V + u."""
        return (self.array.direct - self.array.inverted) / self.hardware.cell.capacitance

    @property
    def input_rate(self) -> Array:
        """u = −V_DAC / (R_in C) in V/s: the integrators invert, so the DAC holds the negative right-hand side."""
        return -self.dac_volts / (self.hardware.cell.input_resistance * self.hardware.cell.capacitance)


def program_array(A: Array, hardware: Hardware) -> ProgrammedArray:
    """Signs to rails, magnitudes to the nearest level.

    ``g_u = (G_max − G_off) / max|A_ij|``: the largest entry uses the whole range.

    Args:
        A: (n, n), symmetric positive definite.

    Raises:
        MappingError: what the levels leave of A is not positive definite; says how many entries are lost.
    """
    resistors = hardware.array
    siemens_per_unit = (resistors.G_max - resistors.off_conductance) / float(np.abs(A).max())
    active = _nearest_level(siemens_per_unit * np.abs(A) + resistors.off_conductance, resistors)
    direct = np.where(A > 0, active, resistors.off_conductance)
    inverted = np.where(A < 0, active, resistors.off_conductance)
    lost = (A != 0) & (active == resistors.off_conductance)
    array = ProgrammedArray(direct, inverted, siemens_per_unit, int(lost.sum()))
    try:
        cholesky(array.matrix, check_finite=False)
    except LinAlgError:
        lowest = float(eigvalsh(array.matrix, subset_by_index=[0, 0])[0])
        step = _smallest_step(resistors) / siemens_per_unit
        raise MappingError(
            f"hardware {hardware.name!r} cannot hold this matrix: {array.lost_entries} of {A.size} entries "
            f"({int(lost.diagonal().sum())} on the diagonal) are lost below its smallest step of {step:.2g}, and what "
            f"is left is not positive definite (lowest eigenvalue {lowest:.2g}); "
            f"add a damping above {max(-lowest, step):.2g}, scale the rows alike, or take hardware with finer levels"
        ) from None
    return array


def load(
    array: ProgrammedArray, b: Array, hardware: Hardware, volts_per_unit: float, initial_state: Array | None = None
) -> Device:
    """Set the inputs and the initial charges through the DACs.

    Args:
        b: (n,), right-hand side in the problem's units; ``V_DAC = −g_u v_u b R_in``.
        volts_per_unit: v_u, volts per unit of the unknowns.
        initial_state: (n,), in the problem's units; zeros when None.
    """
    state = np.zeros_like(b) if initial_state is None else initial_state
    scale = array.siemens_per_unit * volts_per_unit * hardware.cell.input_resistance
    dac_volts, clipped_inputs = quantize(-scale * b, hardware.dac)
    initial_volts, clipped_states = quantize(volts_per_unit * state, hardware.dac)
    clipped = int(clipped_inputs.sum() + clipped_states.sum())
    return Device(hardware, array, volts_per_unit, dac_volts, initial_volts, clipped)


def largest_scale(array: ProgrammedArray, b: Array, hardware: Hardware, initial_state: Array | None = None) -> float:
    """The largest v_u, in volts per unit, at which no DAC code is clipped. Infinite where nothing drives the array."""
    top = hardware.dac.full_scale - hardware.dac.lsb
    drive = array.siemens_per_unit * hardware.cell.input_resistance * float(np.abs(b).max())
    state = 0.0 if initial_state is None else float(np.abs(initial_state).max())
    largest = max(drive, state)
    return top / largest if largest > 0 else np.inf


def _nearest_level(target: Array, resistors: ResistorArray) -> Array:
    off = resistors.off_conductance
    if resistors.grid is None:
        programmed = np.clip(target, resistors.G_min, resistors.G_max)
        return np.where(target < (off + resistors.G_min) / 2, off, programmed)
    levels = np.union1d(resistors.grid, [off])
    return levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, target)]


def _smallest_step(resistors: ResistorArray) -> float:
    """Half way from off to the first level, in siemens of net conductance: what lies below is lost."""
    off = resistors.off_conductance
    first = resistors.G_min if resistors.grid is None else float(resistors.grid[resistors.grid > off][0])
    return (first - off) / 2

"""From a system of equations to component values: conductances, DAC codes and scales."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spu_circuit.active import program_active
from spu_circuit.converters import quantize
from spu_circuit.copies import Copy
from spu_circuit.factored import program_factored
from spu_circuit.hardware import Hardware
from spu_circuit.passive import program_passive
from spu_circuit.problem import System

Array = NDArray[np.float64]


class ProgrammedArray(Protocol):
    """The resistors that hold a matrix, as one topology arranges them.

    The array solves ``D A D y = D b`` with the diagonal matrix D of ``scaling`` (n,), and ``x = D y``.
    """

    @property
    def siemens_per_unit(self) -> float:
        """g_u, S per unit of the matrix."""
        ...

    @property
    def lost_entries(self) -> int:
        """Non-zero entries that no level can hold."""
        ...

    @property
    def matrix(self) -> Array:
        """The programmed ``D A D`` in the problem's units, as the levels hold it, (n, n)."""
        ...

    @property
    def scaling(self) -> Array:
        """The diagonal of D, (n,)."""
        ...

    @property
    def drive(self) -> float:
        """How a DAC voltage counts: a cell's input current is ``drive · V_DAC / R_in``."""
        ...

    def fully_populated(self, conductance: float) -> "ProgrammedArray":
        """The same with this conductance, in siemens, where a resistor is switched off: it is there all the same."""
        ...

    @property
    def dacs_per_cell(self) -> int:
        """DACs with opposite signs count apart."""
        ...

    def loads(self, hardware: Hardware) -> Array:
        """Conductance that each of ``outputs`` and its inverse drive into virtual grounds, S, (2, n + m)."""
        ...

    def dac_currents(self, volts: Array, dac_volts: Array, hardware: Hardware) -> Array:
        """Of one DAC of each cell, A, (copies, n), when the cells are at ``volts`` (copies, n)."""
        ...

    def outputs(self, volts: Array) -> Array:
        """Voltages that rails limit, (..., n + m), from those of the cells, (..., n), which come first.

        The other m are those of amplifiers between the cells; with ideal ones they follow the cells at once.
        """
        ...

    def output_limits(self, hardware: Hardware) -> Array:
        """Largest |V| that each of ``outputs`` can be trusted to reach, (n + m,); infinite without rails."""
        ...

    def diffusion(self, hardware: Hardware) -> Array:
        """D in V²/s, (n, n), of ``dV = (u − M V) dt + N(0, 2 D dt)`` with amplifiers ideal but for their noise."""
        ...

    def amplifier_drive(self, hardware: Hardware) -> Array:
        """K in S, (n, n): with input noise e of the integrators' amplifiers ``V = W + e`` and ``C dW = K e dt + …``."""
        ...

    def direct_noise(self, hardware: Hardware) -> Array:
        """Variance that amplifiers add to each cell's voltage past its capacitor, faster than the array, V², (n,)."""
        ...


TOPOLOGIES: dict[str, Callable[[System, Hardware], ProgrammedArray]] = {
    "active": lambda system, hardware: program_active(system.primal().A, hardware),
    "passive": lambda system, hardware: program_passive(system.primal().A, hardware),
    "factored": lambda system, hardware: program_factored(system.factored(), hardware),
}


@dataclass(frozen=True)
class Device:
    """A programmed array with its inputs: all that a circuit needs.

    ``dac_volts`` (n,) drive the input resistors, ``initial_volts`` (n,) are on the capacitors at time 0. Cell voltages
    are ``volts_per_unit`` (v_u) times the array's unknowns y. ``clipped_codes`` counts DAC values beyond full scale.
    ``copy`` says which copy it is; None: its parts are nominal.
    """

    hardware: Hardware
    array: ProgrammedArray
    volts_per_unit: float
    dac_volts: Array
    initial_volts: Array
    clipped_codes: int
    copy: Copy | None = None

    @property
    def cells(self) -> int:
        return len(self.dac_volts)

    @property
    def time_constant(self) -> float:
        """τ = C / g_u: seconds in one unit of dimensionless time."""
        return self.hardware.cell.capacitance / self.array.siemens_per_unit

    @property
    def drift(self) -> Array:
        """M in 1/s, the drift of the ideal circuit with its leakage: dV/dt = −M V + u."""
        cell = self.hardware.cell
        leakage = cell.leakage_conductance / cell.capacitance
        return self.array.matrix / self.time_constant + leakage * np.eye(self.cells)

    @property
    def input_rate(self) -> Array:
        """u in V/s: the input currents over C."""
        cell = self.hardware.cell
        return self.array.drive * self.dac_volts / (cell.input_resistance * cell.capacitance)

    @property
    def unknowns_per_volt(self) -> Array:
        """x_i per volt of cell i, (n,)."""
        return self.array.scaling / self.volts_per_unit


def program_array(system: System, hardware: Hardware) -> ProgrammedArray:
    """Put the matrix of a system on the hardware's topology.

    Raises:
        MappingError: the topology or its levels cannot hold the matrix.
    """
    return TOPOLOGIES[hardware.topology](system, hardware)


def load(
    array: ProgrammedArray, b: Array, hardware: Hardware, volts_per_unit: float, initial_state: Array | None = None
) -> Device:
    """Set the inputs and the initial charges through the DACs.

    Args:
        b: (n,), right-hand side in the problem's units.
        volts_per_unit: v_u, volts per unit of the array's unknowns.
        initial_state: (n,), in the problem's units; zeros when None.
    """
    state = np.zeros_like(b) if initial_state is None else initial_state / array.scaling
    dac_volts, clipped_inputs = quantize(volts_per_unit * _dac_volts(array, b, hardware), hardware.dac)
    initial_volts, clipped_states = quantize(volts_per_unit * state, hardware.dac)
    clipped = int(clipped_inputs.sum() + clipped_states.sum())
    return Device(hardware, array, volts_per_unit, dac_volts, initial_volts, clipped)


def voltage_limits(array: ProgrammedArray, hardware: Hardware) -> Array:
    """Largest trusted |V| of each of the array's ``outputs``: what amplifiers drive, of cells also the ADC's range."""
    limits, cells = array.output_limits(hardware), len(array.scaling)
    limits[:cells] = np.minimum(limits[:cells], hardware.adc.full_scale - hardware.adc.lsb)
    return limits


def largest_scale(array: ProgrammedArray, b: Array, hardware: Hardware, initial_state: Array | None = None) -> float:
    """The largest v_u, in volts per unit, at which no DAC code is clipped. Infinite where nothing drives the array."""
    top = hardware.dac.full_scale - hardware.dac.lsb
    state = 0.0 if initial_state is None else float(np.abs(initial_state / array.scaling).max())
    largest = max(float(np.abs(_dac_volts(array, b, hardware)).max()), state)
    return top / largest if largest > 0 else np.inf


def _dac_volts(array: ProgrammedArray, b: Array, hardware: Hardware) -> Array:
    """V_DAC at v_u = 1: ``g_u D b R_in / drive``."""
    return array.siemens_per_unit * array.scaling * b * hardware.cell.input_resistance / array.drive

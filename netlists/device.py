"""From a system of equations to component values: conductances, DAC codes and scales.

Everything here works on one device or on a batch of them: arrays then have the batch's dimensions (...) first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlists.array import ProgrammedArray
from netlists.elements import ElementTable, Values
from netlists.levels import Rounding, nearest_level
from netlists.topologies import TOPOLOGIES
from spu_circuit.converters import quantize
from spu_circuit.errors import InputError, did_you_mean
from spu_circuit.hardware import Hardware
from spu_circuit.problem import System

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Device:
    """A programmed array with its inputs: all that a circuit needs. Or a batch (...) of them.

    ``dac_volts`` (..., n) drive the input resistors, ``initial_volts`` (..., n) are on the capacitors at time 0. Cell
    voltages are ``volts_per_unit`` (v_u) times the array's unknowns y. ``clipped_codes`` counts DAC values beyond full
    scale, ``lost_inputs`` those below half a code that are not zero. Its parts are nominal: those of a sample are on a
    ``Board``.
    """

    hardware: Hardware
    array: ProgrammedArray
    volts_per_unit: Array
    dac_volts: Array
    initial_volts: Array
    clipped_codes: NDArray[np.intp]
    lost_inputs: NDArray[np.intp]

    def __getitem__(self, which: int) -> "Device":
        """One of a batch."""
        return Device(
            self.hardware,
            one_of(self.array, which),
            self.volts_per_unit[which],
            self.dac_volts[which],
            self.initial_volts[which],
            self.clipped_codes[which],
            self.lost_inputs[which],
        )

    @property
    def cells(self) -> int:
        return int(self.dac_volts.shape[-1])

    @property
    def inputs(self) -> Values:
        """See ``ProgrammedArray``."""
        return self.array.inputs(self.dac_volts, self.initial_volts)

    @property
    def circuit(self) -> ElementTable:
        """The netlist of one device, its parts nominal."""
        return described(self).filled(self.inputs)

    @property
    def time_constant(self) -> Array:
        """τ = C / g_u: seconds in one unit of dimensionless time, (...)."""
        return self.hardware.cell.capacitance / self.array.siemens_per_unit

    @cached_property
    def drift(self) -> Array:
        """M in 1/s, (..., n, n), the drift of the ideal circuit with its leakage: dV/dt = −M V + u."""
        cell = self.hardware.cell
        leakage = cell.leakage_conductance / cell.capacitance
        return self.array.matrix / np.asarray(self.time_constant)[..., None, None] + leakage * np.eye(self.cells)

    @property
    def input_rate(self) -> Array:
        """u in V/s, (..., n): the input currents over C."""
        cell = self.hardware.cell
        return self.array.drive * self.dac_volts / (cell.input_resistance * cell.capacitance)

    def at_rest(self) -> Array:
        """Voltages at which the ideal circuit rests, (..., n)."""
        cell = self.hardware.cell
        currents = self.array.drive * self.dac_volts / cell.input_resistance
        return self.array.at_rest(currents, cell.leakage_conductance)

    @property
    def unknowns_per_volt(self) -> Array:
        """x_i per volt of cell i, (..., n)."""
        return self.array.scaling / np.asarray(self.volts_per_unit)[..., None]


def described(device: Device) -> ElementTable:
    """The netlist of the array with notes that tell a reader of the deck hardware, scales and units."""
    table, hardware, array = device.array.circuit(device.hardware), device.hardware, device.array
    outputs = " - ".join(f"V({nodes.family}<i>)" for nodes in table.outputs)
    notes = (
        f"{device.cells} cells, hardware {hardware.name}: {hardware.description}",
        f"unknown i = scale_i ({outputs}) / v_u, v_u = {float(device.volts_per_unit)!r} V per unit",
        f"scales: {' '.join(map(repr, array.scaling.tolist()))}",
        *table.notes,
        f"g_u = {float(array.siemens_per_unit)!r} S per unit of the matrix",
        f"one unit of dimensionless time = {float(device.time_constant)!r} s",
    )
    return replace(table, notes=notes)


def topology_of(hardware: Hardware) -> type[ProgrammedArray]:
    """The topology that a hardware description names.

    Raises:
        InputError: there is none of this name; says which are.
    """
    if hardware.topology not in TOPOLOGIES:
        hint = did_you_mean(hardware.topology, TOPOLOGIES, "they")
        raise InputError(f"hardware {hardware.name!r}: no topology {hardware.topology!r}; {hint}")
    return TOPOLOGIES[hardware.topology]


def program_array(system: System, hardware: Hardware, rounding: Rounding = nearest_level) -> ProgrammedArray:
    """Put the matrix of a system on the hardware's topology.

    Raises:
        MappingError: the topology or its levels cannot hold the matrix.
        InputError: there is no such topology.
    """
    return topology_of(hardware).program(system, hardware, rounding)


def stacked(arrays: Sequence[Any]) -> Any:
    """Programmed arrays of one topology and size as a batch: every array in them gets a first dimension more."""
    first = arrays[0]
    if is_dataclass(first) and not isinstance(first, type):
        found = type(first)(**{f.name: stacked([getattr(a, f.name) for a in arrays]) for f in fields(first)})
        for known in ("roots", "matrix"):
            if all(known in vars(a) for a in arrays):  # which would be computed anew
                vars(found)[known] = stacked([vars(a)[known] for a in arrays])
        return found
    if isinstance(first, tuple):
        return tuple(stacked(items) for items in zip(*arrays, strict=True))
    return np.stack(arrays)


def batch_of(device: Device, count: int = 1) -> Device:
    """A device as a batch of so many equal ones."""
    parts = ("array", "volts_per_unit", "dac_volts", "initial_volts", "clipped_codes", "lost_inputs")
    return replace(device, **{name: stacked([getattr(device, name)] * count) for name in parts})


def one_of(batch: Any, which: int) -> Any:
    """One programmed array of a batch."""
    if is_dataclass(batch) and not isinstance(batch, type):
        return type(batch)(**{f.name: one_of(getattr(batch, f.name), which) for f in fields(batch)})
    if isinstance(batch, tuple):
        return tuple(one_of(item, which) for item in batch)
    return batch[which]


def load(
    array: ProgrammedArray,
    b: Array,
    hardware: Hardware,
    volts_per_unit: Array | float,
    initial_state: Array | None = None,
) -> Device:
    """Set the inputs and the initial charges through the DACs.

    Args:
        b: (..., n), right-hand side in the problem's units.
        volts_per_unit: v_u, volts per unit of the array's unknowns, (...).
        initial_state: (..., n), in the problem's units; zeros when None.
    """
    scale = np.asarray(volts_per_unit, dtype=np.float64)
    state = np.zeros_like(b) if initial_state is None else initial_state / array.scaling
    dac_volts, clipped_inputs = quantize(scale[..., None] * _dac_volts(array, b, hardware), hardware.dac)
    initial_volts, clipped_states = quantize(scale[..., None] * state, hardware.dac)
    clipped = clipped_inputs.sum(axis=-1) + clipped_states.sum(axis=-1)
    lost = ((b != 0) & (dac_volts == 0)).sum(axis=-1) + ((state != 0) & (initial_volts == 0)).sum(axis=-1)
    return Device(hardware, array, scale, dac_volts, initial_volts, clipped, lost)


def voltage_limits(array: ProgrammedArray, hardware: Hardware) -> Array:
    """Largest trusted |V| of each of the array's ``outputs``: what amplifiers drive, of cells also the ADC's range."""
    limits, cells = array.output_limits(hardware), array.scaling.shape[-1]
    limits[..., :cells] = np.minimum(limits[..., :cells], hardware.adc.full_scale - hardware.adc.lsb)
    return limits


def largest_scale(array: ProgrammedArray, b: Array, hardware: Hardware, initial_state: Array | None = None) -> Array:
    """The largest v_u, (...), V per unit, at which no DAC code is clipped. Infinite where nothing drives the array."""
    top = hardware.dac.full_scale - hardware.dac.lsb
    largest = np.abs(_dac_volts(array, b, hardware)).max(axis=-1)
    if initial_state is not None:
        largest = np.maximum(largest, np.abs(initial_state / array.scaling).max(axis=-1))
    with np.errstate(divide="ignore"):
        return np.asarray(top / largest)


def input_gain(device: Device) -> Array:
    """V_DAC per unit of the right-hand side, (..., n)."""
    ones = np.ones_like(device.dac_volts)
    return np.asarray(device.volts_per_unit)[..., None] * _dac_volts(device.array, ones, device.hardware)


def _dac_volts(array: ProgrammedArray, b: Array, hardware: Hardware) -> Array:
    """V_DAC at v_u = 1: ``g_u D b R_in / drive``."""
    unit = np.asarray(array.siemens_per_unit)[..., None]
    return unit * array.scaling * b * (hardware.cell.input_resistance / array.drive)

"""The whole device: program, simulate, read out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from math import floor, inf, log2
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from netlists.parts import board_of, converter_errors, copies_on
from solvers.engine import Engine, IdealLaw, Reading
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck, law_of
from solvers.solution import Solution, Statistics, check_state, check_time
from spu_circuit.converters import characteristic, quantize
from spu_circuit.copies import Copy
from spu_circuit.errors import InputError
from spu_circuit.hardware import Hardware
from spu_circuit.problem import System
from spu_circuit.program import Device, ProgrammedArray, largest_scale, load, program_array, voltage_limits

Array = NDArray[np.float64]

ENGINES: dict[str, Callable[[], Engine]] = {"network": Network, "ngspice": Ngspice, "sde": IdealLaw}

RANGES = 24
"""How often the voltage scale may be changed. Halving this often spans 144 dB between the first guess and what fits."""


def engine_named(name: str) -> Engine:
    """An engine with its defaults. Raises InputError, listing the known ones."""
    if name not in ENGINES:
        raise InputError(f"engine: no {name!r}; engines are {', '.join(sorted(ENGINES))}")
    return ENGINES[name]()


@dataclass(frozen=True)
class Spu:
    """A stochastic processing unit as a solver.

    The matrix goes to resistors, the right-hand side to DAC codes, the voltages come back through the ADC. The voltage
    scale v_u is found by auto-ranging: halved while a node saturates, raised where the ADC would be under-used.

    Args:
        hardware: what it is made of.
        engine: what computes its voltages.
        copy: which drawn copy of the hardware it is; None: its parts are nominal.
    """

    hardware: Hardware
    engine: Engine
    analog: bool = True
    copy: Copy | None = None

    def solve(
        self,
        system: System,
        analog_time: float = inf,
        initial_state: Array | None = None,
        seed: int = 0,
    ) -> Solution:
        """See ``Solver``. A ``GgnSystem`` is solved in its N unknowns; for the K×K mapping solve its ``dual()``.

        At ``analog_time = 0`` nothing happens on the device and the initial state comes back exactly.

        Raises:
            InputError: the arguments do not fit; MappingError: the hardware cannot hold the matrix;
            SimulationError: the engine failed.
        """
        began = perf_counter()
        state = _check(system, analog_time, initial_state)
        if analog_time == 0:
            value = np.zeros_like(system.b) if state is None else state
            statistics = Statistics(self.engine.name, system.residual(value), perf_counter() - began, 0.0)
            return Solution(value, statistics)
        device, law, reading, runs, changes = self._in_range(self.engine, system, state, analog_time, seed)
        volts, saturated = quantize(_before_codes(device, reading.volts), self.hardware.adc)
        beyond = _peaks(reading, device.array) > voltage_limits(device.array, self.hardware)
        beyond[: device.cells] |= saturated
        value = volts * device.unknowns_per_volt
        seconds = analog_time * device.time_constant
        covariance, variance = None, None
        if (noise := reading.covariance) is not None:
            scales = np.outer(device.unknowns_per_volt, device.unknowns_per_volt)
            covariance = cache(lambda: noise() * scales)
            variance = partial(_diagonal_of, covariance)
        statistics = Statistics(
            solver=self.engine.name,
            residual=system.residual(value),
            wall_seconds=perf_counter() - began,
            settled_fraction=_settled_fraction(reading.volts, law.fixed_point()),
            saturated_nodes=int(beyond.sum()),
            clipped_codes=device.clipped_codes,
            lost_entries=device.array.lost_entries,
            ngspice_runs=runs,
            range_changes=changes,
            analog_seconds=seconds,
            volts_per_unit=device.volts_per_unit,
            siemens_per_unit=device.array.siemens_per_unit,
            injected_noise=(self.hardware.noise.injected / device.volts_per_unit) ** 2,
        )
        return Solution(value, statistics, variance, covariance, reading.waveform)

    def ranged(self, system: System) -> Device:
        """The device as a solve of this system programs it, at the voltage scale that auto-ranging ends with."""
        return self._in_range(self.engine, system, None, inf, 0)[0]

    def program(self, system: System, volts_per_unit: float, initial_state: Array | None = None) -> Device:
        """The device as a solve of this system at this voltage scale programs it."""
        return load(program_array(system, self.hardware), system.b, self.hardware, volts_per_unit, initial_state)

    def deck(
        self,
        system: System,
        analog_time: float = inf,
        initial_state: Array | None = None,
        seed: int = 0,
    ) -> str:
        """The SPICE deck of a solve.

        Its voltage scale is ranged by the ideal law, so that ngspice need not be installed; where amplifiers are far
        from ideal, auto-ranging in ``solve`` can end at another scale.
        """
        state = _check(system, analog_time, initial_state)
        if analog_time == 0:
            raise InputError("analog time is 0, where nothing happens; give a time above 0, or inf")
        nominal, law, *_ = replace(self, copy=None)._in_range(IdealLaw(), system, state, analog_time, seed)
        device = replace(nominal, copy=self.copy)
        writer = self.engine if isinstance(self.engine, Ngspice) else Ngspice()
        return writer.deck(device, law, analog_time * device.time_constant, seed)

    def _in_range(
        self, engine: Engine, system: System, state: Array | None, analog_time: float, seed: int
    ) -> tuple[Device, OrnsteinUhlenbeck, Reading, int, int]:
        """The first reading that neither saturates nor under-uses the ADC, or the last one tried."""
        hardware = self.hardware
        array = program_array(system, hardware)
        largest = largest_scale(array, system.b, hardware, state)
        limits = voltage_limits(array, hardware)
        scale = _first_scale(array, system, state, limits, largest)
        runs, changes, was_saturated = 0, 0, False
        while True:
            device = replace(load(array, system.b, hardware, scale, state), copy=self.copy)
            law = law_of(device)
            reading = engine.simulate(device, law, analog_time * device.time_constant, seed)
            runs += reading.ngspice_runs
            used = float((_peaks(reading, array) / limits).max())
            if changes == RANGES:
                break
            if used > 1:
                scale, was_saturated = scale / 2, True
            elif 0 < used < 1 / 8 and scale < largest < inf and not was_saturated:
                scale = min(largest, scale * 2.0 ** floor(-log2(used) - 0.5))
            else:
                break
            changes += 1
        return device, law, reading, runs, changes


def _check(system: System, analog_time: float, initial_state: Array | None) -> Array | None:
    check_time(analog_time)
    return None if initial_state is None else check_state(initial_state, len(system.b))


def _first_scale(array: ProgrammedArray, system: System, state: Array | None, limits: Array, largest: float) -> float:
    """v_u that puts the steepest-descent estimate ``y ≈ c cᵀc / cᵀMc`` of the array's unknowns at half of the range."""
    c = array.scaling * system.b
    largest_entry = float(np.abs(c).max()) or 1.0
    direction = c / largest_entry
    stretched = array.scaling * direction
    power = float(stretched @ system.product(stretched))
    estimate = c * (float(direction @ direction) / power if power > 0 else 0.0)
    used = float((np.abs(array.outputs(estimate)) / limits).max())
    if state is not None:
        used = max(used, float((np.abs(array.outputs(state / array.scaling)) / limits).max()))
    return min(largest, 0.5 / used) if used > 0 else 1.0


def _peaks(reading: Reading, array: ProgrammedArray) -> Array:
    """Largest |V| of each of the array's outputs, over the whole waveform where there is one."""
    volts = reading.volts[None] if reading.waveform is None else reading.waveform.volts
    return np.abs(array.outputs(volts)).max(axis=0)


def _before_codes(device: Device, volts: Array) -> Array:
    """What the ADCs of a copy make of the voltages before they code them."""
    if device.copy is None:
        return volts
    copies = copies_on(board_of(device), device.copy)
    return characteristic(volts[None], device.hardware.adc, **converter_errors(copies, "adc"))[0]


def _diagonal_of(covariance: Callable[[], Array]) -> Array:
    return covariance().diagonal()


def _settled_fraction(volts: Array, final: Array) -> float:
    return float(np.mean(np.abs(volts - final) <= 0.01 * np.abs(final).max()))

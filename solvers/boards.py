"""Devices that are programmed, and how they are read: auto-ranging, codes, and what a solve took."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlists.array import ProgrammedArray
from netlists.board import Board
from netlists.device import Device, largest_scale, load, voltage_limits
from solvers.algebra import on_one_thread
from solvers.engine import Prepared, Programmed, Reading
from solvers.held import Answer
from solvers.solution import StatisticsArrays, check_batch, statistics_arrays
from spu_circuit.converters import quantize
from spu_circuit.errors import MappingError, SimulationError
from spu_circuit.hardware import Hardware
from spu_circuit.sampling import Samples
from spu_circuit.several import Batch

Array = NDArray[np.float64]

RANGES = 24
"""How often the voltage scale may be changed. Halving this often spans 144 dB between the first guess and what fits."""
ESTIMATING = 3
"""Products with the matrix that the first guess takes. Of random systems of condition 10 none is then read twice."""
AIMED = 0.6
"""Of the range, where the guess puts the largest voltage: what it is too low by has room, and the rest is used."""

FULL = 1 / 8
"""Of the range: what uses less is read again at a larger scale."""


@dataclass(frozen=True)
class Boards:
    """Devices whose resistors hold the matrices of systems. Only inputs and charges change from here on."""

    hardware: Hardware
    systems: Batch
    array: ProgrammedArray
    board: Board
    samples: Samples | None
    prepared: Prepared
    programmed: Programmed

    def read(self, b: Array, analog_time: float, states: Array | None, seeds: Sequence[int]) -> "Found":
        """For each the first reading that neither saturates nor under-uses the ADC, or the last tried.

        Args:
            b: (batch, n), right-hand sides, which may be others than those of the systems.
        """
        hardware, array = self.hardware, self.array
        samples, programmed = self._at_read(seeds)
        limits = voltage_limits(array, hardware)
        largest = largest_scale(array, b, hardware, states)
        scale = _first_scale(array, b, self.systems, states, limits, largest)
        seconds = np.broadcast_to(
            analog_time * np.asarray(hardware.cell.capacitance / array.siemens_per_unit), scale.shape
        )
        numbers: Any = np.array(seeds, dtype=np.uint64)
        count = len(scale)
        changes, lowered = np.zeros(count, dtype=int), np.zeros(count, dtype=bool)
        runs, retries = np.zeros(count, dtype=int), np.zeros(count, dtype=int)
        while True:
            device = load(array, b, hardware, scale, states)
            # Whoever may change no more is read beyond its limits too.
            guard = np.where((changes < RANGES)[:, None], limits[:, : b.shape[1]], inf)
            reading = programmed.read(device, seconds, numbers, guard)
            runs += reading.ngspice_runs
            retries += reading.retries
            outputs = np.abs(array.outputs(reading.peaks))
            used = np.nan_to_num((outputs / limits).max(axis=-1), nan=inf)
            failed, may = np.array([bool(failure) for failure in reading.failures]), changes < RANGES
            # Beside one that failed the others are estimates, by which nothing is decided.
            down = (failed if failed.any() else used > 1) & may
            up = (used > 0) & (used < FULL) & (scale < largest) & np.isfinite(largest) & ~lowered & may & ~failed.any()
            if not (down | up).any():
                break
            with np.errstate(divide="ignore"):
                raised = np.minimum(largest, scale * 2.0 ** np.floor(-np.log2(used) - 0.5))
            scale = np.where(down, scale / 2, np.where(up, raised, scale))
            changes, lowered = changes + (down | up), lowered | down
        small = lowered & (used < FULL) & np.isfinite(seconds)
        if small.any():
            said = tuple(_small(share) if is_small else "" for share, is_small in zip(used, small, strict=True))
            reading = replace(reading, noting=partial(_together, reading.noting, said))
        for failure in reading.failures:
            if failure and samples is not None:
                # Nominal parts rest; those of this sample make of the matrix one that does not.
                raise MappingError(
                    f"{failure}, at any of {RANGES} scales, with the parts of this sample; add a damping λ to it"
                )
            if failure:
                raise SimulationError(
                    f"{failure}, at any of {RANGES} voltage scales; check the amplifier's rail and current_limit"
                )
        volts = reading.volts if samples is None else self.board.read(samples, reading.volts)
        codes, clipped = quantize(volts, hardware.adc)
        beyond = outputs > limits
        beyond[:, : b.shape[1]] |= clipped
        values = codes * device.unknowns_per_volt
        return Found(
            self.board,
            programmed,
            device,
            reading,
            values,
            beyond.sum(axis=1),
            changes,
            runs,
            retries,
            states is not None,
        )

    def _at_read(self, seeds: Sequence[int]) -> tuple[Samples | None, Programmed]:
        """The samples as they are at one read, and their boards."""
        if self.samples is None or (samples := self.board.reread(self.samples, seeds)) is self.samples:
            return self.samples, self.programmed
        return samples, self.prepared.program(self.array, samples)


@dataclass(frozen=True)
class HeldBoards:
    """What ``Spu.hold`` gives: devices in parts that are solved together. See ``Held``."""

    engine: str
    hardware: Hardware
    parts: tuple[tuple[slice, Boards], ...]
    programs: int = 1
    flops: float = 0.0

    @on_one_thread
    def solve(
        self,
        b: Array,
        analog_time: float = inf,
        initial_states: Array | None = None,
        seeds: Sequence[int] | None = None,
        asked: NDArray[np.bool_] | None = None,
    ) -> Answer:
        """See ``Held``. Of boards that are solved together all are read if one is asked."""
        states, numbers = check_batch(b, initial_states, seeds)
        wanted = np.ones(len(b), dtype=bool) if asked is None else asked
        values, columns = np.zeros_like(b), statistics_arrays(np.full(len(b), nan))._asdict()
        for rows, boards in self.parts:
            if not wanted[rows].any():
                continue
            own = None if states is None else states[rows]
            found = boards.read(np.where(wanted[rows, None], b[rows], 0.0), analog_time, own, numbers[rows])
            at = np.arange(len(b))[rows][wanted[rows]]
            values[at] = found.values[wanted[rows]]
            for name, column in found.statistics(self.hardware, nan, analog_time).items():
                columns[name][at] = column[wanted[rows]]
        columns["programs"][:] = 0
        return Answer(values, StatisticsArrays(**columns), self.engine)


@dataclass(frozen=True)
class Found:
    """A batch of solves: the last devices and readings, and the solutions (batch, n)."""

    board: Board
    programmed: Programmed
    device: Device
    reading: Reading
    values: Array
    saturated: NDArray[np.intp]
    changes: NDArray[np.intp]
    runs: NDArray[np.intp]
    retries: NDArray[np.intp]
    charged: bool

    def statistics(self, hardware: Hardware, residual: Array | float, analog_time: float) -> dict[str, Array]:
        """Each of ``StatisticsArrays``, (batch,)."""
        device, array = self.device, self.device.array
        settled = device.at_rest()
        largest = np.abs(settled).max(axis=-1, keepdims=True)
        count, cells = self.values.shape
        times = 1 + self.changes
        return {
            "residual": np.broadcast_to(residual, count),
            "settled_fraction": (np.abs(self.reading.volts - settled) <= 0.01 * largest).mean(axis=-1),
            "saturated_nodes": self.saturated,
            "clipped_codes": device.clipped_codes,
            "lost_inputs": device.lost_inputs,
            "lost_entries": np.broadcast_to(array.lost_entries, count),
            "ngspice_runs": self.runs,
            "retries": self.retries,
            "range_changes": self.changes,
            "analog_seconds": np.broadcast_to(analog_time * device.time_constant, count),
            "volts_per_unit": device.volts_per_unit,
            "siemens_per_unit": np.broadcast_to(array.siemens_per_unit, count),
            "injected_noise": (hardware.noise.injected / device.volts_per_unit) ** 2,
            "solves": np.ones(count, dtype=int),
            "programs": np.ones(count, dtype=int),
            "dac_words": times * cells * (array.dacs_per_cell + self.charged),
            "adc_words": times * cells,
        }


def _small(used: float) -> str:
    """What a user must know of voltages that use so much of their range, and at a larger scale do not rest."""
    return (
        f"voltages use {100 * used:.2g} % of their range when they are read: at a larger scale they would come to rest "
        "beyond it, which this engine does not follow, so offsets weigh more; read later, or use ngspice"
    )


def _together(noting: Callable[[], tuple[str, ...]], more: tuple[str, ...]) -> tuple[str, ...]:
    """Notes of each of a batch, and more of them."""
    return tuple("; ".join(filter(None, pair)) for pair in zip(noting() or ("",) * len(more), more, strict=True))


def _first_scale(
    array: ProgrammedArray,
    b: Array,
    systems: Batch,
    states: Array | None,
    limits: Array,
    largest: Array,
) -> Array:
    """v_u that puts the largest of the array's estimated voltages at ``AIMED`` of its range.

    The estimate of its unknowns is where ``ESTIMATING`` steps of conjugate gradients lead (Hestenes and Stiefel,
    J. Res. Natl. Bur. Stand. 49:409, 1952).

    Args:
        systems: whose matrices the arrays hold.
    """
    c = array.scaling * b
    entry = np.abs(c).max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        left = direction = c / np.where(entry > 0, entry, 1.0)
        estimate, power = np.zeros_like(c), (left**2).sum(axis=-1, keepdims=True)
        for _ in range(ESTIMATING):
            image = array.scaling * systems.product(array.scaling * direction)
            strength = (direction * image).sum(axis=-1, keepdims=True)
            # What is solved already, or has no minimum this way, goes no further.
            step = np.where(strength > 0, power / strength, 0.0)
            estimate = estimate + step * direction
            left = left - step * image
            before, power = power, (left**2).sum(axis=-1, keepdims=True)
            direction = left + np.where(before > 0, power / before, 0.0) * direction
        used = (np.abs(array.outputs(entry * estimate)) / limits).max(axis=-1)
        if states is not None:
            used = np.maximum(used, (np.abs(array.outputs(states / array.scaling)) / limits).max(axis=-1))
        return np.asarray(np.where(used > 0, np.minimum(largest, AIMED / used), 1.0))

"""The whole device: program, simulate, read out. One system or a batch of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cache, partial, wraps
from math import inf
from time import perf_counter
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from netlists.array import ProgrammedArray
from netlists.board import Board, populated
from netlists.device import (
    Device,
    input_gain,
    largest_scale,
    load,
    one_of,
    program_array,
    stacked,
    topology_of,
    voltage_limits,
)
from solvers.engine import Engine, Prepared, Programmed, Reading
from solvers.ideal import IdealLaw, law_of
from solvers.memory import refuse_oversize
from solvers.network import Network
from solvers.network.adjoint import Adjoint
from solvers.ngspice import Ngspice
from solvers.sensitivity import (
    Contributions,
    Sensitivity,
    adjoint_of,
    contributions_of,
    own_board,
    sensitivity_of,
)
from solvers.solution import (
    Solution,
    Solutions,
    Statistics,
    StatisticsArrays,
    check_batch,
    check_state,
    check_time,
    statistics_arrays,
)
from spu_circuit.converters import quantize
from spu_circuit.errors import InputError, SimulationError
from spu_circuit.hardware import Hardware
from spu_circuit.problem import GgnSystem, GgnSystems, LinearSystem, LinearSystems, System, Systems, real_array
from spu_circuit.sampling import Sample, Samples, adds, deviating
from spu_circuit.seeds import check_seed

Array = NDArray[np.float64]
Result = TypeVar("Result")

ENGINES: dict[str, Any] = {"network": Network, "ngspice": Ngspice, "sde": IdealLaw}
"""What can compute the voltages: a class for each, whose fields are its settings."""

RANGES = 24
"""How often the voltage scale may be changed. Halving this often spans 144 dB between the first guess and what fits."""
CHUNK = 32
"""Systems that are solved together: enough to share what Python costs, few enough for the caches."""
NO_DEVIATIONS: Mapping[str, Array] = MappingProxyType({})
KEPT = 16
"""Structures that stay prepared: those of so many sizes."""
LARGE = 4_000_000
"""Numbers in an array that is freed once, just below the 32 MiB up to which glibc learns to keep freed memory. Else
arrays of every chunk come as fresh pages, which takes as long as their algebra."""


def engine_named(name: str, **settings: Any) -> Engine:
    """An engine with these settings, each a field of it; what is None keeps its default.

    Raises:
        InputError: no such engine, or it has no such setting; lists the known ones.
    """
    if name not in ENGINES:
        near = get_close_matches(name, ENGINES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"engine: no {name!r}; {hint}engines are {', '.join(sorted(ENGINES))}")
    kind = ENGINES[name]
    given = {key: value for key, value in settings.items() if value is not None}
    known = settings_of(name)
    for key in given:
        if key not in known:
            raise InputError(f"engine {name!r} has no {key!r}; leave it out; it takes {', '.join(known) or 'nothing'}")
    return kind(**given)


def settings_of(name: str) -> tuple[str, ...]:
    """Fields of an engine that a user sets."""
    return tuple(f.name for f in fields(ENGINES[name]) if f.name != "name")


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _on_one_thread(method: Callable[..., Result]) -> Callable[..., Result]:
    """BLAS gets one thread: products of small matrices are over before a second one is awake."""

    @wraps(method)
    def alone(*args: Any, **given: Any) -> Result:
        with _libraries().limit(limits=1, user_api="blas"), _breakdown_named():
            return method(*args, **given)

    return alone


@contextmanager
def _breakdown_named() -> Iterator[None]:
    """Algebra that breaks down, as it can where parts differ by more digits than numbers have, is a SimulationError."""
    try:
        yield
    except np.linalg.LinAlgError as error:
        raise SimulationError(
            f"the device's equations cannot be solved ({error}); raise the damping, or bring the values of its parts "
            "nearer to each other"
        ) from error


@dataclass(frozen=True)
class Spu:
    """A stochastic processing unit as a solver.

    The matrix goes to resistors, the right-hand side to DAC codes, the voltages come back through the ADC. The voltage
    scale v_u is found by auto-ranging: halved while a node saturates or nothing comes to rest, raised where the ADC
    would be under-used. Resistors are set once, whatever the scale.

    Args:
        hardware: what it is made of.
        engine: what computes its voltages.
        sample: which Monte Carlo sample of the hardware it is; None: its parts are nominal.
    """

    hardware: Hardware
    engine: Engine
    analog: bool = True
    sample: Sample | None = None
    _prepared: dict[Any, tuple[Board, Prepared]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Without prepared structures, which are soon made anew and cannot be pickled."""
        return {**self.__dict__, "_prepared": {}}

    @_on_one_thread
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
            SimulationError: the engine failed, or found no operating point at any voltage scale.
        """
        began = perf_counter()
        check_time(analog_time)
        state = None if initial_state is None else check_state(initial_state, len(system.b))
        if analog_time == 0:
            value = np.zeros_like(system.b) if state is None else state
            statistics = Statistics(self.engine.name, system.residual(value), perf_counter() - began, 0.0)
            return Solution(value, statistics)
        found = self._found_one(system, analog_time, state, seed)
        device, reading = found.device[0], found.reading
        covariance, variance = None, None
        if reading.covariances is not None:
            noise, scale = reading.covariances[0], device.unknowns_per_volt
            covariance = cache(partial(_scaled, noise, np.outer(scale, scale)))
            variance = partial(_diagonal_of, covariance)
        value = found.values[0]
        numbers = found.statistics(self.hardware, system.residual(value), analog_time)
        statistics = Statistics(
            self.engine.name,
            **{name: numbers[name][0].item() for name in StatisticsArrays._fields},
            wall_seconds=perf_counter() - began,
        )
        waveform = None if reading.waveforms is None else reading.waveforms[0]
        return Solution(value, statistics, variance, covariance, waveform, device)

    @_on_one_thread
    def solve_batch(
        self,
        systems: Systems | Sequence[System],
        analog_time: float = inf,
        initial_states: Array | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Solutions:
        """Many systems of one size, each programmed and ranged for itself; see ``Solver``.

        A system's result does not depend on what else is in the batch.

        Raises:
            InputError, MappingError, SimulationError: as ``solve``, for the first system that fails.
        """
        began = perf_counter()
        check_time(analog_time)
        count, b = len(systems), _right_hand_sides(systems)
        states, numbers = check_batch(b, initial_states, seeds)
        if analog_time == 0:
            values = np.zeros_like(b) if states is None else states
            residual = _residuals(systems, values)
            return Solutions(values, statistics_arrays(residual, settled_fraction=0.0), perf_counter() - began)

        refuse_oversize(self.hardware, self.engine, b.shape[1], _rows(systems), min(count, self._together()))
        _keep_freed_memory()
        parts = []
        for chosen in _chunks(count, self._together()):
            some = _some(systems, chosen)
            array = self._programmed(some)
            own = None if states is None else states[chosen]
            found = self._found(array, b[chosen], partial(_powers, some), analog_time, own, numbers[chosen])
            statistics = found.statistics(self.hardware, _residuals(some, found.values), analog_time)
            parts.append((found.values, statistics))
        values = np.concatenate([values for values, _ in parts])
        arrays = {name: np.concatenate([own[name] for _, own in parts]) for name in StatisticsArrays._fields}
        return Solutions(values, statistics_arrays(**arrays), perf_counter() - began)

    @_on_one_thread
    def sensitivity(
        self,
        system: System,
        gradient: Array | Callable[[Array], Array],
        analog_time: float = inf,
        initial_state: Array | None = None,
    ) -> Sensitivity:
        """The derivative of a scalar φ of the solution by every part, the right-hand side and the matrix.

        One solve and one of the transposed equations, whatever the number of parts; before the device is settled, one
        for each term of its relaxation. Of noise the mean counts. Levels and codes are taken as continuous (straight
        through), the scales v_u, g_u and D as constant.

        Args:
            gradient: dφ/dx, (n,), or what makes it of the solution x.
            analog_time, initial_state: as in ``solve``.

        Raises:
            InputError: nothing happens in no time, an engine without derivatives, or a gradient that does not fit; and
            as ``solve``.
        """
        check_time(analog_time)
        if analog_time == 0:
            raise InputError("analog time is 0, where no part does anything; give a time above 0, or inf")
        state = None if initial_state is None else check_state(initial_state, len(system.b))
        found, adjoint = self._linearised(system, analog_time, state)
        value = found.values[0]
        slope = real_array(gradient(value) if callable(gradient) else gradient, "gradient", 1)
        if slope.shape != value.shape:
            raise InputError(f"gradient has length {len(slope)}, the system {len(value)} unknowns; they must agree")
        return sensitivity_of(adjoint, found.board, found.device, value, slope)

    @_on_one_thread
    def contributions(self, system: System, samples: Callable[[Board], Samples] | None = None) -> Contributions:
        """What each part adds to the variance of the settled solution between samples, to first order.

        Stuck resistors, ageing and the curvature of large deviations are not in it.

        Args:
            samples: makes of the board the samples whose changes of the solution are wanted too.

        Raises:
            InputError: this is a sample itself, or an engine without derivatives; and as ``solve``.
        """
        if self.sample is not None:
            raise InputError("contributions are about nominal parts, and this device is a sample; leave sample out")
        found, adjoint = self._linearised(system)
        drawn = None if samples is None else samples(own_board(found.board, found.device[0]))
        return contributions_of(adjoint, found.board, found.device, found.values[0], drawn)

    @_on_one_thread
    def settle(self, systems: LinearSystems, deviations: Mapping[str, Array] = NO_DEVIATIONS) -> tuple[Array, Array]:
        """Settled solutions of systems on boards whose parts are off by given deviations.

        Args:
            deviations: kind → (m, parts), in the order of ``parts_of``: relative, or in volts or LSB where they add.

        Returns:
            Solutions (m, n) and voltage scales (m,), which ``pull_back`` takes.

        Raises:
            InputError: a kind or a number of parts that the board does not have; and as ``solve_batch``.
        """
        found = []
        for rows in _chunks(len(systems), self._together(deviations)):
            some, own = _some(systems, rows), {kind: off[rows] for kind, off in deviations.items()}
            array = self._programmed(some)
            found.append(self._found(array, some.b, partial(_powers, some), inf, None, [0] * len(some), own))
        values = np.concatenate([part.values for part in found])
        return values, np.concatenate([part.device.volts_per_unit for part in found])

    @_on_one_thread
    def pull_back(
        self,
        systems: LinearSystems,
        volts_per_unit: Array,
        gradients: Array,
        deviations: Mapping[str, Array] = NO_DEVIATIONS,
    ) -> tuple[Array, Array, dict[str, Array]]:
        """Derivatives of a scalar of each of the solutions of ``settle``; see ``sensitivity``.

        Args:
            volts_per_unit: the scales that ``settle`` ended with, (m,).
            gradients: dφ/dx of each, (m, n).

        Returns:
            dφ by A (m, n, n), by b (m, n), and by each of the deviations.

        Raises:
            InputError: the topology holds no matrix entries, or an engine without derivatives.
        """
        by_A, by_b, by_parts = [], [], []
        for rows in _chunks(len(systems), self._together(deviations)):
            some, own = _some(systems, rows), {kind: off[rows] for kind, off in deviations.items()}
            array = self._programmed(some)
            board, prepared = self._prepare(array)
            device = load(array, some.b, self.hardware, volts_per_unit[rows])
            adjoint = adjoint_of(prepared.program(array, self._samples(board, own)), device)
            found = adjoint.derivatives(board, (gradients[rows] * device.unknowns_per_volt)[:, :, None])
            matrix = array.by_matrix({label: by[:, :, 0] for label, by in found.conductances.items()})
            if "A" not in matrix:
                raise InputError(
                    f"topology {self.hardware.topology!r} holds no entries of A, so nothing is known by them; take "
                    "an active or passive topology"
                )
            by_A.append(matrix["A"])
            by_b.append(found.dac_volts[:, :, 0] * input_gain(device))
            # By a relative change of 1 + ε, which ε alone changes.
            by_parts.append(
                {
                    kind: found.parts[kind][:, :, 0] / (1.0 if adds(self.hardware.variation, kind) else 1 + off)
                    for kind, off in own.items()
                }
            )
        together = {kind: np.concatenate([part[kind] for part in by_parts]) for kind in deviations}
        return np.concatenate(by_A), np.concatenate(by_b), together

    def parts_of(self, cells: int) -> dict[str, int]:
        """Kind → how many parts a board of so many cells has, all of its programmable resistors counted."""
        refuse_oversize(self.hardware, self.engine, cells)
        array = _batch_of_one(program_array(LinearSystem(np.eye(cells), np.ones(cells)), self.hardware))
        board, _ = self._prepare(array)
        return {kind: len(places.slots) for kind, places in board.places.items()}

    def _together(self, deviations: Mapping[str, Array] = NO_DEVIATIONS) -> int:
        """How many systems may be solved together. With wires the parts of a board depend on its matrix."""
        varied = self.sample is not None or bool(deviations)
        return 1 if varied and self.hardware.array.wire_resistance > 0 else CHUNK

    def _samples(self, board: Board, deviations: Mapping[str, Array]) -> Samples | None:
        """What its parts have instead of nominal values; None: nothing."""
        drawn = None if self.sample is None else board.drawn(self.sample)
        if not deviations:
            return drawn
        for kind, off in deviations.items():
            if kind not in board.places:
                raise InputError(f"deviations: no parts {kind!r}; this board has {', '.join(board.places)}")
            if off.shape[1] != (count := len(board.places[kind].slots)):
                raise InputError(f"deviations of {kind}: {off.shape[1]} are given for {count} parts; give one for each")
        return deviating(self.hardware.variation, self.hardware.temperature, drawn, deviations)

    def _linearised(
        self, system: System, analog_time: float = inf, state: Array | None = None
    ) -> "tuple[_Found, Adjoint]":
        found = self._found_one(system, analog_time, state)
        seconds = None if analog_time == inf else analog_time * found.device.time_constant
        return found, adjoint_of(found.programmed, found.device, seconds)

    @_on_one_thread
    def ranged(self, system: System) -> Device:
        """The device as a solve of this system programs it, at the voltage scale that auto-ranging ends with."""
        return self._found_one(system).device[0]

    def program(self, system: System, volts_per_unit: float, initial_state: Array | None = None) -> Device:
        """The device as a solve of this system at this voltage scale programs it."""
        return load(program_array(system, self.hardware), system.b, self.hardware, volts_per_unit, initial_state)

    @_on_one_thread
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
        check_time(analog_time)
        state = None if initial_state is None else check_state(initial_state, len(system.b))
        if analog_time == 0:
            raise InputError("analog time is 0, where nothing happens; give a time above 0, or inf")
        device = Spu(self.hardware, IdealLaw())._found_one(system, analog_time, state, seed).device
        writer = self.engine if isinstance(self.engine, Ngspice) else Ngspice()
        one = device[0]
        table = None
        if self.sample is not None:
            board, prepared = replace(self, engine=writer)._prepare(device.array)
            programmed = prepared.program(device.array, self._samples(board, NO_DEVIATIONS))
            table = programmed.table(one, 0)  # type: ignore[attr-defined]
        return writer.deck(one, law_of(one), analog_time * float(one.time_constant), seed, table)

    def _programmed(self, systems: Systems | Sequence[System]) -> ProgrammedArray:
        topology = topology_of(self.hardware)
        if isinstance(systems, LinearSystems | GgnSystems) and topology.stacks:
            return topology.program(systems, self.hardware)  # type: ignore[arg-type]
        found: ProgrammedArray = stacked([topology.program(systems[k], self.hardware) for k in range(len(systems))])
        return found

    def _prepare(self, array: ProgrammedArray) -> tuple[Board, Prepared]:
        """The board and its structure, prepared once for each size."""
        wires = self.hardware.array.wire_resistance > 0
        key = tuple(np.shape(value)[-1] for value in one_of(array, 0).values().values())
        known = None if wires else self._prepared.get(key)
        if known is not None:
            return known
        table = one_of(array, 0).circuit(self.hardware)
        # Which wires there are depends on which resistors there are.
        board = Board(self.hardware, table if wires else populated(table, self.hardware))
        found = board, self.engine.prepare(board)
        if not wires:
            # Other threads may do the same: each step is whole, and who comes late finds nothing to drop.
            for oldest in list(self._prepared)[: 1 - KEPT]:
                self._prepared.pop(oldest, None)
            self._prepared[key] = found
        return found

    def _found_one(
        self, system: System, analog_time: float = inf, state: Array | None = None, seed: int = 0
    ) -> "_Found":
        """``_found`` of a batch of one."""
        check_seed(seed)
        refuse_oversize(self.hardware, self.engine, len(system.b), _rows(system))
        array = _batch_of_one(program_array(system, self.hardware))
        states = None if state is None else state[None]
        return self._found(array, system.b[None], partial(_powers, [system]), analog_time, states, [seed])

    def _found(
        self,
        array: ProgrammedArray,
        b: Array,
        power: Callable[[Array], Array],
        analog_time: float,
        states: Array | None,
        seeds: Sequence[int],
        deviations: Mapping[str, Array] = NO_DEVIATIONS,
    ) -> "_Found":
        """For each of a batch the first reading that neither saturates nor under-uses the ADC, or the last tried."""
        hardware = self.hardware
        board, prepared = self._prepare(array)
        samples = self._samples(board, deviations)
        programmed: Programmed = prepared.program(array, samples)
        limits = voltage_limits(array, hardware)
        largest = largest_scale(array, b, hardware, states)
        scale = _first_scale(array, b, power, states, limits, largest)
        seconds = np.broadcast_to(
            analog_time * np.asarray(hardware.cell.capacitance / array.siemens_per_unit), scale.shape
        )
        numbers: Any = np.array(seeds, dtype=np.uint64)
        count = len(scale)
        changes, lowered = np.zeros(count, dtype=int), np.zeros(count, dtype=bool)
        runs = np.zeros(count, dtype=int)
        while True:
            device = load(array, b, hardware, scale, states)
            # Whoever may change no more is read beyond its limits too.
            guard = np.where((changes < RANGES)[:, None], limits[:, : b.shape[1]], inf)
            reading = programmed.read(device, seconds, numbers, guard)
            runs += reading.ngspice_runs
            outputs = np.abs(array.outputs(reading.peaks))
            used = np.nan_to_num((outputs / limits).max(axis=-1), nan=inf)
            failed, may = np.array([bool(failure) for failure in reading.failures]), changes < RANGES
            # Beside one that failed the others are estimates, by which nothing is decided.
            down = (failed if failed.any() else used > 1) & may
            up = (used > 0) & (used < 1 / 8) & (scale < largest) & np.isfinite(largest) & ~lowered & may & ~failed.any()
            if not (down | up).any():
                break
            with np.errstate(divide="ignore"):
                raised = np.minimum(largest, scale * 2.0 ** np.floor(-np.log2(used) - 0.5))
            scale = np.where(down, scale / 2, np.where(up, raised, scale))
            changes, lowered = changes + (down | up), lowered | down
        for failure in reading.failures:
            if failure:
                raise SimulationError(
                    f"{failure}, at any of {RANGES} voltage scales; check the amplifier's rail and current_limit"
                )
        volts = reading.volts if samples is None else board.read(samples, reading.volts)
        codes, clipped = quantize(volts, hardware.adc)
        beyond = outputs > limits
        beyond[:, : b.shape[1]] |= clipped
        values = codes * device.unknowns_per_volt
        return _Found(board, programmed, device, reading, values, beyond.sum(axis=1), changes, runs)


@dataclass(frozen=True)
class _Found:
    """A batch of solves: the last devices and readings, and the solutions (batch, n)."""

    board: Board
    programmed: Programmed
    device: Device
    reading: Reading
    values: Array
    saturated: NDArray[np.intp]
    changes: NDArray[np.intp]
    runs: NDArray[np.intp]

    def statistics(self, hardware: Hardware, residual: Array | float, analog_time: float) -> dict[str, Array]:
        """Each of ``StatisticsArrays``, (batch,)."""
        device, array = self.device, self.device.array
        settled = device.at_rest()
        largest = np.abs(settled).max(axis=-1, keepdims=True)
        count = len(self.values)
        return {
            "residual": np.broadcast_to(residual, count),
            "settled_fraction": (np.abs(self.reading.volts - settled) <= 0.01 * largest).mean(axis=-1),
            "saturated_nodes": self.saturated,
            "clipped_codes": device.clipped_codes,
            "lost_inputs": device.lost_inputs,
            "lost_entries": np.broadcast_to(array.lost_entries, count),
            "ngspice_runs": self.runs,
            "range_changes": self.changes,
            "analog_seconds": np.broadcast_to(analog_time * device.time_constant, count),
            "volts_per_unit": device.volts_per_unit,
            "siemens_per_unit": np.broadcast_to(array.siemens_per_unit, count),
            "injected_noise": (hardware.noise.injected / device.volts_per_unit) ** 2,
        }


def _first_scale(
    array: ProgrammedArray,
    b: Array,
    power: Callable[[Array], Array],
    states: Array | None,
    limits: Array,
    largest: Array,
) -> Array:
    """v_u that puts the steepest-descent estimate ``y ≈ c cᵀc / cᵀMc`` of the array's unknowns at half of the range.

    Args:
        power: of vectors (batch, n) ``vᵀ A v``, (batch,).
    """
    c = array.scaling * b
    entry = np.abs(c).max(axis=-1, keepdims=True)
    direction = c / np.where(entry > 0, entry, 1.0)
    strength = power(array.scaling * direction)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(strength > 0, (direction**2).sum(axis=-1) / strength, 0.0)
        used = (np.abs(array.outputs(c * share[:, None])) / limits).max(axis=-1)
        if states is not None:
            used = np.maximum(used, (np.abs(array.outputs(states / array.scaling)) / limits).max(axis=-1))
        return np.asarray(np.where(used > 0, np.minimum(largest, 0.5 / used), 1.0))


def _powers(systems: Systems | Sequence[System], vectors: Array) -> Array:
    if isinstance(systems, LinearSystems | GgnSystems):
        return np.einsum("mn,mn->m", vectors, systems.product(vectors))
    return np.array([float(v @ system.product(v)) for v, system in zip(vectors, systems, strict=True)])


def _rows(systems: System | Systems | Sequence[System]) -> int | None:
    """Of the factor, where the systems have one."""
    return systems.B.shape[-2] if isinstance(systems, GgnSystem | GgnSystems) else None


def _right_hand_sides(systems: Systems | Sequence[System]) -> Array:
    if isinstance(systems, LinearSystems | GgnSystems):
        return systems.b
    sizes = {len(system.b) for system in systems}
    if len(sizes) != 1:
        raise InputError(f"systems have {', '.join(map(str, sorted(sizes)))} unknowns; a batch has systems of one size")
    return np.stack([system.b for system in systems])


def _chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _some(systems: Any, chosen: slice) -> Any:
    """Part of a batch, not checked again."""
    if isinstance(systems, LinearSystems | GgnSystems):
        part = object.__new__(type(systems))
        for name, value in vars(systems).items():
            object.__setattr__(part, name, value[chosen])
        return part
    return systems[chosen]


def _residuals(systems: Systems | Sequence[System], values: Array) -> Array:
    if isinstance(systems, LinearSystems | GgnSystems):
        return systems.residual(values)
    return np.array([system.residual(value) for system, value in zip(systems, values, strict=True)])


def _batch_of_one(array: ProgrammedArray) -> ProgrammedArray:
    found: ProgrammedArray = stacked([array])
    return found


def _scaled(noise: Callable[[], Array], factors: Array) -> Array:
    with _breakdown_named():
        return noise() * factors


def _diagonal_of(covariance: Callable[[], Array]) -> Array:
    return covariance().diagonal()


@cache
def _keep_freed_memory() -> None:
    np.empty(LARGE)

"""The whole device: program, simulate, read out. One system or a batch of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netlists.board import Board
from netlists.device import (
    Device,
    input_gain,
    load,
)
from solvers.algebra import breakdown_named, on_one_thread
from solvers.amplifier_noise import note_of
from solvers.batches import as_batch, keep_freed_memory, slices, some_of
from solvers.boards import Found, HeldBoards
from solvers.programmable import NO_DEVIATIONS, Programmable
from solvers.solution import (
    Solution,
    Solutions,
    Statistics,
    check_batch,
    check_state,
    check_time,
    statistics_arrays,
)
from spu_circuit.admissible import real_array
from spu_circuit.errors import InputError
from spu_circuit.problem import LinearSystems, System, Systems
from spu_circuit.sampling import Samples, adds
from spu_circuit.seeds import check_seed
from spu_circuit.several import Several

if TYPE_CHECKING:
    from solvers.network.adjoint import Adjoint
    from solvers.sensitivity import Contributions, Sensitivity

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Spu(Programmable):
    """A stochastic processing unit as a solver.

    The matrix goes to resistors, the right-hand side to DAC codes, the voltages come back through the ADC. The voltage
    scale v_u is found by auto-ranging: halved while a node saturates or nothing comes to rest, raised where the ADC
    would be under-used. Resistors are set once, whatever the scale.

    Args:
        hardware: what it is made of; an amplifier of a library gets the noise of its model, see ``with_noise``.
        engine: what computes its voltages.
        sample: which Monte Carlo sample of the hardware it is; or which each system of a batch is on, or these as drawn
            for its board; None: its parts are nominal.
        rounding: which levels resistors take: the nearest ones, or "stochastic", drawn by the seed of the solve, whose
            mean is the matrix that is asked for.

    Raises:
        InputError: there is no such rounding.
    """

    @on_one_thread
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
            **{name: column[0].item() for name, column in numbers.items()},
            wall_seconds=perf_counter() - began,
        )
        waveform = None if reading.waveforms is None else reading.waveforms[0]
        noting = partial(self._note, reading.noting, analog_time, float(device.time_constant))
        off = reading.step_errors[0] if reading.step_errors else None
        steps = None if off is None else partial(_scaled, off, device.unknowns_per_volt)
        return Solution(value, statistics, variance, covariance, waveform, device, noting=noting, steps=steps)

    @on_one_thread
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
        batch = as_batch(systems)
        b = batch.b
        states, numbers = check_batch(b, initial_states, seeds)
        if analog_time == 0:
            values = np.zeros_like(b) if states is None else states
            statistics = statistics_arrays(batch.residual(values), settled_fraction=0.0)
            return Solutions(values, statistics, perf_counter() - began, self.engine.name)

        keep_freed_memory()
        parts, noting = [], []
        for chosen, device in self._parts(batch, analog_time):
            some, own = some_of(batch, chosen), None if states is None else states[chosen]
            found = device._set(some, numbers[chosen]).read(b[chosen], analog_time, own, numbers[chosen])
            parts.append((found.values, found.statistics(self.hardware, some.residual(found.values), analog_time)))
            noting.append((len(some), found.reading.noting))
        values = np.concatenate([values for values, _ in parts])
        arrays = {name: np.concatenate([own[name] for _, own in parts]) for name in parts[0][1]}
        seconds = perf_counter() - began
        return Solutions(values, statistics_arrays(**arrays), seconds, self.engine.name, noting=tuple(noting))

    @on_one_thread
    def hold(self, systems: Systems | Sequence[System], seeds: Sequence[int] | None = None) -> "HeldBoards":
        """The devices with the matrices of these systems set, for as many right-hand sides as one likes.

        Args:
            seeds: (m,), of what is random in programming; zeros when None.

        Raises:
            InputError, MappingError: as ``solve``.
        """
        batch = as_batch(systems)
        _, numbers = check_batch(batch.b, None, seeds)
        self._refuse_oversize(batch)
        parts = []
        for chosen, device in self._parts(batch):
            parts.append((chosen, device._set(some_of(batch, chosen), numbers[chosen])))
        return HeldBoards(self.engine.name, self.hardware, tuple(parts))

    @on_one_thread
    def sensitivity(
        self,
        system: System,
        gradient: Array | Callable[[Array], Array],
        analog_time: float = inf,
        initial_state: Array | None = None,
    ) -> "Sensitivity":
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
        from solvers.sensitivity import sensitivity_of  # which most solves never need

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

    @on_one_thread
    def contributions(self, system: System, samples: Callable[[Board], Samples] | None = None) -> "Contributions":
        """What each part adds to the variance of the settled solution between samples, to first order.

        Stuck resistors, ageing and the curvature of large deviations are not in it.

        Args:
            samples: makes of the board the samples whose changes of the solution are wanted too.

        Raises:
            InputError: this is a sample itself, or an engine without derivatives; and as ``solve``.
        """
        from solvers.sensitivity import contributions_of, own_board

        if self.sample is not None:
            raise InputError("contributions are about nominal parts, and this device is a sample; leave sample out")
        found, adjoint = self._linearised(system)
        drawn = None if samples is None else samples(own_board(found.board, found.device[0]))
        return contributions_of(adjoint, found.board, found.device, found.values[0], drawn)

    @on_one_thread
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
        for rows in slices(len(systems), self._together(systems)):
            some, own = some_of(systems, rows), {kind: off[rows] for kind, off in deviations.items()}
            seeds = [0] * len(some)
            found.append(self._set(some, seeds, own).read(some.b, inf, None, seeds))
        values = np.concatenate([part.values for part in found])
        return values, np.concatenate([part.device.volts_per_unit for part in found])

    @on_one_thread
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
        from solvers.sensitivity import adjoint_of

        by_A, by_b, by_parts = [], [], []
        for rows in slices(len(systems), self._together(systems)):
            some, own = some_of(systems, rows), {kind: off[rows] for kind, off in deviations.items()}
            array = self._programmed(some, [0] * len(some))
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

    def _note(self, noting: Callable[[], tuple[str, ...]], analog_time: float, time_constant: float) -> str:
        """What a user must know of one solve, of the engine and of the amplifiers."""
        notes = [*noting()[:1]]
        if analog_time < inf:
            notes.append(note_of(self.hardware, analog_time * time_constant, time_constant))
        return "; ".join(filter(None, notes))

    def _linearised(
        self, system: System, analog_time: float = inf, state: Array | None = None
    ) -> "tuple[Found, Adjoint]":
        from solvers.sensitivity import adjoint_of

        found = self._found_one(system, analog_time, state)
        seconds = None if analog_time == inf else analog_time * found.device.time_constant
        return found, adjoint_of(found.programmed, found.device, seconds)

    @on_one_thread
    def ranged(self, system: System) -> Device:
        """The device as a solve of this system programs it, at the voltage scale that auto-ranging ends with."""
        return self._found_one(system).device[0]

    @on_one_thread
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
        from solvers.ideal import IdealLaw, law_of
        from solvers.ngspice import Ngspice

        check_time(analog_time)
        state = None if initial_state is None else check_state(initial_state, len(system.b))
        if analog_time == 0:
            raise InputError("analog time is 0, where nothing happens; give a time above 0, or inf")
        device = (
            Spu(self.hardware, IdealLaw(), rounding=self.rounding)._found_one(system, analog_time, state, seed).device
        )
        writer = self.engine if isinstance(self.engine, Ngspice) else Ngspice()
        one = device[0]
        table = None
        if self.sample is not None:
            board, prepared = replace(self, engine=writer)._prepare(device.array)
            programmed = prepared.program(device.array, self._samples(board, NO_DEVIATIONS))
            table = programmed.table(one, 0)  # type: ignore[attr-defined]
        return writer.deck(one, law_of(one), analog_time * float(one.time_constant), seed, table)

    def _found_one(
        self, system: System, analog_time: float = inf, state: Array | None = None, seed: int = 0
    ) -> "Found":
        """What a solve of one system finds, as a batch of one."""
        check_seed(seed)
        states = None if state is None else state[None]
        return self._set(Several((system,)), [seed]).read(system.b[None], analog_time, states, [seed])


def _scaled(noise: Callable[[], Array], factors: Array) -> Array:
    with breakdown_named():
        return noise() * factors


def _diagonal_of(covariance: Callable[[], Array]) -> Array:
    return covariance().diagonal()

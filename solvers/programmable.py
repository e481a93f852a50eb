"""A device before it solves: its resistors are set, on a board with the parts of a sample, which is prepared once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from netlists.array import ProgrammedArray
from netlists.board import Board, populated
from netlists.device import (
    Device,
    load,
    one_of,
    stacked,
    topology_of,
)
from netlists.levels import ROUNDINGS
from solvers.amplifier_noise import with_noise
from solvers.batches import rows_of, slices, together
from solvers.boards import Boards
from solvers.engine import Engine, Prepared
from solvers.memory import refuse_oversize
from spu_circuit.errors import InputError
from spu_circuit.hardware import Hardware
from spu_circuit.problem import LinearSystem, System
from spu_circuit.sampling import Sample, Samples, deviating, joined
from spu_circuit.several import Batch, Several

Array = NDArray[np.float64]

NO_DEVIATIONS: Mapping[str, Array] = MappingProxyType({})
KEPT = 16
"""Structures that stay prepared: those of so many sizes."""


@dataclass(frozen=True)
class Programmable:
    """Hardware that takes the matrices of systems, and the engine that looks at it. See ``Spu``."""

    hardware: Hardware
    engine: Engine
    analog: bool = True
    sample: Sample | tuple[Sample, ...] | Samples | None = None
    rounding: str = "nearest"
    _prepared: dict[Any, tuple[Board, Prepared]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.rounding not in ROUNDINGS:
            raise InputError(f"rounding: no {self.rounding!r}; roundings are {', '.join(ROUNDINGS)}")
        object.__setattr__(self, "hardware", with_noise(self.hardware))

    def __getstate__(self) -> dict[str, Any]:
        """Without prepared structures, which are soon made anew and cannot be pickled."""
        return {**self.__dict__, "_prepared": {}}

    def of_samples(self, samples: Sequence[Sample]) -> Self:
        """The same device, where each system of a batch is on a Monte Carlo sample of its own."""
        found = replace(self, sample=tuple(samples))
        object.__setattr__(found, "_prepared", self._prepared)
        return found

    def program(self, system: System, volts_per_unit: float, initial_state: Array | None = None) -> Device:
        """The device as a solve of this system at this voltage scale programs it."""
        array = one_of(self._programmed(Several((system,)), [0]), 0)
        return load(array, system.b, self.hardware, volts_per_unit, initial_state)

    def parts_of(self, cells: int) -> dict[str, int]:
        """Kind → how many parts a board of so many cells has, all of its programmable resistors counted."""
        refuse_oversize(self.hardware, self.engine, cells)
        array = self._programmed(Several((LinearSystem(np.eye(cells), np.ones(cells)),)), [0])
        board, _ = self._prepare(array)
        return {kind: len(places.slots) for kind, places in board.places.items()}

    def _set(
        self,
        systems: Batch,
        seeds: Sequence[int],
        deviations: Mapping[str, Array] = NO_DEVIATIONS,
    ) -> Boards:
        """Devices whose resistors are set, as many as are solved together."""
        self._refuse_oversize(systems)
        _check_samples(self.sample, len(systems))
        array = self._programmed(systems, seeds)
        board, prepared = self._prepare(array)
        drawn = self._samples(board, deviations)
        return Boards(self.hardware, systems, array, board, drawn, prepared, prepared.program(array, drawn))

    def _parts(self, systems: Batch, analog_time: float = inf) -> Iterator[tuple[slice, Self]]:
        """Systems that are solved together, and the device with the samples that these are on.

        Raises:
            InputError: there are not as many samples as systems.
        """
        _check_samples(self.sample, len(systems))
        each = self.sample if isinstance(self.sample, tuple) else None
        for chosen in slices(len(systems), self._together(systems, analog_time)):
            yield chosen, self if each is None else self.of_samples(each[chosen])

    def _together(self, systems: Batch, time: float = inf) -> int:
        """How many systems may be solved together."""
        if isinstance(self.sample, Samples):
            return self.sample.count
        return together(systems, time)

    def _samples(self, board: Board, deviations: Mapping[str, Array]) -> Samples | None:
        """What its parts have instead of nominal values; None: nothing."""
        if isinstance(self.sample, tuple):
            drawn: Samples | None = joined([board.drawn(sample) for sample in self.sample])
        else:
            drawn = board.drawn(self.sample) if isinstance(self.sample, Sample) else self.sample
        if not deviations:
            return drawn
        for kind, off in deviations.items():
            if kind not in board.places:
                raise InputError(f"deviations: no parts {kind!r}; this board has {', '.join(board.places)}")
            if off.shape[1] != (count := len(board.places[kind].slots)):
                raise InputError(f"deviations of {kind}: {off.shape[1]} are given for {count} parts; give one for each")
        return deviating(self.hardware.variation, self.hardware.temperature, drawn, deviations)

    def _programmed(self, systems: Batch, seeds: Sequence[int]) -> ProgrammedArray:
        topology, chosen = topology_of(self.hardware), ROUNDINGS[self.rounding]
        if topology.stacks and not isinstance(systems, Several):
            return topology.program(systems, self.hardware, chosen(seeds))  # type: ignore[arg-type]
        each = zip(range(len(systems)), seeds, strict=True)
        found: ProgrammedArray = stacked(
            [topology.program(systems[k], self.hardware, chosen([seed])) for k, seed in each]
        )
        return found

    def _prepare(self, array: ProgrammedArray) -> tuple[Board, Prepared]:
        """The board and its structure, prepared once for each size."""
        key = tuple(np.shape(value)[-1] for value in one_of(array, 0).values().values())
        known = self._prepared.get(key)
        if known is not None:
            return known
        board = Board(self.hardware, populated(one_of(array, 0).circuit(self.hardware), self.hardware))
        found = board, self.engine.prepare(board)
        # Other threads may do the same: each step is whole, and who comes late finds nothing to drop.
        for oldest in list(self._prepared)[: 1 - KEPT]:
            self._prepared.pop(oldest, None)
        self._prepared[key] = found
        return found

    def _refuse_oversize(self, systems: Batch) -> None:
        refuse_oversize(self.hardware, self.engine, systems.b.shape[1], rows_of(systems), len(systems))


def _check_samples(sample: Sample | tuple[Sample, ...] | Samples | None, systems: int) -> None:
    """Raises InputError where there are samples, and not one for each system."""
    several = sample.count if isinstance(sample, Samples) else len(sample) if isinstance(sample, tuple) else systems
    if several != systems:
        raise InputError(f"{several} samples for {systems} systems; give one each")

"""Averages over reads of one program, and over programs whose levels are drawn.

The law. Noise and codes average out over reads; what the levels make of the matrix does not. Where levels are drawn so
that their mean is the matrix, ``(A + E)⁻¹ = A⁻¹ − A⁻¹ E A⁻¹ + A⁻¹ E A⁻¹ E A⁻¹ − …``: the first term has the mean zero,
so the average of R programs is off by ``ε/√R`` at random and by about ε² always, where one program is off by ε (arXiv
2401.16231). It takes about 1/ε² programs to see ε².
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from solvers.held import Answer, Held, Rows, Wrapper, child_seeds, hold, together
from solvers.solution import StatisticsArrays
from spu_circuit.errors import InputError
from spu_circuit.several import Batch

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Averaged(Wrapper):
    """The mean of several solves of the same system, with the variance of that mean.

    Args:
        solver: an ``Spu`` with ``rounding = "stochastic"`` where several programs are averaged, or what is made of one.
        reads: of each program, each with noise of its own.
        programs: how often the matrix is programmed. A device holds one program, so each solve programs all of them.

    Raises:
        InputError: less than one, or several programs of a device that programs all of them alike.
    """

    reads: int = 1
    programs: int = 1

    def __post_init__(self) -> None:
        for name in ("reads", "programs"):
            value = getattr(self, name)
            if value != int(value) or value < 1:
                raise InputError(f"{name} is {value}; give a whole number, 1 or more")
        if self.programs > 1 and getattr(self.solver, "rounding", "") == "nearest":
            raise InputError(
                f"programs is {self.programs}, but this device rounds to the nearest level, so all programs are alike; "
                "give it rounding = 'stochastic'"
            )

    def hold(self, systems: Batch, seeds: Sequence[int]) -> "HeldAverage":
        """See ``Holder``."""
        # The first program is that of a solve alone.
        each = [list(seeds), *(child_seeds(seeds, 0, k) for k in range(1, self.programs))]
        held = tuple(hold(self.solver, systems, own) for own in each)
        return HeldAverage(held, self.reads)


@dataclass(frozen=True)
class HeldAverage:
    """See ``Held``."""

    held: tuple[Held, ...]
    reads: int

    @property
    def programs(self) -> int:
        """One stays on the device; several are programmed anew in each solve."""
        return self.held[0].programs if len(self.held) == 1 else 0

    @property
    def flops(self) -> float:
        return self.held[0].flops

    def solve(
        self,
        b: Array,
        analog_time: float = inf,
        initial_states: Array | None = None,
        seeds: Sequence[int] | None = None,
        asked: Rows | None = None,
    ) -> Answer:
        """See ``Held``."""
        numbers = [0] * len(b) if seeds is None else list(seeds)
        wanted = np.ones(len(b), dtype=bool) if asked is None else asked
        statistics: StatisticsArrays | None = None
        count, mean, spread = 0, np.zeros_like(b), np.zeros_like(b)
        solver = ""
        for held in self.held:
            for read in range(self.reads):
                each = numbers if count == 0 else child_seeds(numbers, 1, count)
                found = held.solve(b, analog_time, initial_states, each, wanted)
                solver = found.solver
                more = found.statistics
                if len(self.held) > 1 and read == 0:
                    more = more._replace(programs=more.programs + held.programs * wanted)
                statistics = more if statistics is None else together(statistics, more, wanted)
                # Welford's sums, which lose no digits to the size of the values.
                count += 1
                away = found.values - mean
                mean = mean + away / count
                spread = spread + away * (found.values - mean)
        assert statistics is not None
        variances = spread / count / (count - 1) if count > 1 else None
        return Answer(mean, statistics, solver, variances)

"""The structure of a board, made once for all values that it may have."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import inf

import numpy as np
from numpy.typing import NDArray

from netlists.board import Board
from solvers.network.follower import resting
from solvers.network.newton import Bias, bias_of
from solvers.network.noise import Pace, pace_of
from solvers.network.parameters import parameter_slopes
from solvers.network.structure import Structure
from spu_circuit.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """Of the engine.

    Args:
        points: of the waveform; 0: there is none, only voltages at the end and their peaks on the way.
        linearise: in transients take behavioural sources by their tangents at the operating point; False: refuse them
            by name. Statistics count the amplifiers that pass their limits, where tangents do not hold.
        readout_bandwidth: Hz, of whoever reads the outputs; must be far above the fastest mode. It bounds the noise
            that goes straight to an output, past every capacitor, whose variance is infinite without it.

    Raises:
        InputError: a readout bandwidth that is not above 0.
    """

    points: int = 0
    linearise: bool = False
    readout_bandwidth: float | None = None

    def __post_init__(self) -> None:
        if self.readout_bandwidth is not None and not 0 < self.readout_bandwidth < inf:
            raise InputError(f"readout_bandwidth is {self.readout_bandwidth:g} Hz; give one above 0")


@dataclass(frozen=True)
class Preparation:
    """What is known of a board before its values are."""

    settings: Settings
    board: Board

    @cached_property
    def structure(self) -> Structure:
        return Structure(self.board.table)

    @cached_property
    def bias(self) -> Bias:
        begin = resting(self.structure, self.board.hardware.temperature) if self.structure.steep else {}
        return bias_of(self.structure, begin)

    @cached_property
    def still(self) -> Bias:
        """The bias without inputs."""
        begin = resting(self.structure, self.board.hardware.temperature) if self.structure.steep else {}
        return bias_of(self.structure, begin, still=True)

    @cached_property
    def pace(self) -> Pace:
        found = pace_of(self.structure, {**self.structure.coefficients({}), **self.bias.capacitances}, self.bias.slopes)
        # No matrix makes an array faster than this, so that noise is drawn alike for all.
        hardware = self.board.hardware
        cells = max(self.structure.all_sizes)
        return replace(found, fastest=max(found.fastest, cells * hardware.array.G_max / hardware.cell.capacitance))

    @cached_property
    def parameter_slopes(self) -> dict[str, dict[str, dict[str, Array]]]:
        """Of nominal amplifiers; see ``parameters.parameter_slopes``."""
        return parameter_slopes(self.structure, {})

"""What a solver of circuits is: it prepares a structure once, and runs values, inputs, charges, times and seeds."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from netlists.array import ProgrammedArray
from netlists.board import Board
from netlists.device import Device
from solvers.solution import Waveform
from spu_circuit.sampling import Samples

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """What an engine found, of a batch of devices.

    Args:
        means: node voltages when they are sampled, but for ``noise``, (batch, n); NaN where the engine found none.
        failures: of each of the batch why it found none; "" where it did.
        peaks: largest |V| of each cell on the way, (batch, n).
        waveforms: the way there, where the engine simulates it.
        covariances: of each of the batch makes that of the noise in ``volts`` as this engine simulates it, (n, n), V²;
            None: there is none.
        ngspice_runs: how many each took, (batch,) or the same for all.
        noise: makes what adds to ``means``, (batch, n), V; None: nothing does. A function, since a reading at a scale
            that is to be changed needs none.
        retries: settings of ngspice with which each did not converge, (batch,) or the same for all.
        noting: makes of each of the batch what a user must know; (): nothing of any. A function, as ``noise`` is.
        step_errors: of each of the batch makes the error of ``volts`` by the steps of its integration, (n,), V; None
            where it is not known; (): there is none.
    """

    means: Array
    failures: tuple[str, ...]
    peaks: Array
    waveforms: tuple[Waveform, ...] | None = None
    covariances: tuple[Callable[[], Array], ...] | None = None
    ngspice_runs: NDArray[np.intp] | int = 0
    noise: Callable[[], Array] | None = None
    retries: NDArray[np.intp] | int = 0
    noting: Callable[[], tuple[str, ...]] = tuple
    step_errors: tuple[Callable[[], Array] | None, ...] = ()

    @cached_property
    def volts(self) -> Array:
        """Node voltages when they are sampled, with their noise, (batch, n)."""
        return self.means if self.noise is None else self.means + self.noise()


class Programmed(Protocol):
    """A batch of devices whose resistors are set. Inputs and charges may change as often as one likes."""

    def read(self, device: Device, seconds: Array, seeds: Array, limits: Array | None = None) -> Reading:
        """Voltages after ``seconds``, (batch,), or the noise-free operating points where these are infinite.

        Args:
            device: the batch, with its inputs and charges.
            seeds: of the noise of each, (batch,).
            limits: |V| of the cells, (batch, n), beyond which nobody trusts them. Where one of the batch passes these,
                or is not found soon, the voltages of all may be estimates, good enough to choose another scale by, and
                ``failures`` says so. Infinite, or None: it is found wherever it is.
        """
        ...


class Prepared(Protocol):
    """The structure of a board, which all matrices and samples share."""

    def program(self, array: ProgrammedArray, samples: Samples | None) -> Programmed:
        """Set the resistors of a batch of devices.

        Args:
            samples: which Monte Carlo samples they are, one or one for each; None: all parts are nominal.
        """
        ...


class Engine(Protocol):
    """Computes the node voltages of devices."""

    @property
    def name(self) -> str: ...

    @property
    def points(self) -> int:
        """Of the waveforms that it keeps; 0: none."""
        ...

    @property
    def bytes_per_resistor(self) -> float:
        """Memory that it takes for each programmable resistor of a device, about."""
        ...

    def prepare(self, board: Board) -> Prepared:
        """Do all that depends on the structure of a board's circuit alone."""
        ...

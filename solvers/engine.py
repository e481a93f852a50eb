"""What a solver of circuits is: from a programmed device to node voltages."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from solvers.solution import Waveform
from spu_circuit.errors import InputError
from spu_circuit.program import Device

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """What an engine found.

    Args:
        volts: node voltages when they are sampled, (n,).
        waveform: their way there.
        covariance: makes that of the noise in ``volts`` as this engine simulates it, (n, n), V²; None: there is none.
        ngspice_runs: how many it took.
    """

    volts: Array
    waveform: Waveform | None = None
    covariance: Callable[[], Array] | None = None
    ngspice_runs: int = 0


class Engine(Protocol):
    """Computes the node voltages of a device."""

    @property
    def name(self) -> str: ...

    def simulate(self, device: Device, law: OrnsteinUhlenbeck, seconds: float, seed: int) -> Reading:
        """Voltages after ``seconds``, or the noise-free operating point where that is infinite.

        Args:
            law: of the device with ideal amplifiers, for step sizes and ideal solutions.
            seed: of the noise.
        """
        ...


@dataclass(frozen=True)
class IdealLaw:
    """The ideal law of the programmed device: quantization and noise, but perfect amplifiers (engine "sde")."""

    points: int = 100
    name: str = "sde"

    def simulate(self, device: Device, law: OrnsteinUhlenbeck, seconds: float, seed: int) -> Reading:
        """An exact sample where the device has noise, else the mean; see ``Engine``.

        Raises:
            InputError: the device is a drawn copy, of which the ideal law knows nothing.
        """
        if device.copy is not None:
            raise InputError("engine 'sde' knows no drawn copies; take engine 'network' or 'ngspice'")
        if seconds == np.inf:
            return Reading(law.fixed_point())
        times = np.linspace(0, seconds, self.points + 1)
        if not law.diffusion.any():
            volts = law.mean(times, device.initial_volts)
            return Reading(volts[-1], Waveform(times, volts))
        volts = law.sample(times, device.initial_volts, np.random.default_rng(seed))
        return Reading(volts[-1], Waveform(times, volts), lambda: law.covariance(seconds))

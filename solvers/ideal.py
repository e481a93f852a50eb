"""The ideal law of a programmed device, and the engine of it (``sde``)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from netlists.array import ProgrammedArray
from netlists.board import Board
from netlists.device import Device
from solvers.engine import Reading
from solvers.network import state_space
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from solvers.solution import Waveform
from spu_circuit.errors import InputError
from spu_circuit.sampling import Samples

Array = NDArray[np.float64]


def law_of(device: Device) -> OrnsteinUhlenbeck:
    """The law of a device's node voltages (volts, seconds) if its amplifiers were ideal and nothing saturated.

    The noise of a topology that does not state its own is that of its circuit, as far as it passes the capacitors.
    """
    diffusion = device.array.diffusion(device.hardware)
    if diffusion is None:
        space = state_space(device)
        diffusion = space.output @ space.law.diffusion @ space.output.T
    return OrnsteinUhlenbeck(device.drift, device.input_rate, diffusion)


@dataclass(frozen=True)
class IdealLaw:
    """The ideal law of the programmed device: quantization and noise, but perfect amplifiers (engine "sde")."""

    points: int = 100
    name: str = "sde"
    bytes_per_resistor: ClassVar[float] = 100.0

    def prepare(self, board: Board) -> "IdealLaw":
        """Nothing is prepared."""
        return self

    def program(self, array: ProgrammedArray, samples: Samples | None) -> "IdealLaw":
        """See ``Prepared``.

        Raises:
            InputError: the device is a Monte Carlo sample, of which the ideal law knows nothing.
        """
        if samples is not None:
            raise InputError("engine 'sde' knows no Monte Carlo samples; take engine 'network' or 'ngspice'")
        return self

    def read(self, device: Device, seconds: Array, seeds: Array, limits: Array | None = None) -> Reading:
        """Exact samples where the device has noise, else the mean; see ``Programmed``."""
        volts, peaks, waveforms, covariances = [], [], [], []
        for k, (time, seed) in enumerate(zip(seconds.tolist(), seeds.tolist(), strict=True)):
            one = device[k]
            if time == np.inf:
                volts.append(one.at_rest())
                peaks.append(np.abs(volts[-1]))
                continue
            law = law_of(one)
            times = np.linspace(0, time, self.points + 1)
            if not law.diffusion.any():
                path = law.mean(times, one.initial_volts)
            else:
                path = law.sample(times, one.initial_volts, np.random.default_rng(seed))
                covariances.append(lambda law=law, time=time: law.covariance(time))
            volts.append(path[-1])
            peaks.append(np.abs(path).max(axis=0))
            waveforms.append(Waveform(times, path))
        return Reading(
            np.stack(volts),
            ("",) * len(volts),
            np.stack(peaks),
            tuple(waveforms) or None,
            tuple(covariances) or None,
        )

"""What is read on the way of capacitors that bend."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from solvers.engine import Reading
from solvers.network.dense import Motion
from solvers.network.state_space import StateSpace
from solvers.solution import Waveform

Array = NDArray[np.float64]

PATH = 16
"""Points of a way at which its peaks are looked for."""


def bent_reading(
    motion: Motion,
    spaces: Mapping[int, StateSpace],
    covariances: tuple[Callable[[], Array], ...] | None,
    seconds: Array,
    seeds: Array,
    points: int,
    noting: Callable[[], tuple[str, ...]],
) -> Reading:
    """What a batch of devices reads. Noise is that of the capacitances at rest.

    Args:
        motion, spaces, covariances: of the batch; see ``ProgrammedNetwork``.
        seconds: of each, (batch,).
        points: of the waveforms; 0: there are none.
    """
    means, peaks, noises, waves = [], [], [], []
    for k, space in spaces.items():
        times = np.linspace(0, seconds[k], (points or PATH) + 1)
        path = motion.way(k, float(seconds[k]))(times)
        volts = motion.settled[k] + (motion.law.output[k] @ path).T
        means.append(volts[-1])
        peaks.append(np.abs(volts).max(axis=0))
        if space.noisy:
            wanted = times if points else times[[0, -1]]
            noise = space.sample(wanted, np.random.default_rng(int(seeds[k]))) - space.trajectory(wanted)
        else:
            noise = np.zeros_like(volts)
        noises.append(noise[-1])
        waves.append(Waveform(times, volts + noise if points else volts))
    failures, mean = ("",) * len(means), np.stack(means)
    if points:
        volts = np.stack([wave.volts[-1] for wave in waves])
        return Reading(volts, failures, np.stack(peaks), tuple(waves), covariances, noting=noting)
    noisy = np.stack(noises)
    return Reading(mean, failures, np.stack(peaks), None, covariances, noise=lambda: noisy, noting=noting)

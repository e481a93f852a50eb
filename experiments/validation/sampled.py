"""Sampled noise against the law that it should have, all entries of its covariance jointly."""

from dataclasses import replace
from math import ceil

import numpy as np
from scipy.linalg import expm

from experiments.validation.covariance_test import FALSE_ALARMS, SampledLaw, joint_deviation
from experiments.validation.evidence import BLOCKS, COVARIANCE, Check, Evidence, Outcome
from experiments.validation.subject import Subject

SAMPLES_PER_RUN = 25
BLOCK_SAMPLES = 4096
"""Of the fast noise: their standard error is 2.2 % of a variance, 1.1 % of a cell's standard error."""


def noisy_transient(subject: Subject) -> Outcome:
    """Samples of noisy transients at rest.

    The array rests at 0 V, so that numerical errors of the mean do not count. Samples are three slowest time constants
    apart, after six for the sharp start to be forgotten. Each noise value is held for 0.8 of the fastest time constant,
    which takes 5 % off the variance of the fastest mode, in the discretised law too.
    """
    slowest, fastest = subject.rates
    cells = subject.setup.cells
    gap = 3 / slowest
    hold = gap / ceil(gap * fastest / 0.8)
    resting = replace(subject.device, dac_volts=np.zeros(cells), initial_volts=np.zeros(cells))
    engine = replace(subject.spice, points=10, noise_hold=hold * fastest)
    times = gap * np.arange(2, SAMPLES_PER_RUN + 2)
    runs = []
    for seed in range(ceil(subject.setup.samples / SAMPLES_PER_RUN)):
        wave = engine.simulate(resting, subject.law, float(times[-1]), seed).waveform
        assert wave is not None
        near = np.searchsorted(wave.seconds, times * (1 - 1e-9))
        if np.abs(wave.seconds[near] - times).max() > 1e-6 * gap:  # changes of the noise are ngspice's own points
            raise RuntimeError("ngspice has no point where a noise value ends")
        runs.append(wave.volts[near])
    space = subject.space
    expected = SampledLaw(expm(-space.law.drift * gap), space.law.held_covariance(hold), space.output)
    found = joint_deviation(np.array(runs), expected, np.random.default_rng(0))
    check = subject.check(
        COVARIANCE,
        f"covariance of noisy transients, {found.entries} entries and the trace jointly",
        ("ngspice", "discretised law"),
        found.deviation,
        found.bound,
        f"3 standard errors, jointly: false alarms {100 * FALSE_ALARMS:g} %; {found.samples} samples, one standard "
        f"error is {100 * found.standard_error:.2g} % of a variance, the furthest is {100 * found.relative:.2g} % off",
        time=np.inf,
        unit="standard errors",
    )
    flat = np.array(runs).reshape(-1, cells)
    arrays = {"law": expected.voltages, "found": flat.T @ flat / len(flat), "samples": len(flat)}
    return Outcome((check,), (Evidence(check, arrays),))


def sampler_of_blocks(subject: Subject, time: float) -> Check:
    """The covariance that equal devices with different seeds have, from the sampler that forms none.

    Args:
        time: in units of τ.
    """
    covariance = subject.text.covariance(time * subject.time_constant)
    samples = subject.read(subject.device, time, np.arange(BLOCK_SAMPLES))
    samples = samples - subject.read(subject.quiet, time, np.zeros(1, dtype=int))
    law = SampledLaw(np.zeros_like(covariance), covariance, np.eye(len(covariance)))
    found = joint_deviation(samples[:, None], law, np.random.default_rng(0))
    worst_cell = float(np.abs(np.sqrt((samples**2).mean(axis=0) / covariance.diagonal()) - 1).max())
    # 1 % of a standard error is 2 % of a variance.
    allowed = 0.02 / found.standard_error
    return subject.check(
        BLOCKS,
        f"covariance of the sampled noise, {found.entries} entries and the trace jointly",
        ("network", "its text"),
        found.deviation,
        found.bound + allowed,
        f"{found.bound:.2g} standard errors, jointly: false alarms {100 * FALSE_ALARMS:g} %; and {allowed:.1g} for the "
        f"sampler's intervals of ages, 1 % of a standard error; {found.samples} samples, one standard error is "
        f"{100 * found.standard_error:.2g} % of a variance; the worst cell's is {100 * worst_cell:.2g} % off",
        time=time,
        unit="standard errors",
    )

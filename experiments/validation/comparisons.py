"""The comparisons that every device goes through: a comparison more is a function and an entry."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, inf

import numpy as np
from numpy.typing import NDArray

from experiments.validation.evidence import (
    BLOCKS,
    COVARIANCE,
    IDEAL,
    MEAN,
    OPERATING_POINT,
    SPECTRUM,
    VARIANCE,
    Evidence,
    Outcome,
)
from experiments.validation.sampled import noisy_transient, sampler_of_blocks
from experiments.validation.subject import Subject

Array = NDArray[np.float64]

MOMENTS = (0.1, 0.25, 0.5, 1.0)
"""Shares of a transient at which means are compared."""
DOTS = 60
"""Points of a figure's curve."""
MOST_SAMPLED = 8
"""Cells of the largest circuit whose fast noise is sampled."""
LATER_STAGES = 1e5
"""Hz, up to which noise of a library's amplifier is compared: beyond, its later stages add to what is white."""
ROUNDING = "amplifier gain 1e15 and rounding, × condition"


@dataclass(frozen=True)
class Comparison:
    """One way to hold engines against each other.

    Args:
        agreement: which of the promised ones its checks belong to.
        compare: a device's checks.
        applies: whether the device has what is compared.
    """

    agreement: str
    compare: Callable[[Subject], Outcome]
    applies: Callable[[Subject], bool] = lambda subject: True


def apart(value: Array, reference: Array) -> float:
    """‖value − reference‖ / ‖reference‖, any shape."""
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))


def furthest(value: Array, reference: Array) -> float:
    """The largest relative difference of an entry."""
    return float(np.abs(value / reference - 1).max())


def operating_point(subject: Subject) -> Outcome:
    """The settled circuit, solved by the two engines."""
    theirs = subject.spice.simulate(subject.quiet, subject.law, inf, 0).volts
    reason = (
        "two direct linear solvers: rounding × condition"
        if subject.linear
        else "the same saturating amplifiers, by two Newton iterations"
    )
    difference = apart(subject.space.operating_point(), theirs)
    engines = ("network", "ngspice")
    return Outcome((subject.check(OPERATING_POINT, "operating point", engines, difference, 1e-6, reason, time=inf),))


def ideal_law(subject: Subject) -> Outcome:
    """With ideal amplifiers the circuit is the ideal equation: rest, way there, and covariance."""
    space, law, times = subject.space, subject.law, subject.setup.times
    start, tau = subject.device.initial_volts, subject.time_constant
    found = [("operating point", inf, apart(space.operating_point(), law.fixed_point()))]
    if times:
        seconds = np.array(times) * tau
        means = zip(times, space.mean(seconds), law.mean(seconds, start), strict=True)
        found += [("mean", time, apart(ours, theirs)) for time, ours, theirs in means]
    if law.diffusion.any():
        found.append(("covariance", inf, apart(space.stationary_covariance(), law.stationary_covariance())))
        found += [("covariance", t, apart(space.covariance(t * tau), law.covariance(t * tau))) for t in times[:1]]
    engines = ("network", "sde")
    return Outcome(
        tuple(subject.check(IDEAL, what, engines, value, 1e-8, ROUNDING, time=time) for what, time, value in found)
    )


def transient_mean(subject: Subject) -> Outcome:
    """The way to rest without noise; the longest one is drawn."""
    reason = "ngspice's steps: reltol 1e-4, at most 1/20 of the fastest time constant"
    reason += "" if subject.linear else "; tangents of saturating amplifiers"
    checks, arrays = [], {}
    for time in subject.setup.times:
        seconds = time * subject.time_constant
        # Steps of a twentieth of the fastest time constant: the trapezoidal rule is then off by (1/20)²/12 of a decay.
        points = max(100, ceil(20 * seconds * subject.rates[1]))
        wave = replace(subject.spice, points=points).simulate(subject.quiet, subject.law, seconds, 0).waveform
        assert wave is not None
        at = [int(np.argmin(np.abs(wave.seconds - share * seconds))) for share in MOMENTS]
        means = subject.space.mean(wave.seconds[at])
        worst = max(apart(wave.volts[k], mean) for k, mean in zip(at, means, strict=True))
        what, engines = f"mean, worst of {len(MOMENTS)} moments until then", ("network", "ngspice")
        checks.append(subject.check(MEAN, what, engines, worst, 1e-3, reason, time=time))
        grid = np.unique(np.linspace(0, len(wave.seconds) - 1, DOTS).astype(int))[1:]
        arrays = {"seconds": wave.seconds, "reference": wave.volts}
        arrays |= {"at": wave.seconds[grid], "engine": subject.space.mean(wave.seconds[grid])}
    return Outcome(tuple(checks), (Evidence(checks[-1], arrays),))


def has_thermal_noise_alone(subject: Subject) -> bool:
    """What ngspice's ``.noise`` knows: thermal noise, and none that is injected."""
    noise = subject.setup.hardware.noise
    return noise.thermal and not noise.injected


def stationary_variance(subject: Subject) -> Outcome:
    """Thermal noise of the cells by small-signal analysis, which samples nothing."""
    theirs = subject.spice.noise_variance(subject.device, subject.law)
    found = {"network": subject.space.stationary_covariance().diagonal()}
    if subject.law_is_exact:
        found["sde"] = subject.law.stationary_covariance().diagonal()
    what, reason = "variance, worst cell", "band of .noise ends 5 decades beyond the modes, 40 points a decade"
    return Outcome(
        tuple(
            subject.check(VARIANCE, what, (engine, ".noise"), furthest(ours, theirs), 1e-3, reason, time=inf)
            for engine, ours in found.items()
        )
    )


def noise_spectrum(subject: Subject) -> Outcome:
    """Thermal noise of the first cell, frequency by frequency, with what goes straight to the output.

    A library's amplifier has the white noise of its model. What its output resistance adds where the gain falls, of the
    vendor preset (125 Ω / 19.55 kΩ) (f / 3 MHz)² of it, is not in it: 7e-6 at the last frequency that is compared.
    """
    slowest, fastest = subject.rates
    probe = subject.device.circuit.probes[0]
    last = fastest * 1000 if subject.device.hardware.amplifier.library_text is None else LATER_STAGES
    frequency, theirs = subject.spice.noise_density(subject.device, (slowest / 100, last), 10, probe)
    ours = subject.space.noise_density(frequency)[:, 0]
    what, engines = "noise density of cell 0, worst frequency", ("network", ".noise")
    reason = "the same frequencies; ngspice's Boltzmann constant, of 2014, leaves 3.5e-7, its operating point 1e-6"
    check = subject.check(SPECTRUM, what, engines, furthest(ours, theirs), 1e-5, reason)
    return Outcome((check,), (Evidence(check, {"frequency": frequency, "reference": theirs, "engine": ours}),))


def blocks_and_text(subject: Subject) -> Outcome:
    """The fast paths of the engine ``network`` beside the dense law of the same circuit, read from its deck.

    Rest and means come from a few solves of the circuit's blocks, noise from a sampler that forms no covariance.
    """
    setup, text, engines = subject.setup, subject.text, ("network", "its text")
    one = np.zeros(1, dtype=int)
    rest = apart(subject.read(subject.quiet, inf, one)[0], text.operating_point())
    reason = "two factorisations of one circuit: rounding × condition, and Newton's last step"
    checks = [subject.check(BLOCKS, "operating point", engines, rest, 1e-6, reason, time=inf)]
    means = text.mean(np.array(setup.times) * subject.time_constant) if setup.times else ()
    reason = "24 Chebyshev terms leave 2e-10 of a mode; rounding × condition"
    for time, theirs in zip(setup.times, means, strict=True):
        mean = apart(subject.read(subject.quiet, time, one)[0], theirs)
        checks.append(subject.check(BLOCKS, "mean", engines, mean, 1e-6, reason, time=time))
    if text.noisy and setup.cells <= MOST_SAMPLED:
        checks += [sampler_of_blocks(subject, time) for time in setup.times[-1:]]
    return Outcome(tuple(checks))


COMPARISONS: tuple[Comparison, ...] = (
    Comparison(OPERATING_POINT, operating_point),
    Comparison(BLOCKS, blocks_and_text),
    Comparison(IDEAL, ideal_law, lambda subject: subject.law_is_exact),
    Comparison(MEAN, transient_mean, lambda subject: bool(subject.setup.times)),
    Comparison(VARIANCE, stationary_variance, lambda s: has_thermal_noise_alone(s) and s.noise_is_bounded),
    Comparison(SPECTRUM, noise_spectrum, has_thermal_noise_alone),
    Comparison(COVARIANCE, noisy_transient, lambda subject: subject.setup.samples > 0),
)

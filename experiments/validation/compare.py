"""The engines side by side: the same devices through ngspice, ``network``, ``sde`` and closed forms.

A ``Case`` is a device and how long it relaxes; a comparison is a function from its devices to verdicts. Cases are data
(``CASES``), so a topology, a preset or a size more is a line more.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil, inf, isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.constants import Boltzmann
from scipy.linalg import expm
from threadpoolctl import threadpool_limits

from experiments.shared.systems import dominant_system, spd_system
from experiments.validation.covariance_test import FALSE_ALARMS, SampledLaw, joint_deviation
from netlists.array import ProgrammedArray
from netlists.board import Board
from netlists.device import Device, batch_of, load, program_array, voltage_limits
from solvers.ideal import law_of
from solvers.network import Network, state_space
from solvers.network.irregular import is_irregular, space_of
from solvers.network.state_space import StateSpace
from solvers.ngspice import Ngspice
from solvers.ngspice_process import ngspice_program
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.errors import SpuError
from spu_circuit.hardware import Hardware, Noise, load_hardware
from spu_circuit.problem import GgnSystem, LinearSystem, System

Array = NDArray[np.float64]

SYSTEMS: dict[str, Callable[[int, float, int], LinearSystem]] = {"passive": dominant_system}
"""Which systems a topology is given; any symmetric positive definite one where it is not named."""
SWING = 0.25
"""Largest settled voltage, as a share of what the amplifiers can drive, or of a volt where they have no rails."""
SAMPLES_PER_RUN = 25
BLOCK_SAMPLES = 4096
"""Of the fast noise: their standard error is 2.2 % of a variance, 1.1 % of a cell's standard error."""
MOST_SAMPLED = 8
"""Cells of the largest circuit whose fast noise is sampled."""
READOUT_BANDWIDTH = 1e7
"""Hz, of whoever reads outputs whose noise has no other bound."""


def with_hessian(system: LinearSystem, seed: int) -> GgnSystem:
    """The same matrix as ``JᵀHJ + λI`` with a random positive definite H."""
    folded = system.factored()
    rows = len(folded.B)
    root: Array = np.eye(rows) + np.random.default_rng(seed).uniform(0, 1 / rows, (rows, rows))
    J = np.asarray(np.linalg.solve(root.T, folded.B), dtype=np.float64)
    return GgnSystem(J, folded.damping, folded.gradient, root @ root.T)


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Args:
        engines: whose numbers are compared.
        difference, bound: relative, or in standard errors, as ``unit`` says.
        reason: why the bound is what it is.
        agreement: which of the promised agreements this line belongs to.
    """

    case: str
    quantity: str
    engines: str
    difference: float
    bound: float
    reason: str
    agreement: str
    unit: Literal["relative", "standard errors"] = "relative"

    @property
    def holds(self) -> bool:
        return bool(self.difference <= self.bound)


@dataclass(frozen=True)
class Evidence:
    """Arrays behind a check, for a figure: ``kind`` is settling, covariance or spectrum."""

    kind: str
    case: str
    arrays: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    checks: tuple[Check, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class Case:
    """A device to compare engines on.

    Args:
        preset: of the hardware.
        size, condition: of the random system.
        times: of the transients, in units of τ.
        topology: takes the place of the preset's own.
        hessian: a factored array has a third array, for the Hessian.
        parasitic: wires of 2 Ω a segment, capacitors that leak through 50 kΩ, unused resistors of 1 µS.
        injected: √κ₀, V.
        thermal: takes the place of the preset's own.
        alter: what happens to the resistors after programming; its name stands in the table.
        samples: of the voltages in noisy transients; 0: none are run.
        closed: a closed form for this very case.
        full: only with ``--full``.
    """

    preset: str
    size: int
    condition: float
    times: tuple[float, ...] = ()
    topology: str = ""
    hessian: bool = False
    parasitic: bool = False
    injected: float = 0.0
    thermal: bool | None = None
    alter: tuple[str, Callable[[ProgrammedArray], ProgrammedArray]] | None = None
    samples: int = 0
    closed: "Comparison | None" = None
    seed: int = 0
    full: bool = False

    @property
    def hardware(self) -> Hardware:
        preset = load_hardware(self.preset)
        thermal = preset.noise.thermal if self.thermal is None else self.thermal
        update: dict[str, Any] = {"noise": Noise(thermal=thermal, injected=self.injected)}
        if self.parasitic:
            floor = max(preset.array.G_min, 1e-6)
            array = {"wire_resistance": 2.0, "off_conductance": 1e-6, "G_min": floor, "bits": None}
            update["array"] = preset.array.model_copy(update=array)
            update["cell"] = preset.cell.model_copy(update={"leakage_resistance": 50e3})
        return preset.model_copy(update=update | ({"topology": self.topology} if self.topology else {}))

    @property
    def name(self) -> str:
        hardware = self.hardware
        noise = " + ".join(["thermal"] * hardware.noise.thermal + ["injected"] * (self.injected > 0)) or "no"
        what = f"condition {self.condition:g}" if self.alter is None else self.alter[0]
        device = self.preset if hardware.topology in (self.preset, "active") else f"{self.preset}, {hardware.topology}"
        parts = [device, *["Hessian"] * self.hessian, *["wires, leakage, off-conductance"] * self.parasitic]
        return f"{' with '.join(parts)}, {self.size} cell{'s' * (self.size > 1)}, {what}, {noise} noise"


@dataclass(frozen=True)
class Subject:
    """A case made: devices, laws and engines, each computed once.

    Args:
        spice: runs the circuits.
    """

    case: Case
    spice: Ngspice = field(default_factory=Ngspice)

    @cached_property
    def system(self) -> System:
        case = self.case
        system = SYSTEMS.get(case.hardware.topology, spd_system)(case.size, case.condition, case.seed)
        return with_hessian(system, case.seed) if case.hessian else system

    @cached_property
    def device(self) -> Device:
        """At a quarter of its range when settled, from initial charges that no mode is blind to."""
        hardware, b = self.case.hardware, self.system.b
        array = program_array(self.system, hardware)
        if self.case.alter is not None:
            array = self.case.alter[1](array)
        rest = np.linalg.solve(array.matrix, array.scaling * b)
        largest = float(np.abs(rest).max())
        limit = min(1.0, float(voltage_limits(array, hardware).min()))
        start = array.scaling * np.linspace(-largest, largest, self.case.size) if self.case.size > 1 else None
        return load(array, b, hardware, SWING * limit / largest, start)

    @cached_property
    def quiet(self) -> Device:
        """The device without noise."""
        return replace(
            self.device, hardware=self.device.hardware.model_copy(update={"noise": Noise(thermal=False, injected=0.0)})
        )

    @cached_property
    def law(self) -> OrnsteinUhlenbeck:
        """Of ideal amplifiers: the engine ``sde``."""
        return law_of(self.device)

    @cached_property
    def space(self) -> StateSpace:
        """The circuit itself, from its blocks: the engine ``network``."""
        return state_space(self.device, Network(linearise=not self.linear))

    @cached_property
    def text(self) -> StateSpace:
        """The circuit as its deck has it, element by element: the oracle of the blocks."""
        hardware = self.device.hardware
        temperature = hardware.temperature if hardware.noise.thermal else None
        return space_of(self.device.circuit, temperature, not self.linear, self.readout_bandwidth)

    @property
    def amplifiers_are_ideal(self) -> bool:
        return self.device.hardware.topology == "passive" or self.device.hardware.amplifier.model == "ideal"

    @property
    def linear(self) -> bool:
        amplifier = self.device.hardware.amplifier
        return self.amplifiers_are_ideal or (amplifier.model == "macromodel" and amplifier.rail is None)

    @property
    def law_is_exact(self) -> bool:
        """Engine ``sde`` knows everything in the circuit: no amplifier that is not ideal, and no wire."""
        return self.amplifiers_are_ideal and self.case.hardware.array.wire_resistance == 0

    @property
    def noise_is_bounded(self) -> bool:
        """No noise goes straight to the outputs, so variances are finite without a band."""
        amplifier = self.device.hardware.amplifier
        return self.amplifiers_are_ideal or (amplifier.model == "macromodel" and amplifier.output_resistance == 0)

    @property
    def time_constant(self) -> float:
        """τ of the device, s."""
        return float(self.device.time_constant)

    @property
    def readout_bandwidth(self) -> float | None:
        """Hz, where variances need one."""
        return None if self.noise_is_bounded else READOUT_BANDWIDTH

    def read(self, device: Device, time: float, seeds: NDArray[Any]) -> Array:
        """What the engine ``network`` reads after a time, in τ, of as many equal devices as there are seeds, V."""
        engine = Network(linearise=not self.linear, readout_bandwidth=self.readout_bandwidth)
        batch = batch_of(device, len(seeds))
        programmed = engine.prepare(Board(device.hardware, device.circuit)).program(batch.array)
        return programmed.read(batch, np.full(len(seeds), time * device.time_constant), seeds).volts

    @property
    def rates(self) -> tuple[float, float]:
        """Slowest and fastest of the ideal law, 1/s."""
        return float(np.min(np.real(self.law.rates))), float(np.abs(self.law.rates).max())

    def check(self, quantity: str, engines: str, difference: float, bound: float, reason: str, agreement: str) -> Check:
        return Check(self.case.name, quantity, engines, difference, bound, reason, agreement)


Comparison = Callable[[Subject], Outcome]

OPERATING_POINT = "operating point, network against ngspice"
MEAN = "transient mean, network against ngspice"
VARIANCE = "stationary variance against .noise"
SPECTRUM = "noise spectrum, network against .noise"
COVARIANCE = "covariance of noisy transients against the discretised law"
BLOCKS = "blocks against the circuit's text"
IDEAL = "network with ideal hardware against sde"
CLOSED = "closed forms"
PUBLISHED = "published digits"
AGREEMENTS = (OPERATING_POINT, MEAN, VARIANCE, SPECTRUM, COVARIANCE, BLOCKS, IDEAL, CLOSED, PUBLISHED)


def apart(value: Array, reference: Array) -> float:
    """‖value − reference‖ / ‖reference‖, any shape."""
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))


def operating_point(subject: Subject) -> Outcome:
    """The settled circuit, solved by the two engines."""
    theirs = subject.spice.simulate(subject.quiet, subject.law, inf, 0).volts
    reason = (
        "two direct linear solvers: rounding × condition"
        if subject.linear
        else "the same saturating amplifiers, by two Newton iterations"
    )
    difference = apart(subject.space.operating_point(), theirs)
    return Outcome((subject.check("operating point", "network | ngspice", difference, 1e-6, reason, OPERATING_POINT),))


def ideal_law(subject: Subject) -> Outcome:
    """With ideal amplifiers the circuit is the ideal equation: rest, way there, and covariance."""
    if not subject.law_is_exact:
        return Outcome()
    space, law, device = subject.space, subject.law, subject.device
    reason = "amplifier gain 1e15 and rounding, × condition"
    differences = {"operating point": apart(space.operating_point(), law.fixed_point())}
    if subject.case.times:
        times = np.array(subject.case.times) * subject.time_constant
        means = zip(space.mean(times), law.mean(times, device.initial_volts), strict=True)
        differences[f"mean at {_times(subject)}"] = max(apart(ours, theirs) for ours, theirs in means)
    if law.diffusion.any():
        differences["stationary covariance"] = apart(space.stationary_covariance(), law.stationary_covariance())
        for time in subject.case.times[:1]:
            seconds = time * subject.time_constant
            differences[f"covariance at t = {time:g}τ"] = apart(space.covariance(seconds), law.covariance(seconds))
    return Outcome(
        tuple(subject.check(what, "network | sde", value, 1e-8, reason, IDEAL) for what, value in differences.items())
    )


def transient_mean(subject: Subject) -> Outcome:
    """The way to rest without noise, at four moments of each transient."""
    if not subject.case.times:
        return Outcome()
    worst, evidence = 0.0, []
    for time in subject.case.times:
        seconds = time * subject.time_constant
        # Steps of a twentieth of the fastest time constant: the trapezoidal rule is then off by (1/20)²/12 of a decay.
        points = max(100, ceil(20 * seconds * subject.rates[1]))
        wave = replace(subject.spice, points=points).simulate(subject.quiet, subject.law, seconds, 0).waveform
        assert wave is not None
        at = [int(np.argmin(np.abs(wave.seconds - share * seconds))) for share in (0.1, 0.25, 0.5, 1.0)]
        means = subject.space.mean(wave.seconds[at])
        worst = max(worst, *(apart(wave.volts[k], mean) for k, mean in zip(at, means, strict=True)))
        grid = np.unique(np.linspace(0, len(wave.seconds) - 1, 60).astype(int))[1:]
        arrays = {"seconds": wave.seconds / subject.time_constant, "ngspice": wave.volts}
        arrays |= {"at": arrays["seconds"][grid], "network": subject.space.mean(wave.seconds[grid])}
        evidence = [Evidence("settling", subject.case.name, arrays)]
    check = subject.check(
        f"mean, 4 moments up to each of {_times(subject)}",
        "network | ngspice",
        worst,
        1e-3,
        "ngspice's steps: reltol 1e-4, at most 1/20 of the fastest time constant"
        + ("" if subject.linear else "; tangents of saturating amplifiers"),
        MEAN,
    )
    return Outcome((check,), tuple(evidence))


def stationary_variance(subject: Subject) -> Outcome:
    """Thermal noise of the cells by small-signal analysis, which samples nothing."""
    noise = subject.case.hardware.noise
    if not noise.thermal or noise.injected or not subject.noise_is_bounded:
        return Outcome()
    theirs = subject.spice.noise_variance(subject.device, subject.law)
    found = {"network | .noise": subject.space.stationary_covariance().diagonal()}
    if subject.law_is_exact:
        found["sde | .noise"] = subject.law.stationary_covariance().diagonal()
    reason = "band of .noise ends 5 decades beyond the modes, 40 points a decade"
    return Outcome(
        tuple(
            subject.check(
                "stationary variance, worst cell",
                engines,
                float(np.abs(variance / theirs - 1).max()),
                1e-3,
                reason,
                VARIANCE,
            )
            for engines, variance in found.items()
        )
    )


def noise_spectrum(subject: Subject) -> Outcome:
    """Thermal noise of the first cell, frequency by frequency, with what goes straight to the output."""
    noise = subject.case.hardware.noise
    if not noise.thermal or noise.injected:
        return Outcome()
    slowest, fastest = subject.rates
    probe = subject.device.circuit.probes[0]
    frequency, theirs = subject.spice.noise_density(subject.device, (slowest / 100, fastest * 1000), 10, probe)
    ours = subject.space.noise_density(frequency)[:, 0]
    check = subject.check(
        "noise density of cell 0, worst frequency",
        "network | .noise",
        float(np.abs(ours / theirs - 1).max()),
        1e-5,
        "the same frequencies; ngspice's Boltzmann constant, of 2014, leaves 3.5e-7, its operating point 1e-6",
        SPECTRUM,
    )
    arrays = {"frequency": frequency, "ngspice": theirs, "network": ours}
    return Outcome((check,), (Evidence("spectrum", subject.case.name, arrays),))


def noisy_transient(subject: Subject) -> Outcome:
    """Samples of noisy transients at rest, all entries of their covariance jointly.

    The array rests at 0 V, so that numerical errors of the mean do not count. Samples are three slowest time constants
    apart, after six for the sharp start to be forgotten. Each noise value is held for 0.8 of the fastest time constant,
    which takes 5 % off the variance of the fastest mode, in the discretised law too.
    """
    if not subject.case.samples:
        return Outcome()
    slowest, fastest = subject.rates
    gap = 3 / slowest
    hold = gap / ceil(gap * fastest / 0.8)
    resting = replace(subject.device, dac_volts=np.zeros(subject.case.size), initial_volts=np.zeros(subject.case.size))
    engine = replace(subject.spice, points=10, noise_hold=hold * fastest)
    times = gap * np.arange(2, SAMPLES_PER_RUN + 2)
    runs = []
    for seed in range(ceil(subject.case.samples / SAMPLES_PER_RUN)):
        wave = engine.simulate(resting, subject.law, float(times[-1]), seed).waveform
        assert wave is not None
        near = np.searchsorted(wave.seconds, times * (1 - 1e-9))
        if np.abs(wave.seconds[near] - times).max() > 1e-6 * gap:  # changes of the noise are ngspice's own points
            raise RuntimeError("ngspice has no point where a noise value ends")
        runs.append(wave.volts[near])
    space = subject.space
    expected = SampledLaw(expm(-space.law.drift * gap), space.law.held_covariance(hold), space.output)
    found = joint_deviation(np.array(runs), expected, np.random.default_rng(0))
    check = Check(
        subject.case.name,
        f"covariance of noisy transients, {found.entries} entries and the trace jointly",
        "ngspice | discretised law",
        found.deviation,
        found.bound,
        f"3 standard errors, jointly: false alarms {100 * FALSE_ALARMS:g} %; {found.samples} samples, one standard "
        f"error is {100 * found.standard_error:.2g} % of a variance, the furthest is {100 * found.relative:.2g} % off",
        COVARIANCE,
        "standard errors",
    )
    flat = np.array(runs).reshape(-1, subject.case.size)
    arrays = {"law": expected.voltages, "found": flat.T @ flat / len(flat), "samples": len(flat)}
    return Outcome((check,), (Evidence("covariance", subject.case.name, arrays),))


def blocks_and_text(subject: Subject) -> Outcome:
    """The fast paths of the engine ``network`` beside the dense law of the same circuit, read from its deck.

    Rest and means come from a few solves of the circuit's blocks, noise from a sampler that forms no covariance. With
    wires there are no blocks: the engine reads the text itself.
    """
    if is_irregular(subject.device.circuit):
        return Outcome()
    case, text, engines = subject.case, subject.text, "network | its text"
    rest = apart(subject.read(subject.quiet, inf, np.zeros(1, dtype=int))[0], text.operating_point())
    reason = "two factorisations of one circuit: rounding × condition, and Newton's last step"
    checks = [subject.check("operating point, from the blocks", engines, rest, 1e-6, reason, BLOCKS)]
    if case.times:
        means = text.mean(np.array(case.times) * subject.time_constant)
        found = [subject.read(subject.quiet, time, np.zeros(1, dtype=int))[0] for time in case.times]
        mean = max(apart(ours, theirs) for ours, theirs in zip(found, means, strict=True))
        reason = "24 Chebyshev terms leave 2e-10 of a mode; rounding × condition"
        checks.append(subject.check(f"mean at {_times(subject)}, from the blocks", engines, mean, 1e-6, reason, BLOCKS))
    if text.noisy and case.size <= MOST_SAMPLED:
        checks += [_sampled_noise(subject, time) for time in case.times[-1:]]
    return Outcome(tuple(checks))


def _sampled_noise(subject: Subject, time: float) -> Check:
    """All entries of the covariance that equal devices with different seeds have, jointly."""
    covariance = subject.text.covariance(time * subject.time_constant)
    samples = subject.read(subject.device, time, np.arange(BLOCK_SAMPLES))
    samples = samples - subject.read(subject.quiet, time, np.zeros(1, dtype=int))
    law = SampledLaw(np.zeros_like(covariance), covariance, np.eye(len(covariance)))
    found = joint_deviation(samples[:, None], law, np.random.default_rng(0))
    worst_cell = float(np.abs(np.sqrt((samples**2).mean(axis=0) / covariance.diagonal()) - 1).max())
    # 1 % of a standard error is 2 % of a variance.
    allowed = 0.02 / found.standard_error
    return Check(
        subject.case.name,
        f"covariance of the sampled noise at t = {time:g}τ, {found.entries} entries and the trace jointly",
        "network | its text",
        found.deviation,
        found.bound + allowed,
        f"{found.bound:.2g} standard errors, jointly: false alarms {100 * FALSE_ALARMS:g} %; and {allowed:.1g} for the "
        f"sampler's intervals of ages, 1 % of a standard error; {found.samples} samples, one standard error is "
        f"{100 * found.standard_error:.2g} % of a variance; the worst cell's is {100 * worst_cell:.2g} % off",
        BLOCKS,
        "standard errors",
    )


COMPARISONS: tuple[Comparison, ...] = (
    operating_point,
    blocks_and_text,
    ideal_law,
    transient_mean,
    stationary_variance,
    noise_spectrum,
    noisy_transient,
)


# Closed forms


def solution_is_the_inverse(subject: Subject) -> Outcome:
    """The whole way of a solve on ideal hardware, ranging and readout included: x = A⁻¹b, and the mean before."""
    system = subject.system.primal()
    exact = np.asarray(np.linalg.solve(system.A, system.b), dtype=np.float64)
    checks = []
    for engine in (subject.spice, Network()):
        value = Spu(subject.case.hardware, engine).solve(system).value
        reason = "amplifier gain 1e15 and rounding, × condition"
        checks.append(
            subject.check("x = A⁻¹b through Spu", f"{engine.name} | NumPy", apart(value, exact), 1e-6, reason, CLOSED)
        )
    for time in subject.case.times:
        value = Spu(subject.case.hardware, Network()).solve(system, time).value
        mean = Sde().solve(system, time).value
        checks.append(
            subject.check(
                f"x at t = {time:g}τ through Spu",
                "network | sde",
                apart(value, mean),
                1e-8,
                "amplifier gain 1e15 and rounding, × condition",
                IDEAL,
            )
        )
    return Outcome(tuple(checks))


def rotation_is_van_loan(subject: Subject) -> Outcome:
    """``A = [[1, −3], [3, 2]]`` with D = κ₀ I/τ: the block exponential of Van Loan (IEEE TAC 23:395, 1978) at t = τ."""
    kappa, seconds = subject.case.injected**2, subject.time_constant
    M = subject.device.array.matrix
    block = expm(np.block([[-M, 2 * np.eye(2)], [np.zeros((2, 2)), M.T]]))
    exact = block[:2, 2:] @ expm(-M).T
    known = np.array([[0.692, -0.087], [-0.087, 0.604]])
    found = subject.space.covariance(seconds) / kappa
    worst = float(np.abs(found - known).max())
    return Outcome(
        (
            subject.check(
                "covariance at t = τ", "network | Van Loan", apart(found, exact), 1e-8, "amplifier gain 1e15", CLOSED
            ),
            subject.check(
                "covariance at t = τ, largest entry off", "network | published", worst, 5e-4, "three digits", PUBLISHED
            ),
        )
    )


def cell_has_kt_over_c(subject: Subject) -> Outcome:
    """A resistor from its own output and one from the DAC: ``(kT/C)(1 + G_in/G)``."""
    hardware, G = subject.case.hardware, float(subject.device.array.siemens_per_unit)
    kt_over_c = Boltzmann * hardware.temperature / hardware.cell.capacitance
    return _known_variance(subject, "(kT/C)(1 + G_in/G)", kt_over_c * (1 + 1 / (G * hardware.cell.input_resistance)))


def passive_cells_have_two_kt_over_c(subject: Subject) -> Outcome:
    """Fluctuation and dissipation: 2kT/C of every differential voltage, whatever the matrix."""
    hardware = subject.case.hardware
    return _known_variance(subject, "2kT/C", 2 * Boltzmann * hardware.temperature / hardware.cell.capacitance)


def injected_noise_encodes_the_inverse(subject: Subject) -> Outcome:
    """Uniform noise alone: stationary covariance κ₀ A⁻¹ of the programmed matrix."""
    inverse = np.asarray(np.linalg.inv(subject.device.array.matrix), dtype=np.float64)
    exact = subject.case.injected**2 * inverse
    difference = apart(subject.space.stationary_covariance(), exact)
    reason = "amplifier gain 1e15 and rounding, × condition"
    return Outcome((subject.check("stationary covariance", "network | κ₀ A⁻¹", difference, 1e-8, reason, CLOSED),))


def _known_variance(subject: Subject, formula: str, variance: float) -> Outcome:
    ours = subject.space.stationary_covariance().diagonal()
    theirs = subject.spice.noise_variance(subject.device, subject.law)
    return Outcome(
        (
            subject.check(
                "stationary variance, worst cell",
                f"network | {formula}",
                float(np.abs(ours / variance - 1).max()),
                1e-8,
                "amplifier gain 1e15 and rounding",
                CLOSED,
            ),
            subject.check(
                "stationary variance, worst cell",
                f".noise | {formula}",
                float(np.abs(theirs / variance - 1).max()),
                1e-3,
                "band of .noise ends 5 decades beyond the modes, 40 points a decade",
                CLOSED,
            ),
        )
    )


# What is done to resistors


def mismatch(spread: float) -> tuple[str, Callable[[ProgrammedArray], ProgrammedArray]]:
    """Each resistor of an active array off on its own: the matrix is not symmetric any more."""

    def alter(array: Any) -> ProgrammedArray:
        rng = np.random.default_rng(1)
        direct, inverted = (
            conductances * np.exp(spread * rng.standard_normal(conductances.shape))
            for conductances in (array.direct, array.inverted)
        )
        return replace(array, direct=direct, inverted=inverted)

    return f"{100 * spread:g} % mismatch", alter


def holding(name: str, A: list[list[float]]) -> tuple[str, Callable[[ProgrammedArray], ProgrammedArray]]:
    """Another matrix on the resistors of an active array: any, as long as it decays."""

    def alter(array: Any) -> ProgrammedArray:
        matrix = np.array(A)
        unit = max(array.direct.max(), array.inverted.max()) / np.abs(matrix).max()
        direct, inverted = unit * np.maximum(matrix, 0), unit * np.maximum(-matrix, 0)
        return replace(array, direct=direct, inverted=inverted, siemens_per_unit=unit, scaling=np.ones(len(matrix)))

    return name, alter


ROTATION = holding("A = [[1, -3], [3, 2]]", [[1.0, -3.0], [3.0, 2.0]])
SHEAR = holding("A = [[1, 50], [0, 1.5]]", [[1.0, 50.0], [0.0, 1.5]])

CASES: tuple[Case, ...] = (
    Case("ideal", 4, 10, (0.5, 2.0, 10.0), closed=solution_is_the_inverse),
    Case("ideal", 16, 100, (0.5, 10.0), closed=solution_is_the_inverse),
    Case("ideal", 64, 10, (2.0,), closed=solution_is_the_inverse),
    Case("ideal", 8, 1e4, (0.5, 10.0), closed=solution_is_the_inverse),
    Case("ideal", 8, 1e6, (0.5,), closed=solution_is_the_inverse),
    Case("ideal", 2, 2, (0.5, 2.0), injected=1e-3, alter=ROTATION, closed=rotation_is_van_loan, samples=300),
    Case("ideal", 2, 2, (0.5, 5.0), thermal=True, alter=SHEAR),
    Case("paper", 8, 8, (0.5, 2.0, 8.0), samples=600),
    Case("paper", 6, 20, (2.0,), alter=mismatch(0.2), samples=300),
    Case("paper", 6, 8, (2.0,), injected=1e-3, thermal=False, closed=injected_noise_encodes_the_inverse, samples=300),
    Case("paper", 8, 1e3, (10.0,)),
    Case("paper", 1, 1, (1.0,), closed=cell_has_kt_over_c),
    Case("bench", 6, 8, (0.5, 3.0)),
    Case("rram", 4, 3, (0.5, 3.0), samples=300),
    Case("passive", 5, 8, (0.5, 3.0), closed=passive_cells_have_two_kt_over_c, samples=300),
    Case("passive", 12, 50, (2.0,)),
    Case("ideal", 6, 100, (0.5, 5.0), topology="factored", closed=solution_is_the_inverse),
    Case("factored", 5, 8, (0.5, 2.0), hessian=True, samples=300),
    Case("bench", 4, 4, (0.5, 3.0), topology="factored"),
    Case("vendor", 4, 4, (0.5, 3.0)),
    Case("paper", 4, 4, (0.5, 3.0), parasitic=True),
    Case("factored", 4, 4, (0.5, 3.0), parasitic=True),
    Case("passive", 4, 4, (0.5, 3.0), parasitic=True),
    *(
        Case("ideal", size, condition, times, closed=solution_is_the_inverse, seed=1, full=True)
        for size in (4, 16, 64)
        for condition, times in ((2.0, (0.5, 2.0, 10.0)), (100.0, (0.5, 2.0, 10.0)), (1e4, (0.5, 2.0)), (1e6, (0.1,)))
        if not (size == 64 and condition > 100)
    ),
    Case("ideal", 64, 1e6, full=True),
    Case("ideal", 128, 100, (0.5,), full=True),
    Case("ideal", 2, 2, (2.0,), thermal=True, alter=ROTATION, samples=2000, full=True),
    Case("ideal", 2, 2, (2.0,), injected=1e-3, alter=SHEAR, samples=2000, full=True),
    Case("paper", 16, 10, (0.5, 5.0), injected=1e-4, samples=500, seed=1, full=True),
    Case("paper", 32, 8, (2.0,), seed=1, full=True),
    Case("paper", 8, 8, (0.5, 2.0), alter=mismatch(0.05), samples=3000, seed=1, full=True),
    Case("paper", 8, 1e4, (2.0,), seed=1, full=True),
    Case("bench", 16, 8, (0.5, 3.0), seed=1, full=True),
    Case("bench", 4, 8, (2.0,), alter=mismatch(0.1), seed=1, full=True),
    Case("rram", 8, 2, (2.0,), samples=2000, seed=1, full=True),
    Case("factored", 12, 100, (0.5, 5.0), seed=1, full=True),
    Case("ideal", 12, 1e5, (0.5,), topology="factored", hessian=True, seed=1, full=True),
    Case("passive", 12, 10, (0.5, 3.0), samples=500, seed=1, full=True),
    Case("passive", 8, 8, (2.0,), injected=2e-6, samples=2000, seed=1, full=True),
)


def compare(case: Case) -> Outcome:
    """All comparisons of a case; what cannot be computed is a verdict that fails, with the error as its reason."""
    subject, outcomes = Subject(case), []
    for comparison in (*COMPARISONS, *([case.closed] if case.closed else [])):
        try:
            outcomes.append(comparison(subject))
        except SpuError as error:
            what = comparison.__name__.replace("_", " ")
            outcomes.append(Outcome((Check(case.name, what, "–", inf, 0.0, " ".join(str(error).split()), CLOSED),)))
    return Outcome(
        tuple(check for outcome in outcomes for check in outcome.checks),
        tuple(evidence for outcome in outcomes for evidence in outcome.evidence),
    )


def compared(cases: tuple[Case, ...], workers: int | None = None) -> Iterator[Outcome]:
    """The outcomes of the cases, in their order, whatever the number of workers.

    Raises:
        NgspiceMissingError: there is no ngspice.
    """
    ngspice_program()
    # ngspice runs in children, so threads are enough; BLAS threads of its own would only wait for each other.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        yield from pool.map(compare, cases)


def worst(checks: Sequence[Check]) -> dict[str, Check]:
    """Of each agreement the check that comes nearest to its bound, or exceeds it most."""
    found: dict[str, Check] = {}
    for check in checks:
        share = check.difference / check.bound if check.bound and isfinite(check.difference) else inf
        other = found.get(check.agreement)
        if other is None or share > other.difference / other.bound:
            found[check.agreement] = check
    return {agreement: found[agreement] for agreement in AGREEMENTS if agreement in found}


def _times(subject: Subject) -> str:
    return "t = " + ", ".join(f"{time:g}" for time in subject.case.times) + " τ"

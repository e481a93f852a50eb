"""What is known of a device without any engine: closed forms, NumPy's solution, published digits."""

from math import inf

import numpy as np
from scipy.constants import Boltzmann
from scipy.linalg import expm

from experiments.validation.comparisons import ROUNDING, Comparison, apart, furthest
from experiments.validation.evidence import CLOSED, IDEAL, PUBLISHED, Outcome
from experiments.validation.subject import Array, Subject
from solvers.network import Network
from solvers.sde import Sde
from solvers.spu import Spu


def solution_is_the_inverse(subject: Subject) -> Outcome:
    """The whole way of a solve on ideal hardware, ranging and readout included: x = A⁻¹b."""
    system = subject.system.primal()
    exact = np.asarray(np.linalg.solve(system.A, system.b), dtype=np.float64)
    checks = []
    for engine in (subject.spice, Network()):
        value = Spu(subject.setup.hardware, engine).solve(system).value
        engines = (engine.name, "NumPy")
        checks.append(
            subject.check(CLOSED, "x = A⁻¹b through Spu", engines, apart(value, exact), 1e-6, ROUNDING, time=inf)
        )
    return Outcome(tuple(checks))


def solution_follows_the_mean(subject: Subject) -> Outcome:
    """A solve that is read before it has settled has the ideal law's mean."""
    system = subject.system.primal()
    checks = []
    for time in subject.setup.times:
        value = Spu(subject.setup.hardware, Network()).solve(system, time).value
        difference = apart(value, Sde().solve(system, time).value)
        engines = ("network", "sde")
        checks.append(subject.check(IDEAL, "x through Spu", engines, difference, 1e-8, ROUNDING, time=time))
    return Outcome(tuple(checks))


def _after_one_time_constant(subject: Subject) -> Array:
    """Covariance at t = τ over κ₀, (2, 2)."""
    return subject.space.covariance(subject.time_constant) / subject.setup.injected**2


def rotation_is_van_loan(subject: Subject) -> Outcome:
    """``A = [[1, −3], [3, 2]]`` with D = κ₀ I/τ: the block exponential of Van Loan (IEEE TAC 23:395, 1978) at t = τ."""
    M = subject.device.array.matrix
    block = expm(np.block([[-M, 2 * np.eye(2)], [np.zeros((2, 2)), M.T]]))
    difference = apart(_after_one_time_constant(subject), block[:2, 2:] @ expm(-M).T)
    engines = ("network", "Van Loan")
    return Outcome((subject.check(CLOSED, "covariance", engines, difference, 1e-8, "amplifier gain 1e15", time=1),))


def rotation_has_published_digits(subject: Subject) -> Outcome:
    """The same covariance as it is printed, to three digits."""
    known = np.array([[0.692, -0.087], [-0.087, 0.604]])
    worst = float(np.abs(_after_one_time_constant(subject) - known).max())
    engines = ("network", "published")
    return Outcome(
        (subject.check(PUBLISHED, "covariance, largest entry off", engines, worst, 5e-4, "three digits", time=1),)
    )


def cell_has_kt_over_c(subject: Subject) -> Outcome:
    """A resistor from its own output and one from the DAC: ``(kT/C)(1 + G_in/G)``."""
    hardware, G = subject.setup.hardware, float(subject.device.array.siemens_per_unit)
    kt_over_c = Boltzmann * hardware.temperature / hardware.cell.capacitance
    return _known_variance(subject, "(kT/C)(1 + G_in/G)", kt_over_c * (1 + 1 / (G * hardware.cell.input_resistance)))


def passive_cells_have_two_kt_over_c(subject: Subject) -> Outcome:
    """Fluctuation and dissipation: 2kT/C of every differential voltage, whatever the matrix."""
    hardware = subject.setup.hardware
    return _known_variance(subject, "2kT/C", 2 * Boltzmann * hardware.temperature / hardware.cell.capacitance)


def injected_noise_encodes_the_inverse(subject: Subject) -> Outcome:
    """Uniform noise alone: stationary covariance κ₀ A⁻¹ of the programmed matrix."""
    inverse = np.asarray(np.linalg.inv(subject.device.array.matrix), dtype=np.float64)
    difference = apart(subject.space.stationary_covariance(), subject.setup.injected**2 * inverse)
    return Outcome((subject.check(CLOSED, "covariance", ("network", "κ₀ A⁻¹"), difference, 1e-8, ROUNDING, time=inf),))


def _known_variance(subject: Subject, formula: str, variance: float) -> Outcome:
    known = np.full(subject.setup.cells, variance)
    ours = furthest(subject.space.stationary_covariance().diagonal(), known)
    theirs = furthest(subject.spice.noise_variance(subject.device, subject.law), known)
    what = "variance, worst cell"
    band = "band of .noise ends 5 decades beyond the modes, 40 points a decade"
    return Outcome(
        (
            subject.check(CLOSED, what, ("network", formula), ours, 1e-8, "amplifier gain 1e15 and rounding", time=inf),
            subject.check(CLOSED, what, (".noise", formula), theirs, 1e-3, band, time=inf),
        )
    )


CLOSED_FORMS: dict[str, tuple[Comparison, ...]] = {
    "": (),
    "x = A⁻¹b": (Comparison(CLOSED, solution_is_the_inverse), Comparison(IDEAL, solution_follows_the_mean)),
    "Van Loan": (Comparison(CLOSED, rotation_is_van_loan), Comparison(PUBLISHED, rotation_has_published_digits)),
    "(kT/C)(1 + G_in/G)": (Comparison(CLOSED, cell_has_kt_over_c),),
    "2kT/C": (Comparison(CLOSED, passive_cells_have_two_kt_over_c),),
    "κ₀ A⁻¹": (Comparison(CLOSED, injected_noise_encodes_the_inverse),),
}
"""By the name that a ``Setup`` asks for them with."""

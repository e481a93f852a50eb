"""The idealized device of the paper: ``dx = −(A x − b) dt + N(0, 2κ₀ dt)``, in the problem's units."""

from dataclasses import dataclass
from math import inf
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from solvers.solution import Solution, Statistics, check_state, check_time
from solvers.spectral import DenseOperator, LowRankOperator
from spu_circuit.problem import GgnSystem, LinearSystem

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sde:
    """Exact moments and one exact sample at any time (arXiv 2405.13817, Eqs. 19 to 21).

    A ``GgnSystem`` is solved in its N parameters through the low-rank form; the cost does not depend on the time.

    Args:
        injected_noise: κ₀ ≥ 0 in the problem's units. Where it is 0 the value is the mean.
    """

    injected_noise: float = 0.0
    analog: bool = True

    def solve(
        self,
        system: LinearSystem | GgnSystem,
        analog_time: float = inf,
        initial_state: Array | None = None,
        seed: int = 0,
    ) -> Solution:
        """The state at ``analog_time`` (in τ): mean plus one sample of the noise. See ``Solver``."""
        began = perf_counter()
        check_time(analog_time)
        operator: LowRankOperator | DenseOperator
        if isinstance(system, GgnSystem):
            operator, b = LowRankOperator(system.folded.B, system.damping), system.gradient
        else:
            operator, b = DenseOperator(system.A), system.b
        start = None if initial_state is None else check_state(initial_state, len(b))
        kappa = self.injected_noise

        def settling(rates: Array) -> Array:
            return (1 / rates) if analog_time == inf else -np.expm1(-rates * analog_time) / rates

        def decay(rates: Array) -> Array:
            return np.exp(-rates * analog_time)

        def variance(rates: Array) -> Array:
            return kappa * (1 / rates if analog_time == inf else -np.expm1(-2 * rates * analog_time) / rates)

        terms = [(settling, b)]
        if start is not None:
            terms.append((decay, start))
        if kappa > 0:
            noise = np.random.default_rng(seed).standard_normal(len(b))
            terms.append((lambda rates: np.sqrt(variance(rates)), noise))
        value = operator.apply(*terms)
        statistics = Statistics("sde", system.residual(value), perf_counter() - began, injected_noise=kappa)
        return Solution(value, statistics, (lambda: operator.diagonal(variance)) if kappa > 0 else None)


def euler_maruyama(
    system: LinearSystem | GgnSystem,
    analog_time: float,
    step: float = 0.1,
    injected_noise: float = 0.0,
    initial_state: Array | None = None,
    seed: int = 0,
) -> Array:
    """The paper's integration, ``x ← x − δt (A x − b) + N(0, 2κ₀ δt)`` (its Eq. 25 with the sign corrected), (n,).

    Args:
        analog_time: total time in τ, rounded to a whole number of steps.
        step: δt in τ. Diverges where δt times the largest eigenvalue exceeds 2.
    """
    rng = np.random.default_rng(seed)
    b = system.gradient if isinstance(system, GgnSystem) else system.b
    x = np.zeros_like(b) if initial_state is None else initial_state.copy()
    for _ in range(round(analog_time / step)):
        x -= step * (system.product(x) - b)
        if injected_noise > 0:
            x += np.sqrt(2 * injected_noise * step) * rng.standard_normal(len(x))
    return x

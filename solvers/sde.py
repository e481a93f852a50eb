"""The idealized device of the paper: ``dx = −(A x − b) dt + N(0, 2κ₀ dt)``, in the problem's units."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from solvers.solution import (
    Solution,
    Solutions,
    Statistics,
    check_batch,
    check_state,
    check_time,
    statistics_arrays,
)
from solvers.spectral import DenseOperator, Function, LowRankOperator
from spu_circuit.problem import GgnSystem, GgnSystems, LinearSystem, Systems
from spu_circuit.seeds import check_seed

Array = NDArray[np.float64]
Operator = LowRankOperator | DenseOperator


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
        operator: Operator
        if isinstance(system, GgnSystem):
            operator, b = LowRankOperator(system.folded.B, system.damping), system.gradient
        else:
            operator, b = DenseOperator(system.A), system.b
        start = None if initial_state is None else check_state(initial_state, len(b))
        kappa = self.injected_noise
        noise = white_noise(len(b), seed) if kappa > 0 else None
        value = _relaxed(operator, b, analog_time, start, kappa, noise)
        statistics = Statistics("sde", system.residual(value), perf_counter() - began, injected_noise=kappa)
        variance = partial(operator.diagonal, partial(_variance, kappa, analog_time)) if kappa > 0 else None
        return Solution(value, statistics, variance)

    def solve_batch(
        self,
        systems: Systems,
        analog_time: float = inf,
        initial_states: Array | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Solutions:
        """See ``Solver``."""
        began = perf_counter()
        check_time(analog_time)
        starts, seeds = check_batch(systems.b, initial_states, seeds)
        operators: Operator
        if isinstance(systems, GgnSystems):
            operators = LowRankOperator(systems.B, systems.damping)
        else:
            systems.cholesky()  # refuses what is not definite
            operators = DenseOperator(systems.A)
        kappa, size = self.injected_noise, systems.b.shape[1]
        noise = np.stack([white_noise(size, seed) for seed in seeds]) if kappa > 0 else None
        values = _relaxed(operators, systems.b, analog_time, starts, kappa, noise)
        statistics = statistics_arrays(systems.residual(values), injected_noise=kappa)
        return Solutions(values, statistics, perf_counter() - began, "sde")


def _relaxed(
    operator: Operator, b: Array, analog_time: float, start: Array | None, kappa: float, noise: Array | None
) -> Array:
    """The state of one device, (n,), or of m, (m, n)."""
    terms: list[tuple[Function, Array]] = [(partial(_settling, analog_time), b)]
    if start is not None:
        terms.append((lambda rates: np.exp(-rates * analog_time), start))
    if noise is not None:
        terms.append((lambda rates: np.sqrt(_variance(kappa, analog_time, rates)), noise))
    return operator.apply(*terms)


def _settling(analog_time: float, rates: Array) -> Array:
    return 1 / rates if analog_time == inf else -np.expm1(-rates * analog_time) / rates


def _variance(kappa: float, analog_time: float, rates: Array) -> Array:
    return kappa * (1 / rates if analog_time == inf else -np.expm1(-2 * rates * analog_time) / rates)


def white_noise(size: int, seed: int) -> Array:
    """The standard normal numbers, (n,), of a solve with this seed."""
    return np.random.default_rng(check_seed(seed)).standard_normal(size)


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

"""How a natural gradient system is put on an array: in its N parameters, or in its K curvature directions."""

from dataclasses import replace
from math import inf
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from solvers.solution import Solution, Solver
from spu_circuit.errors import InputError
from spu_circuit.problem import GgnSystem

Array = NDArray[np.float64]
Mapping = Literal["primal", "dual"]


def solve_mapped(
    solver: Solver,
    system: GgnSystem,
    mapping: Mapping,
    analog_time: float = inf,
    initial_state: Array | None = None,
    seed: int = 0,
) -> Solution:
    """Solve for the natural gradient through one of the two mappings.

    primal: ``(BᵀB + λI) g̃ = g`` relaxes from ``initial_state``, or from g. At time 0 the result is g.
    dual: ``(BBᵀ + λI) y = B g`` relaxes from y = 0 and ``g̃ = (g − Bᵀ y) / λ``. At time 0 the result is g / λ.

    Returns:
        The solution in the N parameters; residual and standard error are those of g̃, the other statistics the
        device's.

    Raises:
        InputError: an initial state is asked of the dual mapping, whose state does not live in parameter space.
    """
    check_mapping(mapping)
    if mapping == "primal":
        start = system.gradient if initial_state is None else initial_state
        relaxes = solver.analog and analog_time != inf
        return solver.solve(system, analog_time, start if relaxes else initial_state, seed)
    if initial_state is not None:
        raise InputError(NO_DUAL_STATE.format("an initial state"))
    solution = solver.solve(system.dual(), analog_time, None, seed)
    value, B = system.from_dual(solution.value), system.folded.B
    variance = None
    if (covariance := solution.covariance) is not None:

        def variance() -> Array:
            return np.einsum("kn,kn->n", B, covariance() @ B) / system.damping**2

    statistics = replace(solution.statistics, residual=system.residual(value))
    return Solution(value, statistics, variance, None, solution.waveform)


def check_mapping(mapping: str) -> None:
    """Raises InputError, listing the known ones."""
    if mapping not in ("primal", "dual"):
        raise InputError(f"mapping: no {mapping!r}; mappings are primal, dual")


NO_DUAL_STATE = (
    "{} belongs to the primal mapping: the dual array holds y, which means something else with every batch; "
    "use mapping 'primal' or leave it out"
)

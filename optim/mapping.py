"""How a natural gradient system is put on an array: in its N parameters, or in one of two ways in its K rows of B.

``dual`` takes any gradient, and subtracts what is nearly equal where the curvature is far above λ: a relative error ε
of the array's y becomes one of about εσ²/λ of ``g̃ = (g − Bᵀy)/λ``. ``kernel`` does not, but asks for a gradient that
lies in the rows of B, ``g = Bᵀρ``: then ``g̃ = Bᵀz`` (arXiv 2302.01941, minSR; 2401.10190, Eq. 27).
"""

from dataclasses import replace
from math import inf
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from solvers.solution import Solution, Solver
from spu_circuit.errors import InputError
from spu_circuit.problem import GgnSystem

Array = NDArray[np.float64]
Mapping = Literal["primal", "dual", "kernel"]


def solve_mapped(
    solver: Solver,
    system: GgnSystem,
    mapping: Mapping,
    analog_time: float = inf,
    initial_state: Array | None = None,
    seed: int = 0,
    coordinates: Array | None = None,
) -> Solution:
    """Solve for the natural gradient through one of the mappings.

    primal: ``(BᵀB + λI) g̃ = g`` relaxes from ``initial_state``, or from g. At time 0 the result is g.
    dual: ``(BBᵀ + λI) y = B g`` relaxes from y = 0 and ``g̃ = (g − Bᵀ y) / λ``. At time 0 the result is g / λ.
    kernel: ``(BBᵀ + λI) z = ρ`` relaxes from z = 0 and ``g̃ = Bᵀz``. At time 0 the result is 0.

    Args:
        coordinates: ρ (K,), with ``g = Bᵀρ``; of the kernel mapping.

    Returns:
        The solution in the N parameters; residual and standard error are those of g̃, the other statistics the
        device's.

    Raises:
        InputError: an initial state is asked of a mapping whose state does not live in parameter space, or the kernel
            mapping lacks its coordinates.
    """
    check_mapping(mapping)
    if mapping == "primal":
        start = system.gradient if initial_state is None else initial_state
        relaxes = solver.analog and analog_time != inf
        return solver.solve(system, analog_time, start if relaxes else initial_state, seed)
    if initial_state is not None:
        raise InputError(NO_DUAL_STATE.format("an initial state"))
    asked, B, scale = system.dual(), system.folded.B, system.damping
    if mapping == "kernel":
        if coordinates is None:
            raise InputError(NO_COORDINATES)
        asked, scale = asked.facing(coordinates), 1.0
    solution = solver.solve(asked, analog_time, None, seed)
    value = B.T @ solution.value if mapping == "kernel" else system.from_dual(solution.value)
    variance = None
    if (covariance := solution.covariance) is not None:

        def variance() -> Array:
            return np.einsum("kn,kn->n", B, covariance() @ B) / scale**2

    statistics = replace(solution.statistics, residual=system.residual(value))
    return Solution(value, statistics, variance, None, solution.waveform)


def check_mapping(mapping: str) -> None:
    """Raises InputError, listing the known ones."""
    if mapping not in get_args(Mapping):
        raise InputError(f"mapping: no {mapping!r}; mappings are {', '.join(get_args(Mapping))}")


NO_DUAL_STATE = (
    "{} belongs to the primal mapping: the array of the others holds what means something else with every batch; "
    "use mapping 'primal' or leave it out"
)
OUTSIDE = (
    "the gradient must lie in the rows of B; take curvature 'ggn' or 'fisher' of the whole batch, or mapping 'dual'"
)
NO_COORDINATES = (
    "mapping 'kernel' needs the coordinates ρ of the gradient in the rows of B, g = Bᵀρ; see optim.curvature, or use "
    "mapping 'dual'"
)

"""Digital references, thin over SciPy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from time import perf_counter
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse.linalg import LinearOperator, cg

from solvers.solution import Solution, Solutions, Statistics, check_batch, check_state, solve_each, statistics_arrays
from spu_circuit.errors import InputError, SimulationError
from spu_circuit.problem import GgnSystem, GgnSystems, LinearSystem, LinearSystems, Systems

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Digital:
    """An exact or iterative solve in double precision; knows no time and no noise.

    Args:
        method: "cholesky" forms the matrix; "woodbury" solves the K×K dual of a ``GgnSystem``; "cg" uses products only;
            "diagonal" divides by the diagonal alone, as a preconditioner does.
        tolerance, iterations: of CG: relative residual, and how many steps at most (None: as many as it takes, with an
            error where it stalls; a number stops there, as NGD-CG does).
    """

    method: Literal["cholesky", "cg", "woodbury", "diagonal"] = "cholesky"
    tolerance: float = 1e-10
    iterations: int | None = None
    analog: bool = False

    def solve(
        self,
        system: LinearSystem | GgnSystem,
        analog_time: float = inf,
        initial_state: Array | None = None,
        seed: int = 0,
    ) -> Solution:
        """See ``Solver``; ``initial_state`` is the first iterate of CG."""
        began = perf_counter()
        self._check_time(analog_time)
        value = METHODS[self.method](self, system, initial_state)
        return Solution(value, Statistics(self.method, system.residual(value), perf_counter() - began))

    def solve_batch(
        self,
        systems: Systems,
        analog_time: float = inf,
        initial_states: Array | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Solutions:
        """See ``Solver``; CG and the diagonal go through the systems one by one."""
        if self.method in ("cg", "diagonal"):
            return solve_each(self, systems, analog_time, initial_states, seeds)
        began = perf_counter()
        self._check_time(analog_time)
        check_batch(systems.b, initial_states, seeds)
        if self.method == "woodbury":
            if not isinstance(systems, GgnSystems):
                raise InputError(NO_FACTOR)
            values = systems.from_dual(_factorised(systems.dual()))
        else:
            values = _factorised(systems.primal() if isinstance(systems, GgnSystems) else systems)
        return Solutions(values, statistics_arrays(systems.residual(values)), perf_counter() - began, self.method)

    def _check_time(self, analog_time: float) -> None:
        if analog_time != inf:
            raise InputError(f"analog time is {analog_time}, but {self.method} is digital and knows no time; use inf")


NO_FACTOR = (
    "woodbury needs a system with a curvature factor B; use cholesky or cg for a plain matrix. The mappings 'dual' and "
    "'kernel' of a natural gradient are Woodbury's identity already: use Digital(), or mapping 'primal'"
)


def _factorised(systems: LinearSystems) -> Array:
    """(m, n), from Cholesky factors."""
    lower = systems.cholesky()
    return np.stack([cho_solve((L, True), b, check_finite=False) for L, b in zip(lower, systems.b, strict=True)])


def _cholesky(options: Digital, system: LinearSystem | GgnSystem, initial_state: Array | None) -> Array:
    dense = system.primal() if isinstance(system, GgnSystem) else system
    return cho_solve(cho_factor(dense.A), dense.b)


def _woodbury(options: Digital, system: LinearSystem | GgnSystem, initial_state: Array | None) -> Array:
    if not isinstance(system, GgnSystem):
        raise InputError(NO_FACTOR)
    return system.from_dual(_cholesky(options, system.dual(), None))


def _cg(options: Digital, system: LinearSystem | GgnSystem, initial_state: Array | None) -> Array:
    b = system.gradient if isinstance(system, GgnSystem) else system.b
    matrix = LinearOperator((len(b), len(b)), matvec=system.product, dtype=float)
    start = None if initial_state is None else check_state(initial_state, len(b))
    limit = options.iterations or 10 * len(b)
    value, unfinished = cg(matrix, b, x0=start, rtol=options.tolerance, maxiter=limit)
    if unfinished and options.iterations is None:
        raise SimulationError(
            f"cg did not reach {options.tolerance:g} in {limit} steps; raise the damping or the tolerance"
        )
    return value


def _diagonal(options: Digital, system: LinearSystem | GgnSystem, initial_state: Array | None) -> Array:
    dense = system.primal() if isinstance(system, GgnSystem) else system
    return np.asarray(dense.b / dense.A.diagonal())


METHODS: dict[str, Callable[[Digital, LinearSystem | GgnSystem, Array | None], Array]] = {
    "cholesky": _cholesky,
    "cg": _cg,
    "woodbury": _woodbury,
    "diagonal": _diagonal,
}

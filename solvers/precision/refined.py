"""Iterative refinement: the device solves for what is left, a digital residual in double precision says what that is.

The law. A device with the inverse M (of the matrix that it holds, ``M = Ã⁻¹``, or less before it is settled) makes of
the error e the error ``C e, C = I − M A``. So refinement converges exactly if the spectral radius of C is below 1, and
wins ``−log₂ ρ(C)`` bits with each solve. For symmetric positive matrices that is ``Ã > A/2`` in every direction. More
damping on the device, δ above the error of what is programmed, makes ``Ã ≥ A``: then it always converges, but by
``δ/(λ + δ)`` in the direction of an eigenvalue λ. There conjugate directions are faster. Codes and offsets add to C
what they are of full scale: auto-ranging spreads each residual over the codes, so their share stays the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

import numpy as np
from numpy.typing import NDArray

from solvers.held import Answer, Held, Rows, Wrapper, child_seeds, hold, together
from solvers.precision.accuracy import estimated_error
from solvers.refinement import ENDS, Outcome, Refinement
from solvers.solution import StatisticsArrays
from spu_circuit.errors import InputError
from spu_circuit.several import Batch

Array = NDArray[np.float64]


PATIENCE = 3
"""Residuals that are looked at to tell growth from standstill."""
GROWTH = 1.01
"""Of a residual in these, at least, that makes it more than standstill."""


@dataclass(frozen=True)
class Method:
    """How corrections become steps.

    Args:
        test: makes of a direction p and its image A p the vector t that later directions are tested by, ``tᵀ A p = 0``.
            A step along p makes ``tᵀ r = 0``. None: every correction is a step as it comes.
        patience: corrections without a smaller residual before it is given up. A residual may grow before it falls,
            where what falls in each step is another norm.
    """

    test: Callable[[Array, Array], Array] | None
    patience: int


METHODS = {
    "refinement": Method(None, PATIENCE),
    "cg": Method(lambda direction, image: direction, 50),
    "gmres": Method(lambda direction, image: image, PATIENCE),
}
"""cg: flexible conjugate gradients (Notay, SIAM J. Sci. Comput. 22, 2000), of least error in the norm of A. gmres:
least residual by the recursion of GCR (Eisenstat, Elman and Schultz 1983), whose iterates are those of FGMRES (Saad
1993). Neither needs the device to be the same linear map each time."""

CANCELLED = float(np.sqrt(np.finfo(float).eps))
"""Share of a correction that is too little to be a direction of its own."""
SMALLEST = 4 * float(np.finfo(float).eps)
"""Of tolerances: below, no residual in double precision can be told from zero."""


def check_method(method: str) -> None:
    """Raises InputError, listing the known ones."""
    if method not in METHODS:
        raise InputError(f"no {method!r}; methods of refinement are {', '.join(METHODS)}")


def check_tolerance(tolerance: float) -> None:
    """Raises InputError where double precision cannot reach it, or it asks for nothing."""
    if not SMALLEST <= tolerance < 1:
        raise InputError(
            f"tolerance is {tolerance:g}; it is a residual beside the right-hand side: give one from "
            f"{SMALLEST:.2g}, where double precision ends, to below 1"
        )


@dataclass(frozen=True)
class Refined(Wrapper):
    """A solver whose solutions are corrected until the residual is small. The device is programmed once.

    The solution is the iterate with the smallest residual; ``Solution.refinement`` says how it ended.

    Args:
        solver: any; its ``hold`` keeps the programmed device.
        corrections: solves after the first one, at most; 0: one solve, along which "cg" and "gmres" still choose the
            best length.
        tolerance: of ‖b − A x‖ / ‖b‖.
        method: one of ``METHODS``.
        damping: what the device's matrix has more on its diagonal than the system's, units of A.
        estimate: whether one more solve tells what is still wrong; see ``accuracy``.

    Raises:
        InputError: no such method, a tolerance that double precision cannot reach or that asks for nothing, or a
            number that must not be negative.
    """

    corrections: int = 10
    tolerance: float = 1e-6
    method: str = "refinement"
    damping: float = 0.0
    estimate: bool = False

    def __post_init__(self) -> None:
        check_method(self.method)
        check_tolerance(self.tolerance)
        if self.corrections != int(self.corrections) or self.corrections < 0:
            raise InputError(f"corrections is {self.corrections}; give a whole number, 0 or more")
        if not 0 <= self.damping < inf:
            raise InputError(f"damping of the device is {self.damping:g}; give 0 or more, in units of the matrix")

    def hold(self, systems: Batch, seeds: Sequence[int]) -> "HeldRefined":
        """See ``Holder``."""
        held = hold(self.solver, systems.damped(self.damping) if self.damping else systems, seeds)
        return HeldRefined(self, systems, held, held.programs, held.flops)


@dataclass(frozen=True)
class HeldRefined:
    """See ``Held``."""

    options: Refined
    systems: Batch
    held: Held
    programs: int
    flops: float

    def solve(
        self,
        b: Array,
        analog_time: float = inf,
        initial_states: Array | None = None,
        seeds: Sequence[int] | None = None,
        asked: Rows | None = None,
    ) -> Answer:
        """See ``Held``. The first solve starts from the initial states, corrections from zero."""
        numbers = [0] * len(b) if seeds is None else list(seeds)
        wanted = np.ones(len(b), dtype=bool) if asked is None else asked.copy()
        state = _Iterates(self.systems, b, wanted, self.options)
        statistics: StatisticsArrays | None = None
        solver = ""
        for k in range(self.options.corrections + 1):
            going = state.going
            if k and not going.any():
                break
            each = numbers if k == 0 else child_seeds(numbers, k)
            found = self.held.solve(state.left, analog_time, initial_states if k == 0 else None, each, going)
            solver = found.solver
            digital = np.where(going, self.systems.flops + state.flops, 0.0)
            more = found.statistics._replace(flops=found.statistics.flops + digital)
            statistics = more if statistics is None else together(statistics, more, going)
            state.correct(found.values)
        assert statistics is not None
        statistics = statistics._replace(
            flops=statistics.flops + self.systems.flops * state.verified, outcome=state.outcome_codes
        )
        if self.options.estimate:
            left = b - self.systems.product(state.best)
            last = self.held.solve(left, analog_time, None, child_seeds(numbers, self.options.corrections + 1), wanted)
            vectors = [(state.step, state.image), (last.values, self.systems.product(last.values))]
            statistics = together(statistics, last.statistics, wanted)._replace(
                flops=statistics.flops + np.where(wanted, 2.0 * self.systems.flops + 20.0 * b.shape[1], 0.0),
                estimated_error=np.where(wanted, estimated_error(state.best, left, vectors), np.nan),
            )
        return Answer(state.best, statistics, solver, None, tuple(map(state.refinement, range(len(b)))))


@dataclass
class _Iterates:
    """Where the refinements of m systems stand."""

    systems: Batch
    b: Array
    wanted: Rows
    options: Refined
    directions: list[tuple[Array, Array, Array]] = field(default_factory=list)

    def __post_init__(self) -> None:
        m = len(self.b)
        self.x, self.left, self.best = (np.zeros_like(self.b) for _ in range(3))
        self.left = self.b.copy()
        size = np.linalg.norm(self.b, axis=1)
        self.unit = np.where(size > 0, size, 1.0)
        self.lowest = np.full(m, inf)
        self.stale, self.blind = np.zeros(m, dtype=int), np.zeros(m, dtype=int)
        self.going = self.wanted & (size > 0)
        self.outcomes: list[Outcome] = ["exhausted" if unknown else "converged" for unknown in self.going]
        self.verified = np.zeros(m, dtype=int)
        self.norm = np.zeros(m)  # of A, from below
        self.residuals: list[list[float]] = [[] for _ in range(m)]
        self.step, self.image = np.zeros_like(self.b), np.zeros_like(self.b)

    @property
    def flops(self) -> float:
        """Of the vectors of a correction, for each system."""
        return self.b.shape[1] * (4.0 + 8.0 * len(self.directions))

    def correct(self, found: Array) -> None:
        """Take what the device found for what is left."""
        test_of, going = METHODS[self.options.method].test, self.going
        self.blind = np.where(found.any(axis=1), 0, self.blind + 1)
        image = self.systems.product(found)
        p, Ap = found, image
        self.norm = np.fmax(self.norm, _quotient(np.linalg.norm(Ap, axis=1), np.linalg.norm(p, axis=1)))
        bad = going & self._flat(p, Ap)
        length = np.ones(len(p))
        if test_of is not None:
            for direction, its_image, test in self.directions:
                share = _quotient(_dots(test, Ap), _dots(test, its_image))[:, None]
                p, Ap = p - share * direction, Ap - share * its_image
            # What is left of it is rounding: it brings nothing new, but a step along it still may.
            lost = (np.linalg.norm(p, axis=1) <= CANCELLED * np.linalg.norm(found, axis=1))[:, None]
            p, Ap = np.where(lost, found, p), np.where(lost, image, Ap)
            test = test_of(p, Ap)
            bad |= going & self._flat(p, Ap)
            length = _quotient(_dots(test, self.left), _dots(test, Ap))
            if len(self.directions) == p.shape[1]:
                self.directions.clear()  # there are no more that differ
            self.directions.append((p, Ap, test))
        taken = (going & ~bad)[:, None]
        self.step = np.where(taken, length[:, None] * p, self.step)
        self.image = np.where(taken, length[:, None] * Ap, self.image)
        self.x = np.where(taken, self.x + self.step, self.x)
        self.left = np.where(taken, self.left - self.image, self.left)
        self._judge(bad)

    @property
    def patience(self) -> int:
        return METHODS[self.options.method].patience

    def _flat(self, p: Array, Ap: Array) -> Rows:
        """Where A is not positive along p, as far as double precision can tell."""
        squared = _dots(p, p)
        return (squared > 0) & ~(_dots(p, Ap) > SMALLEST * p.shape[1] * self.norm * squared)

    def _judge(self, bad: Rows) -> None:
        going = self.going
        residual = np.linalg.norm(self.left, axis=1) / self.unit
        claimed = going & (residual <= self.options.tolerance)
        if claimed.any():
            # What was subtracted step by step has rounding errors that the residual of the sum has not.
            self.left[claimed] = (self.b - self.systems.product(self.x))[claimed]
            residual[claimed] = np.linalg.norm(self.left[claimed], axis=1) / self.unit[claimed]
            self.verified += claimed
            for vectors in self.directions:  # which led to what is not left
                for own in vectors:
                    own[claimed] = 0
        finite = np.isfinite(residual)
        better = going & finite & (residual < self.lowest)
        self.best[better] = self.x[better]
        self.stale = np.where(better, 0, self.stale + 1)
        for k in np.flatnonzero(going).tolist():
            self.residuals[k].append(float(residual[k]))
            ended: Outcome | None = None
            if bad[k]:
                ended = "indefinite"
            elif residual[k] <= self.options.tolerance:
                ended = "converged"
            elif not finite[k] or self.stale[k] >= self.patience or max(self.blind[k], self.verified[k]) >= PATIENCE:
                ended = self._given_up(k)
            if ended:
                self.outcomes[k], self.going[k] = ended, False
        self.lowest = np.where(better, residual, self.lowest)

    def _given_up(self, k: int) -> Outcome:
        """Diverged where residuals grow and grow, stalled where they do not, or are what rounding makes them."""
        last = self.residuals[k][-PATIENCE - 1 :]
        grew = all(not later <= earlier for earlier, later in pairwise(last)) and not last[-1] <= GROWTH * last[0]
        smallest = SMALLEST * len(self.b[k]) * self.norm[k] * np.linalg.norm(self.best[k]) / self.unit[k]
        return "diverged" if grew and self.lowest[k] > smallest else "stalled"

    @property
    def outcome_codes(self) -> NDArray[np.intp]:
        """See ``Statistics.outcome``; 0 where nothing was asked."""
        codes = [
            1 + ENDS.index(outcome) if asked else 0 for outcome, asked in zip(self.outcomes, self.wanted, strict=True)
        ]
        return np.array(codes, dtype=int)

    def refinement(self, k: int) -> Refinement:
        return Refinement(self.outcomes[k], tuple(self.residuals[k]))


def _dots(a: Array, b: Array) -> Array:
    """(m,) from (m, n) and (m, n)."""
    return np.asarray(np.einsum("mn,mn->m", a, b))


def _quotient(a: Array, b: Array) -> Array:
    """a / b, and zero where b is."""
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)

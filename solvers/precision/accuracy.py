"""How wrong a solution is, from one more solve on the device that made it.

The residual ``r = b − A x`` says little about the error ``e = A⁻¹ r`` where A is ill-conditioned: it is small where the
error lies along small eigenvalues. But the device is nearly A⁻¹: what it makes of r, d, is ``(I − C) e`` with the C of
refinement (see ``refined``). Where one direction rules the error, d is a multiple of e, and A, which is known exactly,
says which. x is itself what the device made of b: of all ``a x + c d`` the nearest to the error in the norm of A solves
the 2×2 system ``[x d]ᵀ A [x d] (a, c) = [x d]ᵀ r``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, isnan

import numpy as np
from numpy.typing import NDArray

from solvers.held import Answer, Held, Rows, Wrapper, child_seeds, hold, together
from solvers.solution import SUMS, Solution
from spu_circuit.problem import System
from spu_circuit.several import Batch, Several

Array = NDArray[np.float64]

ALIKE = 1e-12
"""Share of the larger eigenvalue of the 2×2 system below which its vectors are taken for parallel."""


def estimated_error(x: Array, left: Array, vectors: Sequence[tuple[Array, Array]]) -> Array:
    """Estimate of ‖x − x*‖ / ‖x*‖ of m solutions, x* the exact ones, (m,).

    Args:
        x: solutions, (m, n).
        left: their residuals, r = b − A x, (m, n).
        vectors: between which the error is looked for, and what A makes of each, (m, n): what the device makes of the
            residuals, and what it found before.

    Returns:
        (m,); 0 where the residual is, NaN where A is not positive along a vector.
    """
    lengths = np.stack([np.linalg.norm(vector, axis=1) for vector, _ in vectors], axis=1)
    units = np.where(lengths > 0, lengths, 1.0)[:, :, None]
    with np.errstate(invalid="ignore"):  # infinite ones are not sound
        basis = np.stack([vector for vector, _ in vectors], axis=1) / units
        images = np.stack([image for _, image in vectors], axis=1) / units
    gram = np.einsum("min,mjn->mij", basis, images)
    gram = (gram + gram.swapaxes(1, 2)) / 2
    positive = (np.diagonal(gram, axis1=1, axis2=2) > 0) | (lengths == 0)
    sound = np.isfinite(gram).all(axis=(1, 2)) & np.isfinite(left).all(axis=1) & positive.all(axis=1)
    inverse = np.linalg.pinv(np.where(sound[:, None, None], gram, 0.0), rcond=ALIKE, hermitian=True)
    share = inverse @ np.einsum("min,mn->mi", basis, left)[:, :, None]
    error = np.einsum("mi,min->mn", share[:, :, 0], basis)
    size, exact = np.linalg.norm(error, axis=1), np.linalg.norm(x + error, axis=1)
    estimate = np.divide(size, exact, out=np.zeros_like(size), where=size > 0)
    return np.where(sound, estimate, np.nan)


@dataclass(frozen=True)
class Estimated(Wrapper):
    """A solver whose solutions come with an estimate of their error, for one more solve each.

    Measured on random systems of the presets paper, bench, rram and passive, conditions 1 to 10⁴: see the benchmark
    "estimate". It is least sure where the device holds a matrix that is far from A in its smallest eigenvalues. Of a
    device that is read before it settles, or that is noisy, what is estimated is all of the error, noise included.
    """

    def solve(
        self, system: System, analog_time: float = inf, initial_state: Array | None = None, seed: int = 0
    ) -> Solution:
        """See ``Solver``. What a device tells of one solution, its noise and its note, is that of the first solve."""
        if isinstance(self.solver, Wrapper) or analog_time == 0:
            return super().solve(system, analog_time, initial_state, seed)
        first = self.solver.solve(system, analog_time, initial_state, seed)
        own = Several((system,))
        image = own.product(first.value[None])
        left = own.b - image
        (child,) = child_seeds([seed], 2)
        second = self.solver.solve(own.facing(left)[0], analog_time, None, child)
        vectors = [(first.value[None], image), (second.value[None], own.product(second.value[None]))]
        estimate = float(estimated_error(first.value[None], left, vectors)[0])
        took = {
            name: getattr(first.statistics, name) + getattr(second.statistics, name)
            for name in SUMS - {"programs", "clipped_codes", "lost_inputs"}  # one program; the others say how good x is
        }
        took["flops"] += _flops(own)
        error = None if isnan(estimate) else estimate
        return replace(first, statistics=replace(first.statistics, **took, estimated_error=error))

    def hold(self, systems: Batch, seeds: Sequence[int]) -> "HeldEstimate":
        """See ``Holder``."""
        held = hold(self.solver, systems, seeds)
        return HeldEstimate(systems, held, held.programs, held.flops)


@dataclass(frozen=True)
class HeldEstimate:
    """See ``Held``."""

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
        """See ``Held``."""
        numbers = [0] * len(b) if seeds is None else list(seeds)
        wanted = np.ones(len(b), dtype=bool) if asked is None else asked
        first = self.held.solve(b, analog_time, initial_states, numbers, wanted)
        image = self.systems.product(first.values)
        left = b - image
        second = self.held.solve(left, analog_time, None, child_seeds(numbers, 2), wanted)
        vectors = [(first.values, image), (second.values, self.systems.product(second.values))]
        estimate = estimated_error(first.values, left, vectors)
        statistics = together(first.statistics, second.statistics, wanted)
        digital = np.where(wanted, _flops(self.systems), 0.0)
        statistics = statistics._replace(
            flops=statistics.flops + digital, estimated_error=np.where(wanted, estimate, np.nan)
        )
        return Answer(first.values, statistics, first.solver, first.variances, first.refinements)


def _flops(systems: Batch) -> float:
    """Digital operations of the estimate of one of these."""
    return 2.0 * systems.flops + 20.0 * systems.b.shape[1]

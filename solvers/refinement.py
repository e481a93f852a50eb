"""How an iterative refinement ended."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["converged", "exhausted", "stalled", "diverged", "indefinite"]
OUTCOMES: dict[Outcome, str] = {
    "converged": "the tolerance is reached",
    "exhausted": "all corrections are used; allow more of them, or a larger tolerance",
    "stalled": "the last corrections lower the residual no more: the system is singular or nearly so, the device sees "
    "nothing of what is left, or double precision ends here; raise the damping or the tolerance",
    "diverged": "corrections make the residual larger: in some direction the device holds less than half of the "
    "matrix; raise the device's own damping, or take method 'cg'",
    "indefinite": "a correction meets a direction in which the matrix is not positive: it is singular or indefinite; "
    "raise the damping of the system",
}
"""How a refinement can end: what is said of it, and the cure."""
ENDS = tuple(OUTCOMES)
UNHELD = tuple(1 + ENDS.index(end) for end in ("diverged", "indefinite"))
"""Outcomes, as statistics have them, that say that the device holds something too far from the matrix, or that one of
both is not positive definite: more damping of the system cures them."""


@dataclass(frozen=True)
class Refinement:
    """How an iterative refinement went. The solution is the iterate of the smallest residual, not the last.

    Args:
        outcome: see ``OUTCOMES``.
        residuals: ‖b − A x‖ / ‖b‖ after the first solve and after each correction.
    """

    outcome: Outcome
    residuals: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.outcome} after {len(self.residuals)} solves: {OUTCOMES[self.outcome]}"

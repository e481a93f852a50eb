"""What a user asks for: how a device is made more precise, as numbers."""

from dataclasses import dataclass, replace

from solvers.precision.accuracy import Estimated
from solvers.precision.averaged import Averaged
from solvers.precision.refined import Refined
from solvers.solution import Solver
from solvers.spu import Spu
from spu_circuit.errors import InputError


@dataclass(frozen=True)
class Precision:
    """How a device's solutions are made more precise. Nothing is by default.

    Args:
        refine: corrections after the first solve, at most; None: it is not refined.
        tolerance: of the residual at which refinement ends.
        method: how corrections become steps: see ``refined.METHODS``.
        damping: what the device's matrix has more on its diagonal, units of A.
        reads, programs: see ``Averaged``. Several programs are rounded stochastically.
        estimate: whether one more solve tells how wrong a solution is.

    Raises:
        InputError: what belongs to refinement is given without it, or a field is wrong.
    """

    refine: int | None = None
    tolerance: float = 1e-6
    method: str = "refinement"
    damping: float = 0.0
    reads: int = 1
    programs: int = 1
    estimate: bool = False

    def __post_init__(self) -> None:
        if self.refine is None:
            for name in ("tolerance", "method", "damping"):
                if (given := getattr(self, name)) != getattr(type(self), name):
                    raise InputError(
                        f"{name} is {given}, which belongs to refinement; say how many corrections: refine"
                    )

    def of(self, spu: Spu) -> Solver:
        """The device, wrapped as this says."""
        solver: Solver = replace(spu, rounding="stochastic") if self.programs > 1 else spu
        if (self.reads, self.programs) != (1, 1):
            solver = Averaged(solver, self.reads, self.programs)
        if self.refine is not None:
            return Refined(solver, self.refine, self.tolerance, self.method, self.damping, self.estimate)
        return Estimated(solver) if self.estimate else solver

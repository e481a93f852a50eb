"""What a user asks for: how a device is made more precise, as numbers."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from solvers.precision.accuracy import Estimated
from solvers.precision.averaged import Averaged
from solvers.precision.refined import Refined, check_method, check_tolerance
from solvers.precision.rotated import Rotated, Rotating
from solvers.solution import Solver
from solvers.spu import Spu
from spu_circuit.description import Description

Array = NDArray[np.float64]


class Precision(Description):
    """How a device's solutions are made more precise. Nothing is by default."""

    refine: Annotated[
        int | None, Field(ge=0, description="corrections by a digital residual, at most; none: it is not refined")
    ] = None
    tolerance: Annotated[float, Field(description="of the residual at which refinement ends")] = 1e-6
    corrections: Annotated[str, Field(description="how they become steps: refinement, cg or gmres")] = "refinement"
    device_damping: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="more on the device's diagonal, units of A")
    ] = 0.0
    reads: Annotated[int, Field(ge=1, description="of one program, averaged")] = 1
    programs: Annotated[int, Field(ge=1, description="stochastically rounded and averaged")] = 1
    rotate: Annotated[
        int | None,
        Field(
            ge=1,
            description="solves of a sequence between fresh eigenvectors, in which the others are programmed; none: "
            "matrices are programmed as they are",
        ),
    ] = None
    estimate: Annotated[bool, Field(description="one more solve tells how wrong a solution is")] = False

    @field_validator("corrections")
    @classmethod
    def _known(cls, method: str) -> str:
        check_method(method)
        return method

    @field_validator("tolerance")
    @classmethod
    def _reachable(cls, tolerance: float) -> float:
        check_tolerance(tolerance)
        return tolerance

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.refine is None:
            for name in ("tolerance", "corrections", "device_damping"):
                if (given := getattr(self, name)) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"{name} is {given}, which belongs to refinement; say how many corrections: refine"
                    )
        return self

    def of(self, spu: Spu, vectors: Array | None = None) -> Solver:
        """The device, wrapped as this says.

        Args:
            vectors: of the basis in which it is programmed, (n, n) or (m, n, n); None: as matrices are.
        """
        solver: Solver = replace(spu, rounding="stochastic") if self.programs > 1 else spu
        if (self.reads, self.programs) != (1, 1):
            solver = Averaged(solver, self.reads, self.programs)
        if vectors is not None:
            solver = Rotated(solver, vectors)
        if self.refine is not None:
            return Refined(solver, self.refine, self.tolerance, self.corrections, self.device_damping, self.estimate)
        return Estimated(solver) if self.estimate else solver

    def of_sequence(self, spu: Spu) -> Solver | Rotating:
        """The same for systems one after the other, whose eigenvectors change slowly."""
        return self.of(spu) if self.rotate is None else Rotating(partial(self.of, spu), self.rotate)

"""Solvers that claims are tested on."""

import numpy as np
from numpy.typing import NDArray

from solvers.network import Network
from solvers.sde import Sde
from solvers.solution import Solver
from solvers.spu import Spu
from spu_circuit.errors import MappingError, SimulationError
from spu_circuit.hardware import load_hardware

IDEAL = "ideal equation"
"""Of the paper, without a circuit."""
NO_SOLUTION = (MappingError, SimulationError)
"""What a device can fail with: it cannot hold a matrix, or nothing settles. Other errors are mistakes of a protocol."""


def solver_named(name: str) -> Solver:
    """The ideal equation, or the circuit of a preset, in transients by the tangents at rest of what saturates."""
    return Sde() if name == IDEAL else Spu(load_hardware(name), Network(linearise=True))


def distance(value: NDArray[np.float64], exact: NDArray[np.float64]) -> float:
    """‖value − exact‖ / ‖exact‖."""
    return float(np.linalg.norm(value - exact) / np.linalg.norm(exact))

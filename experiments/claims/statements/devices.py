"""Solvers that claims are tested on."""

from typing import Any

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


CIRCUIT = Network(linearise=True, readout_bandwidth=100e6)
"""In transients by the tangents at rest of what saturates; noise is read through 100 MHz."""
ENGINE = {"engine": "network", "linearise": True, "readout_bandwidth": "10 MHz"}
"""That of trainings: 10 MHz are above the modes of an array of catalogue parts."""


def solver_named(name: str) -> Solver:
    """The ideal equation, or the circuit of a preset."""
    return Sde() if name == IDEAL else Spu(load_hardware(name), CIRCUIT)


def distance(value: NDArray[Any], exact: NDArray[Any]) -> float:
    """‖value − exact‖ / ‖exact‖."""
    return float(np.linalg.norm(value - exact) / np.linalg.norm(exact))

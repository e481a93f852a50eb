"""The solution of a device's samples by the derivatives of its nominal one.

To first order a sample's solution follows the normal scores u of its random numbers: ``x = x₀ + J u``. J has a column
for each of thousands of numbers, and a row for each cell. By its singular values, ``J = W S V``, only as many numbers
matter as there are cells: ``x = x₀ + W S z``, and ``z = V u`` is standard normal as u is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.sweeps.bench import Bench
from netlists.board import Board
from netlists.device import batch_of
from solvers.network import Network
from solvers.sensitivity import CELLS, adjoint_of
from spu_circuit.errors import InputError
from spu_circuit.sampling import Samples, at_scores, bounded

Array = NDArray[np.float64]

DIRECTIONS = 64
"""That are kept, at most: those along which the solution moves most."""
LEAST = 1e-6
"""Of the largest movement: less is rounding."""
EVERY = slice(None)
"""All numbers of a purpose of which each part has its own."""
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(5)


@dataclass(frozen=True)
class LinearLaw:
    """Solutions of samples to first order.

    Args:
        exact: A⁻¹b, (n,).
        nominal: x₀, (n,).
        lever: W S, (n, k).
        directions: purpose of random numbers → their columns of V, (k, numbers); see ``Proposal``.
    """

    exact: Array
    nominal: Array
    lever: Array
    directions: Mapping[str, Array]

    def solutions(self, z: Array) -> Array:
        """At z (samples, k), (samples, n)."""
        return self.nominal + z @ self.lever.T

    def scores(self, z: Array, rng: np.random.Generator) -> dict[str, Array]:
        """Normal scores of samples that have this z (samples, k), what z does not say drawn at random."""
        drawn = {name: rng.standard_normal((len(z), along.shape[1])) for name, along in self.directions.items()}
        missing = z - sum(drawn[name] @ along.T for name, along in self.directions.items())
        return {name: own + missing @ self.directions[name] for name, own in drawn.items()}


def law_of(bench: Bench) -> LinearLaw:
    """Of a bench of engine network.

    Raises:
        InputError: nothing that varies moves the solution.
    """
    hardware, board, n = bench.device.hardware, bench.board, len(bench.exact)
    purposes = bounded(hardware.variation, board.places)
    device, medians = batch_of(bench.device), _at(board, {})
    adjoint = adjoint_of(Network().prepare(board).program(device.array, medians), device)
    slopes = {purpose: list(_slopes(board, purpose, width)) for purpose, width in purposes.items()}
    moved = {purpose: np.zeros((n, width)) for purpose, width in purposes.items()}
    for start in range(0, n, CELLS):
        cells = np.arange(start, min(start + CELLS, n))
        gradient = np.zeros((1, n, len(cells)))
        gradient[0, cells, cells - start] = device.unknowns_per_volt[0, cells]
        by_part = adjoint.derivatives(board, gradient).parts
        for purpose, found in slopes.items():
            for number, kind, slope in found:
                own = slope[:, None] * by_part[kind][0]
                moved[purpose][cells, number] += own.T if number == EVERY else own.sum(axis=0)
    values, vectors = np.linalg.eigh(sum(columns @ columns.T for columns in moved.values()))
    kept = np.flatnonzero(values > LEAST**2 * values[-1])[::-1][:DIRECTIONS]
    if not len(kept):
        raise InputError("hardware.variation: nothing that varies moves the solution, to first order")
    sizes = np.sqrt(values[kept])
    directions = {purpose: vectors[:, kept].T @ columns / sizes[:, None] for purpose, columns in moved.items()}
    nominal = board.read(medians, adjoint.volts)[0] * device.unknowns_per_volt[0]
    return LinearLaw(bench.exact, nominal, vectors[:, kept] * sizes, directions)


def _slopes(board: Board, purpose: str, width: int) -> Iterator[tuple[Any, str, Array]]:
    """How parts follow the scores of a purpose: which score (``EVERY``: each part its own), the kind, slopes (parts,).

    A slope is that of the line nearest to the part's law f over all scores, E[u f(u)], which for a uniform distribution
    is not the slope at its median.
    """
    medians = _at(board, {})
    for number in [EVERY] if purpose.endswith("local") else range(width):
        scores = np.zeros((len(NODES), width))
        scores[:, number] = NODES[:, None] if number == EVERY else NODES
        samples = _at(board, {purpose: scores})
        for found, nominal in ((samples.relative, medians.relative), (samples.absolute, None)):
            for kind, values in found.items():
                if number != EVERY or kind == purpose.split()[0]:
                    slope = NODES * NODE_WEIGHTS @ values / NODE_WEIGHTS.sum()
                    yield number, kind, slope if nominal is None else slope / nominal[kind][0]


def _at(board: Board, scores: Mapping[str, Array]) -> Samples:
    hardware = board.hardware
    return at_scores(hardware.variation, hardware.temperature, board.places, scores)

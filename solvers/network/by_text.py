"""The dense law of a table's circuit by way of its text, element by element: an oracle for the blocks."""

import numpy as np
from numpy.typing import NDArray

from netlists.capacitors import straight
from netlists.deck import circuit_of, lines_of
from netlists.elements import ElementTable
from solvers.network.dense import Reduced
from solvers.network.devices import KELVIN
from solvers.network.nodal import NodalAnalysis, settled
from solvers.network.reader import read_lines
from solvers.network.state_space import StateSpace
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from spu_circuit.noise import WHITE

Array = NDArray[np.float64]


def analysis_of(table: ElementTable) -> NodalAnalysis:
    """The equations of a table."""
    parameters = {} if table.amplifier is None else {"temper": table.amplifier.hardware.temperature - KELVIN}
    silent = frozenset() if table.amplifier is None else table.amplifier.silent
    circuit = read_lines(lines_of(circuit_of(straight(table), WHITE)), parameters, silent)
    nodes = [name for nodes, _ in table.injected for name in nodes.names]
    return NodalAnalysis(circuit, table.probes, nodes)


def space_of(
    table: ElementTable, temperature: float | None, linearise: bool = False, readout_bandwidth: float | None = None
) -> StateSpace:
    """The dense law of a table's circuit.

    Args:
        temperature: K of the resistors; None: they are noiseless.
    """
    analysis = analysis_of(table)
    densities = np.concatenate([density for _, density in table.injected]) if table.injected else np.zeros(0)
    reduced = analysis.reduce(None, temperature, densities, linearise)
    return StateSpace(
        OrnsteinUhlenbeck(reduced.drift[0], reduced.input_rate[0], reduced.diffusion[0]),
        start_of(analysis, reduced, table.precharged)[0],
        reduced.output[0],
        reduced.offset[0],
        reduced.noise[0],
        analysis.states,
        analysis.outputs,
        readout_bandwidth,
    )


def start_of(analysis: NodalAnalysis, reduced: Reduced, precharged: bool) -> Array:
    """Voltages of the capacitors at time 0, (batch, n).

    Those that no line gives are 0. In a precharged circuit those outside subcircuits are given, and the others at
    rest beside them: ``M_rr z_r = u_r − M_rg z_g``.

    Raises:
        InputError: a precharged circuit's other capacitors do not come to rest.
    """
    given = ~np.isnan(analysis.start)
    start = np.where(given, analysis.start, 0.0) + np.zeros_like(reduced.input_rate)
    given &= np.array(["." not in name for name in analysis.states])
    if precharged and not given.all():
        M, rest = reduced.drift, np.flatnonzero(~given)
        push = reduced.input_rate[:, rest] - (M[:, rest][:, :, given] @ start[:, given, None])[:, :, 0]
        start[:, rest] = settled(M[:, rest][:, :, rest], push)
    return start

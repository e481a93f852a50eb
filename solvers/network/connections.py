"""What element by element has no equations: loops of sources, nodes that nothing grounds, and semiconductors."""

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from solvers.network.reader import GROUND, Element
from spu_circuit.errors import InputError

Indices = NDArray[np.intp]

SHOWN = 6
"""Names in a message, at most."""
LOOPS = {
    "voltage sources": ("V", "E", "H", "BV"),
    "capacitors or voltage sources": ("C",),
}
"""Kinds that close loops, given the ones before them."""


def refuse_loops(elements: Sequence[tuple[int, Element]], ends: Indices, names: Sequence[str]) -> None:
    """Voltage sources and capacitors must be a forest: around a loop their voltages are given twice.

    Args:
        elements: with their numbers, which are rows of ``ends``.
        ends: first and second node of each, -1 for ground, (elements, 2).
        names: of the nodes.

    Raises:
        InputError: they are not; names the element that closes a loop, and its nodes.
    """
    group = np.arange(-1, len(names)).tolist()
    edges: dict[int, list[int]] = {}

    def root(node: int) -> int:
        while group[node + 1] != node:
            group[node + 1] = group[group[node + 1] + 1]
            node = group[node + 1]
        return int(node)

    for what, kinds in LOOPS.items():
        for k, element in elements:
            if element.kind not in kinds:
                continue
            a, b = ends[k].tolist()
            if root(a) == root(b):
                path = ", ".join(GROUND if node < 0 else names[node] for node in _path(edges, a, b))
                raise InputError(f"{element.name} closes a loop of {what} over nodes {path}; put a resistor into it")
            group[root(a) + 1] = root(b)
            edges.setdefault(a, []).append(b)
            edges.setdefault(b, []).append(a)


def refuse_floating_nodes(elements: Sequence[Element], ends: Indices, names: Sequence[str]) -> None:
    """Every node must reach ground by elements that carry direct current. See ``refuse_loops``."""
    carries = np.array([element.kind not in ("C", "I") for element in elements])
    a, b = ends[carries].T + 1
    size = len(names) + 1
    graph = scipy.sparse.csr_array((np.ones(len(a)), (a, b)), shape=(size, size))
    groups = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
    floating = np.flatnonzero(groups[1:] != groups[0])
    if len(floating):
        shown = ", ".join(names[k] for k in floating[:SHOWN]) + (" …" if len(floating) > SHOWN else "")
        raise InputError(f"no DC path to ground from {shown}; join each to ground or a driven node by a resistor")


def refuse_semiconductors(elements: Sequence[Element]) -> None:
    """Junctions are too steep for the tangents of ``NodalAnalysis``. Raises InputError where there is one."""
    for element in elements:
        if element.junction:
            raise InputError(
                f"{element.name}: semiconductors ({element.line!r}) have no tangents element by element; take engine "
                "'network' itself, or ngspice"
            )


def _path(edges: dict[int, list[int]], start: int, end: int) -> list[int]:
    """The nodes from start to end in a forest."""
    came_from = {start: start}
    waiting = [start]
    while waiting and end not in came_from:
        node = waiting.pop()
        for other in edges.get(node, []):
            if other not in came_from:
                came_from[other] = node
                waiting.append(other)
    path = [end]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return path

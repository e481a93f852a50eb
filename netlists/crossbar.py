"""A matrix of resistors between column wires, which outputs drive, and row wires, which end in summing nodes."""

import numpy as np
from numpy.typing import NDArray

from netlists.elements import Elements, Nodes, NoiseCurrents
from spu_circuit.noise import johnson_current_density

Array = NDArray[np.float64]


def resistances(conductances: Array) -> Array:
    """Ohms of a matrix of resistors, (..., rows, columns) to (..., rows · columns); infinite where there is none."""
    with np.errstate(divide="ignore"):
        return (1 / conductances).reshape(*conductances.shape[:-2], -1)


def crossbar(
    label: str,
    conductances: Array,
    columns: str,
    rows: str,
    part: str = "array_resistor",
    which: int = 0,
    wire_resistance: float = 0.0,
) -> list[Elements]:
    """Join every column wire to every row wire.

    Column j starts at node j of the family ``columns`` and crosses row 0 first; row i starts at node i of ``rows`` and
    crosses column 0 first. A wire has ``wire_resistance`` to its first crossing and from each crossing to the next;
    behind its last resistor it carries no current, so it ends there.

    Args:
        label: of the array's resistors, ``<label><i>_<j>``; those of column and row wires, which lie before that
            crossing, are ``<label>c<i>_<j>`` and ``<label>r<i>_<j>``, the nodes at their far ends the same without R.
        conductances: (..., rows, columns), S; zero: an open resistor, and with wires none at all.
        wire_resistance: Ω per segment; 0: all resistors of a wire meet in one node.
    """
    m, n = conductances.shape[-2:]
    if not wire_resistance:
        i, j = np.repeat(np.arange(m), n), np.tile(np.arange(n), m)
        nodes = Nodes(columns, j), Nodes(rows, i)
        return [Elements(label, nodes, resistances(conductances), i, j, part, which)]
    i, j = np.nonzero(conductances)
    name = label[1:]
    ends = Nodes(f"{name}c", i, j), Nodes(f"{name}r", i, j)
    found = [Elements(label, ends, 1 / conductances[i, j], i, j, part, which)]
    for wire, along, across, start in (("c", i, j, columns), ("r", j, i, rows)):
        order = np.lexsort((along, across))
        first = np.ones(len(order), dtype=bool)
        first[1:] = across[order][1:] != across[order][:-1]
        before = np.empty_like(along)
        before[order] = np.where(first, -1, np.roll(along[order], 1))
        length = wire_resistance * (along - before).astype(float)
        for begins in (True, False):
            at = np.flatnonzero((before < 0) == begins)
            if not len(at):
                continue
            previous = (before[at], j[at]) if wire == "c" else (i[at], before[at])
            near = Nodes(start, across[at]) if begins else Nodes(f"{name}{wire}", *previous)
            far = Nodes(f"{name}{wire}", i[at], j[at])
            found.append(Elements(f"{label}{wire}", (near, far), length[at], i[at], j[at]))
    return found


def own_noise(groups: list[Elements], temperature: float) -> list[NoiseCurrents]:
    """A noise current of its own for each resistor: where some do not end in a virtual ground."""
    return [
        NoiseCurrents(
            f"I{group.label[1:]}",
            (group.nodes[0], group.nodes[1]),
            johnson_current_density(1 / group.value, temperature),
            group.row,
            group.column,
        )
        for group in groups
        if group.kind == "R"
    ]

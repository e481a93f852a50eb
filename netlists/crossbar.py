"""A matrix of resistors between column wires, which outputs drive, and row wires, which end in summing nodes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netlists.elements import Elements, Nodes, NoiseCurrents
from spu_circuit.noise import johnson_current_density

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


def resistances(conductances: Array) -> Array:
    """Ohms of a matrix of resistors, (..., rows, columns) to (..., rows · columns); infinite where there is none."""
    with np.errstate(divide="ignore"):
        return (1 / conductances).reshape(*conductances.shape[:-2], -1)


def crossbar(
    label: str,
    conductances: Array,
    columns: str,
    rows: str,
    which: int = 0,
    wire_resistance: float = 0.0,
) -> Elements:
    """Join every column wire to every row wire.

    Column j begins at node j of the family ``columns``, row i at node i of ``rows``.

    Args:
        label: of the array's resistors, ``<label><i>_<j>``.
        conductances: (..., rows, columns), S; zero: an open resistor.
        wire_resistance: Ω per segment, see ``laid_out``; 0: all resistors of a wire meet in one node.
    """
    m, n = conductances.shape[-2:]
    i, j = np.repeat(np.arange(m), n), np.tile(np.arange(n), m)
    nodes, ohms = (Nodes(columns, j), Nodes(rows, i)), resistances(conductances)
    return Elements(label, nodes, ohms, i, j, "array_resistor", which, wire_resistance=wire_resistance)


def laid_out(group: Elements) -> list[Elements]:
    """The elements of a group with the wires between them: of a crossbar behind wires more than its resistors.

    A column wire crosses row 0 first, a row wire column 0. A wire has ``wire_resistance`` to its first crossing and
    from each to the next; behind its last resistor it carries no current, so it ends there. Parts of column and row
    wires, which lie before the resistor ``<label><i>_<j>``, are ``<label>c<i>_<j>`` and ``<label>r<i>_<j>``, the nodes
    at their far ends the same without R.
    """
    if not group.wire_resistance:
        return [group]
    assert group.column is not None
    (columns, rows), i, j, name = group.nodes, group.row, group.column, group.label[1:]
    found = [replace(group, nodes=(Nodes(f"{name}c", i, j), Nodes(f"{name}r", i, j)), wire_resistance=0.0)]
    for wire, along, across, start in (("c", i, j, columns), ("r", j, i, rows)):
        before = _before(along, across)
        length = group.wire_resistance * (along - before).astype(float)
        for begins in (True, False):
            at = np.flatnonzero((before < 0) == begins)
            if not len(at):
                continue
            previous = (before[at], j[at]) if wire == "c" else (i[at], before[at])
            near = Nodes(start.family, start.index[at]) if begins else Nodes(f"{name}{wire}", *previous)
            far = Nodes(f"{name}{wire}", i[at], j[at])
            found.append(Elements(f"{group.label}{wire}", (near, far), length[at], i[at], j[at]))
    return found


def _before(along: Indices, across: Indices) -> Indices:
    """Of each crossing, which one its wire passes before; -1: none."""
    order = np.lexsort((along, across))
    first = np.ones(len(order), dtype=bool)
    first[1:] = across[order][1:] != across[order][:-1]
    before = np.empty_like(along)
    before[order] = np.where(first, -1, np.roll(along[order], 1))
    return before


def own_noise(groups: Sequence[Elements], temperature: float) -> list[NoiseCurrents]:
    """A noise current of its own for each resistor: where some do not end in a virtual ground."""
    return [
        NoiseCurrents(
            f"I{group.label[1:]}",
            (group.nodes[0], group.nodes[1]),
            johnson_current_density(1 / group.value, temperature),
            group.row,
            group.column,
        )
        for each in groups
        if each.kind == "R"
        for group in laid_out(each)
    ]

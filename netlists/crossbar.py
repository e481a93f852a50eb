"""A matrix of resistors between column wires, which outputs drive, and row wires, which end in summing nodes."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
AddResistor = Callable[[str, str, str, float], object]
"""Adds a resistor: name, first node, second node, ohms."""


def crossbar(
    add: AddResistor,
    name: str,
    conductances: Array,
    columns: Sequence[str],
    rows: Sequence[str],
    wire_resistance: float = 0.0,
) -> None:
    """Join every column wire to every row wire.

    Column j starts at ``columns[j]`` and crosses row 0 first; row i starts at ``rows[i]`` and crosses column 0 first.
    A wire has ``wire_resistance`` to its first crossing and from each crossing to the next; behind its last resistor it
    carries no current, so it ends there.

    Args:
        add: adds one resistor; those of the array are called ``<name><i>_<j>``, those of column and row wires, which
            lie before that crossing, ``<name>c<i>_<j>`` and ``<name>r<i>_<j>``, as do the nodes at their far ends.
        conductances: (rows, columns), S; zero: no resistor.
        wire_resistance: Ω per segment; 0: all resistors of a wire meet in one node.
    """
    crossings = np.argwhere(conductances).tolist()
    values = (1 / conductances[conductances != 0]).tolist()
    if not wire_resistance:
        for (i, j), value in zip(crossings, values, strict=True):
            add(f"{name}{i}_{j}", columns[j], rows[i], value)
        return
    column_ends = [(node, -1) for node in columns]
    row_ends = [(node, -1) for node in rows]
    for (i, j), value in zip(crossings, values, strict=True):
        before, last = column_ends[j]
        add(f"{name}c{i}_{j}", before, f"{name}c{i}_{j}", wire_resistance * (i - last))
        column_ends[j] = f"{name}c{i}_{j}", i
        before, last = row_ends[i]
        add(f"{name}r{i}_{j}", before, f"{name}r{i}_{j}", wire_resistance * (j - last))
        row_ends[i] = f"{name}r{i}_{j}", j
        add(f"{name}{i}_{j}", f"{name}c{i}_{j}", f"{name}r{i}_{j}", value)

"""Capacitors whose voltage moves their capacitance, as class-2 ceramics do: C(V) = C (1 + a V + b V²).

C(V) = dQ/dV is what a bridge measures at a bias. SPICE has it as VC1 and VC2 of a capacitor's model (SIMetrix Simulator
Reference, "Capacitor"); X7R loses up to 70 % at its rated voltage (Prymak et al., CARTS 2010). In decks the charge has
a law, and current is its slope: a law of the capacitance times dV/dt would make charge of nothing in a solver's steps
(Kuznetsov, engrXiv 7436, 2026).
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netlists.elements import Elements, ElementTable, Nodes
from spu_circuit.hardware import Hardware

Array = NDArray[np.float64]

CURVED = ("linear", "quadratic")
BENDING = (*CURVED, "widest")
"""Parameters of capacitors that bend: a in 1/V, b in 1/V², and the |V| beyond which C stays what it is there."""


def capacitors(
    label: str, nodes: tuple[Nodes, Nodes], hardware: Hardware, row: NDArray[np.intp], which: int
) -> Elements:
    """The integration capacitors between these nodes, without charge.

    Args:
        which: number among the groups of capacitors.
    """
    cell, each = hardware.cell, np.ones(len(row))
    parameters = {"start": 0 * each}
    if cell.bends:
        given = (cell.linear_voltage_coefficient, cell.quadratic_voltage_coefficient, hardware.widest)
        parameters |= {name: value * each for name, value in zip(BENDING, given, strict=True)}
    return Elements(label, nodes, cell.capacitance * each, row, None, "capacitor", which, parameters)


def bend(volts: Array, linear: Array, quadratic: Array, widest: Array) -> Array:
    """C(V) / C − 1."""
    held = np.clip(volts, -widest, widest)
    return np.asarray(held * (linear + quadratic * held))


def bent_charge(volts: Array, linear: Array, quadratic: Array, widest: Array) -> Array:
    """Q(V) / C − V: the integral of ``bend`` from 0 V."""
    held = np.clip(volts, -widest, widest)
    inside = held**2 * (linear / 2 + quadratic * held / 3)
    return np.asarray(inside + (volts - held) * held * (linear + quadratic * held))


def bent_lines(group: Elements) -> Iterator[str]:
    """What stands beside capacitors in a deck: a capacitor as large that holds Q/C − V, and its current beside them."""
    a, b, limit, start = (group.parameters[name] for name in (*BENDING, "start"))
    ends = zip(group.names, group.nodes[0].names, group.nodes[1].names, strict=True)
    rows = zip(ends, a.tolist(), b.tolist(), limit.tolist(), group.value.tolist(), strict=True)
    begin = bent_charge(start, a, b, limit).tolist()
    for ((name, first, second), linear, quadratic, most, value), charge in zip(rows, begin, strict=True):
        volts = f"V({first},{second})"
        held = f"min(max({volts},{-most!r}),{most!r})"
        law = f"{held}*{held}*({linear / 2!r}+({quadratic / 3!r})*{held})"
        beyond = f"({volts}-{held})*{held}*({linear!r}+({quadratic!r})*{held})"
        yield f"Bbend_{name} bend_{name} 0 v={{{law}+{beyond}}}"
        yield f"Vbend_{name} bend_{name} bent_{name} DC 0"
        yield f"Cbend_{name} bent_{name} 0 {value!r} ic={charge!r}"
        yield f"Fbend_{name} {first} {second} Vbend_{name} 1"


def straight(table: ElementTable) -> ElementTable:
    """The table with capacitors that do not bend: the same at rest."""
    return replace(table, elements=tuple(_straight(group) for group in table.elements))


def _straight(group: Elements) -> Elements:
    kept = {name: value for name, value in group.parameters.items() if group.kind != "C" or name not in BENDING}
    return replace(group, parameters=kept)

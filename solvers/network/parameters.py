"""How the parameters of amplifiers move a circuit's equations."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlists.amplifier import ADDING
from netlists.elements import Values
from solvers.network.structure import Structure

Array = NDArray[np.float64]

IMAGINARY = 1e-30
"""Step of a derivative by a complex argument: nothing is subtracted, so it has no rounding error."""


def parameter_slopes(structure: Structure, values: Values) -> dict[str, dict[str, dict[str, Array]]]:
    """How parameters of amplifiers move the coefficients of the equations.

    Args:
        values: what differs from the table; see ``Values``.

    Returns:
        Label of amplifiers → parameter → key of a group → derivative, (batch, elements): by the offset in volts, by
        the bias in amperes, by a relative change of the others.
    """
    amplifier, found = structure.table.amplifier, dict[str, dict[str, dict[str, Array]]]()
    for group in structure.table.elements:
        if group.kind != "X" or amplifier is None:
            continue
        names = [name for name in amplifier.parameters if name != "start"]
        own = {
            name: np.atleast_2d(
                values.get(f"{group.label}.{name}", np.full(group.count, 0.0 if name in ADDING else 1.0))
            )
            for name in names
        }
        found[group.label] = {name: {} for name in names}
        for name in names:
            moved: Any = own[name] + 1j * IMAGINARY
            for element in structure.inner(group, {**own, name: moved}).elements:
                if not np.iscomplexobj(element.value):
                    continue
                slope = np.asarray(np.imag(element.value)) / IMAGINARY
                if element.kind == "R":
                    slope = -slope / np.asarray(np.real(element.value)) ** 2
                found[group.label][name][element.name] = slope if name in ADDING else slope * own[name]
    return found

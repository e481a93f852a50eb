"""What may happen to the resistors of an active array after they are programmed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from netlists.array import ProgrammedArray


@dataclass(frozen=True)
class Alteration:
    """A change of programmed resistors.

    Args:
        name: stands in tables.
        apply: gives the changed array.
    """

    name: str
    apply: Callable[[ProgrammedArray], ProgrammedArray]


def mismatch(spread: float) -> Alteration:
    """Each resistor is off on its own: the matrix is not symmetric any more."""

    def apply(array: Any) -> ProgrammedArray:
        rng = np.random.default_rng(1)
        direct, inverted = (
            conductances * np.exp(spread * rng.standard_normal(conductances.shape))
            for conductances in (array.direct, array.inverted)
        )
        return replace(array, direct=direct, inverted=inverted)

    return Alteration(f"{100 * spread:g} % mismatch", apply)


def holding(A: list[list[float]]) -> Alteration:
    """The resistors hold another matrix: any, as long as it decays."""

    def apply(array: Any) -> ProgrammedArray:
        matrix = np.array(A)
        unit = max(array.direct.max(), array.inverted.max()) / np.abs(matrix).max()
        direct, inverted = unit * np.maximum(matrix, 0), unit * np.maximum(-matrix, 0)
        return replace(array, direct=direct, inverted=inverted, siemens_per_unit=unit, scaling=np.ones(len(matrix)))

    rows = ", ".join(f"[{', '.join(f'{value:g}' for value in row)}]" for row in A)
    return Alteration(f"A = [{rows}]".replace("-", "−"), apply)


ROTATION = holding([[1.0, -3.0], [3.0, 2.0]])
SHEAR = holding([[1.0, 50.0], [0.0, 1.5]])

"""Table 1 of arXiv 2405.13817, runtime and memory of a step of each optimizer, beside what is counted here.

The table says orders: its terms have no constants, and a time of the array stands beside operations. What is counted
has constants: floating-point operations, see ``optim.cost``, and the numbers that are held at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass

from optim.cost import DIGITAL, PREPARED, Work


@dataclass(frozen=True)
class Sizes:
    """What the table is evaluated at.

    Args:
        work: N, b and c, and the K rows that the curvature factor has here.
        outputs: d_z, of the model for one sample.
        analog_time: t in τ; None: nobody says it.
        topology: of the array whose digital work is counted.
    """

    work: Work
    outputs: int
    analog_time: float | None = None
    topology: str = "active"

    @property
    def rows(self) -> int:
        """b d_z: what the table has in the place of K."""
        return self.work.samples * self.outputs


@dataclass(frozen=True)
class Order:
    """A row of the table.

    Args:
        runtime, memory: the terms, as it writes them.
        operations, numbers: their values.
        flop, held: what is counted here of such a step: operations, and numbers that are held at a time.
        relaxes: whether t is one of the terms of its runtime; it is no operation, and stands for itself.
    """

    runtime: str
    memory: str
    operations: Callable[[Sizes], float]
    numbers: Callable[[Sizes], float]
    flop: Callable[[Sizes], float]
    held: Callable[[Sizes], float]
    relaxes: bool = False


def _N(sizes: Sizes) -> float:
    return float(sizes.work.parameters)


def _factors(sizes: Sizes) -> float:
    return sizes.rows * _N(sizes) + float(sizes.rows) ** 2


def _held(sizes: Sizes, unknowns: float) -> float:
    """B and a matrix of so many unknowns, beside parameters and gradient."""
    return sizes.work.rows * _N(sizes) + unknowns**2 + 2 * _N(sizes)


def _programmed(sizes: Sizes) -> float:
    """Unknowns of the matrix that an array is programmed with; 0 where it holds B itself."""
    if sizes.topology == "factored":
        return 0.0
    return _N(sizes) if sizes.work.mapping == "primal" else float(sizes.work.rows)


TABLE: dict[str, Order] = {
    "SGD": Order(
        *("O(bN)", "O(N)"),
        operations=lambda sizes: sizes.work.samples * _N(sizes),
        numbers=_N,
        flop=lambda sizes: DIGITAL["SGD"](sizes.work),
        held=lambda sizes: 2 * _N(sizes),
    ),
    "Adam": Order(
        *("O(bN)", "O(N)"),
        operations=lambda sizes: sizes.work.samples * _N(sizes),
        numbers=_N,
        flop=lambda sizes: DIGITAL["Adam"](sizes.work),
        held=lambda sizes: 4 * _N(sizes),
    ),
    "NGD": Order(
        *("O(N³ + b d_z N²)", "O(N²)"),
        operations=lambda sizes: _N(sizes) ** 3 + sizes.rows * _N(sizes) ** 2,
        numbers=lambda sizes: _N(sizes) ** 2,
        flop=lambda sizes: DIGITAL["NGD, Cholesky"](sizes.work),
        held=lambda sizes: _held(sizes, _N(sizes)),
    ),
    "NGD-CG": Order(
        *("O(cbN)", "O(N)"),
        operations=lambda sizes: sizes.work.iterations * sizes.work.samples * _N(sizes),
        numbers=_N,
        flop=lambda sizes: DIGITAL["NGD, conjugate gradients"](sizes.work),
        held=lambda sizes: (sizes.work.rows + 6) * _N(sizes),
    ),
    "NGD-Woodbury": Order(
        *("O(b² d_z² N + b³ d_z³)", "O(b d_z N + b² d_z²)"),
        operations=lambda sizes: sizes.rows * _factors(sizes),
        numbers=_factors,
        flop=lambda sizes: DIGITAL["NGD, Woodbury"](sizes.work),
        held=lambda sizes: _held(sizes, sizes.work.rows),
    ),
    "TNGD": Order(
        *("O(b d_z N + t)", "O(b d_z N + b² d_z²)"),
        operations=lambda sizes: sizes.rows * _N(sizes),
        numbers=_factors,
        flop=lambda sizes: PREPARED[sizes.topology](sizes.work),
        held=lambda sizes: _held(sizes, _programmed(sizes)),
        relaxes=True,
    ),
}
"""Conjugate gradients hold B here, and the paper computes products with it anew: hence K N numbers beside its O(N)."""


@dataclass(frozen=True)
class Evaluated:
    """A row at given sizes.

    Args:
        operations, numbers: the paper's terms.
        relaxes: whether t stands beside the operations; ``analog_time`` is that in τ, None where nobody says it.
        flop, held: what is counted here.
    """

    optimizer: str
    runtime: str
    operations: float
    relaxes: bool
    analog_time: float | None
    flop: float
    memory: str
    numbers: float
    held: float


def evaluated(sizes: Sizes) -> list[Evaluated]:
    """Every row of the table at these sizes."""
    return [
        Evaluated(
            name,
            order.runtime,
            order.operations(sizes),
            order.relaxes,
            sizes.analog_time if order.relaxes else None,
            order.flop(sizes),
            order.memory,
            order.numbers(sizes),
            order.held(sizes),
        )
        for name, order in TABLE.items()
    ]

"""What semiconductors are made of: resistors, behavioural sources, and capacitors that their voltage bends."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

CHARGE = 1.602176634e-19
"""C: exact, it defines the ampere (SI, 2019)."""
GMIN = 1e-12
"""S, beside every junction, as in ngspice."""
SMALLEST = 1e-18
"""F: of a junction's capacitance. A model without capacitance at a voltage would have a mode of any speed."""


class Junction(NamedTuple):
    """Where a current rises as that of a junction does. Args: ``wide``: n k T / q, V; ``begins``: breakdown, V."""

    wide: float
    begins: float = 0.0


class Part(NamedTuple):
    """A line that needs no model.

    Args:
        junction: of a behavioural source; None: it is none.
        capacitance: formula of a capacitor's farads by the voltages around it; "": constant.
    """

    line: str
    junction: Junction | None = None
    capacitance: str = ""


class Charge(NamedTuple):
    """A depletion layer. Args: F at 0 V; V; exponent; share of the potential above which it is linear."""

    zero: float
    potential: float
    grading: float
    forward: float


@dataclass(frozen=True)
class Kind:
    """A kind of semiconductor, with the equations of one level.

    Args:
        terminals: that a line names.
        more: terminals that it may name behind them.
        models: kinds of models, and the sign of the voltages that they conduct at.
        defaults: of their parameters; NaN where others decide on it.
        also: other names of these.
        sizes: of the part itself, behind its model or as defaults in it.
        without: parameters that do nothing.
        parts: makes the elements of name, terminals, sign, parameters, sizes and k T / q.
    """

    terminals: int
    models: Mapping[str, int]
    defaults: Mapping[str, float]
    parts: "Callable[[str, Sequence[str], int, Mapping[str, float], Mapping[str, float], float], list[Part]]"
    also: Mapping[str, str] = field(default_factory=dict)
    more: int = 0
    sizes: Mapping[str, float] = field(default_factory=lambda: {"area": 1.0})
    without: frozenset[str] = frozenset()


def number_text(value: float) -> str:
    """A number in a formula."""
    return repr(float(value))


def between(sign: int, first: str, second: str) -> tuple[str, str]:
    """Two nodes in the order in which a voltage that conducts is positive."""
    return (first, second) if sign > 0 else (second, first)


def behind(name: str, ohmic: Mapping[str, tuple[str, float]]) -> tuple[list[Part], list[str]]:
    """Resistances in front of terminals, and the nodes behind them. Args: ``ohmic``: terminal and ohms by name."""
    parts, nodes = [], []
    for key, (node, ohms) in ohmic.items():
        if ohms:
            parts.append(Part(f"R{name}#{key} {node} {name}#{key} {number_text(ohms)}"))
            node = f"{name}#{key}"
        nodes.append(node)
    return parts, nodes


def junction_current(saturation: float, volts: str, wide: float) -> str:
    """Formula of a junction's current."""
    return f"{number_text(saturation)}*junction({volts}/{number_text(wide)})"


def source(name: str, ends: tuple[str, str], current: str, junction: Junction | None) -> Part:
    """A behavioural current source."""
    return Part(f"B{name} {' '.join(ends)} i={{{current}}}", junction)


def depletion(volts: str, charge: Charge) -> str:
    """Formula of a depletion layer's farads, linear beyond ``forward``."""
    zero, potential, grading, forward = charge
    corner = forward * potential
    return (
        f"{number_text(zero)}*(1-min({volts},{number_text(corner)})/{number_text(potential)})**{number_text(-grading)}"
        f"*(1+{number_text(grading / (potential - corner))}*max({volts}-{number_text(corner)},0))"
    )


def capacitor(name: str, ends: tuple[str, str], nominal: float, formula: str) -> Part:
    """A capacitor that bends, and never vanishes. Args: ``nominal``: F, about what it has."""
    return Part(
        f"C{name}#c {' '.join(ends)} {number_text(max(nominal, SMALLEST))}",
        capacitance=f"{formula}+{number_text(SMALLEST)}",
    )

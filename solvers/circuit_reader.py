"""A PySpice circuit as a flat list of elements: what ngspice reads, with every subcircuit put in its place."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PySpice.Spice.Netlist import Circuit

from netlists.deck import definitions, instances
from solvers.expression import Expression, number
from spu_circuit.errors import InputError

Array = NDArray[np.float64]

GROUND = "0"
KINDS = "R C V I E G F H B X"
PINS = {"R": 2, "C": 2, "V": 2, "I": 2, "E": 4, "G": 4, "F": 2, "H": 2, "B": 2}
TRANSIENT_SOURCES = ("sin", "pulse", "pwl", "exp", "sffm", "am", "trnoise", "trrandom", "external")


class Element(NamedTuple):
    """One element after flattening.

    Args:
        name: with the path of its subcircuits, ``Xv0.Rout``.
        kind: its letter; a behavioural source is ``BV`` or ``BI``.
        nodes: in SPICE's order, controls last; small letters, inner ones with their path; ground is ``0``.
        value: ohms, farads, volts, amperes or the gain; 0 for a behavioural source.
        initial: volts on a capacitor at time 0.
        control: name of the voltage source whose current controls an F or H.
        expression: of a behavioural source, its controls as flat nodes.
        line: as the deck has it.
    """

    name: str
    kind: str
    nodes: tuple[str, ...]
    value: float
    line: str
    initial: float = 0.0
    control: str = ""
    expression: Expression | None = None
    controls: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class FlatCircuit:
    """All elements of a circuit, none of them a subcircuit."""

    elements: tuple[Element, ...]

    @cached_property
    def values(self) -> Array:
        """(elements,), in SI; what a batch of draws changes."""
        return np.array([element.value for element in self.elements])

    def positions(self, kind: str) -> NDArray[np.intp]:
        """Where in ``values`` the elements of a kind are: "R", "C", …"""
        return np.array([k for k, element in enumerate(self.elements) if element.kind == kind], dtype=np.intp)

    def position(self, name: str) -> int:
        """Where in ``values`` one element is, by its name with path. Raises InputError where there is none."""
        names = {element.name.lower(): k for k, element in enumerate(self.elements)}
        if name.lower() not in names:
            raise InputError(f"the circuit has no element {name!r}; it has {', '.join(list(names)[:6])} …")
        return names[name.lower()]


@dataclass
class _Subcircuit:
    pins: list[str]
    defaults: dict[str, str]
    lines: list[str]


def read_circuit(circuit: Circuit) -> FlatCircuit:
    """The elements of a PySpice circuit. See ``read_lines``.

    Raises:
        InputError: a line that is no linear element, capacitor, source or subcircuit: named, with the cure.
    """
    return read_lines(definitions(circuit) + instances(circuit))


def read_lines(lines: Iterable[str]) -> FlatCircuit:
    """The elements of SPICE lines: R, C, V, I, E, G, F, H, B, X and ``.subckt`` definitions. See ``read_circuit``."""
    top: list[str] = []
    library: dict[str, _Subcircuit] = {}
    inside = ""
    for raw in lines:
        line = raw.strip()
        if not line or line.startswith("*"):
            continue
        if line.startswith("."):
            words = line.lower().split()
            if words[0] == ".subckt" and not inside:
                inside = words[1]
                pins = [word for word in words[2:] if "=" not in word]
                library[inside] = _Subcircuit(pins, _assignments(words[2:]), [])
            elif words[0] == ".ends" and inside:
                inside = ""
            else:
                raise InputError(f"line {line!r}: the network engine reads elements and subcircuits only; use ngspice")
        else:
            (library[inside].lines if inside else top).append(line)
    found: list[Element] = []
    _place(top, _Scope("", {}, {}), library, (), found)
    return FlatCircuit(tuple(found))


@dataclass(frozen=True)
class _Scope:
    """Where lines stand: the path of instances around them, what their pins are joined to, and their parameters."""

    path: str
    pins: dict[str, str]
    parameters: dict[str, float]

    def node(self, name: str) -> str:
        name = name.lower()
        if name in (GROUND, "gnd"):
            return GROUND
        return self.pins.get(name) or self.path.lower() + name

    def value(self, text: str) -> float:
        if text.startswith("{"):
            return float(Expression(text.strip("{}"), self.parameters).value())
        return number(text)

    def only_value(self, name: str, line: str, words: list[str]) -> float:
        if len(words) != 1:
            raise InputError(f"{name}: not a single constant value ({line!r}); the network engine knows no other form")
        return self.value(words[0])


def _place(
    lines: list[str], scope: _Scope, library: dict[str, _Subcircuit], within: tuple[str, ...], found: list[Element]
) -> None:
    """Append the elements of these lines, those of subcircuits in the place of their instances."""
    for line in lines:
        words = line.split()
        name, kind = scope.path + words[0], words[0][0].upper()
        if kind == "X":
            plain = [word for word in words[1:] if "=" not in word]
            model, outer = plain[-1].lower(), [scope.node(word) for word in plain[:-1]]
            if model in within:
                raise InputError(f"subcircuit {model} contains itself ({line!r}); break the cycle")
            if model not in library:
                raise InputError(f"{name}: no subcircuit {model!r} ({line!r}); define it in the circuit")
            inner = library[model]
            if len(outer) != len(inner.pins):
                raise InputError(
                    f"{name}: {len(outer)} nodes for the {len(inner.pins)} pins ({' '.join(inner.pins)}) of {model!r}; "
                    "make them agree"
                )
            given = {key: scope.value(text) for key, text in (inner.defaults | _assignments(words)).items()}
            bound = dict(zip(inner.pins, outer, strict=True))
            _place(inner.lines, _Scope(f"{name}.", bound, given), library, (*within, model), found)
        elif kind in PINS and len(words) > PINS[kind] + 1:
            nodes = tuple(scope.node(word) for word in words[1 : PINS[kind] + 1])
            found.append(_element(name, kind, nodes, line, words[PINS[kind] + 1 :], scope))
        else:
            raise InputError(
                f"{name}: the network engine does not know this element ({line!r}); it knows {KINDS}; use ngspice"
            )


def _element(name: str, kind: str, nodes: tuple[str, ...], line: str, rest: list[str], scope: _Scope) -> Element:
    if kind == "B":
        what, _, formula = line.split(None, 3)[3].partition("=")
        letter = what.strip().upper()
        if letter not in ("V", "I"):
            raise InputError(f"{name}: a behavioural source has v= or i= ({line!r}); write one of them")
        expression = Expression(formula.strip().strip("{}"), scope.parameters)
        controls = tuple((scope.node(plus), scope.node(minus)) for plus, minus in expression.controls)
        return Element(name, f"B{letter}", nodes, 0.0, line, expression=expression, controls=controls)
    if kind in "FH":
        value = scope.only_value(name, line, rest[1:])
        return Element(name, kind, nodes, value, line, control=(scope.path + rest[0]).lower())
    if kind in "VI":
        words = [word.lower() for word in rest]
        if any(word.startswith(TRANSIENT_SOURCES) for word in words):
            raise InputError(f"{name}: its value changes with time ({line!r}); give a DC value, or use ngspice")
        if "ac" in words:
            words = words[: words.index("ac")]
        words = words[1:] if words[:1] == ["dc"] else words
        return Element(name, kind, nodes, scope.only_value(name, line, words) if words else 0.0, line)
    value = scope.only_value(name, line, [word for word in rest if "=" not in word])
    if kind in "RC" and not value > 0:
        raise InputError(f"{name}: {value:g} must be above 0 ({line!r}); leave the element out, or use a source of 0 V")
    initial = scope.value(_assignments(rest).get("ic", "0")) if kind == "C" else 0.0
    return Element(name, kind, nodes, value, line, initial=initial)


def _assignments(words: list[str]) -> dict[str, str]:
    pairs = (word.partition("=") for word in words if "=" in word)
    return {key.lower(): value for key, _, value in pairs}

"""A PySpice circuit as a flat list of elements: what ngspice reads, with every subcircuit put in its place."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PySpice.Spice.Netlist import Circuit

from netlists.deck import elements
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
    """The elements of a PySpice circuit.

    Raises:
        InputError: a line that is no linear element, capacitor, source or subcircuit: named, with the cure.
    """
    return read_lines(elements(circuit))


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
    _place(top, "", {}, {}, library, (), found)
    return FlatCircuit(tuple(found))


def _place(
    lines: list[str],
    path: str,
    pins: dict[str, str],
    parameters: dict[str, float],
    library: dict[str, _Subcircuit],
    within: tuple[str, ...],
    found: list[Element],
) -> None:
    def node(name: str) -> str:
        name = name.lower()
        if name in (GROUND, "gnd"):
            return GROUND
        return pins.get(name) or path.lower() + name

    for line in lines:
        words = line.split()
        name, kind = path + words[0], words[0][0].upper()
        if kind == "R" and len(words) == 4 and not path:
            # An array has thousands of these.
            found.append(Element(name, kind, (node(words[1]), node(words[2])), float(words[3]), line))
        elif kind == "X":
            assigned = _assignments(words[1:])
            plain = [word for word in words[1:] if "=" not in word]
            model, outer = plain[-1].lower(), [node(word) for word in plain[:-1]]
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
            given = {key: _value(text, parameters) for key, text in (inner.defaults | assigned).items()}
            bound = dict(zip(inner.pins, outer, strict=True))
            _place(inner.lines, f"{name}.", bound, given, library, (*within, model), found)
        elif kind in PINS and len(words) > PINS[kind] + 1:
            nodes = tuple(node(word) for word in words[1 : PINS[kind] + 1])
            found.append(_element(name, kind, nodes, line, words[PINS[kind] + 1 :], parameters, path, node))
        else:
            raise InputError(
                f"{name}: the network engine does not know this element ({line!r}); it knows {KINDS}; use ngspice"
            )


def _element(name, kind, nodes, line, rest, parameters, path, node) -> Element:  # type: ignore[no-untyped-def]
    if kind == "B":
        text = line.split(None, 3)[3]
        what, _, formula = text.partition("=")
        expression = Expression(formula.strip().strip("{}"), parameters)
        if what.strip().lower() not in ("v", "i"):
            raise InputError(f"{name}: a behavioural source has v= or i= ({line!r}); write one of them")
        controls = tuple((node(plus), node(minus)) for plus, minus in expression.controls)
        return Element(name, f"B{what.strip().upper()}", nodes, 0.0, line, expression=expression, controls=controls)
    if kind in "FH":
        control, rest = path + rest[0], rest[1:]
        return Element(name, kind, nodes, _plain(name, line, rest, parameters), line, control=control.lower())
    if kind in "VI":
        words = [word.lower() for word in rest]
        if any(word.startswith(TRANSIENT_SOURCES) for word in words):
            raise InputError(f"{name}: its value changes with time ({line!r}); give a DC value, or use ngspice")
        if "ac" in words:
            words = words[: words.index("ac")]
        words = words[1:] if words[:1] == ["dc"] else words
        return Element(name, kind, nodes, _plain(name, line, words, parameters) if words else 0.0, line)
    value = _plain(name, line, [word for word in rest if "=" not in word], parameters)
    if kind in "RC" and not value > 0:
        raise InputError(f"{name}: {value:g} must be above 0 ({line!r}); leave the element out, or use a source of 0 V")
    initial = _value(_assignments(rest).get("ic", "0"), parameters) if kind == "C" else 0.0
    return Element(name, kind, nodes, value, line, initial=initial)


def _plain(name: str, line: str, words: list[str], parameters: dict[str, float]) -> float:
    if len(words) != 1:
        raise InputError(f"{name}: not a single constant value ({line!r}); the network engine knows no other form")
    return _value(words[0], parameters)


def _assignments(words: list[str]) -> dict[str, str]:
    pairs = (word.partition("=") for word in words if "=" in word)
    return {key.lower(): value for key, _, value in pairs}


def _value(text: str, parameters: dict[str, float]) -> float:
    if text.startswith("{"):
        return float(Expression(text.strip("{}"), parameters).value())
    return number(text)

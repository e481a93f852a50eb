"""A PySpice circuit as a flat list of elements: what ngspice reads, with every subcircuit put in its place."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlists.deck import lines_of
from solvers.network.devices import Model, model_of
from solvers.network.expression import CURRENT, Expression, Number, number
from solvers.network.parts import Junction, Part
from solvers.network.plain import WORD, plain_parts
from spu_circuit.errors import InputError
from spu_circuit.files import shortened

if TYPE_CHECKING:
    from PySpice.Spice.Netlist import Circuit

Array = NDArray[np.float64]

GROUND = "0"
KINDS = "R C L V I E G F H B D Q J M X"
WITHOUT_VALUE = "VI"
"""Kinds whose lines may end with their nodes; their value is 0 then."""
PINS = {"R": 2, "C": 2, "V": 2, "I": 2, "E": 4, "G": 4, "F": 2, "H": 2, "B": 2}
FORMULA = re.compile(r"(?i)\svalue\s*=?\s*(\{.*\}|'.*')\s*$")
"""What PSpice's controlled sources have for a gain."""
SOURCES = {"E": "V", "G": "I"}
"""What a controlled source with a formula gives: a voltage or a current."""
OPTIONS = {"R": ("tc", "tc1", "tc2", "ac"), "C": ("ic", "tc", "tc1", "tc2")}
"""What may follow a value. Parts are at the temperature that their values hold at, so coefficients change nothing."""
CELSIUS = 27.0
"""What ``temper`` is where nobody says: the temperature of semiconductors."""
MOST_PLACED = 1_000_000
"""Lines of subcircuits that are put in their places, all together. Subcircuits that double fill any memory."""
TRANSIENT_SOURCES = ("sin", "pulse", "pwl", "exp", "sffm", "am", "trnoise", "trrandom", "external")


class Formula(NamedTuple):
    """A formula of flat nodes. Args: ``controls``: see ``Expression.controls``."""

    expression: Expression
    controls: tuple[tuple[str, str], ...]


class Element(NamedTuple):
    """One element after flattening.

    Args:
        name: with the path of its subcircuits, ``Xv0.Rout``.
        kind: its letter; a behavioural source is ``BV`` or ``BI``.
        nodes: in SPICE's order, controls last; small letters, inner ones with their path; ground is ``0``.
        value: ohms, farads, volts, amperes or the gain; 0 for a behavioural source. An array for many like elements.
        initial: volts on a capacitor at time 0; None where the line does not say.
        control: name of the voltage source whose current controls an F or H.
        expression: of a behavioural source, or of the capacitance of a junction by its own voltage; its controls as
            flat nodes, see ``Expression.controls``.
        junction: of a source that rises with its controls as a junction's current does.
        silent: it has no noise, whatever it is.
        line: as the deck has it.
    """

    name: str
    kind: str
    nodes: tuple[str, ...]
    value: Number
    line: str
    initial: Number | None = None
    control: str = ""
    expression: Expression | None = None
    controls: tuple[tuple[str, str], ...] = ()
    junction: Junction | None = None
    silent: bool = False


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
class _Block:
    """Lines that share parameters: a subcircuit, or what stands outside any.

    What they call is the nearest of its name in this or an outer block.
    """

    outer: "_Block | None" = None
    pins: list[str] = field(default_factory=list)
    defaults: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    inner: dict[str, "_Block"] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)

    def called(self, name: str) -> "_Block | None":
        block: _Block | None = self
        while block is not None and name not in block.inner:
            block = block.outer
        return None if block is None else block.inner[name]

    @property
    def known_models(self) -> dict[str, Model]:
        return self.models if self.outer is None else {**self.outer.known_models, **self.models}


def read_circuit(circuit: "Circuit") -> FlatCircuit:
    """The elements of a PySpice circuit. See ``read_lines``.

    Raises:
        InputError: a line that is no linear element, capacitor, source or subcircuit: named, with the cure.
    """
    return read_lines(lines_of(circuit))


def read_lines(
    lines: Iterable[str],
    parameters: Mapping[str, Number] = MappingProxyType({}),
    silent: frozenset[str] = frozenset(),
) -> FlatCircuit:
    """The elements of SPICE lines, ``.subckt``, ``.model``, ``.param``, ``.global``.

    See ``read_circuit``. Semiconductors and inductors are those of ``solvers.network.plain``.

    Args:
        parameters: of the lines outside subcircuits; arrays make the values of what depends on them arrays. ``temper``
            is the temperature of semiconductors, °C.
        silent: subcircuits whose elements have no noise, in small letters.
    """
    top = _Block()
    block = top
    shared: set[str] = {GROUND}
    for line in _joined(lines):
        if not line.startswith("."):
            block.lines.append(line)
            continue
        words = WORD.findall(line.lower())
        if words[0] == ".model":
            model = model_of(line)
            block.models[model.name] = model
        elif words[0] == ".subckt":
            pins = [word for word in words[2:] if "=" not in word and word != "params:"]
            block.inner[words[1]] = block = _Block(block, pins, _assignments(words[2:]))
        elif words[0] == ".ends" and block.outer is not None:
            block = block.outer
        elif words[0] == ".param":
            block.parameters.update(_assignments(words[1:]))
        elif words[0] == ".global":
            shared.update(words[1:])
        else:
            raise InputError(f"line {line!r}: the network engine reads elements and subcircuits only; use ngspice")
    outermost = _Scope("", {}, {"temper": CELSIUS, **parameters}, frozenset(shared), silent)
    found: list[Element] = []
    _place(top, outermost.extended(top.parameters), (), found, count(1))
    return FlatCircuit(tuple(found))


def _joined(lines: Iterable[str]) -> list[str]:
    """Statements without comments, those that go on in lines with ``+`` joined."""
    found: list[str] = []
    for raw in lines:
        line = raw.strip()
        if line.startswith("+") and found:
            found[-1] += " " + line[1:].strip()
        elif line and not line.startswith("*"):
            found.append(line)
    return found


@dataclass(frozen=True)
class _Scope:
    """Where lines stand: the path of instances around them, what their pins are joined to, and their parameters.

    Nodes that are ``shared`` are the same everywhere. Subcircuits that are ``silent`` have no noise.
    """

    path: str
    pins: dict[str, str]
    parameters: Mapping[str, Number]
    shared: frozenset[str]
    silent: frozenset[str]

    def node(self, name: str) -> str:
        name = name.lower()
        if name == "gnd":
            return GROUND
        return self.pins.get(name) or (name if name in self.shared else self.path.lower() + name)

    def control(self, pair: tuple[str, str]) -> tuple[str, str]:
        first, second = pair
        return ((self.path + first).lower(), CURRENT) if second == CURRENT else (self.node(first), self.node(second))

    def value(self, text: str) -> Number:
        if text.startswith(("{", "'")):
            with np.errstate(all="ignore"):
                found = Expression(text.strip("{}'"), self.parameters).value()
            if not np.isfinite(found).all():
                raise InputError(f"expression {shortened(text)} is {found}; it must be finite")
            return float(found) if np.ndim(found) == 0 else found
        known = self.parameters.get(text.lower())
        found = number(text) if known is None else known
        if not np.isfinite(found).all():
            raise InputError(f"{text!r} is {found}; a value must be finite")
        return found

    def extended(self, texts: dict[str, str]) -> "_Scope":
        """With more parameters, each of which may use those before it."""
        scope = self
        for name, text in texts.items():
            scope = replace(scope, parameters={**scope.parameters, name: scope.value(text)})
        return scope

    def only_value(self, name: str, line: str, words: list[str]) -> Number:
        if len(words) != 1:
            raise InputError(
                f"{name}: not a single constant value ({line!r}); the network engine knows no other; use ngspice"
            )
        return self.value(words[0])


def _place(
    block: _Block,
    scope: _Scope,
    within: tuple[str, ...],
    found: list[Element],
    placed: Iterator[int],
) -> None:
    """Append the elements of these lines, those of subcircuits in the place of their instances."""
    models, silent = block.known_models, not scope.silent.isdisjoint(within)
    for statement in block.lines:
        if within and next(placed) > MOST_PLACED:
            raise InputError(
                f"subcircuit {within[0]}: with those inside each other they have more than {MOST_PLACED} lines; take "
                "simpler ones"
            )
        if statement[0] not in "xX":
            for part in plain_parts(statement, models, scope.value, scope.path):
                found.append(_placed(part, statement, scope)._replace(silent=silent))
            continue
        line, words = statement, WORD.findall(statement)
        name = scope.path + words[0]
        plain = [word for word in words[1:] if "=" not in word and word.lower() != "params:"]
        model, outer = plain[-1].lower(), [scope.node(word) for word in plain[:-1]]
        if model in within:
            raise InputError(f"subcircuit {model} contains itself ({line!r}); break the cycle")
        inner = block.called(model)
        if inner is None:
            raise InputError(f"{name}: no subcircuit {model!r} ({line!r}); define it in the circuit")
        if len(outer) != len(inner.pins):
            raise InputError(
                f"{name}: {len(outer)} nodes for the {len(inner.pins)} pins ({' '.join(inner.pins)}) of {model!r}; "
                "make them agree"
            )
        if "m" in _assignments(words) and "m" not in inner.defaults:
            raise InputError(f"{name}: m is not known here ({line!r}); write the copies out, or use ngspice")
        given = {key: scope.value(text) for key, text in _assignments(words).items()}
        defaults = {key: text for key, text in inner.defaults.items() if key not in given}
        bound = dict(zip(inner.pins, outer, strict=True))
        own = _Scope(f"{name}.", bound, {**scope.parameters, **given}, scope.shared, scope.silent)
        _place(inner, own.extended(defaults).extended(inner.parameters), (*within, model), found, placed)


def _placed(part: Part, statement: str, scope: _Scope) -> Element:
    """One element of a line that is no instance."""
    line = part.line
    words = WORD.findall(line)
    name, kind = scope.path + words[0], words[0][0].upper()
    if kind in "EG" and (formula := FORMULA.search(line)):
        nodes = tuple(scope.node(word) for word in words[1:3])
        return _behavioural(name, f"B{SOURCES[kind]}", nodes, statement, formula[1], scope)
    if kind in PINS and len(words) > PINS[kind] + (kind not in WITHOUT_VALUE):
        nodes = tuple(scope.node(word) for word in words[1 : PINS[kind] + 1])
        element = _element(name, kind, nodes, line, words[PINS[kind] + 1 :], scope)
        if part.capacitance:
            element = element._replace(**_controlled(part.capacitance, scope)._asdict())
        return element._replace(line=statement, junction=part.junction)
    raise InputError(f"{name}: the network engine does not know this element ({line!r}); it knows {KINDS}; use ngspice")


def _element(name: str, kind: str, nodes: tuple[str, ...], line: str, rest: list[str], scope: _Scope) -> Element:
    if kind == "B":
        what, _, formula = line.split(None, 3)[3].partition("=")
        letter = what.strip().upper()
        if letter not in ("V", "I"):
            raise InputError(f"{name}: a behavioural source has v= or i= ({line!r}); write one of them")
        return _behavioural(name, f"B{letter}", nodes, line, formula, scope)
    if kind in "FH":
        value = scope.only_value(name, line, rest[1:])
        return Element(name, kind, nodes, value, line, control=(scope.path + rest[0]).lower())
    if kind in "VI":
        words = [word.lower() for word in rest]
        if any(word.startswith(TRANSIENT_SOURCES) for word in words):
            raise InputError(f"{name}: its value changes with time ({line!r}); give a DC value, or use ngspice")
        if "dc" in words:
            words = words[words.index("dc") + 1 :]
        if "ac" in words:
            words = words[: words.index("ac")]
        return Element(name, kind, nodes, scope.only_value(name, line, words) if words else 0.0, line)
    strange = [key for key in _assignments(rest) if key not in OPTIONS.get(kind, ())]
    if strange:
        raise InputError(
            f"{name}: {strange[0]} is not known here ({line!r}); put what it does into the value, or use ngspice"
        )
    value = scope.only_value(name, line, [word for word in rest if "=" not in word])
    if kind in "RC" and not np.all(value > 0):
        raise InputError(
            f"{name}: {float(np.min(value)):g} must be above 0 ({line!r}); leave it out, or use a source of 0 V"
        )
    given = _assignments(rest).get("ic") if kind == "C" else None
    return Element(name, kind, nodes, value, line, initial=None if given is None else scope.value(given))


def _behavioural(name: str, kind: str, nodes: tuple[str, ...], line: str, formula: str, scope: _Scope) -> Element:
    found = _controlled(formula.strip().strip("{}'"), scope)
    return Element(name, kind, nodes, 0.0, line, expression=found.expression, controls=found.controls)


def _controlled(formula: str, scope: _Scope) -> Formula:
    expression = Expression(formula, scope.parameters)
    return Formula(expression, tuple(map(scope.control, expression.controls)))


def _assignments(words: list[str]) -> dict[str, str]:
    pairs = (word.partition("=") for word in words if "=" in word)
    return {key.lower(): value for key, _, value in pairs}

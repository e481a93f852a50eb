"""A table without subcircuits: groups of like elements between families of nodes, and the values that they take."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from netlists.deck import lines_of
from netlists.elements import GROUND, Elements, ElementTable, Nodes, Values
from netlists.spice import empty_circuit
from solvers.network.devices import KELVIN
from solvers.network.expression import CURRENT, Expression
from solvers.network.parts import Junction
from solvers.network.reader import Element, FlatCircuit, read_lines
from solvers.network.wires import Mesh, between_beginnings
from spu_circuit.noise import WHITE

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

NOTHING: Values = MappingProxyType({})
HELD = ("plus", "minus", "output")
Control = tuple[tuple[int, Indices], tuple[int, Indices]] | str
"""Pair of nodes whose voltage, or key of the group whose current, is meant."""


@dataclass(frozen=True)
class Group:
    """Like elements of a flat circuit: no subcircuits.

    Args:
        key: of their values.
        kind: SPICE's letter; of behavioural sources BV or BI.
        nodes: families, -1 for ground, and number in it, (elements,), in SPICE's order.
        value: nominal, (elements,).
        initial: of capacitors, V, (elements,); NaN where nothing says.
        control: key of the group whose current controls an F or H.
        expression: of a behavioural source, or a junction's capacitance, with its controls as pairs of nodes, or a
            group's key for its current.
        junction, silent: see ``Element``.
        stray: resistors that nobody wants, far weaker than others.
    """

    key: str
    kind: str
    nodes: tuple[tuple[int, Indices], ...]
    value: Array
    initial: Array
    control: str = ""
    expression: Expression | None = None
    controls: tuple[Control, ...] = ()
    junction: Junction | None = None
    silent: bool = False
    stray: bool = False

    @property
    def count(self) -> int:
        return len(self.value)


@dataclass(frozen=True)
class Wired:
    """A crossbar behind wires: its resistors, and the three groups that do the same between where its wires begin.

    Args:
        key: of its resistors' values.
        nodes: where the wires of each resistor begin, of its column and of its row.
        shape: rows and columns; some crossings may have no resistor.
        value: Ω, nominal, (elements,).
        wire_resistance: Ω per segment.
    """

    key: str
    nodes: tuple[tuple[int, Indices], tuple[int, Indices]]
    shape: tuple[int, int]
    value: Array
    wire_resistance: float

    def conductances(self, conductances: Array) -> dict[str, Array]:
        """Of its three groups, (batch, elements), S, from those of its resistors."""
        crossing, columns, rows = between_beginnings(self._placed(conductances), self.wire_resistance)
        # Of each two wires that run alike there are two resistors, one from either.
        found = (crossing, columns / 2, rows / 2)
        return {key: own.reshape(len(own), -1) for key, own in zip(self._keys, found, strict=True)}

    @cached_property
    def nominal(self) -> dict[str, Array]:
        return self.conductances(1 / self.value[None])

    @property
    def groups(self) -> tuple[Group, ...]:
        (columns, _), (rows, _) = self.nodes
        found = []
        for key, first, second in zip(self._keys, (columns, columns, rows), (rows, columns, rows), strict=True):
            size = {columns: self.shape[1], rows: self.shape[0]}
            i, j = np.repeat(np.arange(size[second]), size[first]), np.tile(np.arange(size[first]), size[second])
            with np.errstate(divide="ignore"):
                ohms = 1 / self.nominal[key][0]
            stray = key != self._keys[0]
            found.append(Group(key, "R", ((first, j), (second, i)), ohms, np.full(len(i), np.nan), stray=stray))
        return tuple(found)

    def mesh(self, conductances: Array) -> Mesh:
        """Of resistors (batch, elements), S."""
        return Mesh(self._placed(conductances), self.wire_resistance)

    def _placed(self, conductances: Array) -> Array:
        """Resistors (batch, elements) at their crossings."""
        (_, column), (_, row) = self.nodes
        found = np.zeros((len(conductances), *self.shape))
        found[:, row, column] = conductances
        return found

    @property
    def _keys(self) -> tuple[str, str, str]:
        return f"{self.key}:crossings", f"{self.key}:columns", f"{self.key}:rows"


class FlatTable:
    """A table whose amplifiers are groups of their elements.

    Args:
        table: with nominal values, programmable resistors at typical ones.
    """

    def __init__(self, table: ElementTable) -> None:
        self.table = table
        self.families: list[str] = []
        self.sizes: list[int] = []
        self._family: dict[str, int] = {}
        self.groups: list[Group] = []
        self.wired: list[Wired] = []
        self._amplifiers: list[tuple[Elements, tuple[Group, ...]]] = []
        self._flatten()
        self.capacitors = [g for g in self.groups if g.kind == "C"]

    def _flatten(self) -> None:
        table = self.table
        for group in table.elements:
            for nodes in group.nodes:
                self._grow(nodes)
        if table.amplifier is not None:
            supplies = empty_circuit()
            table.amplifier.define(supplies)
            for element in supplies.elements:
                words = str(element).split()
                self._add_lone(read_lines([str(element)]).elements[0], words)
        for group in table.elements:
            if group.kind == "X":
                inner = self._expanded(group, self.inner(group, {}))
                self._amplifiers.append((group, inner))
                self.groups += inner
            elif group.wire_resistance:
                column, row = (self.pin(nodes) for nodes in group.nodes)
                shape = self.sizes[row[0]], self.sizes[column[0]]
                self.wired.append(Wired(group.label, (column, row), shape, group.value, group.wire_resistance))
                self.groups += self.wired[-1].groups
            else:
                initial = group.parameters.get("start", np.full(group.count, np.nan))
                pins = tuple(self.pin(nodes) for nodes in group.nodes)
                self.groups.append(Group(group.label, group.kind, pins, group.value, initial))

    def _grow(self, nodes: Nodes) -> None:
        if nodes.family == GROUND:
            return
        size = int(nodes.index.max(initial=-1)) + 1
        if nodes.family not in self._family:
            self._family[nodes.family] = len(self.families)
            self.families.append(nodes.family)
            self.sizes.append(size)
        else:
            k = self._family[nodes.family]
            self.sizes[k] = max(self.sizes[k], size)

    def pin(self, nodes: Nodes) -> tuple[int, Indices]:
        return (-1, nodes.index) if nodes.family == GROUND else (self._family[nodes.family], nodes.index)

    def _add_lone(self, element: Element, words: list[str]) -> None:
        """One element that stands for itself: a supply."""
        zero = np.zeros(1, dtype=np.intp)
        for node in element.nodes:
            if node != GROUND:
                self._grow(Nodes(node, zero))
        nodes = tuple(self.pin(Nodes(node, zero)) for node in element.nodes)
        self.groups.append(
            Group(element.name, element.kind, nodes, np.array([float(np.max(element.value))]), np.full(1, np.nan))
        )

    def inner(self, group: Elements, parameters: Mapping[str, Array]) -> FlatCircuit:
        """See ``inner_of``."""
        return inner_of(self.table, group, parameters)

    def _expanded(self, group: Elements, circuit: FlatCircuit) -> tuple[Group, ...]:
        count, numbers = group.count, np.arange(group.count)
        prefix = f"{group.label}.".lower()
        bound = dict(zip(HELD, group.nodes, strict=True))
        lone = np.zeros(count, dtype=np.intp)

        def pin(name: str) -> tuple[int, Indices]:
            if name == GROUND:
                return -1, lone
            if name in bound:
                return self.pin(bound[name])
            nodes = (
                Nodes(f"{group.label}.{name[len(prefix) :]}", numbers) if name.startswith(prefix) else Nodes(name, lone)
            )
            self._grow(nodes)
            return self.pin(nodes)

        names = {element.name.lower(): element.name for element in circuit.elements}

        def controls(pairs: tuple[tuple[str, str], ...]) -> tuple[Control, ...]:
            return tuple(names.get(a, a) if b == CURRENT else (pin(a), pin(b)) for a, b in pairs)

        found = []
        for element in circuit.elements:
            value = np.broadcast_to(np.asarray(element.value, dtype=float), (count,))
            initial = np.broadcast_to(np.nan if element.initial is None else element.initial, (count,))
            nodes = tuple(pin(name) for name in element.nodes)
            found.append(
                Group(
                    *(element.name, element.kind, nodes, value, initial),
                    names.get(element.control, element.control),
                    element.expression,
                    controls(element.controls),
                    element.junction,
                    element.silent,
                )
            )
        return tuple(found)

    def coefficients(self, values: Values, conductances: Values = NOTHING) -> dict[str, Array]:
        """What each group has, (batch, elements): conductances of resistors, those behind wires too, other values as
        they are.

        Args:
            values: what differs from the table, (batch, elements) each; see ``Values``.
            conductances: of resistors that are not in ``values``, (batch, elements) each, S.
        """
        found = dict(conductances)
        inner = self._inner_values(values)
        for wired in self.wired:
            if wired.key not in values and wired.key not in conductances:
                found |= {wired.key: 1 / wired.value[None], **wired.nominal}
                continue
            own = conductances[wired.key] if wired.key in conductances else 1 / np.atleast_2d(values[wired.key])
            found |= {wired.key: own, **wired.conductances(own)}
        for group in self.groups:
            if group.key in found:
                continue
            value = inner.get(group.key, values.get(group.key, group.value))
            value = value[None] if value.ndim == 1 else value
            if group.kind == "R":
                with np.errstate(divide="ignore"):
                    value = 1 / value
            found[group.key] = value
        return found

    def initial(self, values: Values) -> dict[str, Array]:
        """Voltage of each group of capacitors at time 0, (batch, elements); NaN where nothing says."""
        found = {}
        for group, inner in self._amplifiers:
            own = self._parameters(group, values)
            if "start" in own and np.any(own["start"]) and any(g.kind == "C" for g in inner):
                elements = {e.name: e for e in self.inner(group, own).elements}
                for g in inner:
                    if g.kind == "C" and (start := elements[g.key].initial) is not None:
                        found[g.key] = np.atleast_2d(np.asarray(start, dtype=float) * np.ones(g.count))
        for g in self.capacitors:
            if g.key not in found:
                found[g.key] = np.atleast_2d(values.get(f"{g.key}.start", g.initial))
        return found

    def _inner_values(self, values: Values) -> dict[str, Array]:
        found = {}
        for group, inner in self._amplifiers:
            own = {name: value for name, value in self._parameters(group, values).items() if name != "start"}
            if own:
                elements = {e.name: e for e in self.inner(group, own).elements}
                for g in inner:
                    value = np.asarray(elements[g.key].value, dtype=float)
                    if value.ndim:
                        found[g.key] = np.atleast_2d(value)
        return found

    def _parameters(self, group: Elements, values: Values) -> dict[str, Array]:
        start = f"{group.label}."
        return {key[len(start) :]: np.atleast_2d(value) for key, value in values.items() if key.startswith(start)}


def inner_of(table: ElementTable, group: Elements, differing: Mapping[str, Array]) -> FlatCircuit:
    """The elements of a group of amplifiers, each with its values for all of them.

    Args:
        differing: parameter → what the amplifiers have, (batch, elements).
    """
    assert table.amplifier is not None
    alone = empty_circuit()
    table.amplifier.define(alone, WHITE)
    supplies = {str(element) for element in alone.elements}
    lines = [line for line in lines_of(alone) if line not in supplies]
    given = {name: value for name, value in differing.items() if name in table.amplifier.parameters}
    pins = ["0" if nodes.family == GROUND else name for nodes, name in zip(group.nodes, HELD, strict=True)]
    said = " ".join(f"{name}={{own_{name}}}" for name in given)
    lines.append(f"{group.label} {' '.join(pins)} {table.amplifier.name} {said}".rstrip())
    celsius = {"temper": table.amplifier.hardware.temperature - KELVIN}
    parameters = {**celsius, **{f"own_{name}": value for name, value in given.items()}}
    return read_lines(lines, parameters, table.amplifier.silent)

"""What all circuits of one table share: their nodal equations as blocks, prepared once, filled with any values.

Modified nodal analysis (Ho, Ruehli, Brennan, IEEE Trans. Circuits Syst. 22:504, 1975). Unknowns are the voltages of
families of nodes and the currents of groups of sources; every capacitor is a conductance C/h beside a current source,
as one implicit Euler step of length h sees it. With h infinite it is open, so the same equations give operating
points, and steps of them the way there.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
import scipy
from numpy.typing import NDArray

from netlists.deck import lines_of
from netlists.elements import GROUND, Elements, ElementTable, Nodes, Values
from netlists.spice import empty_circuit
from solvers.network.blocks import Factors, Key, Plan, SingularError, add, plan, total, with_diagonal
from solvers.network.expression import CURRENT, Expression
from solvers.network.reader import Element, FlatCircuit, read_lines
from spu_circuit.errors import InputError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

ONE = ""
"""Key of the coefficient 1."""
UNDETERMINED = (
    "the circuit does not determine all its voltages; give every node a resistor or source that fixes it, and every "
    "capacitor a path that discharges it"
)
NOTHING: Values = MappingProxyType({})
HELD = ("plus", "minus", "output")


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
        expression: of a behavioural source, with its controls as pairs of nodes, or a group's key for its current.
    """

    key: str
    kind: str
    nodes: tuple[tuple[int, Indices], ...]
    value: Array
    initial: Array
    control: str = ""
    expression: Expression | None = None
    controls: tuple[tuple[tuple[int, Indices], tuple[int, Indices]] | str, ...] = ()

    @property
    def count(self) -> int:
        return len(self.value)


@dataclass(frozen=True)
class _Term:
    """One contribution to a block: ``factor`` times what ``key`` stands for, placed by ``mode``."""

    key: str
    factor: float
    mode: str
    count: int
    shape: tuple[int, ...] = ()
    where: Indices | None = None
    gather: "scipy.sparse.csr_array | None" = None


class Structure:
    """The equations of a table.

    Args:
        table: with nominal values, programmable resistors at typical ones.

    Raises:
        InputError: a capacitor or a loop of sources leaves the equations singular.
    """

    def __init__(self, table: ElementTable) -> None:
        self.table = table
        self.families: list[str] = []
        self.sizes: list[int] = []
        self._family: dict[str, int] = {}
        self.groups: list[Group] = []
        self._amplifiers: list[tuple[Elements, tuple[Group, ...]]] = []
        self._flatten()
        self.branches = [g.key for g in self.groups if g.kind in ("V", "E", "H", "BV")]
        self._branch = {key: len(self.families) + k for k, key in enumerate(self.branches)}
        by_key = {g.key: g for g in self.groups}
        self.all_sizes = (*self.sizes, *(by_key[key].count for key in self.branches))
        self.capacitors = [g for g in self.groups if g.kind == "C"]
        self.resistors = [g for g in self.groups if g.kind == "R"]
        self.sources = [g for g in self.groups if g.kind in ("V", "I")]
        self.behavioural = [g for g in self.groups if g.kind in ("BV", "BI")]
        self._terms: dict[Key, list[_Term]] = {}
        self._whole: dict[tuple[int, int], tuple[bool, Indices]] = {}
        self._stamp()

    # From the table to flat groups

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

        found = []
        for element in circuit.elements:
            value = np.broadcast_to(np.asarray(element.value, dtype=float), (count,))
            initial = np.broadcast_to(np.nan if element.initial is None else element.initial, (count,))
            controls = tuple(
                first if second == CURRENT else (pin(first), pin(second)) for first, second in element.controls
            )
            nodes = tuple(pin(name) for name in element.nodes)
            found.append(
                Group(element.name, element.kind, nodes, value, initial, element.control, element.expression, controls)
            )
        names = {g.key.lower(): g.key for g in found}
        return tuple(
            Group(
                *(g.key, g.kind, g.nodes, g.value, g.initial, names.get(g.control, g.control), g.expression),
                tuple(names.get(c, c) if isinstance(c, str) else c for c in g.controls),
            )
            for g in found
        )

    # Values

    def coefficients(self, values: Values, conductances: Values = NOTHING) -> dict[str, Array]:
        """What each group has, (batch, elements): conductances of resistors, other values as they are.

        Args:
            values: what differs from the table, (batch, elements) each; see ``Values``.
            conductances: of resistors that are not in ``values``, (batch, elements) each, S.
        """
        found = dict(conductances)
        inner = self._inner_values(values)
        for group in self.groups:
            if group.key in conductances:
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

    # Equations

    def _stamp(self) -> None:
        """Every contribution to the equations: a node's is the sum of currents that enter it, a branch's its law.

        Currents are counted in a typical conductance times a volt, which makes all columns alike in size and leaves
        arrays of resistors in their blocks as they are.
        """
        conductances = np.concatenate([1 / g.value[np.isfinite(g.value)] for g in self.resistors] or [np.ones(1)])
        self.unit = unit = float(np.exp(np.mean(np.log(conductances)))) if len(conductances) else 1.0
        for g in self.groups:
            a, b = g.nodes[0], g.nodes[1]
            if g.kind in ("R", "C"):
                for row, column, sign in ((a, a, -1.0), (b, b, -1.0), (a, b, 1.0), (b, a, 1.0)):
                    self._put(row, column, g.key, sign)
                continue
            branch = self._branch.get(g.key, -1)
            own = (branch, np.arange(g.count))
            if branch >= 0:
                self._put(own, a, ONE, 1.0)
                self._put(own, b, ONE, -1.0)
                self._put(a, own, ONE, -unit)
                self._put(b, own, ONE, unit)
            if g.kind == "E":
                self._put(own, g.nodes[2], g.key, -1.0)
                self._put(own, g.nodes[3], g.key, 1.0)
            elif g.kind == "G":
                for end, sign in ((a, -1.0), (b, 1.0)):
                    self._put(end, g.nodes[2], g.key, sign)
                    self._put(end, g.nodes[3], g.key, -sign)
            elif g.kind == "H":
                self._put(own, self._current(g.control, g), g.key, -unit)
            elif g.kind == "F":
                for end, sign in ((a, -1.0), (b, 1.0)):
                    self._put(end, self._current(g.control, g), g.key, sign * unit)
            elif g.kind in ("BV", "BI"):
                for k, control in enumerate(g.controls):
                    for place, sign in ((own, -1.0),) if g.kind == "BV" else ((a, -1.0), (b, 1.0)):
                        if isinstance(control, str):
                            self._put(place, self._current(control, g), f"{g.key}'{k}", sign * unit)
                        else:
                            self._put(place, control[0], f"{g.key}'{k}", sign)
                            self._put(place, control[1], f"{g.key}'{k}", -sign)

    def _current(self, key: str, group: Group) -> tuple[int, Indices]:
        if key not in self._branch:
            raise InputError(f"{group.key}: no voltage source {key!r} whose current it could read")
        return self._branch[key], np.arange(group.count)

    def _put(self, row: tuple[int, Indices], column: tuple[int, Indices], key: str, factor: float) -> None:
        (r, i), (c, j) = row, column
        if r < 0 or c < 0:
            return
        m, n = self.all_sizes[r], self.all_sizes[c]
        self._terms.setdefault((r, c), []).append(_placed(key, factor, i, j, m, n, r == c))

    def shares(self, coefficients: Mapping[str, Array], step: float | Array) -> dict[str, Array]:
        """Conductance C/h of each group of capacitors in an implicit step of length h, s, (batch, 1); 0 if infinite."""
        return {g.key: coefficients[g.key] / step for g in self.capacitors}

    def blocks(self, coefficients: Mapping[str, Array]) -> dict[Key, Array]:
        """The equations' blocks with all capacitors open.

        Args:
            coefficients: see ``coefficients``; slopes of behavioural sources too.
        """
        return _filled(self._open, coefficients)

    def stepped(self, blocks: Mapping[Key, Array], shares: Mapping[str, Array]) -> dict[Key, Array]:
        """The blocks of an implicit step from those with all capacitors open. See ``shares``."""
        found = dict(blocks)
        for key, block in _filled(self._capacitive, shares).items():
            found[key] = total(found[key], block) if key in found else block
        return found

    def conductances(self, coefficients: Mapping[str, Array], families: Container[int]) -> dict[Key, Array]:
        """Blocks of the resistors alone, of these families: the conductances that noise currents are correlated by."""
        chosen = {key: terms for key, terms in self._resistive.items() if key[0] in families and key[1] in families}
        return {key: -block for key, block in _filled(chosen, coefficients).items()}

    @cached_property
    def _capacitive(self) -> dict[Key, list[_Term]]:
        return self._of(frozenset(g.key for g in self.capacitors))

    @cached_property
    def _open(self) -> dict[Key, list[_Term]]:
        own = {g.key for g in self.capacitors}
        return self._of(frozenset(t.key for terms in self._terms.values() for t in terms if t.key not in own))

    @cached_property
    def _resistive(self) -> dict[Key, list[_Term]]:
        return self._of(frozenset(g.key for g in self.resistors))

    def _of(self, keys: frozenset[str]) -> dict[Key, list[_Term]]:
        """The terms of some groups."""
        chosen = {place: [term for term in terms if term.key in keys] for place, terms in self._terms.items()}
        return {place: terms for place, terms in chosen.items() if terms}

    @cached_property
    def order(self) -> Plan:
        """How the equations are eliminated: planned for typical values, settled and on the way, saturated and not."""
        nominal = self.coefficients({})
        # Supplies have their voltages, without which clamps beside them would be at work.
        fixed = {g.nodes[0][0]: g.value[None, :, None] for g in self.sources if g.kind == "V" and g.nodes[1][0] < 0}
        slopes = self.tangents(fixed)
        rates = [
            float(np.median(1 / r.value[np.isfinite(r.value)])) / float(np.median(c.value))
            for r in self.resistors
            for c in self.capacitors
            if np.isfinite(r.value).any()
        ]
        typical = float(np.median(rates)) if rates else 1.0
        flat = {key: np.zeros_like(slope) for key, slope in slopes.items()}
        cases = [
            self.stepped(self.blocks(nominal | own), self.shares(nominal, step))
            for own in (slopes, flat)
            for step in (np.inf, 1 / typical)
        ]
        stacked = {key: np.concatenate([blocks[key][:1] for blocks in cases]) for key in cases[0]}
        return plan(stacked, self.all_sizes, self.all_sizes)

    def factors(self, blocks: Mapping[Key, Array], batch: int) -> Factors:
        """The equations of a batch, factorised. See ``blocks`` and ``stepped``.

        Raises:
            InputError: they do not determine all voltages.
        """
        try:
            return Factors(self.order, blocks, batch)
        except SingularError:
            raise InputError(UNDETERMINED) from None

    def stepping(self, blocks: Mapping[Key, Array], shares: Mapping[str, Array], batch: int) -> Factors:
        """The equations of an implicit step from those with all capacitors open, see ``stepped``.

        It takes capacitors' voltages to those after it and to the outputs: ``Factors.apply`` takes (batch, states, k)
        to (batch, states + outputs, k). ``Factors.solve`` takes currents.
        """
        blocks = self.stepped(blocks, shares)
        functionals: list[tuple[int, int]] = []
        inputs: list[tuple[int, int]] = []
        number = -1
        for g in self.capacitors:
            share = shares[g.key]
            for (family, index), sign in zip(g.nodes[:2], (1.0, -1.0), strict=True):
                if family < 0:
                    continue
                # The step's current source, C/h times the voltage before, enters the first node.
                blocks[family, number] = self._placed(sign * share, index, family, False)
                blocks[number, family] = self._placed(sign * np.ones((1, g.count)), index, family, True)
            functionals.append((number, g.count))
            inputs.append((number, g.count))
            number -= 1
        count = len(self.outputs[0][1])
        for (family, index), sign in zip(self.outputs, (1.0, -1.0), strict=False):
            if family >= 0:
                blocks[number, family] = self._placed(sign * np.ones((1, count)), index, family, True)
        functionals.append((number, count))
        try:
            return Factors(self.order, blocks, batch, functionals, inputs)
        except SingularError:
            raise InputError(UNDETERMINED) from None

    def _placed(self, values: Array, index: Indices, family: int, row: bool) -> Array:
        """Entries (batch, elements) at nodes of a family, as a block whose rows are the elements, or its columns."""
        if self.whole(family, index):
            return values
        size, count = self.all_sizes[family], len(index)
        dense = np.zeros((len(values), count, size) if row else (len(values), size, count))
        at = np.arange(count)
        if row:
            dense[:, at, index] = values
        else:
            dense[:, index, at] = values
        return dense

    @cached_property
    def charged(self) -> frozenset[int]:
        """Families of the capacitors' nodes."""
        return frozenset(f for g in self.capacitors for f, _ in g.nodes if f >= 0)

    @cached_property
    def outputs(self) -> tuple[tuple[int, Indices], ...]:
        """Nodes of the outputs: one of each, or the two whose difference is meant."""
        return tuple(self.pin(nodes) for nodes in self.table.outputs)

    @cached_property
    def read(self) -> frozenset[int]:
        """Families of the outputs' nodes."""
        return frozenset(f for f, _ in self.outputs if f >= 0)

    @cached_property
    def controlling(self) -> frozenset[int]:
        """Families of the behavioural sources' controls."""
        found: set[int] = set()
        for group in self.behavioural:
            for control in group.controls:
                if isinstance(control, str):
                    found.add(self.branch(control))
                else:
                    found.update(family for family, _ in control if family >= 0)
        return frozenset(found)

    def volts(self, found: Mapping[int, Array]) -> Array:
        """Of the outputs, (batch, n, k), from those of families."""
        total: Array | None = None
        for (family, index), sign in zip(self.outputs, (1.0, -1.0), strict=False):
            if family in found:
                part = sign * self.picked(found[family], family, index)
                total = part if total is None else total + part
        if total is None:
            wide = max((own.shape[2] for own in found.values()), default=1)
            return np.zeros((1, len(self.outputs[0][1]), wide))
        return total

    def tangents(self, volts: Mapping[int, Array]) -> dict[str, Array]:
        """Slopes of behavioural sources by each of their controls, at voltages of families (batch, n, 1)."""
        slopes = {}
        for g in self.behavioural:
            assert g.expression is not None
            _, by_control = g.expression.linearised([self.control(c, volts) for c in g.controls])
            for k, slope in enumerate(by_control):
                slopes[f"{g.key}'{k}"] = np.atleast_2d(slope + np.zeros(g.count))
        return slopes

    def control(
        self, control: tuple[tuple[int, Indices], tuple[int, Indices]] | str, volts: Mapping[int, Array]
    ) -> Array:
        """Volts or amperes that control a behavioural source, (batch, elements)."""
        if isinstance(control, str):
            row = self._branch[control]
            return volts[row][:, :, 0] * self.unit if row in volts else np.zeros((1, self.all_sizes[row]))
        return self.across(control, volts)

    def across(self, pair: tuple[tuple[int, Indices], tuple[int, Indices]], volts: Mapping[int, Array]) -> Array:
        """Voltage between two nodes of each element, (batch, elements)."""
        total: Array = np.zeros((1, len(pair[0][1])))
        for (family, index), sign in zip(pair, (1.0, -1.0), strict=True):
            if family in volts:
                total = total + sign * self.picked(volts[family], family, index)[:, :, 0]
        return total

    def inject(self, right: dict[int, Array], pair: tuple[tuple[int, Indices], ...], current: Array) -> None:
        """Add currents (batch, elements, k) that flow from the first to the second node to a right-hand side."""
        for (family, index), sign in zip(pair, (1.0, -1.0), strict=False):
            if family < 0:
                continue
            wide = sign * self.gathered(current, family, index)
            add(right, family, wide)

    def gathered(self, values: Array, family: int, index: Indices) -> Array:
        """Sums over the elements at each node of a family: (batch, elements, k) to (batch, nodes, k)."""
        if self.whole(family, index):
            return values
        size, (batch, count, wide) = self.all_sizes[family], values.shape
        nodes = np.arange(size)
        if count % size == 0 and np.array_equal(index, np.repeat(nodes, count // size)):
            return np.asarray(values.reshape(batch, size, -1, wide).sum(axis=2))
        if count % size == 0 and np.array_equal(index, np.tile(nodes, count // size)):
            return np.asarray(values.reshape(batch, -1, size, wide).sum(axis=1))
        sums = scipy.sparse.csr_array((np.ones(count), (index, np.arange(count))), shape=(size, count))
        flat = values.transpose(1, 0, 2).reshape(count, -1)
        return np.asarray((sums @ flat).reshape(size, batch, wide).transpose(1, 0, 2))

    def whole(self, family: int, index: Indices) -> bool:
        """Whether the nodes are all of their family, in order."""
        key = family, id(index)
        if key not in self._whole:
            # The index is kept with the answer, so that no other array takes its identity.
            self._whole[key] = _is_range(index, self.all_sizes[family]), index
        return self._whole[key][0]

    def picked(self, volts: Array, family: int, index: Indices) -> Array:
        """Voltages of some nodes of a family, (batch, elements, k)."""
        return volts if self.whole(family, index) else volts[:, index]

    def branch(self, key: str) -> int:
        """Group of unknowns that holds the current of a group of sources."""
        return self._branch[key]


def inner_of(table: ElementTable, group: Elements, parameters: Mapping[str, Array]) -> FlatCircuit:
    """The elements of a group of amplifiers, each with its values for all of them."""
    assert table.amplifier is not None
    alone = empty_circuit()
    table.amplifier.define(alone)
    supplies = {str(element) for element in alone.elements}
    lines = [line for line in lines_of(alone) if line not in supplies]
    given = {name: value for name, value in parameters.items() if name in table.amplifier.parameters}
    pins = ["0" if nodes.family == GROUND else name for nodes, name in zip(group.nodes, HELD, strict=True)]
    said = " ".join(f"{name}={{own_{name}}}" for name in given)
    lines.append(f"{group.label} {' '.join(pins)} {table.amplifier.name} {said}".rstrip())
    return read_lines(lines, {f"own_{name}": value for name, value in given.items()})


def _filled(placed: Mapping[Key, Sequence[_Term]], coefficients: Mapping[str, Array]) -> dict[Key, Array]:
    """The blocks that terms make of coefficients."""
    found = {}
    for key, terms in placed.items():
        diagonal: Array | None = None
        dense: Array | None = None
        fresh = False  # whether the dense block is nobody else's
        for term in terms:
            own = coefficients[term.key] if term.key else np.ones((1, term.count))
            if term.mode == "diagonal":
                part = term.factor * own
                diagonal = part if diagonal is None else diagonal + part
            elif term.mode == "row sums":
                part = own.reshape(len(own), *term.shape) @ np.full(term.shape[1], term.factor)
                diagonal = part if diagonal is None else diagonal + part
            elif term.mode == "column sums":
                part = np.full(term.shape[0], term.factor) @ own.reshape(len(own), *term.shape)
                diagonal = part if diagonal is None else diagonal + part
            elif term.mode == "gather":
                assert term.gather is not None
                part = term.factor * (term.gather @ own.T).T
                diagonal = part if diagonal is None else diagonal + part
            elif term.mode == "grid":
                part = own.reshape(len(own), *term.shape)
                part = part if term.factor == 1 else term.factor * part
                fresh = dense is not None or term.factor != 1
                dense = part if dense is None else dense + part
            elif term.mode == "grid transposed":
                part = own.reshape(len(own), *term.shape).transpose(0, 2, 1)
                part = part if term.factor == 1 else term.factor * part
                fresh = dense is not None or term.factor != 1
                dense = part if dense is None else dense + part
            else:
                part = np.zeros((len(own), *term.shape))
                flat = part.reshape(len(own), -1)
                assert term.where is not None
                if term.gather is None:
                    flat[:, term.where] = term.factor * own
                else:
                    flat[:] = term.factor * (term.gather @ own.T).T
                fresh = True
                dense = part if dense is None else dense + part
        if dense is None:
            assert diagonal is not None
            found[key] = diagonal
        elif diagonal is None:
            found[key] = dense
        else:
            found[key] = with_diagonal(dense, diagonal, fresh)
    return found


def _is_range(index: Indices, size: int) -> bool:
    return len(index) == size and index[0] == 0 and index[-1] == size - 1 and bool((index[1:] > index[:-1]).all())


def _placed(key: str, factor: float, i: Indices, j: Indices, m: int, n: int, square: bool) -> _Term:
    """Where the elements of a group go in a block of m × n."""
    count = len(i)
    rows, columns = np.arange(m), np.arange(n)
    if count == m == n and np.array_equal(i, rows) and np.array_equal(j, columns):
        return _Term(key, factor, "diagonal", count, (count,))
    if square and np.array_equal(i, j):
        if count % m == 0 and np.array_equal(i, np.repeat(rows, count // m)):
            return _Term(key, factor, "row sums", count, (m, count // m))
        if count % m == 0 and np.array_equal(i, np.tile(rows, count // m)):
            return _Term(key, factor, "column sums", count, (count // m, m))
        gather = scipy.sparse.csr_array((np.ones(count), (i, np.arange(count))), shape=(m, count))
        return _Term(key, factor, "gather", count, (m,), None, gather)
    if count == m * n and np.array_equal(i, np.repeat(rows, n)) and np.array_equal(j, np.tile(columns, m)):
        return _Term(key, factor, "grid", count, (m, n))
    if count == m * n and np.array_equal(i, np.tile(rows, n)) and np.array_equal(j, np.repeat(columns, m)):
        return _Term(key, factor, "grid transposed", count, (n, m))
    where = i * n + j
    if len(np.unique(where)) == count:
        return _Term(key, factor, "scatter", count, (m, n), where)
    gather = scipy.sparse.csr_array((np.ones(count), (where, np.arange(count))), shape=(m * n, count))
    return _Term(key, factor, "scatter", count, (m, n), where, gather)

"""What all circuits of one table share: their nodal equations as blocks, prepared once, filled with any values.

Modified nodal analysis (Ho, Ruehli, Brennan, IEEE Trans. Circuits Syst. 22:504, 1975). Unknowns are the voltages of
families of nodes and the currents of groups of sources; every capacitor is a conductance C/h beside a current source,
as one implicit Euler step of length h sees it. With h infinite it is open, so the same equations give operating
points, and steps of them the way there.
"""

from collections.abc import Container, Mapping, Sequence
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

from netlists.elements import ElementTable
from solvers.network.block_plan import BlockPlan, Key, plan, total
from solvers.network.blocks import Factors, SingularError, add
from solvers.network.groups import FlatTable, Group
from solvers.network.stamps import ONE, Term, filled, is_range, placed
from spu_circuit.errors import InputError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

UNDETERMINED = (
    "the circuit does not determine all its voltages; give every node a resistor or source that fixes it, and every "
    "capacitor a path that discharges it"
)


Controls = Mapping[str, Sequence[Array]]
"""Key of a group of behavioural sources → volts or amperes of its controls, (batch, elements) each."""


class Structure(FlatTable):
    """The equations of a table.

    Args:
        table: with nominal values, programmable resistors at typical ones.

    Raises:
        InputError: a capacitor or a loop of sources leaves the equations singular.
    """

    def __init__(self, table: ElementTable) -> None:
        super().__init__(table)
        self.branches = [g.key for g in self.groups if g.kind in ("V", "E", "H", "BV")]
        self._branch = {key: len(self.families) + k for k, key in enumerate(self.branches)}
        by_key = {g.key: g for g in self.groups}
        self.all_sizes = (*self.sizes, *(by_key[key].count for key in self.branches))
        self.resistors = [g for g in self.groups if g.kind == "R" and not g.stray]
        self.noisy = [g for g in self.groups if g.kind == "R" and not g.silent]
        self.sources = [g for g in self.groups if g.kind in ("V", "I")]
        self.behavioural = [g for g in self.groups if g.kind in ("BV", "BI")]
        self.steep = any(g.junction for g in self.behavioural)
        self._terms: dict[Key, list[Term]] = {}
        self._whole: dict[tuple[int, int], tuple[bool, Indices]] = {}
        self._stamp()

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
        self._terms.setdefault((r, c), []).append(placed(key, factor, i, j, m, n, r == c))

    def shares(self, coefficients: Mapping[str, Array], step: float | Array) -> dict[str, Array]:
        """Conductance C/h of each group of capacitors in an implicit step of length h, s, (batch, 1); 0 if infinite."""
        return {g.key: coefficients[g.key] / step for g in self.capacitors}

    def blocks(self, coefficients: Mapping[str, Array]) -> dict[Key, Array]:
        """The equations' blocks with all capacitors open.

        Args:
            coefficients: see ``coefficients``; slopes of behavioural sources too.
        """
        return filled(self._open, coefficients)

    def stepped(self, blocks: Mapping[Key, Array], shares: Mapping[str, Array]) -> dict[Key, Array]:
        """The blocks of an implicit step from those with all capacitors open. See ``shares``."""
        found = dict(blocks)
        for key, block in filled(self._capacitive, shares).items():
            found[key] = total(found[key], block) if key in found else block
        return found

    def conductances(self, coefficients: Mapping[str, Array], families: Container[int]) -> dict[Key, Array]:
        """Blocks of the noisy resistors of these families alone: the conductances that correlate noise currents."""
        chosen = {key: terms for key, terms in self._noisy.items() if key[0] in families and key[1] in families}
        return {key: -block for key, block in filled(chosen, coefficients).items()}

    @cached_property
    def _capacitive(self) -> dict[Key, list[Term]]:
        return self._of(frozenset(g.key for g in self.capacitors))

    @cached_property
    def _open(self) -> dict[Key, list[Term]]:
        own = {g.key for g in self.capacitors}
        return self._of(frozenset(t.key for terms in self._terms.values() for t in terms if t.key not in own))

    @cached_property
    def _noisy(self) -> dict[Key, list[Term]]:
        return self._of(frozenset(g.key for g in self.noisy))

    def _of(self, keys: frozenset[str]) -> dict[Key, list[Term]]:
        """The terms of some groups."""
        chosen = {place: [term for term in terms if term.key in keys] for place, terms in self._terms.items()}
        return {place: terms for place, terms in chosen.items() if terms}

    @cached_property
    def order(self) -> BlockPlan:
        """How the equations are eliminated: planned for typical values, settled and on the way, saturated and not."""
        # Supplies have their voltages, without which clamps beside them would be at work.
        fixed = {g.nodes[0][0]: g.value[None, :, None] for g in self.sources if g.kind == "V" and g.nodes[1][0] < 0}
        return self.planned(self.slopes(limited(self, self.at_controls({}), self.at_controls(fixed))))

    def planned(self, slopes: Mapping[str, Array]) -> BlockPlan:
        """See ``order``. Args: ``slopes``: of behavioural sources where they are usually."""
        nominal = self.coefficients({})
        finite = [own for r in self.resistors if len(own := r.value[np.isfinite(r.value)])]
        conductances = [float(np.median(1 / own)) for own in finite]
        capacitances = [float(np.median(c.value)) for c in self.capacitors]
        typical = float(np.median(np.divide.outer(conductances, capacitances))) if finite and capacitances else 1.0
        flat = {key: np.zeros_like(slope) for key, slope in slopes.items()}
        cases = [
            self.stepped(self.blocks({**nominal, **own}), self.shares(nominal, step))
            for own in (slopes, flat)
            for step in (np.inf, 1 / typical)
        ]
        stacked = {key: np.concatenate([blocks[key][:1] for blocks in cases]) for key in cases[0]}
        return plan(stacked, self.all_sizes, self.all_sizes)

    def factors(self, blocks: Mapping[Key, Array], batch: int, order: BlockPlan | None = None) -> Factors:
        """The equations of a batch, factorised. See ``blocks`` and ``stepped``.

        Args:
            order: of their elimination, where it is another one.

        Raises:
            InputError: they do not determine all voltages.
        """
        try:
            return Factors(order or self.order, blocks, batch)
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
        return self.slopes(self.at_controls(volts))

    def at_controls(self, volts: Mapping[int, Array]) -> Controls:
        """Volts or amperes of the controls of each group of behavioural sources, (batch, elements) each."""
        return {g.key: [self.control(c, volts) for c in g.controls] for g in self.behavioural}

    def slopes(self, at: Controls) -> dict[str, Array]:
        """See ``tangents``."""
        slopes = {}
        for g in self.behavioural:
            assert g.expression is not None
            _, by_control = g.expression.linearised(at[g.key])
            for k, slope in enumerate(by_control):
                slopes[f"{g.key}'{k}"] = np.atleast_2d(slope + np.zeros(g.count))
        return slopes

    def capacitances(self, volts: Mapping[int, Array]) -> dict[str, Array]:
        """Farads of the capacitors whose voltage decides on them, (batch, elements), by key of their group."""
        found = {}
        for g in self.capacitors:
            if g.expression is not None:
                own = g.expression.value([self.control(c, volts) for c in g.controls])
                found[g.key] = np.atleast_2d(own + np.zeros(g.count))
        return found

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
            self._whole[key] = is_range(index, self.all_sizes[family]), index
        return self._whole[key][0]

    def picked(self, volts: Array, family: int, index: Indices) -> Array:
        """Voltages of some nodes of a family, (batch, elements, k)."""
        return volts if self.whole(family, index) else volts[:, index]

    def branch(self, key: str) -> int:
        """Group of unknowns that holds the current of a group of sources."""
        return self._branch[key]


CRITICAL = 20.0
"""Of a junction's voltage, in n k T / q, up to which it may rise in one step: less than a microampere flows there."""


def limited(structure: Structure, before: Controls, wanted: Controls) -> dict[str, list[Array]]:
    """Controls after one step of Newton's method: those of junctions rise by the logarithm of what is wanted.

    What a step along a tangent asks for is a current, which a junction has at a much smaller voltage (Nagel, SPICE2,
    UCB/ERL M520, 1975).
    """
    found = {}
    for group in structure.behavioural:
        found[group.key] = [
            new if group.junction is None else _limited(old, new, *group.junction)
            for old, new in zip(before[group.key], wanted[group.key], strict=True)
        ]
    return found


def _limited(old: Array, new: Array, wide: float, begins: float) -> Array:
    old, risen = (old - begins) / wide, (new - begins) / wide
    with np.errstate(invalid="ignore", divide="ignore"):
        rise = 1 + risen - old
        on = np.where(rise > 0, old + np.log(rise), CRITICAL)
        slow = np.where(old > 0, on, np.log(risen))
    return np.where((risen > CRITICAL) & (np.abs(risen - old) > 2), begins + wide * slow, new)

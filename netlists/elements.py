"""The netlist of a device as a table: elements by kind, nodes, value and place on the board, as arrays.

Elements that follow one rule stand together: the resistors from all outputs to all virtual grounds, the capacitors of
all cells. So a table is a few groups of arrays, however many elements it has. From it come the circuit that PySpice
holds and ngspice runs, the equations of the network engine, and the values of Monte Carlo samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from netlists.amplifier import AmplifierCircuit

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Values = Mapping[str, Array]
"""What elements have: "LABEL" → values (..., elements); "LABEL.PARAMETER" → of subcircuits and of initial voltages."""

GROUND = "0"


@dataclass(frozen=True)
class Nodes:
    """One node for each of some elements: number ``index`` of a family, (elements,), or its place in two of them."""

    family: str
    index: Indices
    column: Indices | None = None

    @property
    def names(self) -> list[str]:
        """As SPICE calls them."""
        if self.family == GROUND:
            return [GROUND] * len(self.index)
        if self.column is not None:
            return [f"{self.family}{r}_{c}" for r, c in zip(self.index.tolist(), self.column.tolist(), strict=True)]
        prefix, dot, inner = self.family.partition(".")
        return [f"{prefix}{k}{dot}{inner}" for k in self.index.tolist()]


def ground(count: int) -> Nodes:
    """The ground node, for so many elements."""
    return Nodes(GROUND, np.zeros(count, dtype=np.intp))


@dataclass(frozen=True)
class Elements:
    """Elements of one kind.

    Args:
        label: how their names begin; its first letter is SPICE's kind. ``Rp`` makes ``Rp<row>_<column>``.
        nodes: in SPICE's order.
        value: ohms (infinite: an open connection), farads, volts, amperes or a gain; of subcircuits nothing, (...,
            elements).
        row, column: place on the board, (elements,); a column of None: there is one element to a row.
        part: which kind of part of the board they are; "": none that varies.
        which: number among the groups of the same kind of part.
        parameters: of subcircuits, and "start" of capacitors: the voltage at time 0, V, (..., elements) each.
        wire_resistance: of a crossbar's resistors, Ω: their nodes are where its wires begin, each of whose segments has
            as much. See ``netlists.crossbar.laid_out``.
    """

    label: str
    nodes: tuple[Nodes, ...]
    value: Array
    row: Indices
    column: Indices | None = None
    part: str = ""
    which: int = 0
    parameters: Mapping[str, Array] = field(default_factory=dict)
    wire_resistance: float = 0.0

    @property
    def kind(self) -> str:
        """SPICE's letter."""
        return self.label[0]

    @property
    def count(self) -> int:
        return len(self.row)

    @property
    def names(self) -> list[str]:
        """As SPICE calls them."""
        if self.column is None:
            return [f"{self.label}{row}" for row in self.row.tolist()]
        return [f"{self.label}{r}_{c}" for r, c in zip(self.row.tolist(), self.column.tolist(), strict=True)]


@dataclass(frozen=True)
class NoiseCurrents:
    """White noise currents that a transient needs sources for, from the first to the second node.

    Args:
        label: how the names of their sources begin.
        density: one-sided, A²/Hz, (elements,).
        row, column: as those of ``Elements``.
    """

    label: str
    nodes: tuple[Nodes, Nodes]
    density: Array
    row: Indices
    column: Indices | None = None

    @property
    def names(self) -> list[str]:
        return Elements(self.label, self.nodes, self.density, self.row, self.column).names


@dataclass(frozen=True)
class ElementTable:
    """A netlist with its ports.

    Args:
        title: of the deck.
        elements: all of them, values in SI.
        amplifier: the subcircuit that elements of kind X are; None: there are none.
        outputs: of the cell voltages, in the order of the unknowns: nodes, or pairs whose differences are meant.
        stimulus: name of the first input source, the reference of ``.noise``.
        notes: lines that tell a reader of the deck hardware, scales and units.
        noise: of transients in ngspice, which gives resistors none: thermal and injected.
        injected: nodes into which white noise flows beside that of the resistors, and one-sided densities, A²/Hz.
        precharged: until time 0 a switch beside each capacitor that has an initial voltage holds it at that, and the
            rest of the circuit is at rest with it, as amplifiers are whose inner state only their model knows. When it
            opens, its current goes on through the capacitor, and the amplifiers take some 1/(2π GBW) to leave rest for
            the slope. False: every capacitor states its initial voltage, and nothing is at rest (SPICE's ``uic``).
    """

    title: str
    elements: tuple[Elements, ...]
    amplifier: AmplifierCircuit | None
    outputs: tuple[Nodes, ...]
    stimulus: str
    notes: tuple[str, ...] = ()
    noise: tuple[NoiseCurrents, ...] = ()
    injected: tuple[tuple[Nodes, Array], ...] = ()
    precharged: bool = False

    @cached_property
    def by_label(self) -> dict[str, Elements]:
        return {group.label: group for group in self.elements}

    @property
    def probes(self) -> tuple[str | tuple[str, str], ...]:
        """Names of the outputs."""
        names = [nodes.names for nodes in self.outputs]
        return tuple(names[0]) if len(names) == 1 else tuple(zip(*names, strict=True))

    def filled(self, values: Values) -> "ElementTable":
        """The same with other values; see ``Values``."""
        found = []
        for group in self.elements:
            own = {key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{group.label}.")}
            group = replace(group, parameters={**group.parameters, **own}) if own else group
            found.append(replace(group, value=values[group.label]) if group.label in values else group)
        return replace(self, elements=tuple(found))

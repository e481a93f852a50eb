"""Modified nodal analysis of a flat circuit, reduced to the equations of its capacitors' voltages z.

Every capacitor is replaced by a voltage source z_k. What is left has no memory, so its currents are linear in z, in
the sources and in the noise currents; ``C_k dz_k/dt = i_k`` then is ``dz = (u − M z) dt + noise``
(Ho, Ruehli, Brennan, IEEE Trans. Circuits Syst. 22:504, 1975, for the stamps).
"""

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from netlists.deck import Probe
from solvers.network.connections import SHOWN, refuse_floating_nodes, refuse_loops, refuse_semiconductors
from solvers.network.dense import Reduced
from solvers.network.elimination import Plan, SingularError, plan
from solvers.network.expression import CURRENT
from solvers.network.noise_currents import spectrum_of
from solvers.network.reader import GROUND, Element, FlatCircuit
from solvers.network.source_stepping import tangents_of
from spu_circuit.errors import InputError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


class NodalAnalysis:
    """The structure of a circuit: what all draws of it share.

    Args:
        circuit: flat.
        outputs: nodes whose voltages are wanted, or pairs of nodes whose differences are.
        noise_nodes: where noise currents enter beside those of the resistors.

    Raises:
        InputError: no capacitor; an output or a controlling source is not there; a loop of voltage sources and
            capacitors; a node without a DC path to ground; equations that do not determine a node.
    """

    def __init__(self, circuit: FlatCircuit, outputs: Sequence[Probe], noise_nodes: Sequence[str] = ()) -> None:
        self.circuit = circuit
        refuse_semiconductors(circuit.elements)
        pairs = [(probe, GROUND) if isinstance(probe, str) else probe for probe in outputs]
        self._output_pairs = [(first.lower(), second.lower()) for first, second in pairs]
        self.outputs = tuple(probe if isinstance(probe, str) else "-".join(probe) for probe in outputs)
        found = circuit.elements
        names = dict.fromkeys(node for element in found for node in element.nodes if node != GROUND)
        for element in found:
            volts = [pair for pair in element.controls if pair[1] != CURRENT]
            names |= dict.fromkeys(node for pair in volts for node in pair if node != GROUND)
        self.nodes = tuple(names)
        self._index = {GROUND: -1} | {name: k for k, name in enumerate(self.nodes)}
        for node in (*(node for pair in pairs for node in pair), *noise_nodes):
            if node.lower() not in self._index:
                raise InputError(f"the circuit has no node {node!r}; it has {', '.join(self.nodes[:SHOWN])} …")
        self._ends = np.array([[self._index[node] for node in element.nodes[:2]] for element in found], dtype=np.intp)
        self._ends = self._ends.reshape(-1, 2)
        self._resistors, self._capacitors = circuit.positions("R"), circuit.positions("C")
        self._noisy = np.array([k for k in self._resistors if not found[k].silent], dtype=np.intp)
        self._behavioural = tuple(k for k, element in enumerate(found) if element.kind in ("BV", "BI"))
        self._noise_nodes = np.array([self._index[node.lower()] for node in noise_nodes], dtype=np.intp)
        self._states, self._state_of = self._parallel_capacitors()
        count = len(self._capacitors)
        ones = (np.ones(count), (np.arange(count), self._state_of))
        self._membership = scipy.sparse.csr_array(ones, shape=(count, len(self._states)))
        self.states = tuple(found[k].name for k in self._states)
        self.start = self._initial_volts()
        if not self.states:
            raise InputError("the circuit has no capacitor, so nothing in it takes time; add one")
        merged = set(self._capacitors.tolist()) - set(self._states)
        refuse_loops([(k, e) for k, e in enumerate(found) if k not in merged], self._ends, self.nodes)
        refuse_floating_nodes(found, self._ends, self.nodes)
        self._plans: dict[bool, tuple[scipy.sparse.csr_array, Plan]] = {}

    @property
    def nonlinear(self) -> tuple[str, ...]:
        """Names of the behavioural sources."""
        return tuple(self.circuit.elements[k].name for k in self._behavioural)

    def reduce(
        self,
        values: Array | None = None,
        temperature: float | Array | None = None,
        densities: Array | None = None,
        linearise: bool = False,
    ) -> Reduced:
        """The equations of the capacitors' voltages for a batch of draws.

        Args:
            values: (draws, elements) in the order of ``circuit.values``; None: one draw, as the circuit says.
            temperature: kelvin of all resistors, or of each draw's (draws,); None: they are noiseless.
            densities: (noise_nodes,) one-sided, A²/Hz, of the other noise currents.
            linearise: take the tangents of behavioural sources at each draw's operating point.

        Raises:
            InputError: behavioural sources and ``linearise`` is False; no operating point; a singular circuit.
        """
        values = self._checked(values, linearise)
        noisy = temperature is not None or (densities is not None and bool(np.any(densities)))
        tangents = np.zeros((0, len(values)))
        if self._behavioural:
            independent = np.concatenate([self.circuit.positions("V"), self.circuit.positions("I")])
            tangents = tangents_of(self._behaviours, independent, values, self._rest_of_draws)
        solved, response, nodes = self._solve(values, tangents, noisy)
        n, m = len(self.states), len(self.outputs)
        per_farad = 1 / (values[:, self._capacitors] @ self._membership)
        noise = np.zeros((len(values), n + m, n + m))
        if len(nodes):
            # What a noise current reaches: most outputs are held by an amplifier.
            reached = np.flatnonzero(response[:, : n + m].any(axis=(0, 2)))
            scale = np.where(reached < n, per_farad[:, np.minimum(reached, n - 1)], 1.0)
            response = scale[:, :, None] * response[:, reached]
            ohms, ends = values[:, self._noisy], self._ends[self._noisy]
            sources = (self._noise_nodes, densities) if densities is not None else None
            spectrum = spectrum_of(response, nodes, len(self.nodes), ohms, ends, temperature, sources)
            noise[:, reached[:, None], reached] = spectrum
        return Reduced(
            drift=-solved[:, :n, :n] * per_farad[:, :, None],
            input_rate=solved[:, :n, n] * per_farad,
            output=solved[:, n : n + m, :n],
            offset=solved[:, n : n + m, n],
            noise=noise,
        )

    def _checked(self, values: Array | None, linearise: bool) -> Array:
        """Element values (draws, elements) that can be solved. See ``reduce``."""
        values = self.circuit.values[None] if values is None else values
        if values.ndim != 2 or values.shape[1] != len(self.circuit.elements):
            raise InputError(f"values have shape {values.shape}; (draws, {len(self.circuit.elements)}) is wanted")
        wrong = np.isnan(values)
        # An infinite resistance is an open connection.
        wrong[:, self._resistors] |= values[:, self._resistors] <= 0
        wrong[:, self._capacitors] |= ~((values[:, self._capacitors] > 0) & (values[:, self._capacitors] < np.inf))
        if wrong.any():
            draw, k = np.argwhere(wrong)[0]
            name = self.circuit.elements[k].name
            raise InputError(f"draw {draw}: {name} is {values[draw, k]:g}; resistances and capacitances are above 0")
        if self._behavioural and not linearise:
            first = self.circuit.elements[self._behavioural[0]]
            raise InputError(
                f"{first.name} is not linear ({first.line!r}), nor are {len(self._behavioural) - 1} others; "
                "linearise about the operating point (linearise=True, --linearise), or use ngspice"
            )
        return values

    def _solve(self, values: Array, tangents: Array, noisy: bool) -> tuple[Array, Array, Indices]:
        """Capacitor currents, outputs and controls as functions of z, 1 and the noise currents into nodes.

        Returns:
            (draws, functionals, states + 1) and (draws, functionals, nodes that matter), and these nodes.
        """
        coefficients = self._coefficients(values, tangents)
        if noisy not in self._plans:
            self._plans[noisy] = self._planned(coefficients[:, 0], noisy)
        stamps, order = self._plans[noisy]
        try:
            return self._divide(order, order.reduce(stamps @ coefficients))
        except SingularError:
            # A draw far from the first one may need pivots of its own.
            alone = [self._solve_alone(draw, noisy) for draw in coefficients.T]
        responses = np.zeros((len(alone), alone[0][0].shape[1], len(self.nodes)))
        for draw, (_, response, nodes) in enumerate(alone):
            responses[draw][:, nodes] = response[0]
        return np.concatenate([solved for solved, _, _ in alone]), responses, np.arange(len(self.nodes))

    def _coefficients(self, values: Array, tangents: Array) -> Array:
        """What stamps are made of, (elements + 1 + tangents, draws)."""
        coefficients = np.concatenate([values.T, np.ones((1, len(values))), tangents])
        coefficients[self._resistors] = 1 / coefficients[self._resistors]
        return coefficients

    def _rest_of_draws(self, values: Array, tangents: Array) -> Array:
        n, first = len(self.states), len(self.states) + len(self.outputs)
        solved, _, _ = self._solve(values, tangents, False)
        rest = settled(-solved[:, :n, :n], solved[:, :n, n])
        return ((solved[:, first:, :n] @ rest[:, :, None])[:, :, 0] + solved[:, first:, n]).T

    def _divide(self, order: Plan, found: Array) -> tuple[Array, Array, Indices]:
        """What depends on (z, 1), every column of it, and what depends on noise currents, with their nodes."""
        size = len(self.states) + 1
        cut = int(np.searchsorted(order.used, size))
        solved = np.zeros((*found.shape[:2], size))
        solved[:, :, order.used[:cut]] = found[:, :, :cut]
        return solved, found[:, :, cut:], order.used[cut:] - size

    def _solve_alone(self, coefficients: Array, noisy: bool) -> tuple[Array, Array, Indices]:
        stamps, order = self._planned(coefficients, noisy)
        try:
            return self._divide(order, order.reduce(stamps @ coefficients[:, None]))
        except SingularError as error:
            raise self._undetermined(error) from None

    def _undetermined(self, error: SingularError) -> InputError:
        return InputError(
            f"the circuit does not determine {self._unknown(error.unknown)}; "
            "give every node a resistor or source that fixes it, and no current two sources that do"
        )

    def _unknown(self, column: int) -> str:
        if column < len(self.nodes):
            return f"the voltage of node {self.nodes[column]!r}"
        return f"the current of {self._branches[column - len(self.nodes)]}"

    def _planned(self, typical: Array, noisy: bool) -> "tuple[scipy.sparse.csr_array, Plan]":
        rows, columns, sources, factors = self._stamps(typical, noisy)
        unknowns = len(self.nodes) + len(self._branches)
        functionals = len(self.states) + len(self.outputs) + self._tangent_count()
        inputs = len(self.states) + 1 + (len(self.nodes) if noisy else 0)
        width = unknowns + inputs
        places, entry = np.unique(rows * width + columns, return_inverse=True)
        stamps = scipy.sparse.csr_array((factors, (entry, sources)), shape=(len(places), len(typical)))
        rows, columns = places // width, places % width
        # The slope of a saturated source is 0, whatever it is at the point that the plan is made at.
        steady = np.ones(len(places), dtype=bool)
        steady[entry[sources > len(self.circuit.elements)]] = False
        return stamps, plan(rows, columns, stamps @ typical, steady, unknowns, functionals, inputs)

    @property
    def _branches(self) -> list[str]:
        """Elements that have their current as an unknown."""
        found, states = self.circuit.elements, set(self._states)
        return [e.name for k, e in enumerate(found) if e.kind in ("V", "E", "H", "BV") or k in states]

    @property
    def _behaviours(self) -> list[Element]:
        return [self.circuit.elements[k] for k in self._behavioural]

    def _tangent_count(self) -> int:
        return sum(len(element.controls) for element in self._behaviours)

    def _stamps(self, typical: Array, noisy: bool) -> tuple[Indices, Indices, Indices, Array]:
        """Row, column, coefficient and factor of every contribution to ``A y + Q q = 0`` and to the functionals.

        The row of a node is the sum of currents that leave it; the row of a branch its voltage law. Currents are
        counted in the unit of a typical conductance times a volt, which makes all columns alike in size.
        """
        nodes, found = len(self.nodes), self.circuit.elements
        current = {name.lower(): nodes + k for k, name in enumerate(self._branches)}
        unknowns = nodes + len(current)
        one = len(found)
        constant = unknowns + len(self.states)
        unit = float(np.exp(np.mean(np.log(typical[self._resistors])))) if len(self._resistors) else 1.0
        stamps: list[tuple[int, int, int, float]] = []
        wanted = unknowns

        def current_out(ends: Indices, column: int, source: int, factor: float) -> None:
            stamps.extend((end, column, source, sign * factor) for end, sign in _inner(ends))

        def current_in(row: int, name: str, source: int, factor: float, element: Element) -> None:
            if name not in current:
                raise InputError(f"{element.name}: no voltage source {name!r} ({element.line!r})")
            stamps.append((row, current[name], source, factor * unit))

        def voltage(row: int, pair: Sequence[str], source: int, factor: float) -> None:
            for node, sign in zip(pair, (1.0, -1.0), strict=True):
                if node != GROUND:
                    stamps.append((row, self._index[node], source, sign * factor))

        for state, k in enumerate(self._states):
            row = current[found[k].name.lower()]
            stamps.append((row, unknowns + state, one, -1.0))
            stamps.append((wanted, row, one, unit))
            wanted += 1
        for pair in self._output_pairs:
            voltage(wanted, pair, one, 1.0)
            wanted += 1
        tangent = one + 1
        for k, element in enumerate(found):
            kind, ends, row = element.kind, self._ends[k], current.get(element.name.lower(), -1)
            if row >= 0:
                voltage(row, element.nodes[:2], one, 1.0)
                current_out(ends, row, one, unit)
            if kind == "V":
                stamps.append((row, constant, k, -1.0))
            elif kind == "I":
                current_out(ends, constant, k, 1.0)
            elif kind == "E":
                voltage(row, element.nodes[2:], k, -1.0)
            elif kind == "G":
                for end, sign in _inner(ends):
                    voltage(end, element.nodes[2:], k, sign)
            elif kind in ("F", "H"):
                if kind == "H":
                    current_in(row, element.control, k, -1.0, element)
                for end, sign in _inner(ends) if kind == "F" else ():
                    current_in(end, element.control, k, sign, element)
            elif kind in ("BV", "BI"):
                for pair in element.controls:
                    driven = [(row, tangent, -1.0)] if kind == "BV" else [(e, tangent, s) for e, s in _inner(ends)]
                    for place, source, factor in (*driven, (wanted, one, 1.0)):
                        if pair[1] == CURRENT:
                            current_in(place, pair[0], source, factor, element)
                        else:
                            voltage(place, pair, source, factor)
                    wanted, tangent = wanted + 1, tangent + 1
                if kind == "BV":
                    stamps.append((row, constant, tangent, -1.0))
                else:
                    current_out(ends, constant, tangent, 1.0)
                tangent += 1
        if noisy:
            stamps += [(node, constant + 1 + node, one, -1.0) for node in range(nodes)]
        listed = np.array([stamp[:3] for stamp in stamps], dtype=np.intp).T
        factors = np.array([stamp[3] for stamp in stamps])
        a, b = self._ends[self._resistors].T
        rows, columns = np.concatenate([a, b, a, b]), np.concatenate([a, b, b, a])
        signs = np.repeat([1.0, 1.0, -1.0, -1.0], len(a))
        inner = (rows >= 0) & (columns >= 0)
        return (
            np.concatenate([listed[0], rows[inner]]),
            np.concatenate([listed[1], columns[inner]]),
            np.concatenate([listed[2], np.tile(self._resistors, 4)[inner]]),
            np.concatenate([factors, signs[inner]]),
        )

    def _parallel_capacitors(self) -> tuple[list[int], Indices]:
        """The first capacitor between each two nodes, and which of them each capacitor adds to."""
        first: dict[tuple[int, ...], int] = {}
        pairs = [tuple(sorted(self._ends[k].tolist())) for k in self._capacitors.tolist()]
        for pair, k in zip(pairs, self._capacitors.tolist(), strict=True):
            first.setdefault(pair, k)
        state = {pair: number for number, pair in enumerate(first)}
        return list(first.values()), np.array([state[pair] for pair in pairs], dtype=np.intp)

    def _initial_volts(self) -> Array:
        """Of the states; NaN where no capacitor of a state says."""
        start = np.full(len(self._states), np.nan)
        for k, state in zip(self._capacitors.tolist(), self._state_of.tolist(), strict=True):
            element = self.circuit.elements[k]
            if element.initial is None:
                continue
            kept = self._states[state]
            volts = element.initial if self._ends[k, 0] == self._ends[kept, 0] else -element.initial
            if not np.isnan(start[state]) and volts != start[state]:
                raise InputError(
                    f"{element.name} and {self.states[state]} are parallel, but one begins at {volts:g} V and the "
                    f"other at {start[state]:g} V; make them agree"
                )
            start[state] = volts
        return start


def settled(A: Array, b: Array) -> Array:
    """A⁻¹ b of each draw: (draws, n, n) and (draws, n). Raises InputError where a capacitor keeps its charge."""
    try:
        return np.asarray(np.linalg.solve(A, b[:, :, None])[:, :, 0], dtype=np.float64)
    except np.linalg.LinAlgError:
        raise InputError(
            "the circuit has no DC operating point: a capacitor keeps its charge; give it a path that discharges it"
        ) from None


def _inner(ends: Indices) -> list[tuple[int, float]]:
    """The nodes that a current from the first to the second end leaves (+) and enters (−), without ground."""
    return [(end, sign) for end, sign in zip(ends.tolist(), (1.0, -1.0), strict=True) if end >= 0]

"""The derivative of what a device reads by the value of every part, by one solve of the transposed equations.

At rest a circuit's equations are ``A(p) x = s(p)`` with behavioural sources by their tangents there, and a reading is
``y = c·x``. With ``Aᵀ λ = c`` its derivative is ``dy/dp = λᵀ (∂s/∂p − ∂A/∂p x)`` for every value p at once (Director
and Rohrer, IEEE Trans. Circuit Theory 16:318, 1969). The equation of a node is the sum of currents that enter it, so it
is ``(λ_a − λ_b)(x_a − x_b)`` by a conductance between nodes a and b; by a voltage source it is the λ of its branch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netlists.board import AMPLIFIER, CURVE, OF_ADC, OF_DAC, PROGRAMMING, Board, array_factor, converter_errors, part_of
from netlists.device import Device
from netlists.elements import Elements
from solvers.network.blocks import add
from solvers.network.groups import Group, Wired
from solvers.network.newton import sources_of
from solvers.network.operating_point import intercepts_of
from solvers.network.wires import Mesh
from spu_circuit.errors import SimulationError
from spu_circuit.hardware import Converter
from spu_circuit.sampling import Samples

if TYPE_CHECKING:
    from solvers.network.programmed import ProgrammedNetwork

Array = NDArray[np.float64]
Pin = tuple[int, NDArray[np.intp]]


@dataclass(frozen=True)
class Derivatives:
    """Of k scalars of each of a batch of devices.

    Args:
        parts: kind → (batch, parts, k), in the order of ``Board.places``. By a relative change of resistors,
            capacitors, gains and bandwidths; per volt of offsets; per LSB of converters' non-linearity.
        dac_volts: per volt of each cell's code, (batch, n, k).
        conductances: label of an array's resistors → per siemens, (batch, elements, k), open ones too.
    """

    parts: dict[str, Array]
    dac_volts: Array
    conductances: dict[str, Array]


class Adjoint:
    """A batch of devices at rest, and their equations by the slopes there.

    Args:
        programmed: whose resistors are set.
        device: the batch, with its inputs.

    Raises:
        SimulationError: one of them has no operating point.
    """

    def __init__(self, programmed: "ProgrammedNetwork", device: Device) -> None:
        self.programmed, self.device = programmed, device
        self.structure = structure = programmed.structure
        self.coefficients, self.rest = programmed.settled(device)
        rest = self.rest
        if not rest.found.all():
            raise SimulationError(
                "no operating point, so there are no derivatives; lower the voltage scale, or check the rail"
            )
        slopes = {**self.coefficients, **rest.slopes}
        behaving = bool(structure.behavioural)
        self.factors = structure.factors(structure.blocks(slopes), programmed.batch) if behaving else programmed.flat
        right = sources_of(structure, self.coefficients)
        for group, value in intercepts_of(structure, rest).items():
            add(right, group, value)
        # All unknowns from one more Newton step, which leaves nothing of the chord method's tolerance.
        self.unknowns = self.factors.solve(right, range(len(structure.all_sizes)))

    @property
    def volts(self) -> Array:
        """Of the cells, (batch, n)."""
        return self.structure.volts(self.unknowns)[:, :, 0]

    def derivatives(self, board: Board, gradient: Array) -> Derivatives:
        """By every part, by the DACs and by the conductances of the array.

        Args:
            board: of which the parts are wanted; all of the batch have the resistors that its table has.
            gradient: of the scalars by what the ADCs read before they code it, (batch, n, k), per volt.
        """
        hardware, samples = board.hardware, self.programmed.samples
        volts = self.volts[:, :, None]
        adc = _characteristic(volts, hardware.adc, samples, "adc")
        found = self.by_coefficient(gradient * adc["volts"])
        parts: dict[str, Array] = {kind: gradient * adc[kind.removeprefix("adc_")] for kind in OF_ADC}
        inputs = self.device.inputs
        batch, cells, wide = max(len(volts), len(gradient)), volts.shape[1], gradient.shape[2]
        by_dac: Array = np.zeros((batch, cells, wide))
        pieces: dict[str, list[Array]] = {kind: [] for kind in board.places if kind not in OF_ADC}
        signs = self.device.array.inputs(np.ones(cells), np.zeros(cells))
        for group, _, at in board.split("dac"):
            errors = None if samples is None else _of(samples, "dac", at)
            dac = _characteristic(np.atleast_2d(inputs[group.label])[:, :, None], hardware.dac, errors, "dac")
            own = found[group.label]
            by_dac = by_dac + signs[group.label][:, None] * own * dac["volts"]
            for kind in OF_DAC:
                pieces[kind].append(own * dac[kind.removeprefix("dac_")])
        conductances = {}
        for kind in pieces:
            if kind in OF_DAC:
                continue
            if kind == CURVE:
                pieces[kind].append(np.zeros((batch, len(board.places[kind].slots), wide)))
                continue
            if kind in AMPLIFIER:
                for group, _, _ in board.split("amplifier"):
                    pieces[kind].append(self._by_parameter(group, AMPLIFIER[kind], found))
                continue
            for group, present, _ in board.split(part_of(kind)):
                own = found[group.label]
                if kind == PROGRAMMING:
                    pieces[kind].append((own / self._factors_of_array[group.label])[:, present])
                    continue
                # R (1 + ε) is G (1 − ε).
                sign = -1.0 if group.kind == "R" else 1.0
                pieces[kind].append((sign * self.coefficients[group.label][:, :, None] * own)[:, present])
                if group.kind == "R":
                    conductances[group.label] = own
        for kind, found_of_kind in pieces.items():
            parts[kind] = np.concatenate(found_of_kind, axis=1)
        return Derivatives({kind: parts[kind] for kind in board.places}, by_dac, conductances)

    @cached_property
    def _factors_of_array(self) -> dict[str, Array]:
        """What multiplies the resistors of the array after they are written, label → (batch, elements, 1)."""
        board, samples = self.programmed.board, self.programmed.samples
        factor, found = None if samples is None else array_factor(samples), {}
        for group, present, at in board.split("array_resistor"):
            own: Array = np.ones((1 if factor is None else len(factor), group.count, 1))
            if factor is not None:
                own[:, present, 0] = factor[:, at]
            found[group.label] = own
        return found

    def by_coefficient(self, gradient: Array) -> dict[str, Array]:
        """By every coefficient of the equations: siemens, volts, amperes or a gain; of capacitors nothing: zeros.

        Args:
            gradient: of the scalars by the cells' voltages, (batch, n, k).

        Returns:
            Key of a group → (batch, elements, k).
        """
        return self._at_rest(self._outputs(gradient), gradient.shape[2])

    def _outputs(self, gradient: Array) -> dict[int, Array]:
        """Right-hand side of the transposed equations that scalars of the cells' voltages make."""
        right: dict[int, Array] = {}
        for (family, index), sign in zip(self.structure.outputs, (1.0, -1.0), strict=False):
            own = np.zeros((len(gradient), self.structure.all_sizes[family], gradient.shape[2]))
            own[:, index] = sign * gradient
            add(right, family, own)
        return right

    def _at_rest(self, right: Mapping[int, Array], wide: int) -> dict[str, Array]:
        adjoint = self.factors.solve(right, range(len(self.structure.all_sizes)), transposed=True)
        found = {group.key: self._by_group(group, adjoint, self.unknowns, wide) for group in self.structure.groups}
        return found | {
            wired.key: self._by_wired(wired, adjoint, self.unknowns, wide) for wired in self.structure.wired
        }

    def _by_wired(self, wired: Wired, adjoint: Mapping[int, Array], unknowns: Mapping[int, Array], wide: int) -> Array:
        """By the resistors of a crossbar behind wires, whose nodes have the same equations transposed."""
        ((columns, column), (rows, row)), (m, n) = wired.nodes, wired.shape

        def across_each(volts: Mapping[int, Array], count: int) -> Array:
            begin = volts.get(columns, np.zeros((1, n, count))), volts.get(rows, np.zeros((1, m, count)))
            return self._meshes[wired.key].across(*begin)[:, row, column]

        return across_each(adjoint, wide) * across_each(unknowns, 1)

    @cached_property
    def _meshes(self) -> dict[str, Mesh]:
        return {wired.key: wired.mesh(self.coefficients[wired.key]) for wired in self.structure.wired}

    def _by_group(self, group: Group, adjoint: Mapping[int, Array], unknowns: Mapping[int, Array], wide: int) -> Array:
        structure = self.structure
        if group.kind in ("C", "BV", "BI"):
            return np.zeros((1, group.count, wide))
        if group.kind in ("V", "E", "H"):
            left = adjoint.get(structure.branch(group.key), np.zeros((1, group.count, wide)))
        else:
            left = across(adjoint, group.nodes[0], group.nodes[1], wide)
        if group.kind in ("V", "I"):
            return left
        if group.kind == "R":
            return left * across(unknowns, group.nodes[0], group.nodes[1], 1)
        if group.kind in ("E", "G"):
            return left * across(unknowns, group.nodes[2], group.nodes[3], 1)
        return left * structure.unit * unknowns.get(structure.branch(group.control), np.zeros((1, group.count, 1)))

    def _by_parameter(self, group: Elements, name: str, found: Mapping[str, Array]) -> Array:
        """By a parameter of a group of amplifiers; see ``parameter_slopes``."""
        total: Array = np.zeros((1, group.count, next(iter(found.values())).shape[2]))
        for key, slope in self.programmed.parameter_slopes[group.label][name].items():
            total = total + found[key] * slope[:, :, None]
        return total


def across(unknowns: Mapping[int, Array], first: Pin, second: Pin, wide: int) -> Array:
    """Difference between two nodes of each element, (batch, elements, k)."""
    total: Array = np.zeros((1, len(first[1]), wide))
    for (family, index), sign in ((first, 1.0), (second, -1.0)):
        if family in unknowns:
            total = total + sign * unknowns[family][:, index]
    return total


def _of(samples: Samples, converter: str, at: slice) -> dict[str, Array]:
    return {name: error[:, at] for name, error in converter_errors(samples, converter).items()}


def _characteristic(
    volts: Array, converter: Converter, errors: Samples | Mapping[str, Array] | None, name: str
) -> dict[str, Array]:
    """Derivatives of ``spu_circuit.converters.characteristic`` by each argument, by a relative change of the gain.

    Args:
        volts: (batch, channels, 1).
        errors: of the channels, (samples, channels) each.
    """
    if isinstance(errors, Samples):
        errors = converter_errors(errors, name)
    own = {key: value[:, :, None] for key, value in (errors or {}).items()}
    share = volts / converter.full_scale
    lsb = converter.lsb
    return {
        "volts": own.get("gain", 1.0) - 2 * lsb * own.get("inl", 0.0) * share / converter.full_scale,
        "gain": volts * own.get("gain", 1.0),
        "offset": np.ones_like(volts),
        "inl": lsb * (1 - share**2),
        "dnl": np.full_like(volts, lsb),
    }

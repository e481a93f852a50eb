"""Circuits that are no blocks of families, as wires between resistors make them: element by element, then dense."""

import numpy as np
from numpy.typing import NDArray

from netlists.device import Device
from netlists.elements import ElementTable, Values
from solvers.engine import Reading
from solvers.network.dense import Motion, Reduced
from solvers.network.groups import inner_of
from solvers.network.growth import unstable
from solvers.network.nodal import NodalAnalysis, settled
from solvers.network.preparation import Preparation, analysis_of
from solvers.network.state_space import StateSpace
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from solvers.solution import Waveform
from spu_circuit.errors import InputError
from spu_circuit.sampling import Samples

Array = NDArray[np.float64]


def is_irregular(table: ElementTable) -> bool:
    """Whether nodes of a table are numbered by two numbers: those of wires."""
    return any(nodes.column is not None for group in table.elements for nodes in group.nodes)


def space_of(
    table: ElementTable, temperature: float | None, linearise: bool = False, readout_bandwidth: float | None = None
) -> StateSpace:
    """The dense law of a table's circuit, by way of its text.

    Args:
        temperature: K of the resistors; None: they are noiseless.
    """
    analysis = analysis_of(table)
    densities = np.concatenate([density for _, density in table.injected]) if table.injected else np.zeros(0)
    reduced = analysis.reduce(None, temperature, densities, linearise)
    return StateSpace(
        OrnsteinUhlenbeck(reduced.drift[0], reduced.input_rate[0], reduced.diffusion[0]),
        start_of(analysis, reduced, table.precharged)[0],
        reduced.output[0],
        reduced.offset[0],
        reduced.noise[0],
        analysis.states,
        analysis.outputs,
        readout_bandwidth,
    )


def start_of(analysis: NodalAnalysis, reduced: Reduced, precharged: bool) -> Array:
    """Voltages of the capacitors at time 0, (batch, n).

    Those that no line gives are 0. In a precharged circuit those outside subcircuits are given, and the others at
    rest beside them: ``M_rr z_r = u_r − M_rg z_g``.

    Raises:
        InputError: a precharged circuit's other capacitors do not come to rest.
    """
    given = ~np.isnan(analysis.start)
    start = np.where(given, analysis.start, 0.0) + np.zeros_like(reduced.input_rate)
    given &= np.array(["." not in name for name in analysis.states])
    if precharged and not given.all():
        M, rest = reduced.drift, np.flatnonzero(~given)
        push = reduced.input_rate[:, rest] - (M[:, rest][:, :, given] @ start[:, given, None])[:, :, 0]
        start[:, rest] = settled(M[:, rest][:, :, rest], push)
    return start


class Irregular:
    """A batch of devices with wires, one dense law each. See ``Programmed``."""

    def __init__(self, prepared: Preparation, values: Values, samples: Samples | None) -> None:
        self._prepared, self._values, self._samples = prepared, values, samples
        self.batch = max([len(value) for value in values.values()] + [samples.count if samples is not None else 1])

    def spaces(self, device: Device, linearise: bool) -> list[StateSpace]:
        """The dense law of each of the batch. Raises InputError where it is not linear and not to be linearised."""
        board, settings, found = self._prepared.board, self._prepared.settings, []
        noise = board.hardware.noise
        for k in range(self.batch):
            one = device[k] if len(device.dac_volts) > 1 else device[0]
            inputs = {key: np.atleast_2d(value) for key, value in one.inputs.items()}
            if self._samples is not None:
                inputs = dict(board.inputs(self._samples, inputs))
            own = {**self._values, **inputs}
            table = one.circuit if self._samples is None else board.table
            if self._samples is not None:
                table = table.filled({key: value[min(k, len(value) - 1)] for key, value in own.items()})
            kelvin = None
            if noise.thermal:
                kelvin = board.hardware.temperature if self._samples is None else float(self._samples.temperature[k])
            found.append(space_of(table, kelvin, linearise, settings.readout_bandwidth))
        return found

    def law(self, device: Device, noise: bool = True) -> Reduced:
        """The dense law of the batch, of behavioural sources by their tangents at rest."""
        return self._law(self.spaces(device, linearise=True))

    def motion(self, device: Device, noise: bool = True) -> Motion:
        """See ``ProgrammedNetwork``. All samples together; their charges at time 0 are those of the board's table."""
        board, analysis = self._prepared.board, self._prepared.analysis
        table, sources = board.table, board.hardware.noise
        inputs = {key: np.atleast_2d(value) for key, value in device.inputs.items()}
        if self._samples is not None:
            inputs = dict(board.inputs(self._samples, inputs))
        values = self._element_values({**self._values, **inputs})
        kelvin, densities = None, None
        if noise and sources.thermal:
            kelvin = board.hardware.temperature if self._samples is None else self._samples.temperature
        if noise and table.injected:
            densities = np.concatenate([density for _, density in table.injected])
        # The nominal circuit plans the elimination, so that no sample's digits depend on which is first.
        analysis.reduce(None, None if kelvin is None else board.hardware.temperature, densities, linearise=True)
        law = analysis.reduce(values, kelvin, densities, linearise=True)
        rest = np.asarray(np.linalg.solve(law.drift, law.input_rate[:, :, None])[:, :, 0], dtype=np.float64)
        settled = (law.output @ rest[:, :, None])[:, :, 0] + law.offset
        return Motion(settled, start_of(analysis, law, table.precharged) - rest, law, rest)

    def _element_values(self, own: Values) -> Array:
        """As ``NodalAnalysis.reduce`` takes them, (batch, elements)."""
        circuit, table = self._prepared.analysis.circuit, self._prepared.board.table
        position = {element.name.lower(): k for k, element in enumerate(circuit.elements)}
        values = np.tile(circuit.values, (self.batch, 1))
        for group in table.elements:
            start = f"{group.label}."
            given = {key[len(start) :]: np.atleast_2d(value) for key, value in own.items() if key.startswith(start)}
            given.pop("start", None)
            if group.kind == "X" and given:
                for element in inner_of(table, group, given).elements:
                    if np.ndim(element.value):
                        inner = element.name.partition(".")[2]
                        values[:, [position[f"{name}.{inner}".lower()] for name in group.names]] = element.value
            elif group.part and group.label in own:
                there = [name.lower() for name in group.names]
                value = np.broadcast_to(own[group.label], (self.batch, group.count))
                known = [k for k, name in enumerate(there) if name in position]
                values[:, [position[there[k]] for k in known]] = value[:, known]
        return values

    def refuse_nonlinear(self) -> None:
        """See ``ProgrammedNetwork``."""
        if self._prepared.board.hardware.cell.bends:
            raise InputError(
                "the network engine knows no transients of capacitors that bend (cell.linear_voltage_coefficient, "
                "cell.quadratic_voltage_coefficient) behind wires; leave array.wire_resistance out, or use ngspice"
            )
        space_of(self._prepared.board.table, None, self._prepared.settings.linearise)

    def _law(self, found: list[StateSpace]) -> Reduced:
        return Reduced(
            np.stack([s.law.drift for s in found]),
            np.stack([s.law.input_rate for s in found]),
            np.stack([s.output for s in found]),
            np.stack([s.offset for s in found]),
            np.stack([s.noise for s in found]),
        )

    def start(self, device: Device) -> Array:
        """Voltages of all capacitors at time 0, (batch, states)."""
        return np.stack([space.start for space in self.spaces(device, linearise=True)])

    def space(self, device: Device, which: int = 0) -> StateSpace:
        """The dense law of one of the batch."""
        return self.spaces(device, self._prepared.settings.linearise)[which]

    def read(self, device: Device, seconds: Array, seeds: Array, limits: Array | None = None) -> Reading:
        """See ``Programmed``."""
        if self._prepared.board.hardware.cell.bends and np.isfinite(seconds).any():
            self.refuse_nonlinear()
        points, volts, peaks, waves, noisy = self._prepared.settings.points, [], [], [], []
        for k, space in enumerate(self.spaces(device, self._prepared.settings.linearise)):
            if (first := space.growing) is not None:
                raise unstable(first.rate, first.capacitor, len(space.capacitors), device[k], self._samples is not None)
            time = float(seconds[k])
            if time == np.inf:
                volts.append(space.operating_point())
                peaks.append(np.abs(volts[-1]))
                continue
            times = np.linspace(0, time, (points or 16) + 1)
            rng = np.random.default_rng(int(seeds[k]))
            path = space.sample(times, rng) if space.noisy else space.trajectory(times)
            volts.append(path[-1])
            peaks.append(np.abs(path).max(axis=0))
            waves.append(Waveform(times, path))
            noisy.append(lambda space=space, time=time: space.covariance(time))
        any_noise = bool(noisy) and bool(
            self._prepared.board.hardware.noise.thermal or self._prepared.board.hardware.noise.injected
        )
        return Reading(
            np.stack(volts),
            ("",) * len(volts),
            np.stack(peaks),
            tuple(waves) if waves and points else None,
            tuple(noisy) if any_noise else None,
        )

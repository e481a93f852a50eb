"""Boards and batches of devices as factorised blocks: at rest, on the way there, with their noise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial

import numpy as np
from numpy.typing import NDArray

from netlists.array import ProgrammedArray
from netlists.device import Device
from netlists.elements import Values
from solvers.engine import Reading
from solvers.network.bending import bending_of
from solvers.network.bent_reading import bent_reading
from solvers.network.block_plan import Key
from solvers.network.blocks import Factors
from solvers.network.dense import Motion, Reduced, one_of, reduced
from solvers.network.groups import NOTHING
from solvers.network.growth import SHARE, decaying_drive, driven, growth_of, growth_of_all, unstable
from solvers.network.noise import sampled
from solvers.network.operating_point import Rest, at_rest, intercepts_of
from solvers.network.parameters import parameter_slopes
from solvers.network.preparation import Preparation, Settings
from solvers.network.relaxation import GROWTH, STEP, charges, joined, relaxed, split
from solvers.network.state_space import StateSpace
from solvers.network.tangents import bent_at_rest, notes_of, rates_off
from solvers.solution import Waveform
from spu_circuit.errors import InputError
from spu_circuit.sampling import Samples

Array = NDArray[np.float64]

EARLIER = (1.0, 1 / 2, 1 / 4, 1 / 8)
"""Shares of the time at which peaks are looked for on the way."""
PRECHARGE = 1e3
"""Conductance that holds a precharged capacitor, S; see ``netlists.deck``."""


@dataclass(frozen=True)
class PreparedNetwork(Preparation):
    """A board of which values make a programmed network. See ``Prepared``."""

    @cached_property
    def decaying(self) -> float:
        """See ``decaying_drive``."""

        def growth(array: ProgrammedArray) -> Array:
            programmed = ProgrammedNetwork(self, batched(array.values()), None, None)
            return programmed.growth(self.bias.slopes, self.board.hardware.cell.capacitance / array.siemens_per_unit)

        return decaying_drive(self.board.hardware, len(self.board.table.outputs[0].index), growth)

    def refuse_temperatures(self) -> None:
        """Raises InputError where copies of the board have temperatures that its semiconductors do not follow."""
        if self.board.hardware.variation.temperature is not None and self.structure.steep:
            raise InputError(
                "variation.temperature: semiconductors of a library's amplifier have one temperature in engine "
                "'network'; leave it out, give temperatures as hardware.temperature in [grid], or use engine 'ngspice'"
            )

    def program(self, array: ProgrammedArray, samples: Samples | None = None) -> "ProgrammedNetwork":
        """See ``Prepared``."""
        kelvin = self.board.hardware.temperature
        if samples is not None and self.structure.steep and (samples.temperature != kelvin).any():
            raise InputError(
                f"samples have another temperature than the {kelvin:g} K of the amplifier's semiconductors, which have "
                "one here; leave variation.temperature out, or use ngspice"
            )
        injected = np.atleast_1d(array.injected_noise_density(self.board.hardware))
        noise = injected if injected.any() else None
        if samples is None and (conductances := array.conductances()):
            return ProgrammedNetwork(self, {}, None, noise, batched(conductances))
        values: Values = batched(array.values())
        if samples is not None:
            values = self.board.values(samples, values)
        return ProgrammedNetwork(self, values, samples, noise)


def batched(values: Values) -> dict[str, Array]:
    """Values of one device as a batch of one."""
    return {key: value if np.ndim(value) > 1 else np.asarray(value)[None] for key, value in values.items()}


class ProgrammedNetwork:
    """Resistors and amplifiers of a batch of devices, factorised. See ``Programmed``.

    Args:
        values, conductances: see ``Structure.coefficients``.
        injected: density of the noise current that is injected into each cell, A²/Hz, (batch,) or (1,); None: no noise.
    """

    def __init__(
        self,
        prepared: PreparedNetwork,
        values: Values,
        samples: Samples | None,
        injected: Array | None,
        conductances: Values = NOTHING,
    ) -> None:
        self._prepared, self.samples, self._injected = prepared, samples, injected
        self.structure, self.board, self.hardware = prepared.structure, prepared.board, prepared.board.hardware
        self.batch = max(len(value) for value in {**values, **conductances}.values())
        if samples is not None:
            self.batch = max(self.batch, samples.count)
        self.values = values
        self._known: dict[bytes, Factors] = {}
        self._decays_at_bias = False
        self.coefficients = {**self.structure.coefficients(values, conductances), **prepared.bias.capacitances}
        self.bending = bending_of(self.structure, values)

    @property
    def settings(self) -> Settings:
        return self._prepared.settings

    @cached_property
    def blocks(self) -> dict[Key, Array]:
        """Those of the equations with all capacitors open, with the slopes at the bias."""
        return self.structure.blocks({**self.coefficients, **self._prepared.bias.slopes})

    @cached_property
    def flat(self) -> Factors:
        """The equations at rest, with the slopes at the bias, without weak blocks."""
        bias = self._prepared.bias
        blocks = {key: block for key, block in self.blocks.items() if key not in bias.weak}
        return self.structure.factors(blocks, self.batch, bias.order)

    @cached_property
    def parameter_slopes(self) -> dict[str, dict[str, dict[str, Array]]]:
        """See ``parameters.parameter_slopes``."""
        varied = any(key.startswith("X") for key in self.values)
        return parameter_slopes(self.structure, self.values) if varied else self._prepared.parameter_slopes

    def read(self, device: Device, seconds: Array, seeds: Array, limits: Array | None = None) -> Reading:
        """Exact samples where the devices have noise, else the mean; see ``Programmed``.

        Raises:
            InputError: a transient of behavioural sources without ``linearise``, a mode that grows, or noise without
                ``readout_bandwidth`` that passes every capacitor.
        """
        if len(seconds) == 0:
            return Reading(np.zeros((0, device.cells)), (), np.zeros((0, device.cells)))
        settled = bool(np.isinf(seconds).all())
        if limits is not None and np.isfinite(limits).any():
            self._refuse_growing_samples(device)
        coefficients, rest = self.settled(device, limits)
        failures = tuple("" if found else NO_REST for found in rest.found)
        volts = np.broadcast_to(self.structure.volts(rest.volts)[:, :, 0], (self.batch, device.cells))
        if settled or not rest.found.all():
            if rest.found.all():
                self._refuse_growth(device, rest)
            if limits is None:
                volts = np.where(rest.found[:, None], volts, np.nan)
            return Reading(volts, failures, np.abs(volts), noting=partial(notes_of, rest.bent, None))
        self.refuse_nonlinear()
        time = np.broadcast_to(np.reshape(seconds, (-1, 1)), (self.batch, 1))
        steps = self._steps(rest.slopes, STEP * time)
        away = self.away(device, coefficients, rest)
        self._refuse_growth(device, rest)
        off: Callable[[], Array] = cache(
            partial(rates_off, self.structure, coefficients, rest, away, device.time_constant)
        )
        if self.structure.steep:
            off()  # which may be refused
        noting = partial(notes_of, rest.bent, off)
        if self.bending is not None:
            motion, points = self.motion(device), self.settings.points
            known = self.spaces_beyond(np.full(self.batch, np.inf), device)
            return bent_reading(motion, known, self.covariances(device, time), time[:, 0], seeds, points, noting)
        moved, growth = relaxed(steps, away, tuple(share / STEP for share in EARLIER))
        ways = [volts + found for found in moved]
        dense = self.spaces_beyond(growth, device)
        for k, space in dense.items():
            for way, exact in zip(ways, space.mean(np.array(EARLIER) * time[k, 0]), strict=True):
                way[k] = exact
        peaks = np.maximum(np.abs(device.initial_volts), np.max([np.abs(way) for way in ways], axis=0))
        waveforms = None
        if self.settings.points:
            law, start = self.law(device), self.start(device)
            spaces = [self.space_of(law, start, k) for k in range(self.batch)]
            waveforms = tuple(self._waveform(spaces[k], float(time[k, 0]), int(seeds[k])) for k in range(self.batch))
            noisy = np.stack([wave.volts[-1] for wave in waveforms])
            return Reading(noisy, failures, peaks, waveforms, self.covariances(device, time), noting=noting)

        def noise() -> Array:
            found = self._noise(coefficients, rest, time, seeds)
            for k, space in dense.items():
                found[k] = space.sample(time[k], np.random.default_rng(int(seeds[k])))[-1] - ways[0][k]
            return found

        covariances = self.covariances(device, time)
        shown = noise if self._noisy else None
        return Reading(ways[0], failures, peaks, None, covariances, 0, shown, noting=noting)

    def settled(self, device: Device, limits: Array | None = None) -> tuple[dict[str, Array], Rest]:
        """All values with inputs, capacitances as they are there, and the circuits at rest."""
        coefficients, bias = self._driven(device), self._prepared.bias
        families = self.structure.read | self.structure.charged
        weak = {key: self.blocks[key] for key in bias.weak}
        rest = at_rest(self.structure, coefficients, self.flat, bias, weak, families, limits)
        if self.bending is not None:
            at = charges(self.structure, rest.volts, self.batch)[:, :, 0]
            coefficients = self.bending.bent(self.structure, coefficients, at)
        return coefficients, rest

    def _driven(self, device: Device) -> dict[str, Array]:
        """All values, with inputs."""
        inputs: Values = batched(device.inputs)
        if self.samples is not None:
            inputs = self.board.inputs(self.samples, inputs)
        coefficients = dict(self.coefficients)
        for group in self.structure.sources:
            if group.key in inputs:
                coefficients[group.key] = inputs[group.key]
        return coefficients

    def law(self, device: Device, noise: bool = True) -> Reduced:
        """The dense law of all capacitors of the batch, of behavioural sources by their tangents at rest."""
        return self._law(*self.settled(device), noise)

    def motion(self, device: Device, noise: bool = True) -> Motion:
        """Rest and the way there. Near rest it is exact, for behavioural sources too.

        Raises:
            InputError: one of the batch has no operating point.
        """
        coefficients, rest = self.settled(device)
        if not rest.found.all():
            raise InputError(f"{NO_REST}; check the amplifier's rail and current_limit")
        start = self.away(device, coefficients, rest)
        away, bent = start[:, :, 0], bent_at_rest(self.structure, coefficients, rest, self._prepared.still)
        volts = np.broadcast_to(self.structure.volts(rest.volts)[:, :, 0], (self.batch, device.cells))
        charged = charges(self.structure, rest.volts, self.batch)[:, :, 0]
        off = partial(rates_off, self.structure, coefficients, rest, start, device.time_constant)
        return Motion(volts, away, self._law(coefficients, rest, noise), charged, self.bending, bent, off)

    def _law(self, coefficients: Mapping[str, Array], rest: Rest, noise: bool) -> Reduced:
        intercepts, sources = intercepts_of(self.structure, rest), self._noise_sources if noise else (None, None)
        return reduced(self.structure, coefficients, rest.slopes, intercepts, self.batch, *sources)

    def start(self, device: Device) -> Array:
        """Voltages of all capacitors at time 0, (batch, states)."""
        coefficients, rest = self.settled(device)
        at = charges(self.structure, rest.volts, self.batch)
        return (at + self.away(device, coefficients, rest))[:, :, 0]

    def space(self, device: Device, which: int = 0) -> StateSpace:
        """The dense law of one of the batch. Raises InputError as ``read`` does."""
        self.refuse_nonlinear()
        return self.space_of(self.law(device), self.start(device), which)

    def space_of(self, law: Reduced, start: Array, which: int) -> StateSpace:
        """The law of one of the batch."""
        return one_of(self.structure, law, start, which, self.settings.readout_bandwidth)

    @property
    def _noise_sources(self) -> tuple[Array | None, Array | None]:
        """Temperature of the resistors, and density of the noise that is injected."""
        if not self.hardware.noise.thermal:
            return None, self._injected
        kelvin = np.array([self.hardware.temperature]) if self.samples is None else self.samples.temperature
        return kelvin, self._injected

    @property
    def _noisy(self) -> bool:
        kelvin, injected = self._noise_sources
        return kelvin is not None or injected is not None

    def _steps(self, slopes: Mapping[str, Array], length: Array) -> Factors:
        """Implicit steps; those of a circuit without behavioural sources are the same whatever its inputs are."""
        key = length.tobytes()
        if not slopes and key in self._known:
            return self._known[key]
        found = self.structure.stepping(self._at(slopes), self.structure.shares(self.coefficients, length), self.batch)
        self._known = {} if slopes else dict([*self._known.items()][-1:]) | {key: found}
        return found

    def _at(self, slopes: Mapping[str, Array]) -> Mapping[Key, Array]:
        """The equations' blocks with these slopes."""
        return self.structure.blocks({**self.coefficients, **slopes}) if slopes else self.blocks

    def _noise(self, coefficients: Mapping[str, Array], rest: Rest, time: Array, seeds: Array) -> Array:
        pace, bandwidth = self._prepared.pace, self.settings.readout_bandwidth
        if pace.direct and bandwidth is None:
            raise InputError(
                "white noise goes straight to the outputs, past every capacitor, so its variance is infinite; give the "
                "readout_bandwidth (--readout-bandwidth), or an amplifier without output_resistance"
            )
        kelvin, injected = self._noise_sources
        rngs = [np.random.default_rng(seed) for seed in seeds.tolist()]
        blocks = self._at(rest.slopes)
        return sampled(self.structure, coefficients, blocks, pace, time, kelvin, injected, rngs, bandwidth)

    def covariances(self, device: Device, time: Array) -> tuple[Callable[[], Array], ...] | None:
        if not self._noisy:
            return None
        return tuple(lambda k=k: self.space(device, k).covariance(float(time[k, 0])) for k in range(self.batch))

    def _waveform(self, space: StateSpace, seconds: float, seed: int) -> Waveform:
        times = np.linspace(0, seconds, self.settings.points + 1)
        path = space.sample(times, np.random.default_rng(seed)) if space.noisy else space.trajectory(times)
        return Waveform(times, path)

    def away(self, device: Device, coefficients: Mapping[str, Array], rest: Rest) -> Array:
        """Voltages of all capacitors at time 0, less those at rest, (batch, states, 1)."""
        at = charges(self.structure, rest.volts, self.batch)
        start = joined(self.structure, self.structure.initial(batched(device.inputs)), self.batch)
        given = ~np.isnan(start)
        if given.all() or not self.structure.table.precharged:
            return np.nan_to_num(start) - at
        # Capacitors without a voltage of their own are at rest beside those that are held at one.
        held = split(self.structure, PRECHARGE * given[:, :, 0])
        steps = self.structure.stepping(self.structure.blocks({**coefficients, **rest.slopes}), held, self.batch)
        away = np.where(given, start - at, 0.0)
        return np.where(given, away, steps.apply(away)[:, : away.shape[1]])

    def refuse_nonlinear(self) -> None:
        """Raise InputError where behavioural sources move and the engine does not ``linearise``."""
        if self.structure.behavioural and not self.settings.linearise:
            first = self.structure.behavioural[0]
            assert first.expression is not None
            raise InputError(
                f"{first.key} is not linear ({first.expression.text!r}), nor are "
                f"{sum(g.count for g in self.structure.behavioural) - 1} others; linearise about the operating point "
                "(linearise = true, --linearise), or use ngspice"
            )

    def _refuse_growth(self, device: Device, rest: Rest) -> None:
        """Refuse operating points that no circuit stays at.

        Cells without dynamics of their own relax as the programmed matrix does. With amplifiers an array of a positive
        definite matrix outruns them if it is too fast and drives too much: see ``decaying``. All others are looked at:
        samples, other matrices, and cascades, whose summing amplifiers turn the phase by what no load knows.

        Raises:
            InputError: a mode grows.
        """
        if self.bending is None and self.samples is None and device.array.definite:
            alone = all("." not in g.key for g in self.structure.capacitors)
            if alone or (driven(device.array, device.hardware) <= self._prepared.decaying).all():
                return
        growth = np.ones(self.batch)
        for look in () if self.bending else (growth_of, growth_of_all):
            if (growth > 0).any():
                growth = self.growth(rest.slopes, device.time_constant, look)
        self.spaces_beyond(np.where(growth > 0, np.inf, 0.0), device)

    def _refuse_growing_samples(self, device: Device) -> None:
        """Refuse samples of which a mode grows at the bias already, before their amplifiers are followed to the rails,
        where nobody trusts them at any scale.

        Raises:
            MappingError: one does.
        """
        if self.samples is None or not self.structure.behavioural or self._decays_at_bias:
            return
        slopes = self._prepared.bias.slopes
        doubtful = np.flatnonzero(self.growth(slopes, device.time_constant) > 0).tolist()
        if doubtful:
            law = reduced(self.structure, self._driven(device), slopes, {}, self.batch)
            for k in doubtful:
                space = self.space_of(law, np.zeros(law.drift.shape[:2]), k)
                if (first := space.growing) is not None:
                    one = device[k if len(device.dac_volts) > 1 else 0]
                    raise unstable(first.rate, first.capacitor, len(space.capacitors), one, drawn=True)
        self._decays_at_bias = True

    def growth(
        self, slopes: Mapping[str, Array], time_constants: Array, look: Callable[[Factors, int], Array] = growth_of
    ) -> Array:
        """See ``growth_of``, of arrays with these time constants, s, (batch,) or one for all."""
        steps = self._steps(slopes, SHARE * np.reshape(time_constants, (-1, 1)) * np.ones((self.batch, 1)))
        return look(steps, sum(g.count for g in self.structure.capacitors))

    def spaces_beyond(self, growth: Array, device: Device) -> dict[int, StateSpace]:
        """The dense laws of those whose modes the series of implicit steps does not hold for: they turn.

        Raises:
            InputError: a mode grows.
        """
        beyond = np.flatnonzero(growth > GROWTH).tolist()
        if not beyond:
            return {}
        law, start = self.law(device), self.start(device)
        found = {k: self.space_of(law, start, k) for k in beyond}
        for k, space in found.items():
            if (first := space.growing) is not None:
                one = device[k if len(device.dac_volts) > 1 else 0]
                raise unstable(first.rate, first.capacitor, len(space.capacitors), one, self.samples is not None)
        return found


NO_REST = "no operating point: its amplifiers are beyond their limits"

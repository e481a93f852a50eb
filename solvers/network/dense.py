"""The dense law of all capacitors' voltages, from the circuit's blocks.

An implicit step is ``W = (I + hM)⁻¹``, so ``M = (W⁻¹ − I)/h``; voltages after it are ``V = O W z + …``, so O is known
too. Settling times, covariances and spectra are read off these matrices, and they are an oracle for what never forms
them.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import matrix_balance

from solvers.network.bending import Bending, settling_time, way
from solvers.network.blocks import Factors, add
from solvers.network.newton import sources_of
from solvers.network.relaxation import charges
from solvers.network.state_space import StateSpace
from solvers.network.structure import Structure
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from spu_circuit.errors import InputError
from spu_circuit.noise import johnson_current_density

Array = NDArray[np.float64]

NOTHING = 1e-13
"""Singular values of a step, beside its largest, that are zeros."""
AT_ONCE = 1e-4
"""What is left after a step of a voltage that follows others at once: it has left the step long before its end."""
ROUNDING = 1e-9
"""Share of what a state or an output answers to any current, below which an answer is rounding; those that are no
rounding are shares of 1e-4 or more."""


@dataclass(frozen=True)
class Reduced:
    """``dz = (u − M z) dt + N(0, 2 D dt)`` with outputs ``V = O z + o``, for a batch of circuits.

    Args:
        drift: M, (batch, n, n), 1/s.
        input_rate: u, (batch, n), V/s.
        output: O, (batch, m, n).
        offset: o, (batch, m), V.
        noise: one-sided cross densities of the white noise in (dz/dt, V), (batch, n + m, n + m). What it adds to V goes
            straight there, past every capacitor.
    """

    drift: Array
    input_rate: Array
    output: Array
    offset: Array
    noise: Array

    @property
    def diffusion(self) -> Array:
        """D, (batch, n, n), V²/s: a one-sided density S of dz/dt is D = S / 4."""
        n = self.drift.shape[-1]
        return self.noise[:, :n, :n] / 4


@dataclass(frozen=True)
class Motion:
    """How a batch of circuits comes to rest: ``V(t) = settled + O e^{−Mt} away``.

    Args:
        settled: outputs at rest, (batch, m), V.
        away: capacitors at time 0 less those at rest, (batch, n), V.
        law: M, O, and the noise where it is wanted.
        rest: capacitors at rest, (batch, n), V.
        bending: of capacitors, whose capacitances at rest are those of the law; None: it is exact.
        bent: see ``Rest``, (batch,).
        rates_off: makes what ``tangents.rate_error`` has, (batch,); None: nobody looks. Raises InputError where
            tangents say nothing of the way.
    """

    settled: Array
    away: Array
    law: Reduced
    rest: Array
    bending: Bending | None = None
    bent: Array | None = None
    rates_off: Callable[[], Array] | None = None

    def way(self, which: int, seconds: float) -> Callable[[Array], Array]:
        """See ``bending.way``, of one whose capacitors bend."""
        assert self.bending is not None
        drift, away, rest = self.law.drift[which], self.away[which], self.rest[which]
        return way(drift, away, rest, self.bending.one(which), seconds)

    def settling_time(self, which: int, tolerance: float, guess: float) -> float:
        """See ``bending.settling_time``."""
        return settling_time(partial(self.way, which), self.law.output[which], tolerance, guess)


def reduced(
    structure: Structure,
    coefficients: Mapping[str, Array],
    slopes: Mapping[str, Array],
    intercepts: Mapping[int, Array],
    batch: int,
    temperature: Array | None = None,
    injected: Array | None = None,
) -> Reduced:
    """The law of a batch of circuits.

    Args:
        slopes: of behavioural sources, where they are linearised.
        intercepts: right-hand side that their tangents add.
        temperature: K of the resistors, (batch,) or (1,); None: they are noiseless.
        injected: density of the noise current into each of the table's injected nodes, A²/Hz, (batch,) or (1,).
    """
    step = typical_step(structure, coefficients)
    blocks = structure.blocks({**coefficients, **slopes})
    steps = structure.stepping(blocks, structure.shares(coefficients, step), batch)
    total = sum(group.count for group in structure.capacitors)
    found = steps.apply(np.broadcast_to(np.eye(total), (batch, total, total)))
    inverse = _inverted(found[:, :total])
    drift = (inverse - np.eye(total)) / step[:, :, None]
    output = found[:, total:] @ inverse
    right = sources_of(structure, coefficients)
    for row, value in intercepts.items():
        add(right, row, value)
    alone = steps.solve(right, structure.read | structure.charged)
    moved = charges(structure, alone, batch)
    rate = (inverse @ moved)[:, :, 0] / step
    offset = (structure.volts(alone) - output @ moved)[:, :, 0]
    n, m = total, output.shape[1]
    noise = np.zeros((batch, n + m, n + m))
    if temperature is not None or injected is not None:
        noise = _noise(structure, coefficients, steps, inverse, output, step, temperature, injected)
    return Reduced(drift, rate, output, np.broadcast_to(offset, (batch, m)), noise)


def one_of(structure: Structure, law: Reduced, start: Array, which: int, readout_bandwidth: float | None) -> StateSpace:
    """The law of one of a batch, with the names of its states and outputs.

    Args:
        start: capacitors at time 0, (batch, states), V.
    """
    states = tuple(f"{group.key}{k}" for group in structure.capacitors for k in range(group.count))
    names = tuple(probe if isinstance(probe, str) else "-".join(probe) for probe in structure.table.probes)
    return StateSpace(
        OrnsteinUhlenbeck(law.drift[which], law.input_rate[which], law.diffusion[which]),
        start[which],
        law.output[which],
        law.offset[which],
        law.noise[which],
        states,
        names,
        readout_bandwidth,
    )


def _inverted(steps: Array) -> Array:
    """W⁻¹ of each of a batch.

    Capacitors in a loop, or beside a source, have voltages that follow others at once, and W is singular. Their own
    modes become those of ``AT_ONCE``, which move nothing else: the spectral projector P on the null space of W has
    ``P W = W P = 0``.

    Raises:
        InputError: a voltage is the derivative of another.
    """
    try:
        inverse = np.linalg.inv(steps)
    except np.linalg.LinAlgError:
        inverse = np.full_like(steps, np.inf)
    for k in np.flatnonzero(~(np.abs(inverse).max(axis=(1, 2)) * np.abs(steps).max(axis=(1, 2)) < 1 / NOTHING)):
        # Voltages inside a model may be millions of times those outside, which makes large of what is nothing.
        balanced, (scale, _) = matrix_balance(steps[k], permute=False, separate=True)
        left, values, right = np.linalg.svd(balanced)
        none = values <= NOTHING * values[0]
        if none.any():
            left, right = left[:, none], right[none].T
            meeting = left.T @ right
            if np.linalg.svd(meeting, compute_uv=False)[-1] < NOTHING**0.5:
                raise InputError(
                    "a capacitor's voltage is the derivative of others, and no state of these equations; use ngspice"
                )
            balanced = balanced + AT_ONCE * right @ np.linalg.inv(meeting) @ left.T
        inverse[k] = scale[:, None] * np.linalg.inv(balanced) / scale
    return np.asarray(inverse, dtype=np.float64)


def typical_step(structure: Structure, coefficients: Mapping[str, Array]) -> Array:
    """Seconds between the fast and the slow capacitors of each circuit, (batch, 1), so that rounding takes neither."""
    logarithms = []
    for groups in (structure.capacitors, structure.resistors):
        batch = max(len(coefficients[g.key]) for g in groups)
        values = np.concatenate([np.broadcast_to(coefficients[g.key], (batch, g.count)) for g in groups], axis=1)
        # Open resistors have no conductance.
        logarithms.append(np.log(values, where=values > 0, out=np.full_like(values, np.nan)))
    capacitance, conductance = (np.nanmean(own, axis=1, keepdims=True) for own in logarithms)
    return np.asarray(np.exp(capacitance - conductance))


def _noise(
    structure: Structure,
    coefficients: Mapping[str, Array],
    steps: Factors,
    inverse: Array,
    output: Array,
    step: Array,
    temperature: Array | None,
    injected: Array | None,
) -> Array:
    """Cross densities of (dz/dt, V) from those of the currents into nodes."""
    batch = steps.batch
    noisy = {f for g in structure.noisy for f, _ in g.nodes if f >= 0} if temperature is not None else set()
    families = sorted(noisy | {structure.pin(nodes)[0] for nodes, _ in structure.table.injected})
    n, m = output.shape[2], output.shape[1]
    kicks, directs, kick_peaks, direct_peaks = {}, {}, {}, {}
    kicked, seen = np.zeros((batch, n, 1)), np.zeros((batch, m, 1))
    for family in families:
        size = structure.all_sizes[family]
        found = steps.solve({family: np.eye(size)[None]}, structure.read | structure.charged)
        if not found:
            continue  # a source or an amplifier holds it, and nothing answers
        moved = charges(structure, found, batch, size)
        wide, through = np.broadcast_to(structure.volts(found), (batch, m, size)), output @ moved
        kicks[family], directs[family] = inverse @ moved / step[:, :, None], wide - through
        kick_peaks[family], direct_peaks[family] = _row_peaks(kicks[family]), _row_peaks(directs[family])
        kicked, seen = np.maximum(kicked, kick_peaks[family]), np.maximum(seen, _row_peaks(wide))
    responses = {}
    for family in kicks:
        kept = direct_peaks[family] > ROUNDING * seen
        if kept.any():
            responses[family] = np.concatenate([kicks[family], kept * directs[family]], axis=1)
        elif (kick_peaks[family] > ROUNDING * kicked).any():
            responses[family] = kicks[family]
    total = np.zeros((batch, n + m, n + m))
    for (a, b), density in current_densities(structure, coefficients, temperature, injected, responses).items():
        left, right = responses[a], responses[b].transpose(0, 2, 1)
        left = left * density[:, None, :] if density.ndim == 2 else left @ density
        total[:, : left.shape[1], : right.shape[2]] += left @ right
    return total


def _row_peaks(matrices: Array) -> Array:
    """Largest magnitude in each row, (batch, rows, 1)."""
    return np.asarray(np.maximum(matrices.max(axis=2, keepdims=True), -matrices.min(axis=2, keepdims=True)))


def current_densities(
    structure: Structure,
    coefficients: Mapping[str, Array],
    temperature: Array | None,
    injected: Array | None,
    families: Container[int],
) -> dict[tuple[int, int], Array]:
    """One-sided cross densities of the noise currents into these families of nodes, A²/Hz.

    Those of resistors are ``4kT`` times their nodal conductances: what one takes from a node it gives to another.
    """
    found: dict[tuple[int, int], Array] = {}
    if temperature is not None:
        for key, block in structure.conductances(coefficients, families).items():
            kelvin = np.reshape(temperature, (-1, *[1] * (block.ndim - 1)))
            found[key] = johnson_current_density(1.0, kelvin) * block
    if injected is not None:
        for nodes, _ in structure.table.injected:
            family, index = structure.pin(nodes)
            if family not in families:
                continue
            own: Array = np.zeros((len(injected), structure.all_sizes[family]))
            own[:, index] = injected[:, None]
            known = found.get((family, family))
            if known is not None and known.ndim == 3:
                own = own[:, :, None] * np.eye(own.shape[1])
            found[family, family] = own if known is None else known + own
    return found

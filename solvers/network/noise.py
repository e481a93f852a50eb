"""Samples of the noise in a circuit's outputs, without its dense covariance.

What is left at time t of a noise current that flowed at age a is ``e^{−Ma} B i``. So the noise at t is an integral over
all ages, a sum over Gauss points of ages when they are taken in intervals of a ratio to each other: the sample is
Gaussian, and its covariance is right to a few parts in a thousand. From the oldest interval to the youngest all kicks
are carried on together, by implicit steps that fit each interval; see ``solvers.network.relaxation``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from solvers.network.blocks import Factors, Key, add, of_some, some
from solvers.network.dense import typical_step
from solvers.network.groups import Group
from solvers.network.relaxation import charges, series_of
from solvers.network.structure import Structure
from spu_circuit.noise import johnson_current_density

Array = NDArray[np.float64]

RATIO = 10.0
"""Of the ages at the ends of an interval."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(5)
POINTS = 0.5 + NODES / 2
"""Gauss points, as shares of an interval's length."""
TERMS = 10
LENGTH = 8.0
"""Steps in an interval's length. Of a mode's standard deviation ratio, points, terms and this leave 0.2 %, whatever its
rate is."""
YOUNGEST = 0.5
"""Age, in the fastest time constant, below which no mode has moved much."""
FASTEST = 1e15
"""1/s: noise is drawn for modes up to this rate. In steps as short as those of faster ones, which parasitics of
vendors' models have, conductances are less than rounding leaves beside C/h."""
WEAK = 0.03
"""A node that passes on less than this share of another's noise may have its own drawn for itself."""
ITERATIONS = 12


@dataclass(frozen=True)
class Pace:
    """What the noise of a structure's circuits needs to know of them, from nominal values.

    Args:
        fastest: rate of its fastest mode, or ``FASTEST``, 1/s, with a margin of two.
        direct: white noise reaches the outputs past every capacitor.
        shared: groups of resistors whose noise at their two ends must be drawn together.
        shared_directly: the same where it reaches the outputs past every capacitor.
        silent: families of nodes that sources or amplifiers hold, whose noise nothing answers to.
    """

    fastest: float
    direct: bool
    shared: frozenset[str]
    shared_directly: frozenset[str]
    silent: frozenset[int]


def pace_of(structure: Structure, coefficients: Mapping[str, Array], slopes: Mapping[str, Array]) -> Pace:
    """See ``Pace``. By power iteration on ``(I − W)/h``, which is M where h is short."""
    rng = np.random.default_rng(0)
    one = {key: value[:1] for key, value in coefficients.items()} | {key: value[:1] for key, value in slopes.items()}
    step = typical_step(structure, one).item()
    rate, count = 0.0, sum(g.count for g in structure.capacitors)
    for _ in range(12):
        steps = structure.stepping(structure.blocks(one), structure.shares(one, step), 1)
        here = rng.standard_normal((1, count, 1))
        for _ in range(ITERATIONS):
            here /= np.linalg.norm(here)
            here = (here - steps.apply(here, count)) / step
        rate = float(np.linalg.norm(here))
        if rate * step < 0.3 or step < 0.1 / FASTEST:
            break
        step = 0.1 / rate if rate * step < 0.9 else step / 20
    rate = min(rate, FASTEST)
    families = sorted({f for g in structure.noisy for f, _ in g.nodes if f >= 0})
    instant = max(1e-4 / rate, 1e-2 / FASTEST)
    short, shorter = (_responses(structure, one, families, s * instant) for s in (1.0, 1e-2))
    usual = _responses(structure, one, families, typical_step(structure, one).item())
    strongest = max(usual.values()) or 1.0
    direct = any(shorter[f] > 0.1 * short[f] and shorter[f] > 1e-9 * strongest for f in families)
    # What a low impedance holds on the way is not held where noise goes straight to the outputs.
    silent = frozenset(f for f in families if usual[f] == short[f] == shorter[f] == 0)
    return Pace(2 * rate, direct, _shared(structure, usual), _shared(structure, shorter), silent)


def _shared(structure: Structure, responses: Mapping[int, float]) -> frozenset[str]:
    """Groups of resistors both of whose ends answer to noise."""
    found = set()
    for g in structure.noisy:
        (a, _), (b, _) = g.nodes[:2]
        if a >= 0 and b >= 0 and min(responses[a], responses[b]) > WEAK * max(responses[a], responses[b]):
            found.add(g.key)
    return frozenset(found)


def _responses(
    structure: Structure, one: Mapping[str, Array], families: Sequence[int], step: float
) -> dict[int, float]:
    """Rms of the outputs when random currents of 1 A flow into each family of nodes."""
    rng = np.random.default_rng(1)
    factors = structure.factors(structure.stepped(structure.blocks(one), structure.shares(one, step)), 1)
    found = {}
    for family in families:
        right = {family: rng.standard_normal((1, structure.all_sizes[family], 4))}
        volts = structure.volts(factors.solve(right, structure.read))
        found[family] = float(np.sqrt((volts**2).sum(axis=1).mean()))
    return found


def sampled(
    structure: Structure,
    coefficients: Mapping[str, Array],
    blocks: Mapping[Key, Array],
    pace: Pace,
    seconds: Array,
    temperature: Array | None,
    injected: Array | None,
    rngs: Sequence[np.random.Generator],
    readout_bandwidth: float | None,
) -> Array:
    """One sample of the outputs' noise for each circuit of a batch, (batch, n), V.

    Args:
        blocks: with all capacitors open, see ``Structure.blocks``.
        seconds: since sharp initial charges, (batch, 1).
        temperature: K of the resistors, (batch,); None: they are noiseless.
        injected: see ``reduced``.
        rngs: one for each circuit.
    """
    batch = len(rngs)
    levels = np.maximum(1, np.ceil(np.log(seconds[:, 0] * pace.fastest / YOUNGEST) / np.log(RATIO)).astype(int))
    if levels.min() < levels.max():
        # So that what a seed draws does not depend on which others are in the batch.
        found = np.zeros((batch, len(structure.outputs[0][1])))
        for count in np.unique(levels).tolist():
            which = np.flatnonzero(levels == count)
            few, parts = some(coefficients, which), some(blocks, which)
            kelvin, density = (None if own is None else of_some(own, which) for own in (temperature, injected))
            own = [rngs[k] for k in which.tolist()]
            found[which] = sampled(structure, few, parts, pace, seconds[which], kelvin, density, own, readout_bandwidth)
        return found
    currents = _Currents(structure, coefficients, pace.shared, pace.silent, temperature, injected, batch)
    draws = (len(POINTS) * (int(levels[0]) + 1), currents.count)
    scores = np.stack([rng.standard_normal(draws) for rng in rngs])

    def steps_of(step: Array) -> Factors:
        return structure.stepping(blocks, structure.shares(coefficients, step), batch)

    state: Array | None = None
    age, number = seconds, 0
    for _ in range(int(levels[0])):
        younger = age / RATIO
        length = age - younger
        steps = steps_of(length / LENGTH)
        series = [series_of(float(LENGTH * point), 1, TERMS) for point in POINTS]
        columns = currents.kicked(steps, scores[:, number : number + len(POINTS)], length, length / LENGTH)
        if state is not None:
            columns = np.concatenate([columns, state], axis=2)
            series.append(series_of(LENGTH, 0, TERMS))
        state = _clenshaw(steps, columns @ np.stack(series))
        age, number = younger, number + len(POINTS)
    steps = steps_of(age)
    series = [_short_series(float(point), 2) for point in POINTS]
    columns = currents.kicked(steps, scores[:, number : number + len(POINTS)], age, age)
    if state is not None:
        columns = np.concatenate([columns, state], axis=2)
        series.append(_short_series(1.0, 1))
    last = _clenshaw(steps, columns @ np.stack(series))
    found = steps.apply(last)[:, last.shape[1] :, 0]
    if pace.direct and readout_bandwidth is not None:
        instant = np.maximum(1e-6 * age, 1e-3 / FASTEST)
        factors = structure.factors(structure.stepped(blocks, structure.shares(coefficients, instant)), batch)
        straight = _Currents(structure, coefficients, pace.shared_directly, pace.silent, temperature, injected, batch)
        scores = np.stack([rng.standard_normal((1, straight.count)) for rng in rngs])
        right = straight.flowing(scores, np.full((batch, 1, 1), np.sqrt(readout_bandwidth)))
        found = found + structure.volts(factors.solve(right, structure.read))[:, :, 0]
    return found


def _clenshaw(steps: Factors, terms: Array) -> Array:
    """``Σ_k T_k(2W − 1) s_k`` of states s_k, (batch, states, terms), as (batch, states, 1)."""
    count = terms.shape[1]
    one, two = terms[:, :, -1:], None
    for k in range(terms.shape[2] - 2, -1, -1):
        reach = 2 * steps.apply(one, count) - one
        fresh = terms[:, :, k : k + 1] + (2 * reach if k else reach)
        if two is not None:
            fresh -= two
        one, two = fresh, one
    return one


@lru_cache(maxsize=64)
def _short_series(time: float, power: int) -> Array:
    """As ``series_of`` where no mode moves much in a step: the best fit for w from a half to 1."""
    w = np.linspace(0.5, 1.0, 200)
    basis = np.polynomial.chebyshev.chebvander(2 * w - 1, TERMS - 1)
    wanted = np.exp(-(1 / w - 1) * time) / w**power
    return np.asarray(np.linalg.lstsq(basis, wanted, rcond=1e-9)[0])


class _Currents:
    """White noise currents of a batch of circuits, drawn at nodes where that is enough, else in each resistor."""

    def __init__(
        self,
        structure: Structure,
        coefficients: Mapping[str, Array],
        shared: frozenset[str],
        silent: frozenset[int],
        temperature: Array | None,
        injected: Array | None,
        batch: int,
    ) -> None:
        self._structure, self._batch = structure, batch
        own: dict[int, Array] = {}
        self._each: list[tuple[Group, Array]] = []
        if temperature is not None:
            kelvin = np.reshape(temperature, (-1, 1))
            for g in structure.noisy:
                density = johnson_current_density(coefficients[g.key], kelvin)
                if g.key in shared:
                    self._each.append((g, np.sqrt(density)))
                    continue
                for family, index in g.nodes[:2]:
                    if family >= 0 and family not in silent:
                        own[family] = (
                            own.get(family, 0.0) + structure.gathered(density[:, :, None], family, index)[:, :, 0]
                        )
        if injected is not None:
            for nodes, _ in structure.table.injected:
                family, index = structure.pin(nodes)
                density = (injected[:, None] * np.ones(len(index)))[:, :, None]
                own[family] = own.get(family, 0.0) + structure.gathered(density, family, index)[:, :, 0]
        self._nodes = [(family, np.sqrt(density)) for family, density in sorted(own.items())]
        self.count = sum(d.shape[1] for _, d in self._nodes) + sum(g.count for g, _ in self._each)

    def flowing(self, scores: Array, scale: Array) -> dict[int, Array]:
        """Right-hand side: roots of densities times scores (batch, k, count) times a scale (batch, 1, k)."""
        right: dict[int, Array] = {}
        scores = scores.transpose(0, 2, 1)
        at = 0
        for family, root in self._nodes:
            own = root[:, :, None] * scores[:, at : at + root.shape[1]] * scale
            add(right, family, own)
            at += root.shape[1]
        for g, root in self._each:
            own = root[:, :, None] * scores[:, at : at + g.count] * scale
            self._structure.inject(right, g.nodes[:2], own)
            at += g.count
        return right

    def kicked(self, steps: Factors, scores: Array, length: Array, step: Array) -> Array:
        """``W B q`` of the charges q at each Gauss point of an interval of ages, (batch, states, points)."""
        scale = np.sqrt(WEIGHTS * length / 4) / step
        right = self.flowing(scores, (scale * np.ones((self._batch, 1)))[:, None, :])
        return charges(self._structure, steps.solve(right, self._structure.charged), self._batch, len(WEIGHTS))

"""Monte Carlo samples of a device: how far each of its parts is off, reproducibly by seed, sample number and part.

A sample does not depend on which others are drawn, where, or in what order, and the resistor at a place of the array is
the same part whatever matrix is programmed: see ``streams``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from spu_circuit.proposal import FARTHEST, Proposal, inflate
from spu_circuit.seeds import check_seed
from spu_circuit.spread import Spread
from spu_circuit.streams import independent, latin, sobol
from spu_circuit.variation import KINDS, ArrayVariation, CurrentVariation, RelativeVariation, Variation
from spu_circuit.warmth import DRIFT, above_zero, coefficients, warmed

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Parts:
    """The parts of one kind in a circuit.

    Args:
        slots: number of each part's place on the board, (parts,); names its random numbers.
        x, y: its place on the die, from −½ to ½, (parts,).
        room: places of this kind that the board has, whatever is there; 0: up to the last of the slots.
        nominal: what deviations of currents add to, A.
    """

    slots: Indices
    x: Array
    y: Array
    room: int = 0
    nominal: float = 0.0

    @property
    def places(self) -> int:
        return max(self.room, int(self.slots.max(initial=-1)) + 1)


@dataclass(frozen=True)
class Sampling:
    """Where random numbers come from.

    Args:
        seed: of all of them.
        design: "plain": independent; "lhs": Latin hypercube over ``total`` samples (McKay, Beckman, Conover,
            Technometrics 21:239, 1979); "sobol": scrambled Sobol sequence.
        total: number of samples of a Latin hypercube.
        streams: other seeds for some kinds of parts, which then vary for themselves.
        inflation: importance sampling: what all parts of a sample share (lots, gradients, temperature and its
            coefficients) is drawn with normal scores this many times as wide, up to ``FARTHEST``, and the samples get
            weights that make up for it.

    Raises:
        InputError: a seed below 0 or above 2⁶⁴ − 1.
    """

    seed: int
    design: str = "plain"
    total: int = 0
    streams: Mapping[str, int] = field(default_factory=dict)
    inflation: float = 1.0

    def __post_init__(self) -> None:
        for name, seed in {"seed": self.seed, **{f"streams.{kind}": own for kind, own in self.streams.items()}}.items():
            check_seed(seed, name)

    def seed_of(self, kind: str) -> int:
        return self.streams.get(kind, self.seed)


@dataclass(frozen=True)
class Sample:
    """One Monte Carlo sample of a device: what draws it, and its number."""

    sampling: Sampling
    number: int


@dataclass(frozen=True)
class Samples:
    """What a batch of samples has instead of nominal values.

    Args:
        relative: kind → factors, (samples, parts), in the order of the parts.
        absolute: kind → what is added, in volts or LSB, (samples, parts).
        open, closed: array resistors that are stuck, (samples, parts).
        temperature: K, (samples,).
        weights: how many samples of the wanted distribution each one stands for, (samples,).
    """

    relative: dict[str, Array]
    absolute: dict[str, Array]
    open: NDArray[np.bool_]
    closed: NDArray[np.bool_]
    temperature: Array
    weights: Array

    @property
    def count(self) -> int:
        return len(self.temperature)

    def __getitem__(self, which: int) -> "Samples":
        """One of them, as a batch of one."""
        one = slice(which, which + 1)
        return Samples(
            {kind: values[one] for kind, values in self.relative.items()},
            {kind: values[one] for kind, values in self.absolute.items()},
            *(self.open[one], self.closed[one], self.temperature[one], self.weights[one]),
        )


def joined(samples: Sequence[Samples]) -> Samples:
    """Samples of one board, one after the other."""
    first = samples[0]
    return Samples(
        {kind: np.concatenate([each.relative[kind] for each in samples]) for kind in first.relative},
        {kind: np.concatenate([each.absolute[kind] for each in samples]) for kind in first.absolute},
        *(
            np.concatenate([getattr(each, name) for each in samples])
            for name in ("open", "closed", "temperature", "weights")
        ),
    )


def adds(variation: Variation, kind: str) -> bool:
    """Whether a deviation of parts of this kind adds, in volts or LSB; else it multiplies."""
    found: bool = getattr(variation, kind).adds
    return found


def deviating(
    variation: Variation, temperature: float, base: Samples | None, deviations: Mapping[str, Array]
) -> Samples:
    """Samples with further deviations.

    Args:
        temperature: nominal, K.
        base: one sample, or one for each; None: nominal.
        deviations: kind → (samples, parts).
    """
    count = len(next(iter(deviations.values())))
    nothing = np.zeros((count, 0), dtype=bool)
    if base is None:
        base = Samples({}, {}, nothing, nothing, np.full(count, temperature), np.ones(count))

    def wide(values: Any) -> Any:
        return np.broadcast_to(values, (count, *values.shape[1:]))

    relative = {kind: wide(own) for kind, own in base.relative.items()}
    absolute = {kind: wide(own) for kind, own in base.absolute.items()}
    for kind, off in deviations.items():
        if adds(variation, kind):
            absolute[kind] = absolute.get(kind, 0.0) + off
        else:
            relative[kind] = relative.get(kind, 1.0) * (1 + off)
    return Samples(relative, absolute, *map(wide, (base.open, base.closed, base.temperature, base.weights)))


def draw(
    variation: Variation,
    temperature: float,
    parts: Mapping[str, Parts],
    samples: range,
    sampling: Sampling,
    proposal: Proposal | None = None,
) -> Samples:
    """Draw samples.

    Args:
        temperature: nominal, K.
        parts: by kind; kinds that do not vary are left out of the result.
        samples: consecutive sample numbers.
        proposal: what they are drawn from instead, with weights that make up for it.

    Raises:
        InputError: a Sobol sequence of more dimensions than there are direction numbers.
    """
    numbers = _uniforms(variation, parts, samples, sampling)
    weights = inflate(numbers, sampling.inflation, len(samples))
    if proposal is not None:
        choice = independent("proposal", np.zeros(1, dtype=np.intp), samples, sampling.seed)[:, 0]
        weights = weights * proposal.move(numbers, choice)
    return _made(variation, temperature, parts, numbers, weights)


def at_scores(
    variation: Variation, temperature: float, parts: Mapping[str, Parts], scores: Mapping[str, Array]
) -> Samples:
    """Samples of given normal scores, none of them stuck.

    Args:
        scores: what ``bounded`` names → (samples, how many). What is missing is at its median;
            nothing: one sample at all medians.
    """
    count = len(next(iter(scores.values()))) if scores else 1
    numbers = {
        purpose: scipy.special.ndtr(scores.get(purpose, np.zeros((count, width))))
        for purpose, width in bounded(variation, parts).items()
    }
    return _made(variation, temperature, parts, numbers, np.ones(count))


def _made(
    variation: Variation,
    temperature: float,
    parts: Mapping[str, Parts],
    numbers: Mapping[str, Array],
    weights: Array,
) -> Samples:
    """The samples that uniform numbers inside (0, 1) make, by purpose, (samples, numbers)."""
    count = len(weights)
    lots = _lots(variation, numbers, count)
    spread = variation.temperature
    kelvin = temperature + (spread.quantile(numbers["temperature"][:, 0]) if spread else np.zeros(count))
    rise = kelvin - (variation.reference_temperature or temperature)
    relative: dict[str, Array] = {}
    absolute: dict[str, Array] = {}
    for kind, places in parts.items():
        of_kind = getattr(variation, kind)
        if not moves(variation, kind):
            continue
        local = of_kind.mismatch.quantile(numbers[f"{kind} local"]) if of_kind.mismatch else None
        warmth = coefficients(of_kind.temperature_coefficient, kind, numbers) * rise[:, None]
        if not of_kind.adds:
            factors = np.full((count, len(places.slots)), variation.ageing(kind))
            factors *= above_zero(1 + warmth, kind, kelvin)
            if kind in lots:
                factors *= 1 + lots[kind][:, None]
            if _gradient(of_kind):
                slope = of_kind.gradient.quantile(numbers[f"{kind} gradient"])
                factors *= 1 + slope[:, :1] * places.x + slope[:, 1:] * places.y
            if local is not None:
                factors *= 1 + local
            relative[kind] = factors
        else:
            deviations = np.zeros((count, len(places.slots))) + warmth
            if kind in lots:
                deviations += lots[kind][:, None]
            if local is not None:
                deviations += local
            absolute[kind] = warmed(deviations, of_kind, places.nominal, rise)
    nothing = np.zeros((count, 0), dtype=bool)
    stuck, resistors = numbers.get("array_resistor stuck"), variation.array_resistor
    is_open = nothing if stuck is None else stuck < resistors.stuck_open
    is_closed = nothing if stuck is None else stuck > 1 - resistors.stuck_closed
    return Samples(relative, absolute, is_open, is_closed, kelvin, weights)


def bounded(variation: Variation, parts: Mapping[str, Parts]) -> dict[str, int]:
    """What corners put at its extremes: "temperature", "KIND lot", "KIND gradient", "KIND local" → how many.

    Stuck resistors have none.
    """
    found = {"temperature": 1} if variation.temperature else {}
    for kind, places in parts.items():
        for purpose, count in _purposes(variation, kind).items():
            if not purpose.endswith("stuck"):
                found[purpose] = len(places.slots) if count is None else count
    return found


def corners(
    variation: Variation, temperature: float, parts: Mapping[str, Parts], extremes: Mapping[str, Array]
) -> Samples:
    """Samples whose parts are at the extremes of their distributions.

    Args:
        extremes: what ``bounded`` names → −1, 0 (nominal) or 1, (samples, 1) for all of them alike, or one for each.
            What is missing is nominal.
    """
    count = len(next(iter(extremes.values())))

    def moved(purpose: str, spread: Spread | None, width: int) -> Array:
        at = np.broadcast_to(extremes.get(purpose, np.zeros((count, 1))), (count, width))
        if spread is None:
            return np.zeros(at.shape)
        return np.where(at > 0, spread.extreme(1), np.where(at < 0, spread.extreme(-1), 0.0))

    relative: dict[str, Array] = {}
    absolute: dict[str, Array] = {}
    kelvin = temperature + moved("temperature", variation.temperature, 1)[:, 0]
    rise = kelvin - (variation.reference_temperature or temperature)
    for kind, places in parts.items():
        of_kind = getattr(variation, kind)
        lot = moved(f"{kind} lot", of_kind.drawn_lot, 1) + (of_kind.lot_corner or 0.0)
        local = moved(f"{kind} local", of_kind.mismatch, len(places.slots))
        drift = of_kind.temperature_coefficient
        away = moved(f"{kind} {DRIFT}", drift.common, 1) + moved(f"{kind} {DRIFT} local", drift.own, len(places.slots))
        # + is up, whether it is hot or cold.
        warmth = rise[:, None] * drift.mean + np.abs(rise)[:, None] * away
        if not of_kind.adds:
            slope = moved(f"{kind} gradient", _gradient(of_kind), 2)
            factors = (1 + lot) * (1 + slope[:, :1] * places.x + slope[:, 1:] * places.y) * (1 + local)
            factors *= variation.ageing(kind) * above_zero(1 + warmth, kind, kelvin)
            relative[kind] = factors
        else:
            absolute[kind] = warmed(lot + local + warmth, of_kind, places.nominal, rise)
    nothing = np.zeros((count, 0), dtype=bool)
    return Samples(relative, absolute, nothing, nothing, kelvin, np.ones(count))


def varying(variation: Variation) -> tuple[str, ...]:
    """The kinds of parts that differ between samples, "temperature" among them."""
    kinds = tuple(kind for kind in KINDS if _purposes(variation, kind))
    return (*kinds, "temperature") if variation.temperature else kinds


def moves(variation: Variation, kind: str) -> bool:
    """Whether parts of a kind are ever off."""
    of_kind = getattr(variation, kind)
    still = of_kind.temperature_coefficient.steady and variation.ageing(kind) == 1 and not of_kind.lot_corner
    if isinstance(of_kind, CurrentVariation) and of_kind.doubling is not None:
        still = variation.temperature is None and variation.reference_temperature is None
    return bool(_purposes(variation, kind)) or not still


def _gradient(of_kind: Any) -> Spread | None:
    return of_kind.gradient if isinstance(of_kind, RelativeVariation) else None


def shared(variation: Variation) -> int:
    """How many random numbers all parts of a sample share: those that importance sampling widens."""
    counts = [count for kind in KINDS for count in _purposes(variation, kind).values() if count is not None]
    return sum(counts) + (variation.temperature is not None)


def _purposes(variation: Variation, kind: str) -> dict[str, int | None]:
    """What random numbers a kind needs: purpose → how many of each sample; None: one a part."""
    of_kind = getattr(variation, kind)
    needed: dict[str, int | None] = {}
    if of_kind.drawn_lot:
        needed[f"{kind} lot"] = 1
    if _gradient(of_kind):
        needed[f"{kind} gradient"] = 2
    if of_kind.mismatch:
        needed[f"{kind} local"] = None
    if variation.temperature or variation.reference_temperature is not None:  # else no coefficient matters
        if of_kind.temperature_coefficient.common:
            needed[f"{kind} {DRIFT}"] = 1
        if of_kind.temperature_coefficient.own:
            needed[f"{kind} {DRIFT} local"] = None
    if isinstance(of_kind, ArrayVariation) and of_kind.stuck_open + of_kind.stuck_closed > 0:
        needed[f"{kind} stuck"] = None
    return needed


def _uniforms(variation: Variation, parts: Mapping[str, Parts], samples: range, sampling: Sampling) -> dict[str, Array]:
    """Purpose → numbers inside (0, 1), (samples, as many as it needs)."""
    wanted: dict[str, tuple[str, Indices, int]] = {}
    if variation.temperature:
        wanted["temperature"] = "temperature", np.zeros(1, dtype=np.intp), 1
    for kind, own in parts.items():
        for purpose, count in _purposes(variation, kind).items():
            wanted[purpose] = (kind, own.slots, own.places) if count is None else (kind, np.arange(count), count)
    if sampling.design == "sobol":
        return sobol(wanted, samples, sampling.seed)
    draw_one = latin if sampling.design == "lhs" else independent
    return {
        purpose: draw_one(purpose, slots, samples, sampling.seed_of(kind), sampling.total)
        for purpose, (kind, slots, _) in wanted.items()
    }


def _lots(variation: Variation, numbers: Mapping[str, Array], count: int) -> dict[str, Array]:
    """The common deviation of each kind that has one, (samples,), correlated as the variation says."""
    found = {kind: np.full(count, at) for kind in KINDS if (at := getattr(variation, kind).lot_corner) is not None}
    kinds = [kind for kind in KINDS if f"{kind} lot" in numbers]
    if not kinds:
        return found
    where = [KINDS.index(kind) for kind in kinds]
    values, vectors = np.linalg.eigh(variation.lot_correlation[np.ix_(where, where)])
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    scores = scipy.special.ndtri(np.concatenate([numbers[f"{kind} lot"] for kind in kinds], axis=1)) @ root.T
    scores = np.clip(scores, -FARTHEST, FARTHEST)  # sums of wide ones may be wider still
    shares = scipy.special.ndtr(scores)
    return found | {kind: getattr(variation, kind).lot.quantile(shares[:, k]) for k, kind in enumerate(kinds)}

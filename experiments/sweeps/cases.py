"""Which copies a sweep draws, by the kind of its analysis."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from experiments.sweeps.config import Sweep
from spu_circuit.copies import Copies, Parts, Sampling, corners, draw, varying
from spu_circuit.errors import InputError
from spu_circuit.variation import Variation

Array = NDArray[np.float64]

MOST_CORNERS = 12
OTHER_SEED = 0x5EED_B0A2D
"""Added to the seed of the second, independent set of copies of a variance-based analysis."""


@dataclass(frozen=True)
class Case:
    """A numbered set of copies.

    Args:
        samples: how many.
        sampling: where their random numbers come from; None: they are corners.
        only: the one kind of parts that varies; None: all.
    """

    samples: int
    sampling: Sampling | None
    only: str | None = None


def cases_of(sweep: Sweep) -> dict[str, Case]:
    """The sets of copies of a sweep, by name.

    Raises:
        InputError: too many kinds of parts vary for all their corners.
    """
    analysis, seed = sweep.analysis, sweep.seed
    kinds = varying(sweep.device().variation)
    count = analysis.samples
    if analysis.kind == "monte carlo":
        return {"copies": Case(count, Sampling(seed, analysis.design, count))}
    if analysis.kind == "importance":
        return {"copies": Case(count, Sampling(seed, inflation=analysis.inflation))}
    if analysis.kind == "one at a time":
        return {kind: Case(count, Sampling(seed, analysis.design, count), kind) for kind in kinds}
    if analysis.kind == "variance based":
        other = seed + OTHER_SEED
        cases = {"A": Case(count, Sampling(seed)), "B": Case(count, Sampling(other))}
        return cases | {f"A with {kind} of B": Case(count, Sampling(seed, streams={kind: other})) for kind in kinds}
    if len(kinds) > MOST_CORNERS:
        raise InputError(
            f"analysis.kind {analysis.kind!r}: {len(kinds)} kinds of parts vary, which is {2 ** len(kinds)} corners; "
            f"let at most {MOST_CORNERS} vary, or take 'monte carlo'"
        )
    return {"corners": Case(1 + 2 ** len(kinds), None)}


def copies_of(
    case: Case, variation: Variation, temperature: float, parts: Mapping[str, Parts], samples: range
) -> Copies:
    """Some of the copies of a case."""
    if case.sampling is None:
        signs = corner_signs(varying(variation))[samples.start : samples.stop]
        kinds = varying(variation)
        return corners(variation, temperature, parts, {kind: signs[:, k : k + 1] for k, kind in enumerate(kinds)})
    if case.only is not None:
        variation = alone(variation, case.only)
    return draw(variation, temperature, parts, samples, case.sampling)


def alone(variation: Variation, kind: str) -> Variation:
    """The variation of one kind of parts only. Ageing and temperature coefficients, which are not random, stay."""
    nothing: dict[str, object] = {"correlation": {}}
    for other in varying(variation):
        if other == "temperature" != kind:
            nothing[other] = None
        elif other != kind:
            random = ("lot", "local", "matching", "gradient", "stuck_open", "stuck_closed")
            of_kind = getattr(variation, other)
            off = {name: type(of_kind).model_fields[name].default for name in random if hasattr(of_kind, name)}
            nothing[other] = of_kind.model_copy(update=off)
    return variation.model_copy(update=nothing)


def corner_signs(kinds: tuple[str, ...]) -> Array:
    """The nominal copy first, then all combinations of −1 and 1, (1 + 2^kinds, kinds)."""
    ends = np.array(list(product((-1.0, 1.0), repeat=len(kinds)))).reshape(-1, len(kinds))
    return np.concatenate([np.zeros((1, len(kinds))), ends])

"""Which samples a sweep draws, by the kind of its analysis."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from experiments.sweeps.config import Sweep
from spu_circuit.errors import InputError
from spu_circuit.sampling import Parts, Samples, Sampling, bounded, corners, draw, shared, varying
from spu_circuit.variation import Variation

Array = NDArray[np.float64]

NOMINAL = "nominal"
MOST_CORNERS = 12
RECOMMENDED = 4096
"""Base samples of a variance-based analysis: an index then has a standard error of about 0.02. Any number will do,
since the samples are independent; a power of two fills the blocks."""
OTHER_SEED = 0x5EED_B0A2D
"""Added to the seed of the second, independent set of samples of a variance-based analysis."""


@dataclass(frozen=True)
class Case:
    """A numbered set of samples.

    Args:
        samples: how many.
        sampling: where their random numbers come from; None: they are corners, of which the first is nominal.
        only: the one kind of parts that varies; None: all.
    """

    samples: int
    sampling: Sampling | None
    only: str | None = None


def cases_of(sweep: Sweep) -> dict[str, Case]:
    """The sets of samples of a sweep, by name.

    Raises:
        InputError: the analysis does not fit what varies, or the workload.
    """
    analysis, seed = sweep.analysis, sweep.seed
    variation = sweep.device().variation
    kinds = varying(variation)
    count = analysis.samples
    if analysis.kind == "contributions":
        _refuse_contributions(sweep)
    if analysis.kind in ("monte carlo", "contributions"):
        return {"copies": Case(count, Sampling(seed, analysis.design, count))}
    if analysis.kind == "importance":
        if shared(variation) == 0:
            raise InputError(
                "analysis.kind 'importance' widens what all parts of a copy share, and no lot, gradient or temperature "
                "varies; take 'monte carlo'"
            )
        return {"copies": Case(count, Sampling(seed, inflation=analysis.inflation))}
    if analysis.kind == "one at a time":
        sampling = Sampling(seed, analysis.design, count)
        return {NOMINAL: Case(1, None)} | {kind: Case(count, sampling, kind) for kind in kinds}
    if analysis.kind == "variance based":
        if variation.correlation:
            raise InputError(
                "analysis.kind 'variance based' shares the variance among kinds that vary independently; leave "
                "hardware.variation.correlation out"
            )
        if count < 2:
            raise InputError(f"analysis.samples is {count}, of which there is no variance; take {RECOMMENDED}")
        other = seed + OTHER_SEED
        cases = {"A": Case(count, Sampling(seed)), "B": Case(count, Sampling(other))}
        return cases | {f"A with {kind} of B": Case(count, Sampling(seed, streams={kind: other})) for kind in kinds}
    moved = with_extremes(variation)
    if not moved:
        raise InputError(f"analysis.kind {analysis.kind!r}: only stuck resistors or gradients vary; take 'monte carlo'")
    if analysis.kind == "worst case":
        if sweep.workload.systems > 1 or sweep.workload.kind == "training":
            raise InputError("analysis.kind 'worst case' looks at one system; set workload.systems = 1")
        return {"worst case": Case(1 + 2 * len(sweep.recorded), None)}
    if len(moved) > MOST_CORNERS:
        raise InputError(
            f"analysis.kind 'corners': {len(moved)} kinds of parts vary, which is {2 ** len(moved)} corners; "
            f"let at most {MOST_CORNERS} vary, or take 'worst case'"
        )
    return {"corners": Case(1 + 2 ** len(moved), None)}


def _refuse_contributions(sweep: Sweep) -> None:
    """Raise InputError where first order has no answer."""
    wrong = ""
    if sweep.workload.systems > 1 or sweep.workload.kind == "training":
        wrong = "looks at one system; set workload.systems = 1"
    elif sweep.time < inf:
        wrong = "is about settled solutions; leave time out"
    elif "relative_error" not in sweep.recorded:
        wrong = "shares the relative_error out; add it to metrics"
    elif sweep.device().array.wire_resistance:
        wrong = "has no derivatives behind wires; set hardware.array.wire_resistance = '0 Ω'"
    if wrong:
        raise InputError(f"analysis.kind 'contributions' {wrong}")


def samples_of(
    case: Case, variation: Variation, temperature: float, parts: Mapping[str, Parts], numbers: range
) -> Samples:
    """Some of the samples of a case. Those of a worst case, which must be looked for, are in ``worst``."""
    if case.sampling is None:
        kinds = with_extremes(variation)
        signs = corner_signs(kinds, numbers)
        # Where nothing has extremes, the nominal sample is still one.
        extremes = {"temperature": np.zeros((len(numbers), 1))} | {
            purpose: signs[:, kinds.index(purpose.split()[0]), None]
            for purpose in bounded(variation, parts)
            if not purpose.endswith("gradient")
        }
        return corners(variation, temperature, parts, extremes)
    if case.only is not None:
        variation = alone(variation, case.only)
    return draw(variation, temperature, parts, numbers, case.sampling)


def alone(variation: Variation, kind: str) -> Variation:
    """The variation of one kind of parts only; correlations mean nothing then.

    Ageing and temperature coefficients, which are not random, stay.
    """
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


def with_extremes(variation: Variation) -> tuple[str, ...]:
    """The kinds that corners move: those whose parts, or lot, deviate as a whole. Gradients and stuck ones do not."""
    return tuple(
        kind
        for kind in varying(variation)
        if kind == "temperature" or getattr(variation, kind).lot or getattr(variation, kind).mismatch
    )


def corner_signs(kinds: tuple[str, ...], numbers: range) -> Array:
    """Corners by number, (samples, kinds): 0 is nominal, then all combinations of −1 and 1, the last kind fastest."""
    bits = (np.array(numbers)[:, None] - 1) >> np.arange(len(kinds))[::-1] & 1
    return np.where(np.array(numbers)[:, None] == 0, 0.0, 2.0 * bits - 1.0)


def corner_name(sweep: Sweep, sample: int) -> str:
    """A sample of a corner or worst case analysis in words.

    "nominal"; "capacitor +, array_resistor −"; "power highest", where every part is at its bad extreme.
    """
    if sample == 0:
        return NOMINAL
    if sweep.analysis.kind == "worst case":
        return f"{sweep.recorded[(sample - 1) // 2]} {'highest' if sample % 2 else 'lowest'}"
    kinds = with_extremes(sweep.device().variation)
    signs = corner_signs(kinds, range(sample, sample + 1))[0]
    return ", ".join(f"{kind} {'+' if sign > 0 else '−'}" for kind, sign in zip(kinds, signs, strict=True))

"""Extreme value analysis: every part at the extreme of its distribution that is bad for a metric."""

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from experiments.sweeps.analyses.extremes import answer, tables_by, with_extremes
from experiments.sweeps.analyses.kind import AnalysisKind
from experiments.sweeps.bench import Bench, benches, metrics_of
from experiments.sweeps.config import Sweep
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.workloads import WORKLOADS
from solvers.behaviour import BLOCK
from spu_circuit.errors import InputError
from spu_circuit.sampling import DRIFT, Samples, bounded, corners

Array = NDArray[np.float64]

KIND = "worst case"
ROUNDS = 4
"""How often extremes are chosen anew, at most. Where the metric is monotonic in each part, the first round changes
nothing."""


def worst_extremes(
    bounded: Mapping[str, int], metrics: int, measured: Callable[[Mapping[str, Array]], Array]
) -> dict[str, Array]:
    """The extremes of all parts that make each metric high and low.

    From the nominal sample one part after the other goes to both its extremes, which gives the sign of the metric's
    sensitivity to it; then all go to their bad extremes together. From there each goes to its other extreme alone, and
    all that gain by it go together, or the best one, until none gains. So the bounds are exact where a metric is
    monotonic in each part, in the same sense whatever the others are. Elsewhere, as for errors, which parts of either
    sign make, they are corners that no single part makes worse (unless the rounds run out), and some sample may be
    worse.

    Args:
        bounded: what goes to its extremes, and how many there are of it.
        measured: extremes, (samples, how many) of each, to metrics, (metrics, samples); NaN where a sample is unstable.

    Returns:
        For each of ``bounded`` −1, 0 or 1, (1 + 2 · metrics, how many): nominal, then each metric's high and low.
    """
    cuts = np.cumsum(list(bounded.values()))
    count = int(cuts[-1])

    def values(extremes: Array) -> Array:
        found = measured(dict(zip(bounded, np.split(extremes, cuts[:-1], axis=1), strict=True)))
        return np.where(np.isnan(found), np.inf, found)

    starts = _starts(bounded, cuts)
    moves = np.concatenate([np.zeros((1, count)), np.eye(count), -np.eye(count)])
    alone = [values(np.clip(start + moves, -1, 1)) for start in starts]
    rows = [np.zeros(count)]
    for metric in range(metrics):
        for direction in (1.0, -1.0):

            def value(at: Array, metric: int = metric, direction: float = direction) -> Array:
                return np.asarray(direction * values(at)[metric])

            ends = []
            nominal = direction * float(alone[0][metric, 0])
            for start, around in zip(starts, alone, strict=True):
                # Infinite values are alike, so their differences are none.
                base = direction * around[metric]
                up, down = base[1 : count + 1], base[count + 1 :]
                extremes = np.where(up > down, 1.0, np.where(down > up, -1.0, start))
                ends.append(_climbed(extremes, nominal, value))
            rows.append(ends[0] if len(ends) == 1 else ends[int(np.argmax(value(np.stack(ends))))])
    return dict(zip(bounded, np.split(np.array(rows), cuts[:-1], axis=1), strict=True))


def _starts(bounded: Mapping[str, int], cuts: NDArray[np.intp]) -> Array:
    """Where the search begins, (starts, how many): at nominal; and where temperature coefficients spread also at both
    ends of the temperature, without which no coefficient matters, as temperature does not without them."""
    starts = np.zeros((1, int(cuts[-1])))
    if "temperature" in bounded and any(DRIFT in purpose for purpose in bounded):
        at = int(cuts[list(bounded).index("temperature")]) - 1
        starts = np.repeat(starts, 3, axis=0)
        starts[1:, at] = 1.0, -1.0
    return starts


def _climbed(extremes: Array, nominal: float, value: Callable[[Array], Array]) -> Array:
    """The extremes after all rounds; nominal where that is no worse."""
    highest = float(value(extremes[None])[0])
    for _ in range(ROUNDS):
        which, to = np.nonzero(extremes[:, None] != [-1.0, 1.0])
        moved = np.tile(extremes, (len(which), 1))
        moved[np.arange(len(which)), which] = 2.0 * to - 1.0
        found = value(moved)
        if not (found > highest).any():
            break
        together = extremes.copy()
        for k in np.argsort(found, kind="stable"):
            if found[k] > highest:
                together[which[k]] = moved[k, which[k]]
        one = moved[int(found.argmax())]
        both = value(np.stack([together, one]))
        extremes, highest = (together, float(both[0])) if both[0] > both[1] else (one, float(both[1]))
    return extremes if highest > nominal else np.zeros(len(extremes))


def sets(sweep: Sweep) -> dict[str, SampleSet]:
    with_extremes(sweep.device().variation, KIND)
    if sweep.workload.systems > 1 or WORKLOADS[sweep.workload.kind].systems is None:
        raise InputError("analysis.kind 'worst case' looks at one system; set workload.systems = 1")
    return {KIND: SampleSet(1 + 2 * len(sweep.recorded), None)}


def draw(sweep: Sweep, copies: SampleSet, bench: Bench, numbers: range) -> Samples:
    hardware = bench.device.hardware
    extremes = {purpose: at[numbers.start : numbers.stop] for purpose, at in _extremes(sweep).items()}
    return corners(hardware.variation, hardware.temperature, bench.board.places, extremes)


@lru_cache(maxsize=4)
def _extremes(sweep: Sweep) -> dict[str, Array]:
    (bench,) = benches(sweep, sweep.engine)
    hardware, places = bench.device.hardware, bench.board.places

    def measured(extremes: Mapping[str, Array]) -> Array:
        count, size = len(next(iter(extremes.values()))), BLOCK if sweep.engine == "network" else 1
        found = []
        for start in range(0, count, size):
            some = {purpose: at[start : start + size] for purpose, at in extremes.items()}
            samples = corners(hardware.variation, hardware.temperature, places, some)
            found.append(metrics_of(sweep, bench, samples)[0])
        return np.concatenate(found, axis=1)

    return worst_extremes(bounded(hardware.variation, places), len(sweep.recorded), measured)


def name_of(sweep: Sweep, sample: int) -> str:
    """A sample in words, such as "power highest", where every part is at its bad extreme."""
    return f"{sweep.recorded[(sample - 1) // 2]} {'highest' if sample % 2 else 'lowest'}"


WORST_CASE = AnalysisKind((), sets, draw, tables_by(name_of), title="Bounds", answer=answer)

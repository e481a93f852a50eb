"""Copies drawn where they fail, each with the weight that makes up for it: for yields near 1 − 10⁻⁶ of many parts.

Where they fail, the linear law of the nominal solution says first, and simulated copies after it.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from experiments.shared.files import inert
from experiments.sweeps.analyses.derivatives import without_derivatives
from experiments.sweeps.analyses.kind import AnalysisKind
from experiments.sweeps.bars import capital
from experiments.sweeps.bench import Bench, benches, metrics_of
from experiments.sweeps.config import Sweep
from experiments.sweeps.failing import Failing, failing
from experiments.sweeps.group import Group, Groups
from experiments.sweeps.linear_law import LinearLaw, law_of
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.tables import Table, Value
from experiments.sweeps.units import PER_MILLION, SHARE, text, titled
from solvers.behaviour import BLOCK
from spu_circuit.errors import InputError, SimulationError
from spu_circuit.proposal import EDGE, STAYING, Proposal
from spu_circuit.sampling import Samples, Sampling, at_scores, draw

Array = NDArray[np.float64]

KIND = "high sigma"
TRIED = 4 * BLOCK
"""Failing samples of the linear law that are simulated, to see how far it is from the circuit."""
ROUNDS = 5
CLOSE = 0.01
"""Median ratio of the circuit's severities to the law's, less 1, that is close enough."""
CAPTION = (
    "Copies that break a limit, in a million, with their 95 % interval. A design point is where a limit is first "
    "broken, in standard deviations from nominal; failing copies lie about it."
)


@dataclass(frozen=True)
class Target:
    """Where the samples of a sweep fail, and what they are drawn from instead."""

    failing: Failing
    proposal: Proposal


@lru_cache(maxsize=4)
def target_of(sweep: Sweep) -> Target:
    """Where the samples of a sweep fail by the linear law, its limits moved until the circuit agrees.

    Raises:
        SimulationError: none ever fails.
    """
    # A random walk follows the last digit, which the number of threads changes; all processes need the same answer.
    with threadpool_limits(1, user_api="blas"):
        return _target(sweep)


def _target(sweep: Sweep) -> Target:
    (bench,) = benches(sweep, "network")
    law, ratio, found = law_of(bench), 1.0, None
    for rng in map(np.random.default_rng, np.random.SeedSequence(sweep.seed).spawn(ROUNDS)):

        def severe(z: Array, ratio: float = ratio) -> Array:
            return ratio * _by_law(sweep, law, z)

        found = failing(severe, law.lever.shape[1], rng)
        if found is None:
            raise SimulationError("no copy breaks a limit, by the derivatives of the nominal device; tighten a limit")
        z = found.samples[rng.choice(len(found.samples), TRIED, replace=False)]
        further = float(np.median(_by_circuit(sweep, bench, law.scores(z, rng)) / severe(z)))
        if abs(further - 1) < CLOSE or not isfinite(further):
            break
        ratio *= further
    assert found is not None
    return Target(found, Proposal(law.directions, *found.groups()))


def _by_law(sweep: Sweep, law: LinearLaw, z: Array) -> Array:
    """The largest of the metrics over their limits, beyond 1 of which a sample fails, (samples,)."""
    solutions = law.solutions(z)
    found = []
    for name, limit in sweep.limits.items():
        metric = METRICS[name].of_solution
        assert metric is not None
        found.append(metric(solutions, law.exact) / limit.max)
    return np.max(found, axis=0)


def _by_circuit(sweep: Sweep, bench: Bench, scores: Mapping[str, Array]) -> Array:
    """The same of samples with these scores; of unstable ones infinite."""
    hardware, places = bench.device.hardware, bench.board.places
    at = {purpose: np.clip(own, -EDGE, EDGE) for purpose, own in scores.items()}
    found = []
    for start in range(0, TRIED, BLOCK):
        block = {purpose: own[start : start + BLOCK] for purpose, own in at.items()}
        values, unstable, *_ = metrics_of(
            sweep, bench, at_scores(hardware.variation, hardware.temperature, places, block)
        )
        limits = [values[sweep.recorded.index(name)] / limit.max for name, limit in sweep.limits.items()]
        found.append(np.where(unstable, inf, np.max(limits, axis=0)))
    return np.concatenate(found)


def sets(sweep: Sweep) -> dict[str, SampleSet]:
    """Raises InputError where the linear law has no answer."""
    if wrong := without_derivatives(sweep):
        raise InputError(f"analysis.kind {KIND!r}: {wrong}; take 'monte carlo'")
    unknown = [name for name in sweep.limits if METRICS[name].of_solution is None]
    if sweep.workload.systems > 1:
        wrong = "looks at one system; set workload.systems = 1"
    elif sweep.time < inf:
        wrong = "is about settled solutions; leave time out"
    elif not sweep.limits:
        wrong = "looks for copies that break limits; add a table [limits]"
    elif unknown:
        wrong = f"knows no derivatives of {unknown[0]}; leave it out of limits"
    elif any(not 0 < limit.max < inf or limit.min > -inf for limit in sweep.limits.values()):
        wrong = "takes limits with a max above 0 and no min; change limits"
    elif sweep.engine != "network":
        wrong = "is of engine 'network'; leave engine out, and let ngspice repeat a share by --audit"
    if wrong:
        raise InputError(f"analysis.kind {KIND!r} {wrong}")
    return {"copies": SampleSet(sweep.analysis.samples, Sampling(sweep.seed), heaviest=1 / STAYING)}


def drawn(sweep: Sweep, copies: SampleSet, bench: Bench, numbers: range) -> Samples:
    assert copies.sampling is not None
    hardware = bench.device.hardware
    proposal = target_of(sweep).proposal
    return draw(hardware.variation, hardware.temperature, bench.board.places, numbers, copies.sampling, proposal)


def tables(point: Groups) -> list[Table]:
    (group,) = point.values()
    given, distances = group.found_yield, np.linalg.norm(target_of(group.sweep).failing.points, axis=1)
    low, high = given.interval
    rows: list[tuple[str | Value, ...]] = [
        ("copies that fail", Value(1e6 * (1 - given.share), PER_MILLION, 1e6 * (1 - high), 1e6 * (1 - low))),
        ("failing copies drawn", f"{given.tried - given.good} of {given.tried}"),
        ("of equal weight they would be", f"{given.effective:.0f}"),
        ("share of the heaviest", Value(given.heaviest, SHARE)),
        ("design points", str(len(distances))),
        ("distance of the nearest", f"{distances[0]:.2f} σ" if len(distances) else "–"),
        *((f"of its square by {titled(kind)}", Value(share, SHARE)) for kind, share in blamed(group.sweep)),
    ]
    return [Table("yield", CAPTION, ("", "value"), tuple(rows))]


def blamed(sweep: Sweep) -> list[tuple[str, float]]:
    """How much of the nearest design point each kind of parts is, what is most first: shares of its squared distance.

    The importance factors α² of the first-order reliability method (Rackwitz and Fiessler 1978). Nothing where no limit
    has a design point.
    """
    target = target_of(sweep)
    if not len(target.failing.points):
        return []
    nearest, shares = target.failing.points[0], dict[str, float]()
    for purpose, along in target.proposal.directions.items():
        kind = purpose.split()[0]
        shares[kind] = shares.get(kind, 0.0) + float(((nearest @ along) ** 2).sum() / (nearest @ nearest))
    return sorted(shares.items(), key=lambda item: -item[1])


def answer(point: Groups) -> list[str]:
    (group,) = point.values()
    if not (shares := blamed(group.sweep)):
        return []
    kind, share = shares[0]
    return [
        f"{capital(titled(kind))} is to blame most for copies that fail: {text(share, SHARE)} of the nearest design "
        "point. What each part adds to the error of all copies, kind = 'monte carlo' says."
    ]


def files(groups: Sequence[Group]) -> dict[str, str]:
    """The yield at every point as CSV."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    head = ["failing [ppm]", "low [ppm]", "high [ppm]", "tried", "bad", "effective", "heaviest [1]"]
    writer.writerow(["point", "label", *head])
    for group in groups:
        given = group.found_yield
        ends = (given.share, *reversed(given.interval))
        shares = [repr(1e6 * (1 - end)) for end in ends]
        counts = [given.tried, given.tried - given.good, repr(given.effective), repr(given.heaviest)]
        writer.writerow(map(inert, [group.key[0], group.label, *shares, *counts]))
    return {"yield.csv": written.getvalue()}


HIGH_SIGMA = AnalysisKind(
    ("samples", "stop_width"), sets, drawn, tables, title="Failing copies", answer=answer, files=files
)

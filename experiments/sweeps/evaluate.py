"""What a worker does: some samples of one set of one point of a sweep, from description to metrics."""

from math import inf

import numpy as np
from threadpoolctl import threadpool_limits

from experiments.sweeps.analyses import ANALYSES
from experiments.sweeps.bench import Bench, benches, metrics_of
from experiments.sweeps.config import Sweep
from experiments.sweeps.rows import Row, failed
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.workloads import WORKLOADS
from solvers.behaviour import BLOCK
from spu_circuit.errors import SpuError
from spu_circuit.sampling import Samples

TRIES = 2
"""How often a sample is simulated before its failure counts."""


def evaluate(sweep: Sweep, copies: SampleSet, numbers: range, engine: str) -> list[Row]:
    """Simulate consecutive samples.

    The last digits of the network's results depend on how many samples are computed together. So a set that may be
    extended is always computed in whole blocks.

    Args:
        numbers: starting at a multiple of ``BLOCK``, where the engine is network.
    """
    size = BLOCK if engine == "network" and WORKLOADS[sweep.workload.kind].measure is None else 1
    rows: list[Row] = []
    # The processes share the work; BLAS threads would only wait for each other.
    with threadpool_limits(1, user_api="blas"):
        for start in range(numbers.start, numbers.stop, size):
            wanted = range(start, min(start + size, numbers.stop))
            block = range(start, start + size) if copies.extends else wanted
            try:
                rows += _rows(sweep, copies, block, engine)[: len(wanted)]
            except Exception:  # whatever a sample does, it must not stop the sweep
                rows += [_alone(sweep, copies, number, engine) for number in wanted]
    return rows


def _alone(sweep: Sweep, copies: SampleSet, sample: int, engine: str) -> Row:
    reason = ""
    for _ in range(TRIES - (engine == "ngspice")):
        try:
            return _rows(sweep, copies, range(sample, sample + 1), engine)[0]
        except SpuError as error:
            reason = str(error)
        except Exception as error:  # kept with its reason, as a sample that ngspice cannot simulate
            reason = f"{type(error).__name__}: {error}"
    return failed(sample, reason, len(sweep.recorded))


def drawn_samples(sweep: Sweep, copies: SampleSet, bench: Bench, numbers: range) -> Samples:
    """Some of the samples of a set."""
    return ANALYSES[sweep.analysis.kind].draw(sweep, copies, bench, numbers)


def _rows(sweep: Sweep, copies: SampleSet, numbers: range, engine: str) -> list[Row]:
    if (measure := WORKLOADS[sweep.workload.kind].measure) is not None:
        return [Row(number, "ok", "", 1.0, measure(sweep, copies, number)) for number in numbers]
    worst = np.full((len(sweep.recorded), len(numbers)), -inf)
    weights, unstable = np.ones(len(numbers)), np.zeros(len(numbers), dtype=bool)
    bent, off = np.zeros(len(numbers)), np.zeros(len(numbers))
    for bench in benches(sweep, engine):
        samples = drawn_samples(sweep, copies, bench, numbers)
        found = metrics_of(sweep, bench, samples)
        worst, unstable = np.maximum(worst, found.metrics), unstable | found.unstable
        bent, off = np.maximum(bent, found.bent), np.maximum(off, found.rates_off)
        weights = samples.weights
    return [
        Row(
            number,
            "unstable" if unstable[k] else "ok",
            "",
            float(weights[k]),
            tuple(worst[:, k].tolist()),
            0.0 if unstable[k] else float(bent[k]),
            0.0 if unstable[k] else float(off[k]),
        )
        for k, number in enumerate(numbers)
    ]

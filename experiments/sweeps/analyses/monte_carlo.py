"""Copies as a factory makes them: how many keep the limits, and what goes with a metric."""

from experiments.sweeps.analyses.kind import AnalysisKind
from experiments.sweeps.config import Sweep
from experiments.sweeps.samples import SampleSet
from spu_circuit.sampling import Sampling


def sets(sweep: Sweep) -> dict[str, SampleSet]:
    count = sweep.analysis.samples
    return {"copies": SampleSet(count, Sampling(sweep.seed, sweep.analysis.design, count))}


MONTE_CARLO = AnalysisKind(("samples", "design", "stop_width"), sets)

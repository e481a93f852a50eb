"""Copies with wider lots, which fail more often, each with the weight that makes up for it: for rare failures."""

from experiments.sweeps.analyses.contributions import answer, files, tables
from experiments.sweeps.analyses.kind import AnalysisKind
from experiments.sweeps.config import Sweep
from experiments.sweeps.samples import SampleSet
from spu_circuit.errors import InputError
from spu_circuit.sampling import Sampling, shared


def sets(sweep: Sweep) -> dict[str, SampleSet]:
    analysis = sweep.analysis
    widened = shared(sweep.device().variation)
    if widened == 0:
        raise InputError(
            "analysis.kind 'importance' widens what all parts of a copy share, and no lot, gradient or temperature "
            "varies; take 'monte carlo'"
        )
    sampling = Sampling(sweep.seed, inflation=analysis.inflation)
    return {"copies": SampleSet(analysis.samples, sampling, heaviest=analysis.inflation**widened)}


IMPORTANCE = AnalysisKind(
    ("samples", "inflation", "stop_width"), sets, tables=tables, title="Contributions", answer=answer, files=files
)

"""How the samples of a sweep are chosen and what is found in them: the kinds of analyses, one file each."""

from experiments.sweeps.analyses.contributions import CONTRIBUTIONS
from experiments.sweeps.analyses.corners import CORNERS
from experiments.sweeps.analyses.high_sigma import HIGH_SIGMA
from experiments.sweeps.analyses.importance import IMPORTANCE
from experiments.sweeps.analyses.kind import AnalysisKind
from experiments.sweeps.analyses.monte_carlo import MONTE_CARLO
from experiments.sweeps.analyses.one_at_a_time import ONE_AT_A_TIME
from experiments.sweeps.analyses.variance_based import VARIANCE_BASED
from experiments.sweeps.analyses.worst_case import WORST_CASE
from experiments.sweeps.config import Sweep
from experiments.sweeps.samples import SampleSet

ANALYSES: dict[str, AnalysisKind] = {
    "monte carlo": MONTE_CARLO,
    "importance": IMPORTANCE,
    "high sigma": HIGH_SIGMA,
    "corners": CORNERS,
    "worst case": WORST_CASE,
    "one at a time": ONE_AT_A_TIME,
    "variance based": VARIANCE_BASED,
    "contributions": CONTRIBUTIONS,
}


def sets_of(sweep: Sweep) -> dict[str, SampleSet]:
    """The sets of samples of a sweep, by name.

    Raises:
        InputError: the analysis does not fit what varies, or the workload.
    """
    return ANALYSES[sweep.analysis.kind].sets(sweep)

"""Copies as a factory makes them: how many keep the limits, and which parts make the error."""

from experiments.sweeps.analyses.contributions import answer, files, tables
from experiments.sweeps.analyses.kind import AnalysisKind, copies_of

MONTE_CARLO = AnalysisKind(
    ("samples", "design", "stop_width"),
    lambda sweep: {"copies": copies_of(sweep)},
    tables=tables,
    title="Contributions",
    answer=answer,
    files=files,
)

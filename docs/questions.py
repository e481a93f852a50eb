"""The table of curvatures on questions."""

from collections.abc import Iterator, Sequence

import numpy as np

from docs.markdown import number, table
from experiments.claims.claim import Rows, grouped
from experiments.claims.rules import Condition


def curvatures(rows: Rows) -> str:
    """How far natural gradients are from those of Gauss-Newton, means over batches."""

    def lines() -> Iterator[Sequence[str]]:
        for (curvature, draws), own in grouped(rows, "curvature", "draws").items():
            exact = all(float(row["distance"]) == 0 for row in own)
            seconds = [np.median([float(row[f"seconds_to_{what}"]) for row in own]) for what in ("form", "solve")]
            solved = own[0]["rows"] != "0"
            yield (
                f"{curvature}, m = {draws}" if draws != "0" else curvature,
                f"{int(own[0]['rows']):,}" if solved else "–",
                *(
                    "–" if exact else _interval([float(row[field]) for row in own], ".2f")
                    for field in ("distance", "cosine")
                ),
                *(number(value) if solved else "–" for value in seconds),
            )

    return table(("curvature", "K", "distance of g̃", "cosine", "seconds to form B", "to solve"), lines())


def _interval(values: Sequence[float], form: str) -> str:
    """Mean and its 95 % interval."""
    mean, low, high = Condition("", "", tuple(map(float, values)), 0.0, "below").interval
    return f"{mean:{form}} ({low:{form}} to {high:{form}})"

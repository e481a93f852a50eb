"""One sample's result."""

from dataclasses import dataclass

import numpy as np

STATUSES = ("ok", "unstable", "failed")
"""Of samples; unstable: a mode of its circuit grows, so that it solves nothing."""


@dataclass(frozen=True)
class Row:
    """One sample's result.

    Args:
        status: one of ``STATUSES``.
        reason: why it failed.
        weight: see ``Samples``.
        metrics: in the order of ``Sweep.recorded``; NaN where there is none.
    """

    sample: int
    status: str
    reason: str
    weight: float
    metrics: tuple[float, ...]


def failed(sample: int, reason: str, metrics: int) -> Row:
    """The row of a sample that could not be simulated."""
    return Row(sample, "failed", " ".join(reason.split()), 1.0, (np.nan,) * metrics)

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
        bent: how far limits of amplifiers move its outputs at rest, of the largest.
        rates_off: how far tangents of its amplifiers are off on the way, of the rates; infinite: by more than is known.
    """

    sample: int
    status: str
    reason: str
    weight: float
    metrics: tuple[float, ...]
    bent: float = 0.0
    rates_off: float = 0.0


def failed(sample: int, reason: str, metrics: int) -> Row:
    """The row of a sample that could not be simulated."""
    return Row(sample, "failed", " ".join(reason.split()), 1.0, (np.nan,) * metrics)

"""How much time and memory a sweep takes, estimated before it is begun."""

from dataclasses import dataclass
from math import inf
from time import perf_counter

from experiments.shared.memory import machine_memory, size_text
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.study import Study
from experiments.sweeps.workloads import WORKLOADS
from solvers.behaviour import BLOCK
from spu_circuit.errors import InputError

ROW, NUMBER = 700, 75
"""Bytes that a finished copy takes in the process that writes the report, and each of its metrics."""
MOST_SECONDS = 30 * 86400.0
"""What a sweep may take. Who has more time runs several, with seeds of their own."""
STARTING = 2.0
"""Seconds until worker processes have begun to compute, and to end them."""
MANY = 1000
"""Copies of engine network from which it is worth timing some; ngspice takes about as long for BLOCK times fewer."""


@dataclass(frozen=True)
class Size:
    """An estimate.

    Args:
        copies: of all points.
        memory: bytes of the process that writes the report.
        seconds: of all workers together, a cross-check not counted; 0 where nobody has timed it.
    """

    copies: int
    memory: float
    seconds: float

    def processes(self, workers: int) -> int:
        """How many of so many workers make it faster."""
        alone, together = self.seconds, STARTING + self.seconds / workers
        return 1 if 0 < alone <= together else workers

    def __str__(self) -> str:
        time = f", {duration_text(self.seconds)} of computing" if self.seconds else ""
        return f"{self.copies:,} copies: about {size_text(self.memory)} of memory{time}"


def check_size(study: Study, workers: int, scheduler: str | None) -> Size:
    """The size of a study.

    Raises:
        InputError: it does not fit into this machine's memory, or takes longer than ``MOST_SECONDS``.
    """
    copies = sum(each.samples for _, _, each in study.sets())
    memory = float(copies) * (ROW + NUMBER * len(study.sweeps[0].recorded))
    held = machine_memory()
    if memory > held:
        raise InputError(
            f"analysis.samples: {float(copies):.3g} copies take about {size_text(memory)} of memory, and this machine "
            f"has {size_text(held)}; lower it, or run several sweeps with seeds of their own"
        )
    size = Size(copies, memory, copies * _pace(study) if copies >= _worth_timing(study) else 0.0)
    lasts = size.seconds / workers if scheduler is None else 0.0
    if lasts > MOST_SECONDS:
        raise InputError(
            f"analysis.samples: {copies:,} copies take about {duration_text(lasts)} with {workers} workers, and at "
            f"most {duration_text(MOST_SECONDS)} are begun; lower it, give more workers, or a scheduler"
        )
    return size


def duration_text(seconds: float) -> str:
    """A duration as people read it."""
    for unit, length, most in (("s", 1, 120), ("minutes", 60, 120), ("hours", 3600, 48), ("days", 86400, 1000)):
        if seconds < most * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds / 31557600:.3g} years"


def _worth_timing(study: Study) -> float:
    sweep = study.sweeps[0]
    if WORKLOADS[sweep.workload.kind].systems is None:
        return inf
    return MANY if sweep.engine == "network" else MANY / BLOCK


def _pace(study: Study) -> float:
    """Seconds a copy takes, by the first ones of the first point."""
    _, sweep, copies = max((each for each in study.sets() if each[0][0] == 0), key=lambda each: each[2].samples)
    count, runs = (min(copies.samples, BLOCK), 3) if sweep.engine == "network" else (1, 1)
    took = []
    for _ in range(runs):  # the first prepares what all copies need, and what else the machine does only adds
        began = perf_counter()
        evaluate(sweep, copies, range(count), sweep.engine)
        took.append(perf_counter() - began)
    return min(took) / count

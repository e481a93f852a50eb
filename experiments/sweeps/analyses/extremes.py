"""Parts at the ends of their distributions: what corners and the worst case have in common."""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.sweeps.config import Sweep
from experiments.sweeps.group import Group, Groups, ranked
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.samples import NOMINAL
from experiments.sweeps.tables import Table, Value
from experiments.sweeps.units import metric_text, titled
from spu_circuit.errors import InputError
from spu_circuit.sampling import varying
from spu_circuit.variation import Variation

CAPTION = "The ends of each metric over the corners, and the nominal copy. An unstable corner is beyond every end."


def with_extremes(variation: Variation, analysis: str) -> tuple[str, ...]:
    """The kinds that corners move: those whose parts, lot or temperature coefficients deviate as a whole. Gradients and
    stuck ones do not.

    Raises:
        InputError: there is none.
    """
    moved = tuple(kind for kind in varying(variation) if kind == "temperature" or _deviates(getattr(variation, kind)))
    if not moved:
        raise InputError(f"analysis.kind {analysis!r}: only stuck resistors or gradients vary; take 'monte carlo'")
    return moved


def _deviates(of_kind: Any) -> bool:
    return bool(of_kind.drawn_lot or of_kind.mismatch or of_kind.temperature_coefficient.spread)


def bounds(group: Group, metric: str) -> dict[str, tuple[float, int]]:
    """The lowest, nominal and highest value of a metric, each with the number of its sample."""
    values = group.column(metric)
    places = {"lowest": int(np.argmin(values)), "highest": int(np.argmax(values))}
    if 0 in group.samples:
        places["nominal"] = int(np.flatnonzero(group.samples == 0)[0])
    order = [name for name in ("lowest", "nominal", "highest") if name in places]
    return {name: (float(values[places[name]]), int(group.samples[places[name]])) for name in order}


def tables_by(name_of: Callable[[Sweep, int], str]) -> Callable[[Groups], list[Table]]:
    """Tables of the bounds of every metric.

    Args:
        name_of: a sample in words.
    """

    def tables(point: Groups) -> list[Table]:
        (group,) = point.values()
        found = []
        for metric in group.sweep.recorded:
            unit = METRICS[metric].unit
            rows = [
                (name, Value(value, unit), NOMINAL if sample == 0 else name_of(group.sweep, sample))
                for name, (value, sample) in bounds(group, metric).items()
            ]
            found.append(Table(metric, CAPTION, ("", "value", "corner"), tuple(rows)))
        return found

    return tables


def answer(point: Groups) -> list[str]:
    """How far the worst corner goes, and how many keep the limits."""
    (group,) = point.values()
    name = ranked(group.sweep)[0]
    values = group.column(name)
    text = f"the worst corner has {titled(name)} {metric_text(name, float(values[np.argmax(group.badness(name))]))}"
    ends = bounds(group, name)
    if "nominal" in ends:
        text += f", the nominal copy {metric_text(name, ends['nominal'][0])}"
    kept = f"; {group.found_yield.good} of {group.found_yield.tried} keep all limits" * bool(group.sweep.limits)
    return [f"{text}{kept}."]

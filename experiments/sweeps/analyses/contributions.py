"""What each part adds to the error of the samples, to first order, beside what the samples themselves say."""

import csv
import io
from collections.abc import Sequence

from experiments.shared.files import inert
from experiments.sweeps.analyses.first_order import METRIC, Addition, FirstOrder, explain, first_order, unfit
from experiments.sweeps.analyses.kind import AnalysisKind, copies_of
from experiments.sweeps.bars import capital
from experiments.sweeps.config import Sweep
from experiments.sweeps.group import Group, Groups
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.tables import Table, Value
from experiments.sweeps.units import SHARE, metric_text, text, titled
from spu_circuit.errors import InputError

TOP = 10
"""Single parts that tables list."""
FEW = 0.5
"""Share of the samples' variance below which first order decides nothing."""
FLOOR = 0.1
"""Share of the mean square from which the nominal error is worth a word."""
CAPTION = (
    "What each kind of parts, and the single parts that matter most, add to the mean square of the relative error, "
    "by the derivatives of the nominal solution. Stuck resistors are not in it. Every part is in contributions.csv."
)
HEAD = ("adds to the error", "part", "rms relative error", "share")


def ranked(additions: Sequence[Addition]) -> tuple[list[Addition], list[Addition]]:
    """Kinds, and the single parts that add most; what adds most first."""
    every = sorted(additions, key=lambda addition: -addition.share)
    return [one for one in every if not one.part], [one for one in every if one.part][:TOP]


def _first(group: Group) -> FirstOrder | str:
    sampling = group.copies.sampling
    return first_order(group.sweep, 1.0 if sampling is None else sampling.inflation)


def tables(point: Groups) -> list[Table]:
    (group,) = point.values()
    first = _first(group)
    if isinstance(first, str):
        return []
    told, unit = explain(group, first), METRICS[METRIC].unit
    kinds, parts = ranked(first.additions)
    rows: list[tuple[str | Value, ...]] = [
        (one.kind, one.part or "all", Value(one.rms, unit), Value(one.share, SHARE)) for one in (*kinds, *parts)
    ]
    rows.append(("nothing: the nominal device", "", Value(first.nominal, unit), ""))
    rows.append(("first order, nominal error included", "", Value(first.expected, unit), ""))
    left_out = f"{told.left_out} without a finite value left out" if told.left_out else ""
    rows.append(("the samples", left_out, Value(told.measured, unit, *told.interval), ""))
    rows.append(("their variance explained", "", "", Value(told.explained, SHARE)))
    return [Table(METRIC, CAPTION, HEAD, tuple(rows))]


def answer(point: Groups) -> list[str]:
    (group,) = point.values()
    first = _first(group)
    if isinstance(first, str):
        return [f"What each part adds to the error is not known to first order, since {first.rstrip('.')}."]
    kinds, parts = ranked(first.additions)
    if not first.total > 0:
        return [f"To first order, nothing that varies moves the {titled(METRIC)}."]
    explained = explain(group, first).explained
    kind, share = capital(titled(kinds[0].kind)), text(kinds[0].share, SHARE)
    said = (
        f"{kind} adds most to the {titled(METRIC)}: {share} of the mean square that variation makes, "
        f"to first order, which explains {text(explained, SHARE)} of the variance between "
        f"the copies{', too little to decide by' if explained < FEW else ''}."
    )
    if parts:
        said += f" Of single parts {parts[0].part} ({titled(parts[0].kind)}) adds most, {text(parts[0].share, SHARE)}."
    if first.nominal**2 > FLOOR * first.expected**2:
        said += f" Without any spread the error is {metric_text(METRIC, first.nominal)}."
    return [said]


def files(groups: Sequence[Group]) -> dict[str, str]:
    """Every kind and part of every point as CSV; shares and relative errors as fractions."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["point", "kind", "part", "rms_relative_error [1]", "share [1]"])
    known = [(group, first) for group in groups if not isinstance(first := _first(group), str)]
    for group, first in known:
        for one in first.additions:
            writer.writerow(map(inert, [group.key[0], one.kind, one.part, repr(one.rms), repr(one.share)]))
    return {"contributions.csv": written.getvalue()} if known else {}


def sets(sweep: Sweep) -> dict[str, SampleSet]:
    """Raises InputError where first order has no answer."""
    if wrong := unfit(sweep):
        raise InputError(f"analysis.kind 'contributions': {wrong}; take 'monte carlo'")
    return {"copies": copies_of(sweep)}


CONTRIBUTIONS = AnalysisKind(
    ("samples", "design", "stop_width"), sets, tables=tables, title="Contributions", answer=answer, files=files
)

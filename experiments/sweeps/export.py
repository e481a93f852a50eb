"""Every sample of a sweep as a row of a table that other programs read."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from experiments.shared.files import inert, writing
from experiments.shared.grid import value_text
from experiments.sweeps.findings import Findings, findings, study_in
from experiments.sweeps.group import Group
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.redraw import part_counts, redrawn
from experiments.sweeps.statistics import limits_kept
from experiments.sweeps.store import SweepStore
from experiments.sweeps.units import SI_UNITS
from experiments.sweeps.workloads import WORKLOADS
from spu_circuit.errors import InputError, did_you_mean

MOST_PARTS = 100_000_000
"""Drawn values of single parts in a file: they take 0.8 GB of memory."""

WRITERS = {
    ".parquet": pyarrow.parquet.write_table,
    ".csv": lambda table, file: pyarrow.csv.write_csv(_inert(table), file),
}


def export(store: SweepStore, path: Path, parts: Collection[str] = ()) -> int:
    """Write every finished sample to a file, whole or not at all.

    Args:
        path: .parquet, with unit and meaning in the metadata of each column; or .csv, with the unit in its head.
        parts: kinds of which each part's deviation is written.

    Returns:
        How many samples.

    Raises:
        InputError: another suffix, no samples, a kind that does not vary, too many parts, or a file that cannot be
            written.
    """
    writer = WRITERS.get(path.suffix)
    if writer is None:
        raise InputError(f"to: {str(path)!r} ends in {path.suffix!r}; name a file that ends in {' or '.join(WRITERS)}")
    made = table(findings(study_in(store), store), parts)
    if made.num_rows == 0:
        raise InputError(f"output: {str(store.folder)!r} holds no finished copy yet; run the sweep first")
    with writing(path, field="to") as file:
        writer(made, file)
    return int(made.num_rows)


def table(found: Findings, parts: Collection[str] = ()) -> pa.Table:
    """Point, what the grid sets, case, sample, status, reason, weight, tangents, limits, what was drawn, and metrics.

    Numbers are in SI. A metric that a sample does not have (it failed or is unstable) is null; one that is infinite is
    so.
    """
    rows = [(group, row) for group in found.every for row in group.rows]
    points = [group.key[0] for group, _ in rows]
    columns: list[tuple[pa.Field, Any]] = [(_field("point", pa.int64(), "number of the point of the grid"), points)]
    for name in found.study.settings[0]:
        values, kind = _alike([setting[name] for setting in found.study.settings])
        columns.append((_field(name, kind, "set by the grid, as in the config"), [values[point] for point in points]))
    columns += [
        (_field("case", pa.string(), "set of copies within the analysis"), [group.key[1] for group, _ in rows]),
        (_field("sample", pa.int64(), "number of the copy, which its parts are drawn by"), [r.sample for _, r in rows]),
        (_field("status", pa.string(), "ok, unstable or failed"), [row.status for _, row in rows]),
        (_field("reason", pa.string(), "why it failed"), [row.reason for _, row in rows]),
        (
            _field("weight", pa.float64(), "copies of the wanted distribution it stands for", "1"),
            [row.weight for _, row in rows],
        ),
        (
            _field("bent", pa.float64(), "how far limits of amplifiers move outputs at rest, of the largest", "1"),
            [row.bent for _, row in rows],
        ),
        (
            _field("rates_off", pa.float64(), "how far tangents of amplifiers are off on the way, of the rates", "1"),
            [row.rates_off for _, row in rows],
        ),
    ]
    if found.sweep.limits:
        meaning = "whether it keeps {}; null where it failed, which counts for no yield"
        kept = [_kept(group) for group in found.every]
        for name in ("limits", *found.sweep.limits):
            of = "all limits" if name == "limits" else f"the limits of {name}"
            values = [one for each in kept for one in each[name]]
            columns.append((_field(f"keeps_{name}", pa.bool_(), meaning.format(of)), values))
    columns += _drawn(found, parts)
    names = found.sweep.recorded
    metrics = np.array([row.metrics for _, row in rows]).reshape(len(rows), len(names))
    for name, column in zip(names, metrics.T, strict=True):
        field = _field(name, pa.float64(), METRICS[name].meaning, _si(METRICS[name].unit))
        columns.append((field, pa.array(column, pa.float64(), from_pandas=True)))  # NaN becomes null
    about = {"sweep": found.study.config, "versions": found.versions}
    schema = pa.schema([field for field, _ in columns], {name: json.dumps(value) for name, value in about.items()})
    return pa.table([pa.array(values, field.type) for field, values in columns], schema=schema)


def _kept(group: Group) -> dict[str, list[bool | None]]:
    """Metric with a limit, and "limits" for all → which rows keep it; None: the row failed."""
    of_tried = {"limits": group.good, **limits_kept(group.sweep, group.tried)}
    found = {}
    for name, kept in of_tried.items():
        each = iter(kept.tolist())
        found[name] = [None if row.status == "failed" else next(each) for row in group.rows]
    return found


def _drawn(found: Findings, parts: Collection[str]) -> list[tuple[pa.Field, Any]]:
    """Temperature, traits, and each part of the kinds; null where a group does not have it."""
    if WORKLOADS[found.sweep.workload.kind].systems is None:
        if parts:
            raise InputError("parts: what whole trainings drew is not exported; leave parts out")
        return []
    counts = [part_counts(group) for group in found.every]
    known = dict.fromkeys(kind for each in counts for kind in each)
    for kind in parts:
        if kind not in known:
            raise InputError(f"parts: {kind!r} does not vary in this sweep; {did_you_mean(kind, known)}")
    size = sum(len(g.rows) * each.get(kind, 0) for g, each in zip(found.every, counts, strict=True) for kind in parts)
    if size > MOST_PARTS:
        raise InputError(f"parts: {size:,} drawn values are above {MOST_PARTS:,}; export fewer kinds, or fewer copies")
    ends = np.cumsum([0, *(len(group.rows) for group in found.every)])
    columns: dict[str, tuple[pa.Field, Any]] = {}
    for start, group in zip(ends[:-1], found.every, strict=True):
        for name, trait in redrawn(group, dict.fromkeys(parts)).items():
            meaning = f"{trait.name}, as it was drawn; null where it does not vary"
            field = _field(f"drawn.{name}", pa.float64(), meaning, _si(trait.unit))
            _, values = columns.setdefault(name, (field, np.full(ends[-1], np.nan)))
            values[start : start + len(group.rows)] = trait.values
    return [(field, pa.array(values, pa.float64(), from_pandas=True)) for field, values in columns.values()]


def _si(unit: str) -> str:
    return SI_UNITS.get(unit, unit)


def _field(name: str, kind: pa.DataType, meaning: str, unit: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"meaning": meaning} | ({"unit": unit} if unit else {}))


def _alike(values: Sequence[Any]) -> tuple[list[Any], pa.DataType]:
    """Values of one type: numbers where all are, else text."""
    if all(isinstance(value, bool) for value in values):
        return list(values), pa.bool_()
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return [float(value) for value in values], pa.float64()
    return [value_text(value) for value in values], pa.string()


def _inert(table: pa.Table) -> pa.Table:
    """For spreadsheets: units in the head, and no text that they would compute."""
    units = [(field.metadata or {}).get(b"unit", b"").decode() for field in table.schema]
    head = [f"{name} [{unit}]" if unit else name for name, unit in zip(table.column_names, units, strict=True)]
    columns = [
        pa.array(map(inert, column.to_pylist()), pa.string()) if column.type == pa.string() else column
        for column in table.columns
    ]
    return pa.table(columns, names=list(map(inert, head)))

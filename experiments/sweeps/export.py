"""Every sample of a sweep as a row of a table that other programs read."""

import json
from collections.abc import Sequence
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
from experiments.sweeps.store import SweepStore
from experiments.sweeps.units import SI_UNITS
from spu_circuit.errors import InputError

WRITERS = {
    ".parquet": pyarrow.parquet.write_table,
    ".csv": lambda table, file: pyarrow.csv.write_csv(_inert(table), file),
}


def export(store: SweepStore, path: Path) -> int:
    """Write every finished sample to a file, whole or not at all.

    Args:
        path: .parquet, with unit and meaning in the metadata of each column; or .csv, with the unit in its head.

    Returns:
        How many samples.

    Raises:
        InputError: another suffix, no samples, or a file that cannot be written.
    """
    writer = WRITERS.get(path.suffix)
    if writer is None:
        raise InputError(f"to: {str(path)!r} ends in {path.suffix!r}; name a file that ends in {' or '.join(WRITERS)}")
    made = table(findings(study_in(store), store))
    if made.num_rows == 0:
        raise InputError(f"output: {str(store.folder)!r} holds no finished copy yet; run the sweep first")
    with writing(path, field="to") as file:
        writer(made, file)
    return int(made.num_rows)


def table(found: Findings) -> pa.Table:
    """Point, what the grid sets, case, sample, status, reason, weight, tangents, limits, then the metrics in SI units.

    A metric that a sample does not have (it failed or is unstable) is null; one that is infinite is so.
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
        meaning = "whether it keeps all limits; null where it failed, which counts for no yield"
        columns.append((_field("keeps_limits", pa.bool_(), meaning), [kept for g in found.every for kept in _kept(g)]))
    names = found.sweep.recorded
    metrics = np.array([row.metrics for _, row in rows]).reshape(len(rows), len(names))
    for name, column in zip(names, metrics.T, strict=True):
        unit = SI_UNITS.get(METRICS[name].unit, METRICS[name].unit)
        field = _field(name, pa.float64(), METRICS[name].meaning, unit)
        columns.append((field, pa.array(column, pa.float64(), from_pandas=True)))  # NaN becomes null
    about = {"sweep": found.study.config, "versions": found.versions}
    schema = pa.schema([field for field, _ in columns], {name: json.dumps(value) for name, value in about.items()})
    return pa.table([pa.array(values, field.type) for field, values in columns], schema=schema)


def _kept(group: Group) -> list[bool | None]:
    good = iter(group.good.tolist())
    return [None if row.status == "failed" else next(good) for row in group.rows]


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

"""The store of a sweep: every finished sample, in SQLite. What is in it is never lost."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from experiments.shared.store import (
    CONFIG,
    UNREADABLE,
    StoreBase,
    damaged,
    first_difference,
    intact,
    sealed,
    set_aside,
    silent_connection,
)
from experiments.sweeps.config import Analysis, Sweep
from experiments.sweeps.rows import STATUSES, Row
from experiments.sweeps.samples import WHOLE, SampleSet
from experiments.sweeps.study import Key
from spu_circuit.errors import InputError

NAME = "sweep.sqlite"
COLUMNS = (
    '(point INTEGER, "case" TEXT, sample INTEGER, status TEXT, reason TEXT, weight REAL, metrics BLOB, '
    'bent REAL, rates_off REAL, checksum, PRIMARY KEY (point, "case", sample)) WITHOUT ROWID'
)


class SweepStore(StoreBase):
    """The store of a sweep's folder. One that is damaged and written to is set aside whole, and a new one takes over
    what can be read of it."""

    NAME, HOLDS, CLAIM, LAYOUT = NAME, "sweep", "sweep", 5
    NEWS = "whose rows say where tangents of amplifiers do not hold"
    TABLES = {"copies": COLUMNS, "audit": COLUMNS}  # noqa: RUF012

    set_aside: Path | None = None
    """Where the damaged store is that this one takes the place of."""

    def _check_existing(self) -> None:
        if damaged(self.path) or self._has_changed_rows():
            self.set_aside = set_aside(self.path)
        else:
            super()._check_existing()

    def _opened_for_writing(self) -> sqlite3.Connection:
        connection = super()._opened_for_writing()
        if self.set_aside is not None:
            self._take_over(self.set_aside, connection)
        return connection

    def claim(self, config: dict[str, Any], versions: dict[str, str]) -> None:
        """See ``StoreBase.claim``; what changes no sample that is there may grow afterwards: the number of samples,
        and the share that is cross-checked.

        Raises:
            InputError: also where samples are to be added that depend on how many there are.
        """
        super().claim(config, versions)
        with self._transaction():
            kept = self.claimed()[self.CLAIM]
            audit = max(kept.get("audit", 0), config.get("audit", 0))
            if _count(config) > _count(kept) or audit > kept.get("audit", 0):
                self._keep({self.CLAIM: config | {"audit": audit}})

    def note(self, name: str, values: Mapping[str, Any]) -> None:
        """Keep further values beside the config. Raises InputError where they cannot be."""
        with self._transaction():
            self._keep({name: values})

    def _difference(self, kept: dict[str, Any], new: dict[str, Any]) -> tuple[str, Any, Any] | None:
        old, young = _counted(kept), _counted(new)
        if (old_count := _count(kept)) < (count := _count(new)):
            old = _counted(kept, count)
            if old == young and WHOLE in _designs(new):
                raise InputError(
                    f"output: {str(self.folder)!r} holds {old_count} samples of design {WHOLE!r}, which divides among "
                    f"all samples, so they are no part of {count}; choose another folder with --output"
                )
        return first_difference(old, young)

    def commit(self, key: Key, rows: Iterable[Row], audit: bool = False) -> None:
        """Keep finished samples, all or nothing. One that is there already stays as it is.

        Raises:
            InputError: the disk is full or failed; what was committed before is safe.
        """
        table = "audit" if audit else "copies"
        values = [
            sealed((*key, r.sample, r.status, r.reason, r.weight, _pack(r.metrics), r.bent, r.rates_off)) for r in rows
        ]
        with self._transaction() as connection:
            connection.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * 10)})", values)

    def rows(self, key: Key, audit: bool = False) -> list[Row]:
        """Finished samples of a set, by number. Raises InputError where one is none."""
        table = "audit" if audit else "copies"
        found = self._select(
            f'SELECT * FROM {table} WHERE point = ? AND "case" = ? ORDER BY sample',
            key,
        )
        return [self._row(table, key, row) for row in found]

    def rows_of(self, key: Key, sweep: Sweep, copies: SampleSet, audit: bool = False) -> list[Row]:
        """``rows``, which fit the set of the sweep. Raises InputError where one does not."""
        found = self.rows(key, audit)
        for row in found:
            which = f"row {row.sample} of point {key[0]}, {key[1]!r},"
            if row.sample >= copies.samples:
                self._refuse_row(which, f"is beyond the {copies.samples} copies")
            if len(row.metrics) != len(sweep.recorded):
                self._refuse_row(which, f"has {len(row.metrics)} metrics, not {len(sweep.recorded)}")
        return found

    def samples(self, key: Key, audit: bool = False) -> set[int]:
        """Numbers of the finished samples of a set."""
        table = "audit" if audit else "copies"
        found = self._select(f'SELECT sample FROM {table} WHERE point = ? AND "case" = ?', key)
        return {sample for (sample,) in found}

    def failures(self, key: Key) -> tuple[int, int, str]:
        """Finished samples of a set, how many of them failed, and the reason of the first one."""
        where = 'FROM copies WHERE point = ? AND "case" = ?'
        ((tried,),) = self._select(f"SELECT COUNT(*) {where}", key)
        # SQLite takes the reason from the row of the minimum.
        ((count, _, reason),) = self._select(f"SELECT COUNT(*), MIN(sample), reason {where} AND status = 'failed'", key)
        return tried, count, reason or ""

    def refuse_changed(self) -> None:
        """Raise InputError where a row of any set is not as it was written: one whose key has changed hides others."""
        for table in self.TABLES:
            for row in self._select(f"SELECT * FROM {table}", ()):
                self._unsealed(f"row {row[2]!r} of {table!r}, point {row[0]!r}, {row[1]!r},", row)

    def _row(self, table: str, key: Key, row: Sequence[Any]) -> Row:
        which = f"row {row[2]!r} of {table!r}, point {key[0]}, {key[1]!r},"
        _, _, sample, status, reason, weight, metrics, bent, off = self._unsealed(which, row)
        if not isinstance(sample, int) or sample < 0:
            self._refuse_row(which, "has no number of a copy")
        if status not in STATUSES:
            self._refuse_row(which, f"has status {status!r}, which is none of {', '.join(STATUSES)}")
        if not isinstance(reason, str):
            self._refuse_row(which, f"has reason {reason!r}, which is no text")
        if not isinstance(weight, float) or not isfinite(weight) or weight < 0:
            self._refuse_row(which, f"has weight {weight!r}, which is no number from 0 on")
        if not isinstance(metrics, bytes) or len(metrics) % 8:
            self._refuse_row(which, "has metrics that are no numbers of 8 bytes")
        for name, value in (("bent", bent), ("rates_off", off)):
            if not isinstance(value, float) or not value >= 0:
                self._refuse_row(which, f"has {name} {value!r}, which is no number from 0 on")
        return Row(sample, status, reason, weight, _unpack(metrics), bent, off)

    def _has_changed_rows(self) -> bool:
        """Whether a row of a whole file of this layout is not as it was written."""
        with closing(silent_connection(self.path)) as found:
            if found.execute("PRAGMA user_version").fetchone() != (self.LAYOUT,):
                return False
            try:
                return not all(
                    intact(row) for table in (CONFIG, *self.TABLES) for row in found.execute(f"SELECT * FROM {table}")
                )
            except UNREADABLE:
                return False  # another table than ours, which is refused by name

    def _take_over(self, old: Path, connection: sqlite3.Connection) -> None:
        """Copy the rows that are as they were written. Without the config, or of another layout, nothing."""
        try:
            with closing(sqlite3.connect(old)) as source:
                if source.execute("PRAGMA user_version").fetchone() != (self.LAYOUT,):
                    return
                for table in (CONFIG, *self.TABLES):
                    try:
                        for row in source.execute(f"SELECT * FROM {table}"):
                            if intact(row):
                                marks = ", ".join("?" * len(row))
                                connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)
                    except UNREADABLE:
                        pass
                    # Samples of which nobody knows the config could be taken for another's.
                    if not connection.execute(f"SELECT 1 FROM {CONFIG} WHERE name = ?", (self.CLAIM,)).fetchone():
                        return
        except UNREADABLE:
            pass


def open_sweep(folder: Path) -> SweepStore:
    """The store of a folder, to read. Raises InputError where there is none, or a row is not as it was written."""
    store = SweepStore(folder, reading=True)
    try:
        store.refuse_changed()
    except InputError:
        store.close()
        raise
    return store


def _count(config: Mapping[str, Any]) -> int:
    """How many samples a config asks for; 0 where it is none."""
    try:
        return Analysis.model_validate(config["document"]["analysis"]).samples
    except (KeyError, TypeError, ValidationError):
        return 0


def _counted(config: Mapping[str, Any], count: int | None = None) -> dict[str, Any]:
    """A config without its audit, whose number of samples is named, or is another one."""
    found = dict(config) | {"audit": None}
    if old := _count(config):
        document = config["document"]
        found["document"] = document | {"analysis": document["analysis"] | {"samples": count or old}}
    return found


def _designs(config: Mapping[str, Any]) -> set[Any]:
    return {config["document"]["analysis"].get("design"), *config["grid"].get("analysis.design", ())}


def _pack(metrics: Sequence[float]) -> bytes:
    return np.array(metrics, dtype="<f8").tobytes()


def _unpack(metrics: bytes) -> tuple[float, ...]:
    return tuple(np.frombuffer(metrics, dtype="<f8").tolist())

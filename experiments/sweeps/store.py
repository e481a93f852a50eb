"""The store of a sweep: every finished sample, in SQLite. What is in it is never lost."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from experiments.shared.store import first_difference
from experiments.sweeps.evaluate import Row
from spu_circuit.errors import InputError

NAME = "sweep.sqlite"
VERSION = 2
"""Of the values that seed and number give a sample, kept as SQLite's user_version. Stores that have none are of version
1, which numbered the parts of factored arrays otherwise and computed other last digits."""
UNREACHABLE = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)
"""Errors of a store that somebody else holds or that may not be read: nothing is wrong with it."""
Key = tuple[int, str]
"""Point of the grid and case."""


class SweepStore:
    """Open, or create, the store of an output folder.

    Raises:
        InputError: it cannot be written; where it is damaged, it is set aside whole, and a new one takes over what can
            be read of it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / NAME
        self.set_aside: Path | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"output: {str(folder)!r} cannot be written: {error.strerror}") from None
        if self.path.is_file() and _damaged(self.path):
            self.set_aside = _set_aside(self.path)
        self._connection = self._open()
        if self.set_aside is not None:
            _take_over(self.set_aside, self._connection)

    def _open(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            for statement in TABLES:
                connection.execute(statement)
            version = _version(connection)
            if version is None:
                connection.execute(f"PRAGMA user_version = {VERSION}")
        except sqlite3.Error as error:
            raise InputError(f"output: {str(self.path)!r} cannot be used: {error}; choose another folder") from None
        if version not in (None, VERSION):
            connection.close()
            raise InputError(
                f"output: {str(self.folder)!r} holds a sweep of store version {version}, this is version {VERSION}, "
                "whose samples have other values; choose another folder with --output, or the spu-circuit that made it"
            )
        return connection

    def close(self) -> None:
        self._connection.close()

    def claim(self, config: dict[str, Any], versions: dict[str, str]) -> None:
        """Make this the store of a config, with the versions of what it is begun with.

        Raises:
            InputError: it already holds another one, the share of the cross-check aside; names the first difference.
        """
        config = json.loads(json.dumps(config))
        kept = self.claimed()
        if "sweep" not in kept:
            claims = {"sweep": config, "versions": versions}
            rows = [(name, json.dumps(value)) for name, value in claims.items()]
            self._write("INSERT OR REPLACE INTO config VALUES (?, ?)", rows)
            return
        # The cross-check changes no sample, so a sweep may get one, or a larger one, afterwards.
        if difference := first_difference(kept["sweep"] | {"audit": None}, config | {"audit": None}):
            name, old, new = difference
            raise InputError(
                f"output: {str(self.folder)!r} holds a sweep with {name} = {old!r}, this config has {new!r}; choose "
                "another folder with --output, or restore the config"
            )
        if config.get("audit", 0) > kept["sweep"].get("audit", 0):
            self._write("INSERT OR REPLACE INTO config VALUES (?, ?)", [("sweep", json.dumps(config))])

    def claimed(self) -> dict[str, Any]:
        """What the store was claimed with: "sweep" and "versions". Empty before that."""
        return {name: json.loads(text) for name, text in self._connection.execute("SELECT * FROM config")}

    def commit(self, key: Key, rows: Iterable[Row], audit: bool = False) -> None:
        """Keep finished samples, all or nothing. One that is there already stays as it is.

        Raises:
            InputError: the disk is full or failed; what was committed before is safe.
        """
        table = "audit" if audit else "copies"
        values = [(*key, r.sample, r.status, r.reason, r.weight, _pack(r.metrics)) for r in rows]
        self._write(f"INSERT OR IGNORE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def rows(self, key: Key, audit: bool = False) -> list[Row]:
        """Finished samples of a case, by number."""
        found = self._connection.execute(
            f"SELECT sample, status, reason, weight, metrics FROM {'audit' if audit else 'copies'} "
            'WHERE point = ? AND "case" = ? ORDER BY sample',
            key,
        )
        return [
            Row(sample, status, reason, weight, _unpack(metrics)) for sample, status, reason, weight, metrics in found
        ]

    def samples(self, key: Key, audit: bool = False) -> set[int]:
        """Numbers of the finished samples of a case."""
        table = "audit" if audit else "copies"
        found = self._connection.execute(f'SELECT sample FROM {table} WHERE point = ? AND "case" = ?', key)
        return {sample for (sample,) in found}

    def failures(self, key: Key) -> tuple[int, int, str]:
        """Finished samples of a case, how many of them failed, and the reason of the last one."""
        where = 'FROM copies WHERE point = ? AND "case" = ?'
        (tried,) = self._connection.execute(f"SELECT COUNT(*) {where}", key).fetchone()
        # SQLite takes the reason from the row of the maximum.
        bad = f"SELECT COUNT(*), MAX(sample), reason {where} AND status = 'failed'"
        count, _, reason = self._connection.execute(bad, key).fetchone()
        return tried, count, reason or ""

    def _write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                self._connection.executemany(statement, rows)
        except sqlite3.Error as error:
            raise InputError(
                f"output: {str(self.path)!r} cannot be written: {error}; what was finished before is safe, and the "
                "same command goes on from there"
            ) from None


TABLES = (
    "CREATE TABLE IF NOT EXISTS config (name TEXT PRIMARY KEY, json TEXT)",
    *(
        f'CREATE TABLE IF NOT EXISTS {table} (point INTEGER, "case" TEXT, sample INTEGER, status TEXT, reason TEXT, '
        'weight REAL, metrics BLOB, PRIMARY KEY (point, "case", sample)) WITHOUT ROWID'
        for table in ("copies", "audit")
    ),
)


def open_sweep(folder: Path) -> SweepStore:
    """The store of a folder that must already have one. Raises InputError where it has none."""
    if not (folder / NAME).is_file():
        raise InputError(f"output: {str(folder)!r} holds no sweep (no {NAME}); give the folder of a sweep")
    return SweepStore(folder)


def _pack(metrics: Sequence[float]) -> bytes:
    return np.array(metrics, dtype="<f8").tobytes()


def _unpack(metrics: bytes) -> tuple[float, ...]:
    return tuple(np.frombuffer(metrics, dtype="<f8").tolist())


def _damaged(path: Path, seconds: float = 5.0) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", seconds, uri=True)) as connection:
            return bool(connection.execute("PRAGMA quick_check").fetchone()[0] != "ok")
    except sqlite3.DatabaseError as error:
        return error.sqlite_errorcode & 0xFF not in UNREACHABLE


def _set_aside(path: Path) -> Path:
    """Rename a damaged store with its log, under the first free name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        if (log := path.with_name(path.name + suffix)).exists():
            log.rename(aside.with_name(aside.name + suffix))
    return aside


def _version(connection: sqlite3.Connection) -> int | None:
    """Of what a store holds; None: it holds nothing yet."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    claimed = connection.execute("SELECT 1 FROM config").fetchone()
    return found or (1 if claimed else None)


def _take_over(old: Path, connection: sqlite3.Connection) -> None:
    """Copy what can be read, row by row until the damage; without the config, or of another version, nothing."""
    try:
        with closing(sqlite3.connect(old)) as source:
            if _version(source) != VERSION:
                return
            for table, columns in (("config", 2), ("copies", 7), ("audit", 7)):
                marks = ", ".join("?" * columns)
                try:
                    for row in source.execute(f"SELECT * FROM {table}"):
                        connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)
                except sqlite3.DatabaseError:
                    pass
                # Samples of which nobody knows the config could be taken for another's.
                if not connection.execute("SELECT 1 FROM config WHERE name = 'sweep'").fetchone():
                    return
    except sqlite3.DatabaseError:
        pass

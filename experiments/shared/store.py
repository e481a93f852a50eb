"""What stores of results have in common: SQLite files that are known again, claimed once, and never lost or guessed."""

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar, NoReturn
from zlib import crc32

from experiments.shared.files import make_folder
from spu_circuit.errors import InputError
from spu_circuit.files import is_file, shortened

UNREACHABLE = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)
"""Errors of a store that somebody else holds or that may not be read: nothing is wrong with it."""
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""What reading a file ends with that somebody has changed: names of columns may be no text either."""
PATIENCE = 60.0
"""Seconds that a store which somebody else writes is waited for."""
CONFIG = "config"
"""The table of what a store was claimed with, which every store has."""


class StoreBase:
    """The store of an output folder, opened or created.

    Args:
        reading: it must be there, and nothing is written, not even SQLite's own log.

    Raises:
        InputError: there is none to read, it cannot be written, or it is damaged or not of this kind.
    """

    NAME: ClassVar[str]
    """Of the file."""
    HOLDS: ClassVar[str]
    """What it holds, in a word."""
    CLAIM: ClassVar[str]
    """The name under which the config is kept."""
    LAYOUT: ClassVar[int]
    """Of tables and meanings, kept as SQLite's user_version. Stores that have none are of layout 1."""
    NEWS: ClassVar[str]
    """Why stores of other layouts are refused."""
    TABLES: ClassVar[Mapping[str, str]]
    """Besides the config: name → columns and keys, as in CREATE TABLE."""

    def __init__(self, folder: Path, reading: bool = False) -> None:
        self.folder, self.path = folder, folder / self.NAME
        self._connection = self._opened_for_reading() if reading else self._opened_for_writing()

    def close(self) -> None:
        self._connection.close()

    def claim(self, config: dict[str, Any], versions: dict[str, str]) -> None:
        """Make this the store of a config, with the versions of what it is begun with.

        Raises:
            InputError: it already holds another one; names the first difference.
        """
        config = json.loads(json.dumps(config))
        # In one transaction, since another process may be about to claim it too.
        with self._transaction():
            kept = self.claimed()
            if self.CLAIM not in kept:
                kept = {self.CLAIM: config, "versions": versions}
                self._keep(kept)
        if difference := self._difference(kept[self.CLAIM], config):
            name, old, new = difference
            raise InputError(
                f"output: {str(self.folder)!r} holds a {self.HOLDS} with {name} = {old!r}, this config has {new!r}; "
                "choose another folder with --output, or restore the config"
            )

    def claimed(self) -> dict[str, Any]:
        """What the store was claimed with: the config by ``CLAIM``, and "versions". Empty before that."""
        found = {}
        for row in self._select(f"SELECT * FROM {CONFIG}"):
            name, text = self._unsealed(f"{CONFIG} {row[0]!r}", row)
            try:
                found[name] = json.loads(text)
            except (TypeError, ValueError, RecursionError):
                self._refuse_row(f"{CONFIG} {name!r}", "is no JSON")
            if not isinstance(found[name], dict):
                self._refuse_row(f"{CONFIG} {name!r}", "is no table of names and values")
        return found

    def _difference(self, kept: dict[str, Any], new: dict[str, Any]) -> tuple[str, Any, Any] | None:
        """The first difference for which a store is refused."""
        return first_difference(kept, new)

    def _keep(self, claims: Mapping[str, Any]) -> None:
        rows = [sealed((name, json.dumps(value))) for name, value in claims.items()]
        self._connection.executemany(f"INSERT OR REPLACE INTO {CONFIG} VALUES (?, ?, ?)", rows)

    def _select(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows that a statement finds. Raises InputError where they cannot be read."""
        try:
            return self._connection.execute(statement, values).fetchall()
        except UNREADABLE as error:
            self._refuse(error)

    def _unsealed(self, which: str, row: Sequence[Any]) -> tuple[Any, ...]:
        """A row without its checksum. Raises InputError where it is not as it was written."""
        if not intact(row):
            self._refuse_row(which, "is not what was written, by its checksum")
        return tuple(row[:-1])

    def _refuse_row(self, which: str, complaint: str) -> NoReturn:
        """Raise InputError for a row that no version of this package writes."""
        raise InputError(
            f"output: {str(self.path)!r} is damaged or foreign: {which} {complaint}; restore the file, or choose "
            "another folder"
        )

    def _refuse(self, error: Exception) -> NoReturn:
        """Raise InputError for what SQLite complains of while it opens or reads."""
        if _unreachable(error):
            raise InputError(f"output: {str(self.path)!r} cannot be used: {error}; choose another folder") from None
        raise InputError(
            f"output: {str(self.path)!r} is damaged: {error}; restore the file, or choose another folder"
        ) from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside is written, or nothing. Raises InputError where it cannot be."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection as connection:
                yield connection
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise InputError(
                f"output: {str(self.path)!r} cannot be written: {error}; what was finished before is safe, and the "
                "same command goes on from there"
            ) from None

    def _opened_for_writing(self) -> sqlite3.Connection:
        make_folder(self.folder)
        try:
            there = self.path.exists() and self.path.stat().st_size > 0
        except OSError as error:
            raise InputError(f"output: {str(self.folder)!r} cannot be written: {error.strerror}") from None
        if there:
            self._check_existing()
        try:
            connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                connection.execute(f"CREATE TABLE IF NOT EXISTS {CONFIG} (name TEXT PRIMARY KEY, json TEXT, checksum)")
                for table, columns in self.TABLES.items():
                    connection.execute(f"CREATE TABLE IF NOT EXISTS {table} {columns}")
                connection.execute(f"PRAGMA user_version = {self.LAYOUT}")
        except sqlite3.Error as error:
            raise InputError(f"output: {str(self.path)!r} cannot be used: {error}; choose another folder") from None
        return connection

    def _check_existing(self) -> None:
        """What is done about a file that is there before it is opened for writing. Raises InputError."""
        with closing(self._opened_for_reading(reading=False)):
            pass

    def _opened_for_reading(self, reading: bool = True) -> sqlite3.Connection:
        """A connection that leaves no file behind, to a store that is whole and of this kind.

        Args:
            reading: that is all that is wanted, so there must be something to read.
        """
        if not is_file(self.path):
            raise InputError(
                f"output: {shortened(self.folder)} holds no {self.HOLDS} (no {self.NAME}); give the folder of one"
            )
        try:
            connection = silent_connection(self.path)
            try:
                (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                if answer != "ok":
                    raise sqlite3.DatabaseError(str(answer))
                self._refuse_others(connection, reading)
            except BaseException:
                connection.close()
                raise
        except UNREADABLE as error:
            self._refuse(error)
        except OSError as error:
            raise InputError(f"output: {str(self.path)!r} cannot be read: {error.strerror}") from None
        return connection

    def _refuse_others(self, connection: sqlite3.Connection, reading: bool) -> None:
        """Raise InputError where a whole SQLite file is no store of this kind and layout."""
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        (layout,) = connection.execute("PRAGMA user_version").fetchone()
        if not (there or reading):
            return
        if not there & set(self.TABLES):
            held = f"its tables are {', '.join(map(repr, sorted(there)))}" if there else "it has no tables"
            raise InputError(f"output: {str(self.path)!r} is no store of a {self.HOLDS}: {held}; choose another folder")
        if layout != self.LAYOUT:
            raise InputError(
                f"output: {str(self.folder)!r} holds a {self.HOLDS} of store layout {layout or 1}, this version reads "
                f"layout {self.LAYOUT}, {self.NEWS}; choose another folder with --output, or the version that began it"
            )
        with closing(sqlite3.connect(":memory:")) as ours:
            for table, columns in {CONFIG: "(name, json, checksum)", **self.TABLES}.items():
                ours.execute(f"CREATE TABLE {table} {columns}")
                if _columns(connection, table) != (wanted := _columns(ours, table)):
                    raise InputError(
                        f"output: {str(self.path)!r} is no store of a {self.HOLDS}: its table {table!r} has not the "
                        f"columns {', '.join(wanted)}; choose another folder"
                    )


def sealed(row: Sequence[Any]) -> tuple[Any, ...]:
    """A row with its checksum as the last column: SQLite notices no changed byte of a value."""
    return (*row, _checksum(row))


def intact(row: Sequence[Any]) -> bool:
    """Whether a row with its checksum is as it was written."""
    return bool(row[-1] == _checksum(row[:-1]))


def _checksum(row: Sequence[Any]) -> int:
    # Columns may turn whole numbers into floats.
    return crc32(repr([float(value) if isinstance(value, int | float) else value for value in row]).encode())


def silent_connection(path: Path, patience: float = PATIENCE) -> sqlite3.Connection:
    """To read a store. SQLite makes a log and its index beside a file that it only reads, unless it is immutable.

    Args:
        patience: seconds that somebody else's lock is waited for.
    """
    log, mode = path.with_name(path.name + "-wal"), "mode=ro"
    if not log.is_file():
        mode += "&immutable=1"
    elif not path.with_name(path.name + "-shm").is_file():
        return _copy_with_log(path, log)
    return sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", timeout=patience, isolation_level=None, uri=True)


def _copy_with_log(path: Path, log: Path) -> sqlite3.Connection:
    """In memory: the log of a writer that was killed needs an index, which is gone."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(log, scratch)
        with closing(sqlite3.connect(shutil.copy(path, scratch))) as source:
            source.backup(copy)
    copy.execute("PRAGMA query_only = ON")
    return copy


def damaged(path: Path, patience: float = 5.0) -> bool:
    """Whether a file is no whole SQLite file. One that somebody holds, or that may not be read, is not damaged."""
    try:
        with closing(silent_connection(path, patience)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
    except UNREADABLE as error:
        return not _unreachable(error)


def set_aside(path: Path) -> Path:
    """Rename a damaged store with its log, under the first free name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        if (log := path.with_name(path.name + suffix)).exists():
            log.rename(aside.with_name(aside.name + suffix))
    return aside


def first_difference(kept: Any, new: Any) -> tuple[str, Any, Any] | None:
    """The dotted name of the first leaf in which two nested dictionaries differ, with both values; None: none."""
    old, young = _flat(kept), _flat(new)
    for name in sorted(old | young):
        if old.get(name) != young.get(name):
            return name, old.get(name), young.get(name)
    return None


def _flat(tree: Any) -> dict[str, Any]:
    """Leaves of nested dictionaries by dotted name."""
    leaves: dict[str, Any] = {}
    todo: list[tuple[str, Any]] = [("", tree)]
    while todo:
        name, node = todo.pop()
        if isinstance(node, list) and node and isinstance(node[0], dict):
            node = {str(k): entry for k, entry in enumerate(node)}
        if isinstance(node, dict):
            todo += [(f"{name}.{key}" if name else key, value) for key, value in node.items()]
        else:
            leaves[name] = node
    return leaves


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [column[1] for column in connection.execute(f"PRAGMA table_info({table})")]


def _unreachable(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in UNREACHABLE

"""The run store: every finished step of every trial, in SQLite. What is in it is never lost."""

import io
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, fields
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spu_circuit.errors import InputError

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Trial:
    """One optimizer with one learning rate and one seed."""

    optimizer: str
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Step:
    """A row of the history. None where it does not apply: solves to Adam, accuracies between evaluations.

    ``solve_error`` is ‖g̃ − F⁻¹g‖ / ‖F⁻¹g‖, ``unsolved_error`` the same for what the mapping gives at time 0.

    Times: ``analog_seconds`` of the device, ``wall_seconds`` since the trial began, both cumulative.
    """

    optimizer: str
    learning_rate: float
    seed: int
    step: int
    samples_seen: int
    loss: float
    validation_loss: float | None
    test_accuracy: float | None
    solve_error: float | None
    unsolved_error: float | None
    residual: float | None
    settled_fraction: float | None
    saturated_nodes: int
    clipped_codes: int
    lost_entries: int
    ngspice_runs: int
    analog_seconds: float
    wall_seconds: float

    @property
    def diverged(self) -> bool:
        """The loss before this step was not finite: the trial ends here."""
        return self.loss == inf


COLUMNS = [f.name for f in fields(Step)]


class Store:
    """Open, or create, the store of an output folder. Safe for several processes at a time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "run.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            key = "optimizer, learning_rate, seed"
            create = "CREATE TABLE IF NOT EXISTS"
            with self._transaction():
                self._connection.execute(f"{create} config (name TEXT PRIMARY KEY, json TEXT)")
                self._connection.execute(f"{create} history ({', '.join(COLUMNS)}, PRIMARY KEY ({key}, step))")
                self._connection.execute(f"{create} state ({key}, arrays BLOB, PRIMARY KEY ({key}))")
                self._connection.execute(f"{create} exhibit ({key}, arrays BLOB, PRIMARY KEY ({key}))")
                self._connection.execute(f"{create} system ({key}, step, arrays BLOB, PRIMARY KEY ({key}, step))")
        except OSError as error:
            raise InputError(f"output: {str(folder)!r} cannot be written: {error.strerror}") from None
        except sqlite3.Error as error:
            raise InputError(f"output: {str(self.path)!r} cannot be used: {error}; choose another folder") from None

    def close(self) -> None:
        self._connection.close()

    def _transaction(self) -> sqlite3.Connection:
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def claim(self, config: dict[str, Any], versions: dict[str, str]) -> None:
        """Make this the store of a config, with the versions of what it is begun with.

        Raises:
            InputError: it already holds another one; names the first difference.
        """
        with self._transaction():
            row = self._connection.execute("SELECT json FROM config WHERE name = 'experiment'").fetchone()
            if row is None:
                for name, value in (("experiment", config), ("versions", versions)):
                    self._connection.execute("INSERT INTO config VALUES (?, ?)", (name, json.dumps(value)))
                return
        if difference := first_difference(json.loads(row[0]), json.loads(json.dumps(config))):
            name, old, new = difference
            raise InputError(
                f"output: {str(self.path.parent)!r} holds a run with {name} = {old!r}, this config has {new!r}; choose "
                "another folder with --output, or restore the config"
            )

    def claimed(self) -> dict[str, Any]:
        """What the store was claimed with: "experiment" and "versions". Empty before that."""
        return {name: json.loads(text) for name, text in self._connection.execute("SELECT * FROM config")}

    def commit(self, step: Step, state: Arrays, exhibit: Arrays | None = None, system: Arrays | None = None) -> None:
        """Keep a finished step together with the state to go on from, and the system it solved; all or nothing."""
        with self._transaction():
            marks = ", ".join("?" * len(COLUMNS))
            try:
                self._connection.execute(f"INSERT INTO history VALUES ({marks})", astuple(step))
            except sqlite3.IntegrityError:
                raise InputError(
                    f"output: another process has written step {step.step} of {step.optimizer} to "
                    f"{str(self.path.parent)!r}; wait for it to end, or choose another folder"
                ) from None
            trial = (step.optimizer, step.learning_rate, step.seed)
            self._connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)", (*trial, _pack(state)))
            if exhibit is not None:
                self._connection.execute("INSERT OR REPLACE INTO exhibit VALUES (?, ?, ?, ?)", (*trial, _pack(exhibit)))
            if system is not None:
                key = (*trial, step.step)
                self._connection.execute("INSERT OR REPLACE INTO system VALUES (?, ?, ?, ?, ?)", (*key, _pack(system)))

    def state(self, trial: Trial) -> tuple[Step | None, Arrays | None]:
        """The last finished step of a trial and the state after it."""
        where = "WHERE optimizer = ? AND learning_rate = ? AND seed = ?"
        key = astuple(trial)
        row = self._connection.execute(f"SELECT * FROM history {where} ORDER BY step DESC LIMIT 1", key).fetchone()
        blob = self._connection.execute(f"SELECT arrays FROM state {where}", key).fetchone()
        return (None, None) if row is None or blob is None else (Step(*row), _unpack(blob[0]))

    def history(self) -> list[Step]:
        """Every finished step, by trial and number."""
        order = "ORDER BY optimizer, learning_rate, seed, step"
        return [Step(*row) for row in self._connection.execute(f"SELECT * FROM history {order}")]

    def latest(self) -> dict[Trial, tuple[int, Step]]:
        """Of every begun trial: how many steps are finished, and the last of them."""
        # SQLite takes the other columns from the row of the maximum.
        rows = self._connection.execute(
            "SELECT COUNT(*), MAX(step), * FROM history GROUP BY optimizer, learning_rate, seed"
        )
        steps = [(count, Step(*row)) for count, _, *row in rows]
        return {Trial(s.optimizer, s.learning_rate, s.seed): (count, s) for count, s in steps}

    def systems(self) -> dict[tuple[Trial, int], Arrays]:
        """Recorded systems by trial and step."""
        rows = self._connection.execute("SELECT * FROM system ORDER BY optimizer, learning_rate, seed, step")
        return {(Trial(*key), step): _unpack(blob) for *key, step, blob in rows}

    def exhibits(self) -> dict[Trial, Arrays]:
        """Recorded solves."""
        rows = self._connection.execute("SELECT * FROM exhibit ORDER BY optimizer, learning_rate, seed")
        return {Trial(*key): _unpack(blob) for *key, blob in rows}


def open_existing(folder: Path) -> Store:
    """The store of a folder that must already have one. Raises InputError where it has none."""
    path = folder / "run.sqlite"
    if not path.is_file():
        raise InputError(f"output: {str(folder)!r} holds no run (no run.sqlite); give the folder of a training run")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT COUNT(*) FROM history")
    except sqlite3.Error as error:
        raise InputError(f"output: {str(path)!r} cannot be read: {error}") from None
    return Store(folder)


def _pack(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _unpack(blob: bytes) -> Arrays:
    with np.load(io.BytesIO(blob), allow_pickle=False) as arrays:
        return dict(arrays)


def first_difference(kept: Any, new: Any) -> tuple[str, Any, Any] | None:
    """The dotted name of the first leaf in which two nested dictionaries differ, with both values; None: none."""
    old, young = _flat(kept), _flat(new)
    for name in sorted(old | young):
        if old.get(name) != young.get(name):
            return name, old.get(name), young.get(name)
    return None


def _flat(tree: Any, path: Sequence[str] = ()) -> dict[str, Any]:
    """Leaves of nested dictionaries by dotted name."""
    if isinstance(tree, list) and tree and isinstance(tree[0], dict):
        tree = {str(k): entry for k, entry in enumerate(tree)}
    if isinstance(tree, dict):
        return {name: leaf for key, value in tree.items() for name, leaf in _flat(value, (*path, key)).items()}
    return {".".join(path): tree}

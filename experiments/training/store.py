"""The run store: every finished step of every trial, in SQLite. What is in it is never lost."""

import io
import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from math import inf
from pathlib import Path
from typing import Any, get_type_hints
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from experiments.shared.store import StoreBase, first_difference, sealed
from spu_circuit.errors import InputError, SpuError

Arrays = dict[str, NDArray[Any]]


NAME = "run.sqlite"
SIZES = "sizes"
"""The name under which the sizes of steps are kept, beside the config."""


@dataclass(frozen=True)
class Trial:
    """One optimizer with one learning rate and one seed at one point of the grid, on a drawn copy of its device.

    Args:
        copy: its number, of those that the seed has; 0: the nominal device, or there is none.
    """

    point: int
    optimizer: str
    learning_rate: float
    seed: int
    copy: int = 0

    def __str__(self) -> str:
        where = f", point {self.point} of the grid" if self.point else ""
        where += f", copy {self.copy}" if self.copy else ""
        return f"{self.optimizer}, learning rate {self.learning_rate:g}, seed {self.seed}{where}"


@dataclass(frozen=True)
class Step:
    """A row of the history. None where it does not apply: solves to Adam, scores between evaluations.

    ``score`` is of the test samples, and so is what is told ``beside`` it; what they are called, the config says.

    ``solve_error`` is ‖g̃ − F⁻¹g‖ / ‖F⁻¹g‖, ``unsolved_error`` the same for what the mapping gives at time 0.

    ``damping`` is the λ that the solve took; ``doublings``, how often it was doubled until the matrix could be
    programmed and its refinement converged.

    ``injected_noise`` is κ₀ of the solve in units of its unknowns: of a device the square of the volts over v_u, which
    another step has other ones of.

    ``solves`` and the counts after it are what the step asked of the device, ``flops`` its digital work beside it.
    ``refinement`` says how its refinement ended; what did not converge gave its best iterate. ``estimated_error`` is
    that of the array's unknowns.

    Times: ``analog_seconds`` of the device, ``wall_seconds`` since the trial began, both cumulative.
    """

    point: int
    optimizer: str
    learning_rate: float
    seed: int
    copy: int
    step: int
    samples_seen: int
    loss: float
    validation_loss: float | None
    score: float | None
    beside: float | None
    solve_error: float | None
    unsolved_error: float | None
    damping: float | None
    doublings: int
    residual: float | None
    settled_fraction: float | None
    saturated_nodes: int
    clipped_codes: int
    lost_entries: int
    injected_noise: float | None
    ngspice_runs: int
    solves: int
    programs: int
    dac_words: int
    adc_words: int
    flops: float
    refinement: str | None
    estimated_error: float | None
    analog_seconds: float
    wall_seconds: float

    @property
    def trial(self) -> Trial:
        return Trial(self.point, self.optimizer, self.learning_rate, self.seed, self.copy)

    @property
    def diverged(self) -> bool:
        """The loss before this step was not finite: the trial ends here."""
        return self.loss == inf


@dataclass(frozen=True)
class Chunk:
    """Consecutive finished steps of one trial, with what goes with them.

    Args:
        steps: none where the first one failed.
        state: what to go on from after the last of them.
        exhibit: a solve for the report, where one of the steps is chosen to show it.
        systems: the linear systems that were solved, by number of the step, where they are recorded.
        error: what failed in the step after these; it ends the trial.
    """

    trial: Trial
    steps: tuple[Step, ...]
    state: Arrays
    exhibit: Arrays | None
    systems: dict[int, Arrays]
    error: SpuError | None = None


@dataclass(frozen=True)
class Failure:
    """What ended a trial: the number of the step that failed, and the error in one line."""

    step: int
    error: str


COLUMNS = [f.name for f in fields(Step)]
KINDS = {
    name: (float, int) if hint is float else (float, int, type(None)) if hint == (float | None) else hint
    for name, hint in get_type_hints(Step).items()
}
"""What each column's values are in Python; SQLite itself would take anything."""
KEY = "point, optimizer, learning_rate, seed, copy"
OF_TRIAL = "WHERE point = ? AND optimizer = ? AND learning_rate = ? AND seed = ? AND copy = ?"


class Store(StoreBase):
    """The store of a run's folder. Safe for several processes at a time."""

    NAME, HOLDS, CLAIM, LAYOUT = NAME, "run", "experiment", 7
    NEWS = "whose rows tell what else test samples say beside the score"
    TABLES = {  # noqa: RUF012
        "history": f"({', '.join(COLUMNS)}, checksum, PRIMARY KEY ({KEY}, step))",
        "state": f"({KEY}, arrays BLOB, PRIMARY KEY ({KEY}))",
        "exhibit": f"({KEY}, arrays BLOB, PRIMARY KEY ({KEY}))",
        "failure": f"({KEY}, step, error, checksum, PRIMARY KEY ({KEY}))",
        "system": f"({KEY}, step, arrays BLOB, PRIMARY KEY ({KEY}, step))",
    }

    def _difference(self, kept: dict[str, Any], new: dict[str, Any]) -> tuple[str, Any, Any] | None:
        # A grid is one difference, not one of every point that it makes.
        grids = ({"grid": each.get("grid", {})} for each in (kept, new))
        return first_difference(*grids) or first_difference(kept, new)

    def keep_sizes(self, sizes: Sequence[dict[str, Any]]) -> None:
        """Keep of every point what decides the cost of a step of each optimizer. Raises InputError where it cannot."""
        with self._transaction():
            self._keep({SIZES: {"points": list(sizes)}})

    def commit(self, chunk: Chunk) -> None:
        """Keep finished steps together with the state to go on from, or the failure after them; all or nothing.

        Raises:
            InputError: one of the steps is there already, or the disk is full or failed.
        """
        trial, key = chunk.trial, astuple(chunk.trial)
        blobs: list[tuple[str, tuple[Any, ...]]] = []
        if chunk.steps:
            blobs.append(("state", (*key, _pack(chunk.state))))
        if chunk.exhibit is not None:
            blobs.append(("exhibit", (*key, _pack(chunk.exhibit))))
        blobs += [("system", (*key, step, _pack(arrays))) for step, arrays in chunk.systems.items()]
        try:
            with self._transaction():
                marks = ", ".join("?" * (len(COLUMNS) + 1))
                steps = [sealed(astuple(step)) for step in chunk.steps]
                self._connection.executemany(f"INSERT INTO history VALUES ({marks})", steps)
                self._connection.execute(f"DELETE FROM failure {OF_TRIAL}", key)
                if chunk.error is not None:
                    (count,) = self._connection.execute(f"SELECT COUNT(*) FROM history {OF_TRIAL}", key).fetchone()
                    blobs.append(("failure", sealed((*key, count, str(chunk.error)))))
                for table, row in blobs:
                    marks = ", ".join("?" * len(row))
                    self._connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)
        except sqlite3.IntegrityError:
            raise InputError(
                f"output: another process has written step {chunk.steps[-1].step} of {trial.optimizer} to "
                f"{str(self.path.parent)!r}; wait for it to end, or choose another folder"
            ) from None

    def state(self, trial: Trial) -> tuple[Step | None, Arrays | None]:
        """The last finished step of a trial and the state after it."""
        key = astuple(trial)
        rows = self._select(f"SELECT * FROM history {OF_TRIAL} ORDER BY step DESC LIMIT 1", key)
        blobs = self._select(f"SELECT arrays FROM state {OF_TRIAL}", key)
        if not rows or not blobs:
            return None, None
        return self._step(rows[0]), self._arrays(f"state of {trial}", blobs[0][0])

    def history(self) -> list[Step]:
        """Every finished step, by trial and number."""
        return [self._step(row) for row in self._select(f"SELECT * FROM history ORDER BY {KEY}, step")]

    def latest(self) -> dict[Trial, tuple[int, Step]]:
        """Of every begun trial: how many steps are finished, and the last of them."""
        # SQLite takes the other columns from the row of the maximum.
        rows = self._select(f"SELECT COUNT(*), MAX(step), * FROM history GROUP BY {KEY}")
        steps = [(count, self._step(row)) for count, _, *row in rows]
        return {step.trial: (count, step) for count, step in steps}

    def failures(self) -> dict[Trial, Failure]:
        """Of every trial that a failed solve ended: which step, and why."""
        rows = self._select(f"SELECT * FROM failure ORDER BY {KEY}")
        opened = (self._unsealed("a row of failure", row) for row in rows)
        return {self._trial(key): Failure(step, str(error)) for *key, step, error in opened}

    def systems(self) -> dict[tuple[Trial, int], Arrays]:
        """Recorded systems by trial and step."""
        rows = self._select(f"SELECT * FROM system ORDER BY {KEY}, step")
        return {(self._trial(key), step): self._arrays(f"system of step {step}", blob) for *key, step, blob in rows}

    def exhibits(self) -> dict[Trial, Arrays]:
        """Recorded solves."""
        rows = self._select(f"SELECT * FROM exhibit ORDER BY {KEY}")
        return {self._trial(key): self._arrays("exhibit", blob) for *key, blob in rows}

    def _step(self, row: Sequence[Any]) -> Step:
        values = self._unsealed("a row of history", row)
        self._check("history", COLUMNS, values)
        return Step(*values)

    def _trial(self, key: Sequence[Any]) -> Trial:
        self._check("a trial", COLUMNS, key)
        return Trial(*key)

    def _check(self, where: str, columns: Sequence[str], values: Sequence[Any]) -> None:
        """Raise InputError where a value is none that steps have."""
        for name, value in zip(columns, values, strict=False):
            if not isinstance(value, KINDS[name]):
                self._refuse_row(f"a row of {where}", f"has {name} = {value!r}")

    def _arrays(self, which: str, blob: Any) -> Arrays:
        try:
            return _unpack(blob)
        except (TypeError, ValueError, OSError, EOFError, BadZipFile, KeyError, NotImplementedError):
            self._refuse_row(which, "holds no arrays")


def open_existing(folder: Path) -> Store:
    """The store of a folder that must already have one, to read. Raises InputError where it has none."""
    return Store(folder, reading=True)


def _pack(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _unpack(blob: bytes) -> Arrays:
    with np.load(io.BytesIO(blob), allow_pickle=False) as arrays:
        return dict(arrays)

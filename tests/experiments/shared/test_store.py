"""Stores that are damaged, foreign or edited: one clear line from every command, and no file that readers touch."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest

from experiments import cli
from experiments.shared.store import first_difference
from experiments.sweeps.figures import FIGURES
from experiments.sweeps.run import run
from experiments.sweeps.store import SweepStore, open_sweep
from experiments.sweeps.study import study_of
from experiments.training.store import Chunk, Step, Store, Trial
from spu_circuit.errors import InputError
from tests.stores import edit

DOCUMENT = {
    "name": "stored",
    "hardware": {"base": "ideal", "variation": {"capacitor": {"lot": {"tolerance": "5 %", "meaning": "sigma"}}}},
    "metrics": ["relative_error", "settling_time"],
    "workload": {"kind": "random", "size": 2},
    "analysis": {"kind": "monte carlo", "samples": 12},
}
READERS = {"report": (), "export": ("--to", "OUT/copies.csv"), "replay": ("3",)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    made = study_of(DOCUMENT, {"seed": [1, 2]}, "test")
    folder = tmp_path_factory.mktemp("finished")
    with closing(SweepStore(folder)) as store:
        store.claim(made.config, {"spu-circuit": "1"})
        run(made, store)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def told(monkeypatch, capsys, *arguments):
    """What a command says when it refuses: status and standard error."""
    monkeypatch.setattr(sys, "argv", ["spu-circuit", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().err


def read_by(command, folder, out):
    out.mkdir(exist_ok=True)
    return [command, folder, *(argument.replace("OUT", str(out)) for argument in READERS[command])]


def files(folder):
    """Every file of a folder with its content, the index of SQLite's log aside, in which readers mark their place."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}


def foreign(folder):
    (folder / "sweep.sqlite").unlink()
    edit(folder, "CREATE TABLE songs (title, year)")


def of_another_kind(folder):
    (folder / "sweep.sqlite").unlink()
    Store(folder).close()
    (folder / "run.sqlite").rename(folder / "sweep.sqlite")


def overwritten(folder):
    path = folder / "sweep.sqlite"
    data = bytearray(path.read_bytes())
    data[4096:12288] = os.urandom(8192)
    path.write_bytes(data)


def no_database(folder):
    (folder / "sweep.sqlite").write_text("no database, but text of some length" * 30)


EDITED = {
    "of another layout": (lambda f: edit(f, "PRAGMA user_version = 1"), "store layout 1, this version reads layout 5"),
    "other columns": (lambda f: edit(f, "ALTER TABLE copies ADD COLUMN more"), "'copies' has not the columns point"),
    "foreign": (foreign, r"is no store of a sweep: its tables are 'songs'"),
    "of a run": (of_another_kind, r"is no store of a sweep: its tables are 'config', 'exhibit'"),
    "overwritten": (overwritten, "is damaged: "),
    "no database": (no_database, "is damaged: file is not a database"),
    "a claim that is no JSON": (lambda f: edit(f, "UPDATE config SET json = '{' WHERE name = 'sweep'"), "is no JSON"),
    "a claim that is a list": (lambda f: edit(f, "UPDATE config SET json = '[]'"), "is no table of names and values"),
    "a claim of nothing": (lambda f: edit(f, "UPDATE config SET json = '{}'"), "names no document"),
    "a claim of bytes": (lambda f: edit(f, "UPDATE config SET json = x'ff00'"), "is no JSON"),
    "deep": (
        lambda f: edit(f, f"""UPDATE config SET json = '{'{"a":' * 5000}1{"}" * 5000}'"""),
        "is no JSON",
    ),
    "a grid that is none": (
        lambda f: edit(f, "UPDATE config SET json = json_set(json, '$.grid', 3) WHERE name = 'sweep'"),
        "grid is 3",
    ),
    "a config that is none": (
        lambda f: edit(f, "UPDATE config SET json = json_set(json, '$.document.workload.size', -1)"),
        r"workload\.size",
    ),
    "a config that reads otherwise": (
        lambda f: edit(f, "UPDATE config SET json = json_set(json, '$.hardware[0].temperature', 5.0)"),
        r"was made with hardware\.0\.temperature = 5\.0",
    ),
    "a status": (lambda f: edit(f, "UPDATE copies SET status = 'fine'"), "has status 'fine', which is none of ok"),
    "a reason": (lambda f: edit(f, "UPDATE copies SET reason = x'00'"), "has reason b'.x00', which is no text"),
    "a weight": (lambda f: edit(f, "UPDATE copies SET weight = 'heavy'"), "has weight 'heavy'"),
    "metrics": (lambda f: edit(f, "UPDATE copies SET metrics = x'00ff'"), "no numbers of 8 bytes"),
    "too few metrics": (lambda f: edit(f, "UPDATE copies SET metrics = x'0000000000000000'"), "has 1 metrics, not 2"),
    "metrics of text": (lambda f: edit(f, "UPDATE copies SET metrics = 'sixteen letters.'"), "no numbers of 8 bytes"),
    "a sample": (lambda f: edit(f, "UPDATE copies SET sample = 'third' WHERE sample = 3"), "has no number of a copy"),
    "a sample that is not drawn": (
        lambda f: edit(f, "UPDATE copies SET sample = 12345678 WHERE sample = 3"),
        "is beyond the 12 copies",
    ),
}


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("what", EDITED)
def test_readers_name_what_is_wrong_and_change_nothing(what, command, folder, tmp_path, monkeypatch, capsys):
    change, words = EDITED[what]
    change(folder)
    before = files(folder)
    status, said = told(monkeypatch, capsys, *read_by(command, folder, tmp_path / "out"))
    assert status == 2
    assert said.count("\n") == 1
    with pytest.raises(InputError, match=words):
        raise InputError(said)
    assert files(folder) == before
    assert not list((tmp_path / "out").iterdir())


def content(store):
    """All that a sweep's store holds, as it is read."""
    return store.claimed(), {
        (point, sample.sample): sample for point in (0, 1) for sample in store.rows((point, "copies"))
    }


def test_a_changed_byte_is_noticed_or_changes_nothing(finished, tmp_path):
    """Wherever it is, for readers; and who goes on with the store keeps the rows that are as they were written."""
    with closing(open_sweep(finished)) as store:
        claimed, rows = content(store)
    whole, random = (finished / "sweep.sqlite").read_bytes(), np.random.default_rng(0)
    noticed = 0
    for place, change in zip(random.integers(len(whole), size=200), random.integers(1, 256, 200), strict=True):
        data = bytearray(whole)
        data[place] ^= change
        folder = tmp_path / str(noticed)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "sweep.sqlite").write_bytes(data)
        try:
            with closing(open_sweep(folder)) as store:
                assert content(store) == (claimed, rows), place
        except InputError:
            noticed += 1
        try:
            with closing(SweepStore(folder)) as store:
                kept, left = content(store)
        except InputError:  # another kind or layout, by a byte of the header
            continue
        assert kept.items() <= claimed.items(), place
        assert left.items() <= rows.items(), place
    assert noticed > 20


@pytest.mark.parametrize("command", READERS)
def test_readers_leave_no_file_of_sqlite_behind(command, folder, tmp_path, monkeypatch):
    before = set(files(folder))
    monkeypatch.setattr(sys, "argv", ["spu-circuit", *map(str, read_by(command, folder, tmp_path / "out"))])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    made = {
        "report.html",
        "summary.json",
        "contributions.csv",
        "points.csv",
        *(f"{figure.name}.png" for figure in FIGURES),
    }
    assert set(files(folder)) - before <= made


@pytest.mark.parametrize("with_index", [True, False])
def test_what_a_killed_writer_left_in_its_log_is_read(with_index, tmp_path):
    """Of a process that ends without closing, as a kill leaves it."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom experiments.sweeps.store import SweepStore\n"
        "from experiments.sweeps.evaluate import Row\n"
        "store = SweepStore(Path(sys.argv[1]))\nstore.claim({'audit': 0}, {})\n"
        "store.commit((0, 'copies'), [Row(0, 'ok', '', 1.0, (0.5,))])\nos._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert (tmp_path / "sweep.sqlite-wal").stat().st_size
    if not with_index:
        (tmp_path / "sweep.sqlite-shm").unlink()
    before = files(tmp_path)
    with closing(open_sweep(tmp_path)) as store:
        assert [row.metrics for row in store.rows((0, "copies"))] == [(0.5,)]
    assert files(tmp_path) == before
    assert (tmp_path / "sweep.sqlite-shm").exists() == with_index


@pytest.mark.parametrize("change", [foreign, of_another_kind])
def test_a_sweep_does_not_write_into_a_foreign_file(change, folder):
    change(folder)
    before = files(folder)
    with pytest.raises(InputError, match="is no store of a sweep"):
        SweepStore(folder)
    assert files(folder) == before


def test_reading_writes_nothing(folder):
    with closing(open_sweep(folder)) as store, pytest.raises(InputError, match=r"cannot be written: .*readonly"):
        store.commit((0, "copies"), store.rows((0, "copies")))


STEP = Step(
    *(0, "tngd", 0.1, 0, 0, 0, 64, 2.3, 2.2, 0.1, None, 0.02, 0.4, 0.3, 0, 0.01, 1.0, 0, 0, 5, 1e-6, 1),
    *(3, 1, 66, 66, 1e3, "converged", None, 1e-4, 0.5),
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "run.sqlite").write_text("text of some length " * 40), "is damaged: file is not a database"),
        (lambda f: edit(f, "DROP TABLE exhibit", name="run.sqlite"), "'exhibit' has not the columns"),
        (lambda f: edit(f, "UPDATE config SET json = 'x'", name="run.sqlite"), "is no JSON"),
        (lambda f: edit(f, "UPDATE config SET json = '{}'", name="run.sqlite"), "its config is none that train writes"),
        (lambda f: edit(f, "DELETE FROM config", name="run.sqlite"), "its config is none that train writes"),
        (lambda f: edit(f, "UPDATE history SET loss = 'low'", name="run.sqlite"), "a row of history has loss = 'low'"),
        (lambda f: edit(f, "UPDATE history SET seed = 1.5", name="run.sqlite"), r"has seed = 1\.5"),
        (lambda f: edit(f, "UPDATE history SET optimizer = x'00'", name="run.sqlite"), "has optimizer = b"),
    ],
)
def test_a_run_is_read_as_carefully(change, words, tmp_path, monkeypatch, capsys):
    with closing(Store(tmp_path)) as store:
        store.claim({"name": "run"}, {})
        store.commit(Chunk(Trial(0, "tngd", 0.1, 0), (STEP,), {"weights": np.zeros(1)}, None, {}))
    change(tmp_path)
    before = files(tmp_path)
    status, said = told(monkeypatch, capsys, "report", tmp_path)
    assert status == 2
    with pytest.raises(InputError, match=words):
        raise InputError(said)
    assert files(tmp_path) == before


def test_the_first_difference_is_named_by_its_path():
    kept = {"a": 1, "points": [{"x": 1}, {"x": 2}], "b": {"c": [1, 2]}}
    assert first_difference(kept, json.loads(json.dumps(kept))) is None
    assert first_difference(kept, kept | {"points": [{"x": 1}, {"x": 3}]}) == ("points.1.x", 2, 3)
    assert first_difference(kept, kept | {"b": {}}) == ("b.c", [1, 2], None)


@pytest.mark.parametrize("blob", ["x'00'", "'text'", "NULL", "3", "zeroblob(100)"])
def test_arrays_of_a_run_that_are_none_are_refused(blob, tmp_path):
    with closing(Store(tmp_path)) as store:
        store.commit(Chunk(Trial(0, "tngd", 0.1, 0), (STEP,), {"weights": np.zeros(1)}, None, {}))
    edit(tmp_path, f"UPDATE state SET arrays = {blob}", name="run.sqlite")
    with closing(Store(tmp_path)) as store, pytest.raises(InputError, match=r"state of tngd, .* holds no arrays"):
        store.state(Trial(0, "tngd", 0.1, 0))

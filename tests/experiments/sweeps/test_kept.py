"""A sweep's folder is whole by itself: it can be moved, and what the config named may be gone."""

import shutil
import sys
import tomllib
from contextlib import closing
from importlib.resources import files

import numpy as np
import pytest

from experiments import cli
from experiments.sweeps.findings import study_in
from experiments.sweeps.run import run
from experiments.sweeps.store import SweepStore, open_sweep
from experiments.sweeps.study import study_of
from experiments.sweeps.workloads import systems_of
from spu_circuit.errors import InputError

CONFIG = """
name = "movable"
engine = "ngspice"
hardware.base = "inputs/board.toml"
workload = { kind = "file", matrix = "inputs/A.npy", vector = "inputs/b.npy" }
analysis = { kind = "monte carlo", samples = 2 }
limits.relative_error.max = "3 %"
[hardware.variation.array_resistor]
local = { tolerance = "1 %", meaning = "sigma" }
[grid]
"hardware.amplifier.library" = ["mine.lib", "same.lib"]
"""


def ran(monkeypatch, capsys, *arguments):
    """Standard output of a command that must succeed."""
    monkeypatch.setattr(sys, "argv", ["spu-circuit", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert not ended.value.code, said.err
    return said.out


def outputs(monkeypatch, capsys, folder):
    """What the readers make of a folder."""
    ran(monkeypatch, capsys, "report", folder)
    ran(monkeypatch, capsys, "export", folder, "--to", folder / "copies.csv")
    deck = ran(monkeypatch, capsys, "replay", folder, 1, "--point", 1)
    page = (folder / "report.html").read_text().replace(str(folder), "FOLDER")
    return deck, page, (folder / "summary.json").read_text(), (folder / "copies.csv").read_text()


def test_readers_need_nothing_but_the_moved_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "here" / "inputs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    library = files("netlists").joinpath("library", "opamp.lib").read_text()
    for name in ("mine.lib", "same.lib"):
        (tmp_path / "here" / "inputs" / name).write_text(library)
    preset = files("spu_circuit").joinpath("presets", "vendor.toml").read_text()
    (tmp_path / "here" / "inputs" / "board.toml").write_text(preset)
    np.save("inputs/A.npy", np.array([[2.0, 0.5], [0.5, 1.0]]))
    np.save("inputs/b.npy", np.array([1.0, -0.3]))
    (tmp_path / "here" / "movable.toml").write_text(CONFIG)
    ran(monkeypatch, capsys, "sweep", "movable.toml", "--workers", 1)
    before = outputs(monkeypatch, capsys, tmp_path / "here" / "runs" / "movable")
    shutil.move(tmp_path / "here" / "runs" / "movable", tmp_path / "there")
    shutil.rmtree(tmp_path / "here" / "inputs")
    (tmp_path / "here" / "movable.toml").unlink()
    assert outputs(monkeypatch, capsys, tmp_path / "there") == before


def finished(text, folder):
    document = tomllib.loads(text)
    made = study_of(document, {}, "test")
    with closing(SweepStore(folder)) as store:
        store.claim(made.config, {})
        run(made, store)
    return made


OWN = """
name = "own"
hardware.base = "paper"
workload = { kind = "folder", folder = "FOLDER", systems = 2 }
analysis = { kind = "monte carlo", samples = 8 }
[hardware.variation.array_resistor]
local = { tolerance = "5 %", meaning = "sigma" }
"""


def of_folder(folder):
    folder.mkdir()
    for number in range(2):
        np.save(folder / f"matrix-{number}.npy", np.eye(2) * (number + 1))
        np.save(folder / f"vector-{number}.npy", np.ones(2))
    return OWN.replace("FOLDER", str(folder))


def test_a_folder_of_systems_is_a_workload(tmp_path):
    made = finished(of_folder(tmp_path / "mine"), tmp_path / "sweep")
    assert [float(system.A[0, 0]) for system in systems_of(made.sweeps[0].workload)] == [1, 2]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: path.unlink(), "no file .*matrix-1.npy', which the sweep's systems are in; restore it"),
        (lambda path: np.save(path, 3 * np.eye(2)), "matrix-1.npy' is not what was written, by its checksum"),
    ],
)
def test_kept_systems_that_are_gone_or_changed_are_noticed_and_written_again(harm, message, tmp_path):
    text = of_folder(tmp_path / "mine")
    finished(text, tmp_path / "sweep")
    (path,) = (tmp_path / "sweep" / "systems").glob("*/matrix-1.npy")
    harm(path)
    with closing(open_sweep(tmp_path / "sweep")) as store, pytest.raises(InputError, match=message):
        study_in(store)
    finished(text, tmp_path / "sweep")
    with closing(open_sweep(tmp_path / "sweep")) as store:
        assert systems_of(study_in(store).sweeps[0].workload)[1].A[0, 0] == 2

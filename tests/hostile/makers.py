"""The files that the corpus names: good ones, and those of a stranger."""

import os
import pickle
import sys
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import resources
from io import BytesIO
from pathlib import Path

import numpy as np

from experiments.cli import main
from experiments.shared.systems import spd_system
from experiments.sweeps.store import NAME as SWEEP
from experiments.training.store import NAME as RUN

GOOD = spd_system(3, 4)


def saved(array: object) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


def with_header(header: str, data: bytes = b"") -> bytes:
    """A ``.npy`` file of version 1 with any header."""
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def archive(**arrays: object) -> bytes:
    file = BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def zipped() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("a.txt", "text")
    return file.getvalue()


def shape(text: str) -> bytes:
    return with_header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {text}}}")


BYTES: dict[str, bytes] = {
    "A.npy": saved(GOOD.A),
    "b.npy": saved(GOOD.b),
    "B.npy": saved(np.arange(6.0).reshape(2, 3)),
    "H.npy": saved(np.eye(2)),
    "empty.npy": b"",
    "text.npy": b"1 2 3\n",
    "magic.npy": b"\x93NUMPY",
    "version.npy": b"\x93NUMPY\x09\x00" + b"\x00" * 20,
    "half.npy": saved(GOOD.A)[:-8],
    "longer.npy": saved(GOOD.A) + b"more",
    "huge.npy": shape("(1000000, 1000000)"),
    "huger.npy": shape("(99999999999999999999, 9)"),
    "negative.npy": shape("(-3, 3)"),
    "nested.npy": with_header("(" * 110),
    "call.npy": with_header("__import__('os').abort()"),
    "words.npy": saved(np.array([["a", "b"], ["c", "d"]])),
    "dates.npy": saved(np.array(["2026-01-01"], dtype="M8[D]")),
    "records.npy": saved(np.zeros(3, [("x", "f8")])),
    "pickle.npy": saved(np.array([{"a": 1}, None], dtype=object)),
    "bare_pickle.npy": pickle.dumps([1.0]),
    "several.npz": archive(a=GOOD.A, b=GOOD.b),
    "several.npy": archive(a=GOOD.A),
    "zip.npy": zipped(),
    "half_zip.npy": zipped()[:20],
    "none.npy": saved(np.zeros((0, 0))),
    "number.npy": saved(np.float64(2.0)),
    "cube.npy": saved(np.zeros((2, 2, 2))),
    "wide.npy": saved(np.ones((2, 3))),
    "four.npy": saved(np.eye(4)),
    "vector4.npy": saved(np.ones(4)),
    "vector0.npy": saved(np.zeros(0)),
    "zeros.npy": saved(np.zeros(3)),
    "complex.npy": saved(GOOD.A * 1j),
    "complex_vector.npy": saved(GOOD.b * 1j),
    "nan.npy": saved(np.where(np.eye(3), np.nan, 0.0)),
    "nan_vector.npy": saved(np.array([1.0, np.nan, 0.0])),
    "inf.npy": saved(np.diag([1.0, np.inf, 1.0])),
    "inf_vector.npy": saved(np.array([1.0, -np.inf, 0.0])),
    "large.npy": saved(GOOD.A * 1e307),
    "large_vector.npy": saved(GOOD.b * 1e307),
    "tiny.npy": saved(GOOD.A * 1e-307),
    "skew.npy": saved(np.array([[1.0, 2, 0], [0, 1, 0], [0, 0, 1]])),
    "indefinite.npy": saved(np.diag([1.0, 1.0, -1.0])),
    "singular.npy": saved(np.ones((3, 3))),
    "negative_H.npy": saved(-np.eye(2)),
    "spread.npy": saved(np.diag([1.0, 1e-3, 1e-3])),
    "nan_B.npy": saved(np.full((2, 3), np.nan)),
    "binary.toml": bytes(range(256)),
    "latin.toml": 'name = "\xe9"'.encode("latin1"),
    "open.toml": b'name = "x\n[',
    "deep.toml": b"x = " + b"[" * 5000 + b"]" * 5000,
    "digits.toml": b"x = " + b"9" * 5000,
    "twice.toml": b"x = 1\nx = 2\n",
    "nothing.toml": b"",
    "list.toml": b"grid = [1]\n",
    "file": b"text\n",
    "x.parquet": b"kept",
}

FOLDERS: dict[str, dict[str, bytes]] = {
    "folder": {},
    "folder.npy": {},
    "folder.toml": {},
    "text_store": {SWEEP: b"text\n" * 100, RUN: b"text\n" * 100},
    "empty_store": {SWEEP: b"", RUN: b""},
}


def make(folder: Path) -> None:
    """All files, and what is no file."""
    for name, content in BYTES.items():
        (folder / name).write_bytes(content)
    for name, files in FOLDERS.items():
        (folder / name).mkdir()
        for inner, content in files.items():
            (folder / name / inner).write_bytes(content)
    with (folder / "sparse.toml").open("wb") as file:
        file.truncate(2**40)
    for name in ("pipe", "pipe.npy", "pipe.toml", "pipe.csv"):
        os.mkfifo(folder / name)
    (folder / "pipe_store").mkdir()
    for name in (SWEEP, RUN):
        os.mkfifo(folder / "pipe_store" / name)
    (folder / "loop").symlink_to("loop")
    (folder / "loop.npy").symlink_to("loop.npy")
    (folder / "dangling.npy").symlink_to("nowhere.npy")
    swept(folder)


def swept(folder: Path) -> None:
    """The folder of a finished sweep."""
    config = folder / "small.toml"
    config.write_text(SWEEPING)
    sys.argv = ["spu-circuit", "sweep", str(config), "--workers", "1", "--output", str(folder / "swept")]
    with suppress(SystemExit):
        main()


def preset(name: str) -> str:
    return resources.files("spu_circuit").joinpath(f"presets/{name}.toml").read_text()


BASES: Mapping[str, Callable[[], str]] = {
    "bench": lambda: preset("bench"),
    "vendor": lambda: preset("vendor"),
    "sweep": lambda: SWEEPING,
    "train": lambda: TRAINING,
}
"""Texts that cases change at one place."""

SWEEPING = """
name = "small"
metrics = ["relative_error"]

[hardware]
base = "paper"

[hardware.variation.array_resistor]
local = { tolerance = "1 %", meaning = "sigma" }

[workload]
kind = "random"
size = 2

[analysis]
kind = "monte carlo"
samples = 4

[limits]
relative_error = { max = "2 %" }
"""

TRAINING = """
name = "small"
task = "digits"
steps = 2
batch_size = 16
seeds = [0]
workers = 1

[data]
train = 64
validation = 16
test = 16

[network]
kind = "mlp"
hidden = [4]

[optimizers.tngd]
kind = "tngd"
learning_rates = [0.5]
damping = 0.5
curvature_samples = 2
hardware = "bench"
analog_time = 6.0

[optimizers.adam]
kind = "adam"
learning_rates = [0.01]
"""

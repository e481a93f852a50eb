"""The program can be stopped at any moment."""

import subprocess
import sys

import numpy as np
import pytest

STOPPED_AT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.argv = ["spu-circuit", *{words!r}]
from experiments.__main__ import main
sys.meta_path.insert(0, Stop())
main()
"""


@pytest.mark.parametrize("module", ["typer", "experiments.solve.commands", "numpy", "pydantic_core", "scipy.linalg"])
def test_ctrl_c_while_modules_load_is_one_line_and_status_130(tmp_path, module):
    np.save(tmp_path / "A.npy", np.eye(2))
    np.save(tmp_path / "b.npy", np.ones(2))
    words = ["solve", "--matrix", "A.npy", "--vector", "b.npy", "--engine", "sde", "--output", "x.npy"]
    code = STOPPED_AT.format(module=module, words=words)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "error: stopped\n")
    assert not (tmp_path / "x.npy").exists()


def test_a_full_disk_behind_standard_output_is_one_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "experiments.cli", "hardware", "show", "bench"]
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (run.returncode, run.stderr) == (1, "error: standard output: No space left on device\n")


def test_a_reader_that_leaves_is_told_nothing():
    command = f"set -o pipefail; {sys.executable} -m experiments.cli hardware show bench --json | true"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (1, "")

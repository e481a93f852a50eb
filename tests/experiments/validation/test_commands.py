"""The command that validates: the files of a run, and how it ends."""

import csv
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.validation import subject
from experiments.validation.setups import Setup


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("experiments.validation.commands.SETUPS", (Setup("active", "paper", 2, 2, (1.0,), samples=50),))
    monkeypatch.setattr("experiments.validation.commands.FEW_CONDITIONS", (1.0, 100.0))
    monkeypatch.setattr("experiments.validation.conditioning.HARDWARE", (("active", "ideal"), ("active", "rram")))


def test_a_run_writes_tables_figures_and_a_page_that_needs_no_network(quick, tmp_path):
    run = CliRunner().invoke(app, ["validate", "--output", str(tmp_path / "out")])
    assert run.exit_code == 0, run.output
    assert "checks hold." in run.output
    with (tmp_path / "out" / "validation.csv").open() as file:
        rows = list(csv.DictReader(file))
    device = "topology preset cells condition alteration hessian parasitic thermal injected seed"
    wanted = f"agreement {device} quantity time_constants seconds engine reference difference bound unit holds reason"
    assert list(rows[0]) == wanted.split()
    assert {row["holds"] for row in rows} == {"True"}
    assert {(row["topology"], row["preset"], row["cells"]) for row in rows} == {("active", "paper", "2")}
    assert [row["quantity"] for row in rows if row["seconds"] == ""] == ["noise density of cell 0, worst frequency"]
    with (tmp_path / "out" / "conditioning.csv").open() as file:
        points = list(csv.DictReader(file))
    assert {point["condition"] for point in points} == {"1.0", "100.0"}
    assert {point["cells"] for point in points} == {"6"}
    page = (tmp_path / "out" / "validation.html").read_text()
    assert page.count("data:image/png;base64") == 5
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert "http" not in page


def test_without_the_packages_for_pages_a_run_writes_its_tables_and_says_what_the_page_needs(
    quick, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    run = CliRunner().invoke(app, ["validate", "--output", str(tmp_path)])
    assert run.exit_code == 0, run.output
    assert "The page needs jinja2: pip install 'spu-circuit[report]'" in " ".join(run.output.split())
    assert {path.name for path in tmp_path.iterdir()} == {"validation.csv", "conditioning.csv"}


def test_a_tampered_circuit_ends_with_status_one_and_names_the_check(quick, tmp_path, monkeypatch):
    """The network has a circuit whose inputs are a millionth and a half too high."""
    right = subject.state_space

    def tampered(device, engine):
        return right(replace(device, dac_volts=device.dac_volts * (1 + 1.5e-6)), engine)

    monkeypatch.setattr(subject, "state_space", tampered)
    run = CliRunner().invoke(app, ["validate", "--output", str(tmp_path)])
    assert run.exit_code == 1
    assert "the first that fails: paper, 2 cells" in " ".join(run.output.split())
    assert "False" in (tmp_path / "validation.csv").read_text()


def test_without_ngspice_it_says_so_in_one_line(tmp_path):
    command = [sys.executable, "-m", "experiments.cli", "validate", "--output", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, env={"PATH": "/nonexistent"})
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "ngspice is not on the PATH; install it" in run.stderr

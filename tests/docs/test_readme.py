"""The README and the pages do what they say: their examples run as they stand, their links lead somewhere.

The notebooks are run by ``make docs``.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "notebooks").glob("*.md"))]


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The commands ``spu-circuit`` and ``python`` of this Python, and this project to import."""
    folder = tmp_path_factory.mktemp("bin")
    for name, arguments in (("spu-circuit", "-m experiments.cli"), ("python", "")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (folder / name).chmod(0o755)
    path = os.pathsep.join((str(folder), os.environ["PATH"]))
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg", "COLUMNS": "200"}


@pytest.fixture(scope="module")
def said(environment, tmp_path_factory):
    """What each of the README's examples prints, and the folder that they share."""
    folder = tmp_path_factory.mktemp("readme")
    examples = README.split("## Three examples")[1].split("\n## ")[0]
    shell, (program,) = blocks(examples, "sh"), blocks(examples, "python")
    assert len(shell) == 2
    commands = [["bash", "-e", "-c", text] for text in shell] + [[sys.executable, "-c", program]]
    runs = [
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        for command in commands
    ]
    for run in runs:
        assert run.returncode == 0, run.stderr
    return [run.stdout for run in runs], folder


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 130


@pytest.mark.slow
def test_the_first_example_solves_a_system_and_its_deck_runs_in_bare_ngspice(said, environment):
    (solved, _, _), folder = said
    values = [float(value) for value in re.findall(r"^x\[\d\] = (\S+) ±", solved, flags=re.MULTILINE)]
    assert values == pytest.approx([2 / 3, 1 / 3], rel=0.03)
    run = subprocess.run(["ngspice", "-b", "deck.cir"], cwd=folder, env=environment, capture_output=True, timeout=120)
    assert run.returncode == 0


@pytest.mark.slow
def test_the_second_example_sweeps_two_tolerances(said):
    (_, swept, _), folder = said
    good, bad = (float(share) for share in re.findall(r"(\S+) % of the copies keep", swept))
    assert good > 90 > bad
    assert (folder / "runs" / "boards" / "report.html").is_file()


@pytest.mark.slow
def test_the_third_example_trains(said):
    losses = [float(line) for line in said[0][2].split()]
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("page", ["solving.md", "training.md", "hardware.md", "sweeps.md"])
def test_examples_in_python_of_a_page_run(page, environment, tmp_path):
    program = "\n".join(blocks((ROOT / "docs" / page).read_text(encoding="utf-8"), "python"))
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr


def test_the_commands_of_the_page_about_solving_run(environment, tmp_path):
    text = (ROOT / "docs" / "solving.md").read_text(encoding="utf-8")
    for commands in blocks(text, "sh"):
        run = subprocess.run(
            ["bash", "-e", "-c", commands], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_every_page_is_in_the_contents():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = {line for tree in blocks(index, r"\{toctree\}") for line in tree.split()}
    for page in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "notebooks").glob("*.md")]:
        name = page.relative_to(ROOT / "docs").with_suffix("").as_posix()
        assert name in listed | {"index"}


def test_the_schematic_is_drawn(environment, tmp_path):
    """From a copy, so that the picture in the checkout stays as it is."""
    shutil.copytree(ROOT / "docs" / "figures", tmp_path / "docs" / "figures")
    program = [sys.executable, "-m", "docs.figures.schematic"]
    subprocess.run(program, cwd=tmp_path, env=environment, check=True, timeout=120)
    assert (tmp_path / "docs" / "images" / "schematic.svg").read_text(encoding="utf-8").startswith("<?xml")

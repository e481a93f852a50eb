"""What strangers' files and hasty fingers give the commands: each ends with one line that names the field.

The corpus is data: commands, what stands for ``{}`` in them or which text of a config is changed to what, and how the
line begins that is expected. ``makers`` makes the files that it names.
"""

import shlex
import signal
import sys
import tomllib
from pathlib import Path

import pytest

from experiments.cli import main
from tests.hostile.makers import BASES, make

LONGEST = 20
"""Seconds that a refusal may take on a busy machine."""
CORPUS = tomllib.loads(Path(__file__).with_name("corpus.toml").read_text())["group"]
CASES = [(group, case) for group in CORPUS for case in group["cases"]]
LONG = "x" * 300
"""A name that no file system takes."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made, kept = tmp_path_factory.mktemp("hostile"), sys.argv
    try:
        make(made)
    finally:
        sys.argv = kept
    return made


def seen(folder):
    return {path: (path.lstat().st_mode, path.lstat().st_size) for path in folder.rglob("*")}


def words_of(group, case, folder):
    given = [text.replace("LONG", LONG) for text in case[:-1]]
    text = BASES[group["base"]]() if "base" in group else ""
    if len(given) == 2:
        old, new = given
        assert old in text, f"{old!r} is not in {group['base']}"
        text = text.replace(old, new, 1) if old else f"{new}\n{text}"
    (folder / "config.toml").write_text(text)
    return shlex.split(group["command"].replace("{}", given[0]))


def named(case):
    return " → ".join(text.replace("\n", " ")[:40] for text in case[:-1])


def test_the_corpus_is_large_and_repeats_nothing():
    told = [(group["command"], group.get("base"), *case[:-1]) for group, case in CASES]
    assert len(told) >= 300
    assert len(set(told)) == len(told)


@pytest.mark.parametrize(("group", "case"), CASES, ids=[named(case) for _, case in CASES])
def test_a_bad_input_is_one_line_and_nothing_is_written(group, case, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["spu-circuit", *words_of(group, case, folder)])
    before = seen(folder)

    def late(*_):
        raise AssertionError(f"no answer after {LONGEST} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.alarm(0)
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (group.get("status", 2), "")
    assert err.count("\n") == 1
    assert err.startswith(f"error: {case[-1]}")
    assert len(err) < 1200
    assert seen(folder) == before

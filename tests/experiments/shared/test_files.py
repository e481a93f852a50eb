"""Outputs: whole or not there, and nothing replaced that is no regular file."""

import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from experiments.shared.files import check_output, inert, make_folder, write, write_csv, writing
from spu_circuit.errors import InputError


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "x.txt"
    with writing(path, "x") as file:
        file.write("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with suppress(ZeroDivisionError), writing(path, "x") as file:
        file.write("new")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("check", [check_output, lambda path: write(path, "new")])
@pytest.mark.parametrize(
    "kind", ["device", "pipe", "folder", "dash", "long", "no folder", "file as folder", "zero byte"]
)
def test_what_is_no_regular_file_is_refused_and_stays(tmp_path, kind, check):
    path = {
        "device": Path("/dev/full"),
        "dash": Path("-"),
        "long": tmp_path / ("x" * 300),
        "no folder": tmp_path / "none" / "x",
        "file as folder": tmp_path / "file" / "x",
        "zero byte": tmp_path / "x\0",
    }.get(kind, tmp_path / "x")
    (tmp_path / "file").touch()
    if kind == "pipe":
        os.mkfifo(path)
    if kind == "folder":
        path.mkdir()
    with pytest.raises(InputError, match=r"^output: ") as caught:
        check(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    if kind == "device":
        assert stat.S_ISCHR(path.stat().st_mode)
    if kind == "pipe":
        assert path.is_fifo()
    assert not Path("-").exists()


def test_no_link_is_followed_where_the_unfinished_file_lies(tmp_path):
    """Somebody else may have put it there, to have another file overwritten."""
    other, path = tmp_path / "other", tmp_path / "x.npy"
    other.write_text("kept")
    (tmp_path / "x.npy.part").symlink_to(other)
    write(path, "new")
    assert other.read_text() == "kept"
    assert path.read_text() == "new"
    assert not path.is_symlink()


def test_a_link_is_replaced_and_its_target_stays(tmp_path):
    other, path = tmp_path / "other", tmp_path / "x"
    other.write_text("kept")
    path.symlink_to(other)
    write(path, "new")
    assert (other.read_text(), path.read_text(), path.is_symlink()) == ("kept", "new", False)


@pytest.mark.parametrize("path", ["-", "/dev/full", "/dev/full/x", "x" * 300, "x\0"])
def test_a_folder_that_cannot_be_is_refused(path):
    with pytest.raises(InputError, match=r"^output: "):
        make_folder(Path(path))


def test_texts_of_a_table_are_inert_in_spreadsheets(tmp_path):
    write_csv(tmp_path / "x.csv", ["a", "=b"], [["=1+1", -1.5], ["@x", 2]])
    assert (tmp_path / "x.csv").read_text() == "a,'=b\n'=1+1,-1.5\n'@x,2\n"
    assert inert("plain") == "plain"


@pytest.mark.parametrize("text", ["-40 °C", "+1.5 V", "-20 ppm/K", "-3 %"])
def test_a_quantity_is_no_formula(text):
    assert inert(text) == text


@pytest.mark.parametrize(
    "text", ["-1", "-A1", "-1 A1", "-1 V+A1", "-1 V(1)", "+1 cmd|' /c x'!A", "-1  V", "=1 V", "-1 V\n=1"]
)
def test_what_may_name_a_cell_is_guarded(text):
    assert inert(text) == f"'{text}"

"""What a library includes and calls: files in their places, and budgets."""

import pytest

from spu_circuit.errors import InputError
from tests.spu_circuit.test_library import used


def test_included_files_stand_in_their_place(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "parts.inc").write_text("* parts\n.include 'deeper.inc'\n")
    (tmp_path / "sub" / "deeper.inc").write_text(".subckt half in out\nR1 in out 1\n.ends\n")
    text, _ = used(tmp_path, '.include "sub/parts.inc"\n.subckt amp 1 2 3 4 5\nX1 1 2 half\n.ends')
    assert "R1 in out 1" in text


def test_includes_that_leave_the_folder_or_go_round_are_refused(tmp_path):
    folder = tmp_path / "library"
    folder.mkdir()
    outside = tmp_path / "secret.inc"
    outside.write_text("* secret")
    (folder / "link.inc").symlink_to(outside)
    (folder / "round.inc").write_text("*\n\n.include vendor.lib")
    out = "leads out of the library's folder; copy the file into it"
    for wanted, words in (
        ("../secret.inc", out),
        (str(outside), out),
        ("link.inc", out),
        ("sub/../../secret.inc", out),
        ("missing.inc", "there is no file 'missing.inc'"),
    ):
        with pytest.raises(InputError, match=rf"^library vendor.lib, line 2: .*{words}"):
            used(folder, f"* head\n.include {wanted}\n")
    with pytest.raises(InputError, match=r"^library round.inc, line 3: 'vendor.lib' includes itself; break the cycle"):
        used(folder, ".include round.inc")


def test_includes_that_no_file_answers_to_are_refused(tmp_path):
    (tmp_path / "a.inc").symlink_to("b.inc")
    (tmp_path / "b.inc").symlink_to("a.inc")
    for wanted in ("a.inc", "x" * 5000):
        with pytest.raises(InputError, match=r"^library vendor.lib, line 1: .* cannot be followed to a file; name one"):
            used(tmp_path, f".include {wanted}\n")


def test_nests_deeper_than_any_library_needs_are_refused(tmp_path):
    """A thousand files or subcircuits inside each other would end in a traceback."""
    for k in range(1000):
        (tmp_path / f"{k}.inc").write_text(f".include {k + 1}.inc")
    with pytest.raises(InputError, match=r"^library 48.inc, line 1: '49.inc' would stand inside 50 files; put them"):
        used(tmp_path, ".include 0.inc")
    nest = "".join(f".subckt s{k} a\nX1 a s{k + 1}\n.ends\n" for k in range(1000))
    with pytest.raises(InputError, match=r"line 149: subcircuit 's50' would stand inside 50 others; flatten them"):
        used(tmp_path, nest + ".subckt s1000 a\nR1 a 0 1\n.ends", "s0")


def test_includes_that_double_are_refused_by_a_budget(tmp_path):
    """Twenty-five times would be 33 million files."""
    for k in range(25):
        (tmp_path / f"{k}.inc").write_text(f".include {k + 1}.inc\n.include {k + 1}.inc\n")
    (tmp_path / "25.inc").write_text("* end\n")
    words = r"^library \d+.inc, line \d: with all that it includes .* more than 1000 files or 100000 lines; include"
    with pytest.raises(InputError, match=words):
        used(tmp_path, ".include 0.inc")


def test_subcircuits_that_double_are_refused_by_a_budget(tmp_path):
    nest = "".join(f".subckt s{k} a\nX1 a s{k + 1}\nX2 a s{k + 1}\n.ends\n" for k in range(25))
    words = r"^library vendor.lib, line 1: subcircuit 's0' has 100663294 elements .* most 10000; take a simpler model"
    with pytest.raises(InputError, match=words):
        used(tmp_path, nest + ".subckt s25 a\nR1 a 0 1\n.ends", "s0")

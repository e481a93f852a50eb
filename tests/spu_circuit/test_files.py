"""Files of strangers: what is opened, and how what is not is named."""

import os
from pathlib import Path

import pytest

from spu_circuit.errors import InputError
from spu_circuit.files import MOST_TEXT, cut, is_file, read_file, shortened


def test_a_text_is_read(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo")
    assert read_file(tmp_path / "a.txt", "text") == b"one\ntwo"


def test_what_is_no_regular_file_is_named_and_not_opened(tmp_path):
    """A pipe without a writer blocks whoever opens it; a device may never end."""
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path, "is a directory; give a regular file"),
        (tmp_path / "pipe", "is a pipe; give a regular file"),
        (Path("/dev/zero"), "is a device; give a regular file"),
        (tmp_path / "none", "no file"),
        (tmp_path / ("x" * 300), "cannot be read: File name too long"),
        (Path("a\0b"), "cannot be read: embedded null byte"),
    ):
        assert not is_file(path)
        with pytest.raises(InputError, match=rf"^text: .*{words}") as error:
            read_file(path, "text")
        assert "\n" not in str(error.value)


def test_a_text_larger_than_any_is_refused_unread(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MOST_TEXT + 1)
    with pytest.raises(InputError, match=rf"'.*large' has {MOST_TEXT + 1} bytes; a text has at most {MOST_TEXT}$"):
        read_file(tmp_path / "large", "text")


def test_values_are_quoted_in_one_short_line():
    nest: list[object] = []
    for _ in range(5000):
        nest = [nest]
    assert shortened("a\nb") == r"'a\nb'"
    assert shortened(10**5000) == "a int too long to show"
    assert shortened(nest) == "a list too long to show"
    assert len(shortened("x" * 10**6)) < 200
    assert cut("a\nb\u2028c") == "a b c"

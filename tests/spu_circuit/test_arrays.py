"""Arrays in files of strangers."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spu_circuit import memory
from spu_circuit.arrays import read_array
from spu_circuit.errors import InputError

REFUSED = r"^vector: '.*' .*save one array of numbers with numpy.save$"


def npy(value):
    buffer = io.BytesIO()
    np.save(buffer, value)
    return buffer.getvalue()


def with_header(text, body=b"", version=b"\x01\x00"):
    header = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(header).to_bytes(2 if version[0] == 1 else 4, "little") + header + body


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2", "<i8", "|u1", "|b1", "<c16"])
def test_numbers_come_back_as_they_were_saved_under_any_name(tmp_path, dtype):
    for value in (np.arange(6).reshape(2, 3).astype(dtype), np.zeros(0, dtype), np.ones((), dtype)):
        (tmp_path / "array.txt").write_bytes(npy(np.asfortranarray(value)))
        found = read_array(tmp_path / "array.txt", "vector")
        assert found.dtype == value.dtype
        np.testing.assert_array_equal(found, value)


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.npy", npy(np.ones(2)))
    return buffer.getvalue()


HUGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000000)}"
BAD = {
    "empty": (b"", "is not a .npy file"),
    "text": (b"1 2 3\n", "is not a .npy file"),
    "pickle": (pickle.dumps([1.0]), "is not a .npy file"),
    "archive": (archive(), "is an archive of several arrays"),
    "half an archive": (archive()[:30], "is an archive of several arrays"),
    "objects": (npy(np.array([{}], dtype=object)), "holds Python objects, not numbers"),
    "text entries": (npy(np.array(["a"])), "holds '<U1', not numbers"),
    "dates": (npy(np.array(["2020-01-01"], "datetime64[D]")), "not numbers"),
    "records": (npy(np.zeros(1, [("a", "<f8")])), "not numbers"),
    "records outside ASCII": (npy(np.zeros(1, [("ö€", "<f8")])), "is not a .npy file"),
    "negative": (with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}"), "has the shape"),
    "no literal": (with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1+"), "is not a .npy file"),
    "a call": (with_header("__import__('os').abort()"), "is not a .npy file"),
    "a nest": (with_header("(" * 110), "is not a .npy file"),
    "a zero byte": (with_header("{'descr': '<f8\0'}"), "is not a .npy file"),
    "no such type": (with_header("{'descr': 'zz', 'fortran_order': False, 'shape': ()}"), "is not a .npy file"),
    "a long header": (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{", "is not a .npy file"),
    "version": (b"\x93NUMPY\x09\x00" + b"x" * 99, "is not a .npy file"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_array_of_numbers_is_one_line_with_the_cure(tmp_path, name):
    data, words = BAD[name]
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(InputError, match=REFUSED) as error:
        read_array(tmp_path / "x.npy", "vector")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("body", [npy(np.ones(9))[:-1], npy(np.ones(9)) + b"\0", with_header(HUGE, b"x" * 8)])
def test_a_header_that_promises_another_size_than_the_file_has_allocates_nothing(tmp_path, body):
    (tmp_path / "x.npy").write_bytes(body)
    with pytest.raises(InputError, match=r"^vector: .* should hold \d+ bytes for its shape \(.*\) and holds \d+; save"):
        read_array(tmp_path / "x.npy", "vector")


def test_a_file_larger_than_the_memory_is_refused_by_both_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "machine_memory", lambda: 2**20)
    np.save(tmp_path / "x.npy", np.zeros(2**18))
    with pytest.raises(InputError, match=r"^vector needs about 0\.00195 GiB of memory, this machine has 0\.000977;"):
        read_array(tmp_path / "x.npy", "vector")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"^vector: .*pipe' is a pipe; give a regular file"):
        read_array(tmp_path / "pipe", "vector")


@given(st.binary(max_size=200), st.integers(0, 127))
def test_garbage_of_any_kind_is_refused(tmp_path_factory, garbage, at):
    """Bytes written over a good file's header: it is read, or refused in one line."""
    path = tmp_path_factory.mktemp("garbage") / "x.npy"
    good = npy(np.ones(4))
    path.write_bytes(good[:at] + garbage + good[at + len(garbage) :])
    try:
        found = read_array(path, "vector")
    except InputError:
        return
    assert found.dtype.kind in "biufc"

"""Images of the shipped tasks: digits, MNIST and Fashion-MNIST."""

import gzip
import io
import os
import zipfile

import numpy as np
import pytest

from experiments.training.data import Sizes, fingerprint
from experiments.training.tasks import image_files, task_named
from experiments.training.tasks.idx import LARGEST, read_idx
from spu_circuit.errors import InputError
from tests.experiments.training.images import idx, write_idx

ALL = Sizes(train=1257, validation=180, test=360)
SOME = Sizes(train=20, validation=5, test=5)


def load(name, sizes, path=None):
    return task_named(name).load(sizes, path)


def test_digits_are_all_the_real_images_split_without_overlap():
    split = load("digits", ALL)
    parts = [split.train, split.validation, split.test]
    assert [len(labels) for _, labels in parts] == [1257, 180, 360]
    images = np.concatenate([images for images, _ in parts]).reshape(1797, 64)
    from sklearn.datasets import load_digits

    original = (load_digits().data / 16).astype(np.float32)
    assert sorted(map(bytes, images)) == sorted(map(bytes, original))
    np.testing.assert_array_equal(load("digits", ALL).test[1], split.test[1])
    other = load("digits", ALL.model_copy(update={"split_seed": 1}))
    assert (other.test[1] != split.test[1]).any()


def test_a_local_copy_is_the_same_data_in_every_form(tmp_path):
    """One .npz of bytes or of other numbers, flat or not, a folder of IDX files, packed or not."""
    folder = write_idx(tmp_path / "packed")
    plain = write_idx(tmp_path / "plain", packed=False)
    images = np.concatenate([read_idx(plain / f"{part}-images-idx3-ubyte", 3) for part in ("train", "t10k")])
    labels = np.concatenate([read_idx(plain / f"{part}-labels-idx1-ubyte", 1) for part in ("train", "t10k")])
    np.savez(tmp_path / "bytes.npz", images=images, labels=labels)
    np.savez_compressed(tmp_path / "flat.npz", images=images.reshape(40, 784).astype(float), labels=labels.astype(str))
    splits = [
        load(name, SOME, path)
        for name in ("mnist", "fashion")
        for path in (folder, plain, tmp_path / "bytes.npz", tmp_path / "flat.npz")
    ]
    assert len({fingerprint(split) for split in splits}) == 1
    taken, names = splits[0].train
    assert taken.shape == (20, 28, 28)
    assert taken.dtype == np.float32
    assert taken.max() <= 1
    # Every image that was taken is one of those written, with its label.
    written = {(image / 255).astype(np.float32).tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert [written[image.tobytes()] for image in taken] == names.tolist()


def test_a_digest_follows_values_shapes_and_types():
    split = load("digits", SOME)
    images, labels = split.train
    others = [
        type(split)((1 - images, labels), split.validation, split.test),
        type(split)((images.reshape(20, 64), labels), split.validation, split.test),
        type(split)((images, labels.view(np.float32)), split.validation, split.test),
        type(split)(split.train, split.test, split.validation),
    ]
    assert len({fingerprint(one) for one in (split, *others)}) == 5
    assert fingerprint(split) == fingerprint(load("digits", SOME))


def test_the_folder_of_the_system_is_looked_into(tmp_path):
    source = image_files.Source("Fashion-MNIST", "Fashion-MNIST", write_idx(tmp_path / "packed"), "some-package")
    assert fingerprint(source.load(SOME, None)) == fingerprint(load("mnist", SOME, tmp_path / "packed"))


@pytest.mark.parametrize(("name", "words"), [("mnist", ""), ("fashion", "package dataset-fashion-mnist, or ")])
def test_missing_network_says_what_is_needed(monkeypatch, name, words):
    def refuse(*args, **kwargs):
        raise ConnectionError("no way out")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", refuse)
    monkeypatch.setattr("pathlib.Path.is_dir", lambda path: False)
    with pytest.raises(InputError, match=rf"fetched from OpenML once.*{words}give a local copy with --data.*\.npz"):
        load(name, SOME)


def test_bad_copies_and_wishes_are_named(tmp_path):
    with pytest.raises(InputError, match="no file or folder"):
        load("mnist", SOME, tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("x")
    with pytest.raises(InputError, match=r"is not .*an \.npz"):
        load("mnist", SOME, tmp_path / "text.npz")
    np.savez(tmp_path / "wrong.npz", images=np.zeros((3, 5)), labels=np.zeros(3))
    with pytest.raises(InputError, match="are not 28 x 28 images"):
        load("mnist", SOME, tmp_path / "wrong.npz")
    np.savez(tmp_path / "nan.npz", images=np.full((30, 784), np.nan), labels=np.zeros(30))
    with pytest.raises(InputError, match=r"pixels span nan to nan; they must be within 0\.\.255"):
        load("mnist", SOME, tmp_path / "nan.npz")
    np.savez(tmp_path / "few.npz", images=np.zeros((3, 784)), labels=np.zeros(3))
    with pytest.raises(InputError, match="30 samples are asked for, there are 3"):
        load("mnist", SOME, tmp_path / "few.npz")
    with pytest.raises(InputError, match=r"2340 samples are asked for, there are 1797; lower train"):
        load("digits", ALL.model_copy(update={"train": 1800}))
    with pytest.raises(InputError, match="digits come with scikit-learn, leave it out"):
        load("digits", ALL, tmp_path)


def bomb():
    """Ten megabytes of zeros behind a small array, packed into ten kilobytes."""
    return gzip.compress(idx(np.zeros((30, 28, 28))) + bytes(10**7))


def huge():
    return gzip.compress(bytes([0, 0, 8, 3]) + np.array([2**31, 2**31, 2**31], ">u4").tobytes())


WHOLE = idx(np.zeros((30, 28, 28)))
BAD = {
    "empty": (b"", "begins with nothing, an IDX file of 3 dimensions with 00000803"),
    "text": (b"images", "begins with 696d6167, an IDX file"),
    "labels": (idx(np.zeros(30)), "begins with 00000801, an IDX file of 3 dimensions"),
    "floats": (idx(np.zeros((30, 28, 28)), kind=13), "begins with 00000d03"),
    "a cut head": (WHOLE[:9], "begins with 00000803"),
    "cut off": (WHOLE[:-1], r"says it holds 30 x 28 x 28 bytes and holds 23519; it is damaged, copy it again"),
    "too long": (WHOLE + b"\0", r"says it holds 30 x 28 x 28 bytes and holds more"),
    "a bomb": (bomb(), r"says it holds 30 x 28 x 28 bytes and holds more"),
    "huge": (huge(), rf"says it holds 2147483648 x .* bytes; at most {LARGEST} are read"),
    "cut off and packed": (gzip.compress(WHOLE)[:-20], r"cannot be read: .*copy it again"),
    "garbage that is packed": (gzip.compress(WHOLE)[:12] + bytes(range(256)), r"cannot be read: .*copy it again"),
    "other lengths": (
        idx(np.zeros((30, 32, 32))),
        "train images of 30 x 32 x 32 and 30 labels; they must be n x 28",
    ),
    "fewer images": (idx(np.zeros((29, 28, 28))), "train images of 29 x 28 x 28 and 30 labels"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_idx_files_are_one_line_with_the_cure(tmp_path, case):
    content, words = BAD[case]
    folder = write_idx(tmp_path / "data", packed=False)
    (folder / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        load("fashion", SOME, folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_more_of_a_bomb_is_unpacked_than_its_head_says(tmp_path, monkeypatch):
    (tmp_path / "bomb").write_bytes(bomb())
    seen = []
    read = gzip.GzipFile.read

    def counting(file, size=-1):
        seen.append(size)
        return read(file, size)

    monkeypatch.setattr(gzip.GzipFile, "read", counting)
    with pytest.raises(InputError, match="holds more"):
        read_idx(tmp_path / "bomb", 3)
    assert sum(seen) == 16 + 30 * 28 * 28 + 1


def test_what_a_folder_lacks_is_named(tmp_path):
    folder = write_idx(tmp_path / "data")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError, match=r"has no t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte\.gz; give a folder"):
        load("fashion", SOME, folder)
    os.mkfifo(folder / "t10k-labels-idx1-ubyte")  # nobody waits for it
    with pytest.raises(InputError, match="has no t10k-labels-idx1-ubyte"):
        load("fashion", SOME, folder)


def npz(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def npy(shape, content=b""):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue() + content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npz(images=npy((30, 784), bytes(30 * 784))), "labels"),
        (npz(images=npy((2**60,)), labels=npy((30,), bytes(30))), "is not "),
        (npz(images=npy((2**62, 2**62)), labels=npy((30,), bytes(30))), "is not "),
        (npz(images=b"\x93NUMPY\x01\x00garbage", labels=npy((30,), bytes(30))), "is not "),
        (npz(images=npy((30, 784), bytes(30 * 784)))[:-30], "is not "),
    ],
)
def test_bad_npz_files_are_one_line(tmp_path, content, words):
    path = tmp_path / "mnist.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        load("mnist", SOME, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_npz_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "LARGEST", 10_000)
    path = tmp_path / "mnist.npz"
    path.write_bytes(npz(images=bytes(10_001)))
    with pytest.raises(InputError, match="unpacks to 10001 bytes; at most 10000 are read"):
        load("mnist", SOME, path)

import numpy as np
import pytest

from experiments.training.config import Data
from experiments.training.data import load_data
from spu_circuit.errors import InputError

DIGITS = Data(name="digits", train=1257, validation=180, test=360)
MNIST = Data(name="mnist", train=20, validation=5, test=5)


def test_digits_are_all_the_real_images_split_without_overlap():
    split = load_data(DIGITS)
    parts = [split.train, split.validation, split.test]
    assert [len(labels) for _, labels in parts] == [1257, 180, 360]
    images = np.concatenate([images for images, _ in parts]).reshape(1797, 64)
    from sklearn.datasets import load_digits

    original = (load_digits().data / 16).astype(np.float32)
    assert sorted(map(bytes, images)) == sorted(map(bytes, original))
    np.testing.assert_array_equal(load_data(DIGITS).test[1], split.test[1])
    other = load_data(DIGITS.model_copy(update={"split_seed": 1}))
    assert (other.test[1] != split.test[1]).any()


def test_local_mnist_copy_is_read_and_scaled(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "m.npz", images=rng.integers(0, 256, (30, 784)), labels=rng.integers(0, 10, 30))
    split = load_data(MNIST, tmp_path / "m.npz")
    assert split.train[0].shape == (20, 28, 28)
    assert split.train[0].max() <= 1


def test_missing_network_says_what_is_needed(monkeypatch):
    def refuse(*args, **kwargs):
        raise ConnectionError("no way out")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", refuse)
    with pytest.raises(InputError, match=r"fetched from OpenML once.*--data mnist\.npz"):
        load_data(MNIST)


def test_bad_copies_and_wishes_are_named(tmp_path):
    with pytest.raises(InputError, match="no file"):
        load_data(MNIST, tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("x")
    with pytest.raises(InputError, match=r"is not an \.npz"):
        load_data(MNIST, tmp_path / "text.npz")
    np.savez(tmp_path / "wrong.npz", images=np.zeros((3, 5)), labels=np.zeros(3))
    with pytest.raises(InputError, match="not 28 x 28 digits"):
        load_data(MNIST, tmp_path / "wrong.npz")
    with pytest.raises(InputError, match=r"2340 images are asked for, digits has 1797"):
        load_data(DIGITS.model_copy(update={"train": 1800}))

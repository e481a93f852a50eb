"""Handwritten digits: scikit-learn's own 8×8 images, or MNIST where there is a network or a local copy."""

import hashlib
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.training.config import Data
from spu_circuit.errors import InputError

Images = NDArray[np.float32]
Labels = NDArray[np.int32]

CLASSES = 10
SIDES = {"digits": 8, "mnist": 28}
"""Pixels of a side of the images."""


@dataclass(frozen=True)
class Split:
    """Images (n, side, side) in 0 … 1 and labels (n,) 0 … 9 of the three parts."""

    train: tuple[Images, Labels]
    validation: tuple[Images, Labels]
    test: tuple[Images, Labels]


def fingerprint(split: Split) -> str:
    """SHA-256 of all images and labels, to notice when a run goes on with other data."""
    digest = hashlib.sha256()
    for images, labels in (split.train, split.validation, split.test):
        digest.update(images.tobytes())
        digest.update(labels.tobytes())
    return digest.hexdigest()


def load_data(description: Data, path: Path | None = None) -> Split:
    """Load and split.

    Args:
        path: of a local ``.npz`` with arrays ``images`` (n, 28, 28) or (n, 784) in 0 … 255 and ``labels`` (n,).

    Raises:
        InputError: no network and no copy, the file is not as described, or there are fewer images than asked for.
    """
    if description.name == "digits" and path is not None:
        raise InputError(f"data: --data {str(path)!r} is for MNIST; the digits come with scikit-learn, leave it out")
    images, labels = _digits() if description.name == "digits" else _mnist(path)
    wanted = description.train + description.validation + description.test
    if wanted > len(images):
        raise InputError(f"data: {wanted} images are asked for, {description.name} has {len(images)}; lower train")
    order = np.random.default_rng(description.split_seed).permutation(len(images))[:wanted]
    ends = np.cumsum([description.train, description.validation])
    train, validation, test = ((images[part], labels[part]) for part in np.split(order, ends))
    return Split(train, validation, test)


def _digits() -> tuple[Images, Labels]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return (bunch.images / 16).astype(np.float32), bunch.target.astype(np.int32)


def _mnist(path: Path | None) -> tuple[Images, Labels]:
    if path is None:
        from sklearn.datasets import fetch_openml

        try:
            with warnings.catch_warnings(action="ignore"):  # of each retry without a network
                bunch = fetch_openml("mnist_784", version=1, as_frame=False, parser="liac-arff")
        except OSError as error:
            raise InputError(
                f"data: MNIST must be fetched from OpenML once and there is no way there ({type(error).__name__}); "
                "give a local copy with --data mnist.npz, holding 'images' (n, 28, 28) in 0..255 and 'labels' (n,)"
            ) from None
        pixels, labels = bunch.data, bunch.target
    else:
        try:
            with np.load(path, allow_pickle=False) as arrays:
                pixels, labels = arrays["images"], arrays["labels"]
        except FileNotFoundError:
            raise InputError(f"data: no file {str(path)!r}") from None
        except (KeyError, ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise InputError(
                f"data: {str(path)!r} is not an .npz with 'images' (n, 28, 28) and 'labels' (n,): {error}"
            ) from None
    try:
        pixels, labels = np.asarray(pixels, dtype=np.float64), np.asarray(labels).astype(np.int32)
    except ValueError as error:
        raise InputError(f"data: images or labels are not numbers: {error}") from None
    if pixels.size != len(labels) * 784 or not ((labels >= 0) & (labels < CLASSES)).all():
        raise InputError(
            f"data: images {pixels.shape} and labels {labels.shape} are not 28 x 28 digits with labels 0..9"
        )
    if not (pixels.min() >= 0 and pixels.max() <= 255):
        raise InputError(f"data: pixels span {pixels.min()} to {pixels.max()}; they must be within 0..255")
    return (pixels.reshape(-1, 28, 28) / 255).astype(np.float32), labels

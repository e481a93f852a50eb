"""Where images of 28 × 28 pixels in the format of MNIST come from: IDX files, an .npz, or OpenML."""

import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.training.data import Samples, Sizes, Split, split
from experiments.training.tasks.idx import LARGEST, read_idx
from experiments.training.tasks.images import CLASSES
from spu_circuit.errors import InputError

SIDE = 28
PARTS = ("train", "t10k")
"""As the published files are called. The samples of both are drawn from, in this order, which is OpenML's too."""
LOCAL = (
    "a folder of the IDX files (train-images-idx3-ubyte, train-labels-idx1-ubyte and the same of t10k, also .gz), or "
    "an .npz with 'images' (n, 28, 28) in 0..255 and 'labels' (n,)"
)


@dataclass(frozen=True)
class Source:
    """Where a data set is looked for.

    Args:
        title: as people call it.
        openml: its name there, version 1.
        folder: where a package of the system puts its IDX files.
        package: the name of that package.
    """

    title: str
    openml: str
    folder: Path | None = None
    package: str = ""

    def load(self, sizes: Sizes, path: Path | None) -> Split:
        """Images (n, 28, 28) in 0 … 1 and labels (n,) 0 … 9.

        Args:
            path: of a local copy: ``LOCAL`` says what it may be.

        Raises:
            InputError: there is no copy and no network, or a file is not as described.
        """
        if path is None and self.folder is not None and self.folder.is_dir():
            path = self.folder
        if path is None:
            pixels, labels = self._fetched()
        elif path.is_dir():
            pixels, labels = _from_folder(path)
        else:
            pixels, labels = _from_npz(path)
        parts = split(*_checked(pixels, labels), sizes)
        return Split(*((_scaled(images), names) for images, names in (parts.train, parts.validation, parts.test)))

    def _fetched(self) -> tuple[Any, Any]:
        from sklearn.datasets import fetch_openml

        try:
            with warnings.catch_warnings(action="ignore"):  # of each retry without a network
                bunch = fetch_openml(self.openml, version=1, as_frame=False, parser="liac-arff")
        except OSError as error:
            install = f"install the system's package {self.package}, or " if self.package else ""
            raise InputError(
                f"data: {self.title} must be fetched from OpenML once and there is no way there "
                f"({type(error).__name__}); {install}give a local copy with --data: {LOCAL}"
            ) from None
        return bunch.data, bunch.target


def _from_folder(folder: Path) -> Samples:
    images = [read_idx(_file(folder, f"{part}-images-idx3-ubyte"), 3) for part in PARTS]
    labels = [read_idx(_file(folder, f"{part}-labels-idx1-ubyte"), 1) for part in PARTS]
    for part, pixels, names in zip(PARTS, images, labels, strict=True):
        if pixels.shape[1:] != (SIDE, SIDE) or len(pixels) != len(names):
            shape = " x ".join(map(str, pixels.shape))
            raise InputError(
                f"data: {str(folder)!r} has {part} images of {shape} and {len(names)} labels; they must be n x "
                f"{SIDE} x {SIDE} and n: give the files of one data set"
            )
    return np.concatenate(images), np.concatenate(labels)


def _file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise InputError(f"data: folder {str(folder)!r} has no {name} or {name}.gz; give {LOCAL}")


def _from_npz(path: Path) -> tuple[Any, Any]:
    if not path.is_file():
        raise InputError(f"data: no file or folder {str(path)!r}; give {LOCAL}")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size <= LARGEST:
            with np.load(path, allow_pickle=False) as arrays:
                return arrays["images"], arrays["labels"]
    except (
        *(KeyError, ValueError, OSError, EOFError, TypeError, MemoryError, NotImplementedError, RuntimeError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise InputError(f"data: {str(path)!r} is not {LOCAL}: {error}") from None
    raise InputError(f"data: {str(path)!r} unpacks to {size} bytes; at most {LARGEST} are read")


def _checked(pixels: Any, labels: Any) -> Samples:
    """Images (n, 28, 28), of bytes where they are given so, and labels (n,)."""
    try:
        pixels = np.asarray(pixels)
        pixels = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float64)
        labels = np.asarray(labels).astype(np.int32)
    except (ValueError, TypeError) as error:
        raise InputError(f"data: images or labels are not numbers: {error}") from None
    if pixels.size != labels.size * SIDE**2 or labels.ndim != 1 or not ((labels >= 0) & (labels < CLASSES)).all():
        raise InputError(
            f"data: images {pixels.shape} and labels {labels.shape} are not {SIDE} x {SIDE} images with labels "
            f"0..{CLASSES - 1}; give {LOCAL}"
        )
    if pixels.size and not (pixels.min() >= 0 and pixels.max() <= 255):
        raise InputError(f"data: pixels span {pixels.min()} to {pixels.max()}; they must be within 0..255")
    return pixels.reshape(-1, SIDE, SIDE), labels


def _scaled(pixels: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(pixels / 255, np.float32)

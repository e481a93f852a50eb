"""Made image files in the format of MNIST."""

import gzip

import numpy as np


def idx(array, kind=8):
    """The bytes of an IDX file."""
    array = np.asarray(array, np.uint8)
    return bytes([0, 0, kind, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_idx(folder, train=30, t10k=10, side=28, packed=True):
    """A folder with the four files of random images, which it returns."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for part, count in (("train", train), ("t10k", t10k)):
        images, labels = rng.integers(0, 256, (count, side, side)), rng.integers(0, 10, count)
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (folder / name).write_bytes(idx(array))
    return folder

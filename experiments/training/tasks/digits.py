"""Handwritten digits of 8 × 8 pixels, which come with scikit-learn (UCI Optical Recognition of Handwritten Digits)."""

from pathlib import Path

import numpy as np

from experiments.training.data import Sizes, Split, split
from experiments.training.tasks.images import image_task
from spu_circuit.errors import InputError


def _load(sizes: Sizes, path: Path | None) -> Split:
    if path is not None:
        raise InputError(
            f"data: --data {str(path)!r} is for other tasks; the digits come with scikit-learn, leave it out"
        )
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return split((bunch.images / 16).astype(np.float32), bunch.target.astype(np.int32), sizes)


TASK = image_task("digits", 8, _load)

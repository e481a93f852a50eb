"""Samples in three parts, and how they are split. What the samples are is the task's business."""

import hashlib
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spu_circuit.description import Description
from spu_circuit.errors import InputError

Samples = tuple[NDArray[Any], NDArray[Any]]
"""Inputs (n, ...) and targets (n, ...)."""


class Sizes(Description):
    """How many samples each part has; the split seed is the only randomness. A task may add fields of its own."""

    train: Annotated[int, Field(ge=1, description="samples to train with")]
    validation: Annotated[int, Field(ge=1, description="samples that choose the learning rates")]
    test: Annotated[int, Field(ge=1, description="samples that nothing is chosen by")]
    split_seed: Annotated[int, Field(ge=0, description="of which samples go where")] = 0

    @property
    def total(self) -> int:
        return self.train + self.validation + self.test


@dataclass(frozen=True)
class Split:
    """The three parts.

    Args:
        notes: what could not be used of the file, in sentences.
        beside: digest of what a model is begun with besides.
    """

    train: Samples
    validation: Samples
    test: Samples
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    beside: str = field(default="", kw_only=True)


def split(inputs: NDArray[Any], targets: NDArray[Any], sizes: Sizes) -> Split:
    """Draw the parts from all samples without overlap.

    Raises:
        InputError: there are fewer samples than asked for.
    """
    if sizes.total > len(targets):
        raise InputError(f"data: {sizes.total} samples are asked for, there are {len(targets)}; lower train")
    order = np.random.default_rng(sizes.split_seed).permutation(len(targets))[: sizes.total]
    ends = np.cumsum([sizes.train, sizes.validation])
    return Split(*((inputs[part], targets[part]) for part in np.split(order, ends)))


def fingerprint(split: Split) -> str:
    """SHA-256 of all samples with their shapes and types, to notice when a run goes on with other data."""
    digest = hashlib.sha256(split.beside.encode())
    for part in (split.train, split.validation, split.test):
        for array in part:
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()

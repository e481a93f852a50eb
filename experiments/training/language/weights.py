"""Weights of a pretrained encoder, from model.safetensors."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.training.language.folder import FAMILIES, WEIGHTS, Shape
from spu_circuit.errors import InputError
from spu_circuit.files import shortened

if TYPE_CHECKING:
    from experiments.training.language.encoder import Encoder

NUMBERS = ("float32", "float16", "bfloat16", "float64")
"""Types of weights; others are of encoders that were made small in a way of their own."""
OLD = {"weight": "gamma", "bias": "beta"}
"""What normalisations call them in files that were made from the first BERT."""


@lru_cache(maxsize=2)
def read_encoder(folder: Path, shape: Shape) -> "Encoder":
    """An encoder in single precision, as NumPy arrays.

    Raises:
        InputError: the file cannot be read, or lacks a tensor, or one has another shape.
    """
    from safetensors import SafetensorError, safe_open

    from experiments.training.language.encoder import assembled

    path, family = folder / WEIGHTS, FAMILIES[shape.kind]
    try:
        with safe_open(path, framework="numpy") as file:
            there = set(file.keys())

            def part(name: str, number: int, kind: str, size: tuple[int, ...]) -> Any:
                stem = family.names[name].format(number)
                names = [f"{before}{stem}.{end}" for before in ("", family.prefix) for end in (kind, OLD[kind])]
                found = next((one for one in names if one in there), None)
                if found is None:
                    raise InputError(
                        f"data.model: {shortened(path)} has no {names[0]}; give all the weights of a {shape.kind} "
                        f"encoder of {shape.layers} layers, as config.json says it is"
                    )
                tensor = file.get_tensor(found)
                if tensor.shape != size:
                    own, wanted = (" x ".join(map(str, one)) for one in (tensor.shape, size))
                    raise InputError(
                        f"data.model: {found} of {shortened(path)} has shape {own}, config.json says {wanted}; give "
                        "files of one encoder"
                    )
                if tensor.dtype.name not in NUMBERS:
                    raise InputError(
                        f"data.model: {found} of {shortened(path)} has numbers of type {tensor.dtype.name}; give "
                        f"weights of type {', '.join(NUMBERS)}"
                    )
                weights = np.asarray(tensor, np.float32)
                if not np.isfinite(weights).all():
                    raise InputError(
                        f"data.model: {found} of {shortened(path)} has numbers that are not finite; copy it again"
                    )
                return weights

            return assembled(shape, part)
    except (SafetensorError, OSError, TypeError) as error:
        reason = str(error).splitlines()[0][:150]
        raise InputError(f"data.model: {shortened(path)} cannot be read: {reason}; copy it again") from None

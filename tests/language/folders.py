"""Small encoders with random weights, in the usual files."""

import json

import numpy as np
from safetensors.numpy import save_file

from experiments.training.language.folder import FAMILIES, Shape
from tests.experiments.training.language.questions import LAMP, TORTOISE
from tests.experiments.training.language.shapes import tensors

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = sorted({*"abcdefghijklmnopqrstuvwxyz0123456789.,?", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
                *(word.strip(".,").lower() for word in f"{TORTOISE} {LAMP}".split())})  # fmt: skip
VOCABULARY = [*SPECIAL, *WORDS]
SHAPE = Shape("bert", vocabulary=len(VOCABULARY), places=48, segments=2, width=8, hidden=12, layers=2, heads=2)
"""Of what is written where no other shape is asked for."""


def write_encoder(folder, shape=SHAPE, prefix=""):
    """config.json, model.safetensors and vocab.txt of an encoder."""
    folder.mkdir()
    config = {key: getattr(shape, field) for field, key in FAMILIES[shape.kind].numbers.items()}
    (folder / "config.json").write_text(json.dumps({"model_type": shape.kind} | config))
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in VOCABULARY), encoding="utf-8")
    write_tensors(folder, {prefix + name: array for name, array in tensors(shape).items()})
    return folder


def write_tensors(folder, arrays):
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "model.safetensors")

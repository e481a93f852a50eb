"""Small encoders whose weights are a formula of their names in the usual files."""

import zlib

import jax.numpy as jnp
import numpy as np

from experiments.training.language.encoder import assembled
from experiments.training.language.folder import FAMILIES, Shape

BERT = Shape("bert", vocabulary=12, places=16, segments=2, width=8, hidden=12, layers=2, heads=2)
DISTILBERT = Shape("distilbert", vocabulary=12, places=16, segments=0, width=8, hidden=12, layers=2, heads=2)


def formula(name, size):
    """A wave whose phase the name decides, around one for the scales of normalisations."""
    wave = np.sin(1.7 * np.arange(np.prod(size)) + zlib.crc32(name.encode()) % 1000)
    scale = name.endswith(("LayerNorm.weight", "layer_norm.weight"))
    return np.asarray(scale + 0.3 * wave, np.float32).reshape(size)


def file_name(shape, name, number, kind):
    return f"{FAMILIES[shape.kind].names[name].format(number)}.{kind}"


def encoder(shape):
    return assembled(shape, lambda name, k, kind, size: jnp.asarray(formula(file_name(shape, name, k, kind), size)))


def tensors(shape):
    """What model.safetensors would hold."""
    found = {}

    def keep(name, number, kind, size):
        found[file_name(shape, name, number, kind)] = formula(file_name(shape, name, number, kind), size)

    assembled(shape, keep)
    return found


def random_encoder(shape, seed=0):
    rng = np.random.default_rng(seed)
    return assembled(shape, lambda name, k, kind, size: 0.02 * rng.standard_normal(size, np.float32))

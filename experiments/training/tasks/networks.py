"""Networks that classify square grey images."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from experiments.training.task import Learner
from experiments.training.tasks.architectures import Architecture
from experiments.training.tasks.modules import Mlp, begin_and_model
from optim.losses import softmax_cross_entropy


class Cnn(eqx.Module):
    """A 3×3 convolution, 2×2 (or 4×4, for large images) mean pooling, two dense layers, tanh between them."""

    convolution: eqx.nn.Conv2d
    pool: eqx.nn.AvgPool2d
    dense: eqx.nn.Linear
    head: eqx.nn.Linear

    def __init__(self, side: int, classes: int, architecture: Architecture, key: Array) -> None:
        first, second, third = jax.random.split(key, 3)
        window = 2 if side < 16 else 4
        features = architecture.channels * ((side - 2) // window) ** 2
        self.convolution = eqx.nn.Conv2d(1, architecture.channels, 3, key=first)
        self.pool = eqx.nn.AvgPool2d(window, window)
        self.dense = eqx.nn.Linear(features, architecture.hidden[0], key=second)
        self.head = eqx.nn.Linear(architecture.hidden[0], classes, key=third)

    def __call__(self, image: Array) -> Array:
        x = self.pool(jnp.tanh(self.convolution(image[None])))
        return self.head(jnp.tanh(self.dense(x.ravel())))


def _mlp(side: int, classes: int, architecture: Architecture, key: Array) -> eqx.Module:
    return Mlp([side * side, *architecture.hidden, classes], key)


KINDS = {"mlp": _mlp, "cnn": Cnn}


def classifier(side: int, classes: int, architecture: Architecture) -> Learner:
    """Learns to name the class of images (n, side, side), by softmax cross-entropy; judged by its accuracy."""
    begin, model = begin_and_model(lambda key: KINDS[architecture.kind](side, classes, architecture, key))
    return Learner(
        begin=begin,
        model=model,
        loss=softmax_cross_entropy,
        score=lambda outputs, labels: jnp.mean(jnp.argmax(outputs, axis=1) == labels),
        sample=(jax.ShapeDtypeStruct((side, side), jnp.float32), jax.ShapeDtypeStruct((), jnp.int32)),
    )

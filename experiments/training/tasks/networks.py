"""Networks that classify square grey images."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from experiments.training.task import Learner
from experiments.training.tasks.images import Architecture
from optim.losses import softmax_cross_entropy


class Mlp(eqx.Module):
    """Dense layers with tanh between them."""

    layers: list[eqx.nn.Linear]

    def __init__(self, side: int, classes: int, architecture: Architecture, key: Array) -> None:
        widths = [side * side, *architecture.hidden, classes]
        keys = jax.random.split(key, len(widths) - 1)
        pairs = zip(widths[:-1], widths[1:], keys, strict=True)
        self.layers = [eqx.nn.Linear(before, after, key=k) for before, after, k in pairs]

    def __call__(self, image: Array) -> Array:
        x = image.ravel()
        for layer in self.layers[:-1]:
            x = jnp.tanh(layer(x))
        return self.layers[-1](x)


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


KINDS = {"mlp": Mlp, "cnn": Cnn}


def classifier(side: int, classes: int, architecture: Architecture) -> Learner:
    """Learns to name the class of images (n, side, side), by softmax cross-entropy; judged by its accuracy."""

    def parts(seed: int) -> tuple[Any, Any]:
        module = KINDS[architecture.kind](side, classes, architecture, jax.random.PRNGKey(seed))
        return eqx.partition(module, eqx.is_array)

    _, static = parts(0)

    def model(params: Any, images: Array) -> Array:
        return jax.vmap(eqx.combine(params, static))(images)

    return Learner(
        begin=lambda seed: parts(seed)[0],
        model=model,
        loss=softmax_cross_entropy,
        score=lambda outputs, labels: jnp.mean(jnp.argmax(outputs, axis=1) == labels),
        sample=(jax.ShapeDtypeStruct((side, side), jnp.float32), jax.ShapeDtypeStruct((), jnp.int32)),
    )

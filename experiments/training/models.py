"""The networks that are trained."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from experiments.training.config import Network
from experiments.training.data import CLASSES
from optim.curvature import Model


class Mlp(eqx.Module):
    """Dense layers with tanh between them."""

    layers: list[eqx.nn.Linear]

    def __init__(self, side: int, network: Network, key: Array) -> None:
        widths = [side * side, *network.hidden, CLASSES]
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

    def __init__(self, side: int, network: Network, key: Array) -> None:
        first, second, third = jax.random.split(key, 3)
        window = 2 if side < 16 else 4
        features = network.channels * ((side - 2) // window) ** 2
        self.convolution = eqx.nn.Conv2d(1, network.channels, 3, key=first)
        self.pool = eqx.nn.AvgPool2d(window, window)
        self.dense = eqx.nn.Linear(features, network.hidden[0], key=second)
        self.head = eqx.nn.Linear(network.hidden[0], CLASSES, key=third)

    def __call__(self, image: Array) -> Array:
        x = self.pool(jnp.tanh(self.convolution(image[None])))
        return self.head(jnp.tanh(self.dense(x.ravel())))


KINDS = {"mlp": Mlp, "cnn": Cnn}


def build(network: Network, side: int, seed: int) -> tuple[Any, Model]:
    """Initial parameters (a tree of arrays) and the function of a batch, for images of ``side`` × ``side`` pixels."""
    module = KINDS[network.kind](side, network, jax.random.PRNGKey(seed))
    params, static = eqx.partition(module, eqx.is_array)

    def model(params: Any, images: Array) -> Array:
        return jax.vmap(eqx.combine(params, static))(images)

    return params, model

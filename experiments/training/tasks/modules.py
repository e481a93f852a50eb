"""Equinox modules that tasks share, and how a module becomes what a task computes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

if TYPE_CHECKING:
    from optim.curvature import Model


class Mlp(eqx.Module):
    """Dense layers with tanh between them, of a sample of any shape."""

    layers: list[eqx.nn.Linear]

    def __init__(self, widths: Sequence[int], key: Array) -> None:
        """Widths from the numbers of an input to the outputs."""
        keys = jax.random.split(key, len(widths) - 1)
        pairs = zip(widths[:-1], widths[1:], keys, strict=True)
        self.layers = [eqx.nn.Linear(before, after, key=k) for before, after, k in pairs]

    def __call__(self, sample: Array) -> Array:
        x = sample.ravel()
        for layer in self.layers[:-1]:
            x = jnp.tanh(layer(x))
        return self.layers[-1](x)


def _called(module: Any, sample: Array) -> Array:
    return module(sample)


def begin_and_model(
    build: Callable[[Array], eqx.Module], outputs: Callable[[Any, Array], Array] = _called
) -> "tuple[Callable[[int], Any], Model]":
    """``begin`` and ``model`` of a ``Learner``, from a module.

    Args:
        build: random key → module. Its arrays are the parameters.
        outputs: of a module and a sample, (d_z,).
    """

    def parts(seed: int) -> tuple[Any, Any]:
        return eqx.partition(build(jax.random.PRNGKey(seed)), eqx.is_array)

    _, static = parts(0)

    def model(params: Any, samples: Array) -> Array:
        module = eqx.combine(params, static)
        return jax.vmap(lambda sample: outputs(module, sample))(samples)

    return lambda seed: parts(seed)[0], model

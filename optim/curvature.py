"""Gradient, Jacobians and curvature factors of any JAX model ``model(params, inputs) → outputs``."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from optim.losses import Loss

Params = Any
Model = Callable[[Params, Array], Array]
"""Takes a batch: inputs (b, ...) → outputs (b, d_z)."""


def loss_and_gradient(model: Model, loss: Loss, params: Params, inputs: Array, targets: Array) -> tuple[Array, Params]:
    """Mean loss over the batch and its gradient, a tree like ``params``."""
    return jax.value_and_grad(lambda p: loss.mean(model(p, inputs), targets))(params)


def jacobians(model: Model, params: Params, inputs: Array) -> Array:
    """J of every sample, (b, d_z, N): outputs by parameters, flattened as ``ravel_pytree`` does."""
    flat, unravel = ravel_pytree(params)

    def outputs(vector: Array, sample: Array) -> Array:
        return model(unravel(vector), sample[None])[0]

    return jax.vmap(jax.jacrev(outputs), in_axes=(None, 0))(flat, inputs)


def gauss_newton_factor(model: Model, loss: Loss, params: Params, inputs: Array, targets: Array) -> Array:
    """B (K, N) with ``BᵀB = (1/b) Σᵢ Jᵢᵀ Hᵢ Jᵢ``, the generalized Gauss-Newton matrix.

    Rows are ``Lᵢᵀ Jᵢ / √b`` with ``Hᵢ = Lᵢ Lᵢᵀ``; K = b r, where L has r columns (d_z − 1 for softmax cross-entropy).
    The targets do not matter for the losses here; the argument keeps the two factors interchangeable.
    """
    flat, unravel = ravel_pytree(params)

    def rows(sample: Array) -> Array:
        outputs, pull = jax.vjp(lambda vector: model(unravel(vector), sample[None])[0], flat)
        return jax.vmap(lambda column: pull(column)[0])(loss.hessian_factor(outputs).T)

    return jax.vmap(rows)(inputs).reshape(-1, flat.size) / jnp.sqrt(len(inputs))


def empirical_fisher_factor(model: Model, loss: Loss, params: Params, inputs: Array, targets: Array) -> Array:
    """B (b, N) with ``BᵀB = (1/b) Σᵢ gᵢ gᵢᵀ`` of the per-sample gradients gᵢ: the empirical Fisher matrix."""
    flat, unravel = ravel_pytree(params)

    def sample_loss(vector: Array, sample: Array, target: Array) -> Array:
        return loss.value(model(unravel(vector), sample[None])[0], target)

    gradients = jax.vmap(jax.grad(sample_loss), in_axes=(None, 0, 0))(flat, inputs, targets)
    return gradients / jnp.sqrt(len(inputs))


CURVATURES: dict[str, Callable[[Model, Loss, Params, Array, Array], Array]] = {
    "ggn": gauss_newton_factor,
    "fisher": empirical_fisher_factor,
}

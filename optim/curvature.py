"""Gradient, Jacobians and curvature factors of any JAX model ``model(params, inputs) → outputs``."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from optim.losses import Loss
from spu_circuit.errors import InputError

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


def gauss_newton_factor(
    model: Model, loss: Loss, params: Params, inputs: Array, targets: Array, key: Array | None = None
) -> Array:
    """B (K, N) with ``BᵀB = (1/b) Σᵢ Jᵢᵀ Hᵢ Jᵢ``, the generalized Gauss-Newton matrix.

    Rows are ``Lᵢᵀ Jᵢ / √b`` with ``Hᵢ = Lᵢ Lᵢᵀ``; K = b r, where L has r columns (d_z − 1 for softmax cross-entropy).
    Neither targets nor key matter; the arguments make the factors interchangeable.
    """
    flat, unravel = ravel_pytree(params)

    def rows(sample: Array) -> Array:
        outputs, pull = jax.vjp(lambda vector: model(unravel(vector), sample[None])[0], flat)
        return jax.vmap(lambda column: pull(column)[0])(loss.hessian_factor(outputs).T)

    return jax.vmap(rows)(inputs).reshape(-1, flat.size) / jnp.sqrt(len(inputs))


def empirical_fisher_factor(
    model: Model, loss: Loss, params: Params, inputs: Array, targets: Array, key: Array | None = None
) -> Array:
    """B (b, N) with ``BᵀB = (1/b) Σᵢ gᵢ gᵢᵀ`` of the per-sample gradients gᵢ: the empirical Fisher matrix."""
    flat, unravel = ravel_pytree(params)

    def sample_loss(vector: Array, sample: Array, target: Array) -> Array:
        return loss.value(model(unravel(vector), sample[None])[0], target)

    gradients = jax.vmap(jax.grad(sample_loss), in_axes=(None, 0, 0))(flat, inputs, targets)
    return gradients / jnp.sqrt(len(inputs))


def sampled_fisher_factor(
    model: Model, loss: Loss, params: Params, inputs: Array, targets: Array, key: Array | None = None, draws: int = 1
) -> Array:
    """B (b m, N) with ``BᵀB = (1/bm) Σ gᵢⱼ gᵢⱼᵀ`` of gradients at m targets of each sample, drawn from the model.

    Its expectation over the draws is the Fisher matrix, which for a loss of the exponential family is the generalized
    Gauss-Newton matrix (Martens 2020, arXiv 1412.1193, section 9.2). K = b m, whatever d_z is.

    Args:
        key: of the draws.
        draws: m, 1 or more.

    Raises:
        InputError: the loss has no distribution to draw from, or there is no key.
    """
    if loss.draw is None:
        raise InputError(f"curvature: {loss.name} has no distribution to draw targets from; use 'ggn' or 'fisher'")
    if key is None:
        raise InputError("curvature: a sampled Fisher matrix needs the key of its draws")
    draw = loss.draw
    flat, unravel = ravel_pytree(params)

    def rows(sample: Array, own: Array) -> Array:
        outputs, pull = jax.vjp(lambda vector: model(unravel(vector), sample[None])[0], flat)
        drawn = jax.vmap(draw, in_axes=(0, None))(jax.random.split(own, draws), outputs)
        return jax.vmap(lambda target: pull(jax.grad(loss.value)(outputs, target))[0])(drawn)

    return jax.vmap(rows)(inputs, jax.random.split(key, len(inputs))).reshape(-1, flat.size) / jnp.sqrt(
        draws * len(inputs)
    )


def gauss_newton_coordinates(model: Model, loss: Loss, params: Params, inputs: Array, targets: Array) -> Array:
    """ρ (K,), the coordinates of the gradient in the rows of the Gauss-Newton factor: ``g = Bᵀρ``.

    Raises:
        InputError: the loss says no coordinates in the factor of its Hessian.
    """
    if loss.coordinates is None:
        raise InputError(f"mapping 'kernel': {loss.name} says no coordinates of its gradient; use mapping 'dual'")
    found = jax.vmap(loss.coordinates)(model(params, inputs), targets)
    return found.reshape(-1) / jnp.sqrt(len(inputs))


def empirical_fisher_coordinates(model: Model, loss: Loss, params: Params, inputs: Array, targets: Array) -> Array:
    """ρ (b,), the coordinates of the gradient in the rows of the empirical Fisher's factor: ``g = Bᵀρ``."""
    return jnp.full(len(inputs), 1 / jnp.sqrt(len(inputs)), ravel_pytree(params)[0].dtype)


Factor = Callable[..., Array]
"""``(model, loss, params, inputs, targets, key)`` → B (K, N)."""


def in_micro_batches(factor: Factor, size: int) -> Factor:
    """The same factor, made of so many samples after one another: the memory for activations is that of these alone.

    Args:
        size: of a micro-batch; it must divide the batch.

    Raises:
        InputError: it does not.
    """

    def accumulated(
        model: Model, loss: Loss, params: Params, inputs: Array, targets: Array, key: Array | None = None
    ) -> Array:
        count, rest = divmod(len(inputs), size)
        if rest or not count:
            raise InputError(f"curvature: micro-batches of {size} do not divide a batch of {len(inputs)}")
        keys = None if key is None else jax.random.split(key, count)
        parts = (inputs.reshape(count, size, *inputs.shape[1:]), targets.reshape(count, size, *targets.shape[1:]), keys)
        found = jax.lax.map(lambda part: factor(model, loss, params, *part), parts)
        return found.reshape(-1, found.shape[-1]) / jnp.sqrt(count)

    return accumulated


@dataclass(frozen=True)
class Curvature:
    """A kind of curvature.

    Args:
        factor: draws of a sample → what makes B. Only a sampled one draws.
        rows: (loss, d_z, draws) → rows of B for each sample, K / b.
        coordinates: (model, loss, params, inputs, targets) → ρ (K,) with ``g = Bᵀρ`` for the gradient of the same
            samples; None where the gradient does not lie in the rows of B.
    """

    factor: Callable[[int], Factor]
    rows: Callable[[Loss, int, int], int]
    coordinates: Callable[..., Array] | None = None


def _hessian_rank(loss: Loss, outputs: int, draws: int) -> int:
    return int(jax.eval_shape(loss.hessian_factor, jax.ShapeDtypeStruct((outputs,), jnp.float32)).shape[1])


CURVATURES = {
    "ggn": Curvature(lambda draws: gauss_newton_factor, _hessian_rank, gauss_newton_coordinates),
    "fisher": Curvature(
        lambda draws: empirical_fisher_factor, lambda loss, outputs, draws: 1, empirical_fisher_coordinates
    ),
    "sampled fisher": Curvature(
        lambda draws: partial(sampled_fisher_factor, draws=draws), lambda loss, outputs, draws: draws
    ),
}

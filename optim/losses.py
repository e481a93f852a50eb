"""Losses with the factor of their Hessian in the outputs, H = L Lᵀ. All are means over the batch."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array


@dataclass(frozen=True)
class Loss:
    """A convex loss of one sample's outputs.

    Args:
        value: (outputs (d_z,), target) → scalar.
        hessian_factor: (outputs (d_z,)) → L (d_z, r) with ``L Lᵀ = ∂²value/∂outputs²``.
        draw: (key, outputs (d_z,)) → a target of the distribution whose negative log-likelihood ``value`` is, up to a
            constant; None where the loss has none.
        coordinates: (outputs (d_z,), target) → (r,), those of the gradient in L, ``L coordinates = ∂value/∂outputs``;
            None where nobody said.
    """

    name: str
    value: Callable[[Array, Array], Array]
    hessian_factor: Callable[[Array], Array]
    draw: Callable[[Array, Array], Array] | None = None
    coordinates: Callable[[Array, Array], Array] | None = None

    def mean(self, outputs: Array, targets: Array) -> Array:
        """Mean over the batch, outputs (b, d_z)."""
        return jnp.mean(jax.vmap(self.value)(outputs, targets))


def _cross_entropy(outputs: Array, target: Array) -> Array:
    return jax.nn.logsumexp(outputs) - outputs[target]


def _softmax_factor(outputs: Array) -> Array:
    """L = diag(√p) R, (d_z, d_z − 1).

    H = diag(p) − p pᵀ = diag(√p) (I − q qᵀ) diag(√p) with the unit vector q = √p, and R holds the d_z − 1 directions
    orthogonal to q: the columns, all but the first, of the Householder reflection that takes q to the first axis. One
    cell per sample less than with the square factor diag(√p) − p √pᵀ, whose last direction is null.
    """
    q, directions = _softmax_directions(outputs)
    return q[:, None] * directions


def _softmax_coordinates(outputs: Array, target: Array) -> Array:
    """The gradient is p − e = diag(√p) (q − e / √p), and R is orthogonal to q: Rᵀ (q − e / √p) = −(row of R) / √p.

    For the first class, whose axis is that of the reflection, rounding grows as 1/√p.
    """
    q, directions = _softmax_directions(outputs)
    return -directions[target] / q[target]


def _softmax_directions(outputs: Array) -> tuple[Array, Array]:
    """q = √p (d_z,) and R (d_z, d_z − 1)."""
    q = jnp.exp(jax.nn.log_softmax(outputs) / 2)
    v = q.at[0].add(1.0)
    reflection = jnp.eye(len(q), dtype=q.dtype) - 2 * jnp.outer(v, v) / jnp.dot(v, v)
    return q, reflection[:, 1:]


def _ends(outputs: Array) -> Array:
    """Logits of both ends, (2, d_z / 2)."""
    return outputs.reshape(2, -1)


def _span_cross_entropy(outputs: Array, target: Array) -> Array:
    return jnp.sum(jnp.where(target[:2] < 0, 0, jax.vmap(_cross_entropy)(_ends(outputs), target[:2])))


def _span_factor(outputs: Array) -> Array:
    first, last = jax.vmap(_softmax_factor)(_ends(outputs))
    return jax.scipy.linalg.block_diag(first, last)


def _span_coordinates(outputs: Array, target: Array) -> Array:
    found = jax.vmap(_softmax_coordinates)(_ends(outputs), target[:2])
    return jnp.where(target[:2, None] < 0, 0, found).ravel()


def _span(key: Array, outputs: Array) -> Array:
    return jax.random.categorical(key, _ends(outputs))


def _half_squared_error(outputs: Array, target: Array) -> Array:
    return jnp.sum((outputs - target) ** 2) / 2


def _identity_factor(outputs: Array) -> Array:
    return jnp.eye(outputs.shape[0], dtype=outputs.dtype)


def _difference(outputs: Array, target: Array) -> Array:
    return outputs - target


def _normal(key: Array, outputs: Array) -> Array:
    return outputs + jax.random.normal(key, outputs.shape, outputs.dtype)


softmax_cross_entropy = Loss(
    "softmax cross-entropy", _cross_entropy, _softmax_factor, jax.random.categorical, _softmax_coordinates
)
"""−log p[target] with an integer target; H = diag(p) − p pᵀ."""

span_cross_entropy = Loss("span cross-entropy", _span_cross_entropy, _span_factor, _span, _span_coordinates)
"""−log p[first] − log q[last] of a span: outputs are the logits of its first and then of its last place, the target
begins with both, or with −1 where there is nothing to tell, which costs nothing."""

half_squared_error = Loss("half squared error", _half_squared_error, _identity_factor, _normal, _difference)
"""½ ‖outputs − target‖², target (d_z,), of the normal distribution N(outputs, I); H = I."""

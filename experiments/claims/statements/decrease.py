"""How good a direction is: the share it reaches of the decrease that damped Gauss-Newton promises."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jax import Array

    from optim.curvature import Model


def share_of(
    model: "Model", params: Any, x: "Array", g: "Array", damping: float, iterations: int = 1000
) -> "Callable[[Any], float]":
    """A function of directions (N,): their decrease at their best length, as a share of the most that is possible.

    Args:
        model: whose outputs are logits of a softmax cross-entropy.
        x: inputs of the batch.
        g: gradient of its mean loss, (N,).
        damping: λ of the Gauss-Newton model G + λI. G is never formed.
        iterations: of the conjugate gradients that find the best direction, at most.
    """
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    flat, unravel = ravel_pytree(params)

    @jax.jit
    def curved(vector: "Array") -> "Array":
        """(G + λI) v."""
        z, push = jax.linearize(lambda w: model(unravel(w), x), flat)
        p, u = jax.nn.softmax(z), push(vector)
        bent = (p * u - p * jnp.sum(p * u, axis=1, keepdims=True)) / len(x)
        return jax.linear_transpose(push, flat)(bent)[0] + damping * vector

    best, _ = jax.scipy.sparse.linalg.cg(curved, g, tol=1e-5, maxiter=iterations)

    def share(direction: Any) -> float:
        v = jnp.asarray(direction, g.dtype)
        return float((g @ v) ** 2 / (v @ curved(v)) / (g @ best))

    return share

"""Adaptive damping: λ follows how well the quadratic model of the loss predicted a step (Levenberg–Marquardt).

The rule is that of Martens and Grosse 2015 (arXiv 1503.05671, section 6.5): with the reduction ratio
``ρ = (ℓ(θ + δ) − ℓ(θ)) / m(δ)``, λ shrinks where ρ > 3/4 and grows where ρ < 1/4.
"""

import jax.numpy as jnp
from jax import Array

from optim.systems import Ggn, product

SHRINK = 0.95
"""By which λ is multiplied after a step that was predicted well, and divided after one that was not."""
GOOD, BAD = 0.75, 0.25


def predicted_change(system: Ggn, step: Array) -> Array:
    """What the quadratic model says that a step does to the loss: ``m(δ) = gᵀδ + ½ δᵀ(BᵀB + λI)δ``, ().

    Args:
        system: B, λ and the gradient g (N,) of the loss, not that of a memory's right-hand side.
        step: δ (N,), what is added to the parameters.
    """
    bent = product(system.B, step)
    return product(system.gradient, step) + (product(bent, bent) + system.damping * product(step, step)) / 2


def adapted(damping: Array, actual: Array, predicted: Array, smallest: float = 1e-8, largest: float = 1e8) -> Array:
    """λ for the next step, ().

    Args:
        damping: λ of this step.
        actual: ``ℓ(θ + δ) − ℓ(θ)`` on the batch of the step; what is not finite counts as bad.
        predicted: ``m(δ)``, below zero for a step downhill.
        smallest, largest: bounds of λ.
    """
    ratio = jnp.where(jnp.isfinite(actual) & (predicted < 0), actual / predicted, -jnp.inf)
    factor = jnp.where(ratio > GOOD, SHRINK, jnp.where(ratio < BAD, 1 / SHRINK, 1.0))
    return jnp.clip(damping * factor, smallest, largest)

"""Low-rank adaptation (LoRA, arXiv 2106.09685): frozen matrices with a trained change of low rank beside them."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from experiments.training.language.encoder import MATRICES, Dense, Encoder


class Adapted(eqx.Module):
    """``x Wᵀ + c + (α/r) drop(x) Aᵀ Cᵀ`` with trained A (r, n) and C (m, r).

    Args:
        scale: α/r.
        dropout: probability with which a number of x is dropped before A; the others grow to keep the mean.
    """

    dense: Dense
    narrow: Array
    wide: Array
    scale: float = eqx.field(static=True)
    dropout: float = eqx.field(static=True)

    def __call__(self, x: Array, key: Array | None = None) -> Array:
        seen = x
        if key is not None and self.dropout:
            kept = jax.random.bernoulli(key, 1 - self.dropout, x.shape)
            seen = jnp.where(kept, x / (1 - self.dropout), 0).astype(x.dtype)
        return self.dense(x) + self.scale * (seen @ self.narrow.T) @ self.wide.T


def adapted(encoder: Encoder, matrices: Sequence[str], rank: int, alpha: float, dropout: float, key: Array) -> Encoder:
    """An encoder whose chosen matrices have a change beside them, which is zero at first: A is random, C zero.

    Args:
        matrices: names out of ``MATRICES``, in every layer.
        rank: r.
        alpha: α; changes are scaled by α/r.
        key: of A, whose entries are uniform up to 1/√n, as those of a dense layer.
    """

    def beside(dense: Dense, own: Array) -> Adapted:
        m, n = dense.weight.shape
        narrow = jax.random.uniform(own, (rank, n), jnp.float32, -1, 1) / jnp.sqrt(n)
        return Adapted(dense, narrow, jnp.zeros((m, rank)), alpha / rank, dropout)

    def places(whole: Encoder) -> list[Dense]:
        return [getattr(layer, name) for layer in whole.layers for name in MATRICES if name in matrices]

    denses = places(encoder)
    keys = jax.random.split(key, max(1, len(denses)))
    changed = [beside(dense, own) for dense, own in zip(denses, keys, strict=False)]
    return eqx.tree_at(places, encoder, changed) if denses else encoder


def changes(module: Any) -> list[Adapted]:
    """All changed matrices of a module, in order."""
    parts = jax.tree.leaves(module, is_leaf=lambda part: isinstance(part, Adapted))
    return [part for part in parts if isinstance(part, Adapted)]

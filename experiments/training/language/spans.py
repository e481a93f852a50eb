"""A model that marks the answer in a text: an encoder with changes of low rank, and a head for both ends of a span."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.training.language.encoder import Dense, Encoder
from experiments.training.language.judging import judged
from experiments.training.language.lora import adapted, changes
from experiments.training.language.windows import CONTEXT
from experiments.training.task import Learner
from optim.losses import span_cross_entropy

if TYPE_CHECKING:
    from experiments.training.tasks.architectures import Adaptation
    from optim.curvature import Model

NOWHERE = -1e4
"""Logit of tokens that no answer has; its exponential is zero."""
TOGETHER = 16
"""Windows that go through the encoder at a time."""


class SpanReader(eqx.Module):
    """Logits of the first and the last token of the answer."""

    encoder: Encoder
    head: Dense

    def __call__(self, window: Array, key: Array | None = None) -> Array:
        """(2 L,): first tokens, then last ones.

        Args:
            window: tokens and their parts, (2, L); see ``windows``.
            key: of what is dropped; None: nothing is.
        """
        tokens, part = window
        x = self.encoder(tokens, (part >= CONTEXT).astype(int), part > 0, key)
        logits = self.head(x.astype(jnp.float32)).T
        return jnp.where(part == CONTEXT, logits, NOWHERE).ravel()


def answer_finder(encoder: Encoder, deviation: float, length: int, longest: int, adaptation: "Adaptation") -> Learner:
    """Learns to mark answers, by the cross-entropy of both ends; judged by F1, beside which is the exact match.

    Args:
        encoder: whose weights stay as they are.
        deviation: of the head's first weights.
        length: tokens of a window, L.
        longest: tokens of an answer, at most.
    """
    kind = jnp.dtype(adaptation.dtype)
    encoder = jax.tree.map(lambda leaf: jnp.asarray(leaf, kind), encoder)

    def parts(seed: int) -> tuple[Any, Any]:
        first, second = jax.random.split(jax.random.PRNGKey(seed))
        own = adapted(encoder, adaptation.matrices, adaptation.rank, adaptation.alpha, adaptation.dropout, first)
        head = Dense(deviation * jax.random.normal(second, (2, encoder.words.shape[1])), jnp.zeros(2))
        reader = SpanReader(own, head)
        frozen = jax.tree.map(lambda leaf: False, reader)
        return eqx.partition(reader, eqx.tree_at(_trained, frozen, replace_fn=lambda leaf: True))

    _, frozen = parts(0)

    def with_dropped(key: Array | None) -> "Model":
        """A model of parameters and windows (b, 2, L), (b, 2 L)."""

        def model(params: Any, windows: Array) -> Array:
            half = jax.tree.map(lambda leaf: leaf.astype(kind), params.encoder)
            reader = eqx.combine(eqx.tree_at(lambda own: own.encoder, params, half), frozen)

            def outputs(window: Array) -> Array:
                return reader(window, None if key is None else jax.random.fold_in(key, _told_apart(window)))

            if len(windows) <= TOGETHER:
                return jax.vmap(outputs)(windows)
            return jax.lax.map(outputs, windows, batch_size=TOGETHER)

        return model

    def judge(outputs: Any, targets: Any) -> tuple[float, float]:
        return judged(np.asarray(outputs), np.asarray(targets), longest)

    return Learner(
        begin=lambda seed: parts(seed)[0],
        model=with_dropped(None),
        loss=span_cross_entropy,
        score=lambda outputs, targets: judge(outputs, targets)[0],
        judge=judge,
        sample=(jax.ShapeDtypeStruct((2, length), jnp.int32), jax.ShapeDtypeStruct((2,), jnp.int32)),
        in_training=with_dropped if adaptation.dropout else None,
    )


def _told_apart(window: Array) -> Array:
    """A number of a window, so that it drops the same whichever others are beside it: in gradient and curvature."""
    return jnp.sum(window[0].astype(jnp.uint32) * jnp.arange(1, window.shape[1] + 1, dtype=jnp.uint32))


def _trained(reader: Any) -> list[Any]:
    return [leaf for part in changes(reader) for leaf in (part.narrow, part.wide)] + jax.tree.leaves(reader.head)

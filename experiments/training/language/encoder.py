"""A BERT encoder in Equinox (arXiv 1810.04805): embeddings of tokens, then layers of attention and dense layers.

Every layer is ``x = norm(x + attention(x))``, ``x = norm(x + down(f(up(x))))``. DistilBERT (arXiv 1910.01108) is the
same without embeddings of segments, MiniLM (arXiv 2002.10957) the same with other numbers.
"""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from experiments.training.language.folder import Shape

MATRICES = ("query", "key", "value", "out", "up", "down")
"""Dense layers of an encoder layer, as its fields are called."""
OFF = -1e9
"""Added to what attention must not see; its exponential is zero."""
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_new": jax.nn.gelu,
    "relu": jax.nn.relu,
}


class Dense(eqx.Module):
    """``x Wᵀ + c`` of rows x (..., n), with W (m, n) and c (m,)."""

    weight: Array
    bias: Array

    def __call__(self, x: Array, key: Array | None = None) -> Array:
        """The key is for those layers that drop something."""
        return x @ self.weight.T + self.bias


class Norm(eqx.Module):
    """Rows (..., n) with mean zero and variance one, then scaled and moved."""

    weight: Array
    bias: Array
    epsilon: float = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        # In single precision, whatever the type: squares lose too much in half of it.
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        centred = wide - wide.mean(axis=-1, keepdims=True)
        variance = jnp.mean(centred**2, axis=-1, keepdims=True)
        return (centred * jax.lax.rsqrt(variance + self.epsilon)).astype(x.dtype) * self.weight + self.bias


class Layer(eqx.Module):
    """Attention of every token to every other, then two dense layers of each token."""

    query: Dense
    key: Dense
    value: Dense
    out: Dense
    between: Norm
    up: Dense
    down: Dense
    after: Norm
    heads: int = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __call__(self, x: Array, mask: Array, key: Array | None) -> Array:
        """Of tokens x (L, width), those that count (L,), and the key of what is dropped, None: nothing."""
        split = [None] * len(MATRICES) if key is None else list(jax.random.split(key, len(MATRICES)))
        keys = dict(zip(MATRICES, split, strict=True))
        query, place, value = (
            layer(x, keys[name]).reshape(len(x), self.heads, -1)
            for name, layer in (("query", self.query), ("key", self.key), ("value", self.value))
        )
        scores = jnp.einsum("qhd,khd->hqk", query, place) / jnp.sqrt(query.shape[-1]).astype(x.dtype)
        weights = jax.nn.softmax(scores + jnp.where(mask, 0, OFF).astype(x.dtype), axis=-1)
        seen = jnp.einsum("hqk,khd->qhd", weights, value).reshape(x.shape)
        x = self.between(x + self.out(seen, keys["out"]))
        bent = ACTIVATIONS[self.activation](self.up(x, keys["up"]))
        return self.after(x + self.down(bent, keys["down"]))


class Encoder(eqx.Module):
    """Tokens to vectors."""

    words: Array
    places: Array
    segments: Array | None
    norm: Norm
    layers: list[Layer]

    def __call__(self, tokens: Array, segments: Array, mask: Array, key: Array | None = None) -> Array:
        """Vectors (L, width).

        Args:
            tokens: numbers in the vocabulary, (L,), L at most the encoder's places.
            segments: 0 or 1, (L,); a family without them takes no notice.
            mask: which tokens there are, (L,); the others are padding.
            key: of what is dropped; None: nothing is.
        """
        x = self.words[tokens] + self.places[: len(tokens)]
        if self.segments is not None:
            x = x + self.segments[segments]
        x = self.norm(x)
        for number, layer in enumerate(self.layers):
            x = layer(x, mask, None if key is None else jax.random.fold_in(key, number))
        return x


Part = Callable[[str, int, str, tuple[int, ...]], Array]


def assembled(shape: Shape, part: Part) -> Encoder:
    """An encoder of given weights.

    Args:
        part: (what it belongs to, as ``Family.names`` has it; number of the layer; "weight" or "bias"; its shape) → the
            array. What is before the layers has the number 0.
    """
    width, hidden = shape.width, shape.hidden

    def dense(name: str, k: int, inputs: int, outputs: int) -> Dense:
        return Dense(part(name, k, "weight", (outputs, inputs)), part(name, k, "bias", (outputs,)))

    def norm(name: str, k: int) -> Norm:
        return Norm(part(name, k, "weight", (width,)), part(name, k, "bias", (width,)), shape.epsilon)

    def layer(k: int) -> Layer:
        return Layer(
            query=dense("query", k, width, width),
            key=dense("key", k, width, width),
            value=dense("value", k, width, width),
            out=dense("out", k, width, width),
            between=norm("between", k),
            up=dense("up", k, width, hidden),
            down=dense("down", k, hidden, width),
            after=norm("after", k),
            heads=shape.heads,
            activation=shape.activation,
        )

    return Encoder(
        part("words", 0, "weight", (shape.vocabulary, width)),
        part("places", 0, "weight", (shape.places, width)),
        part("segments", 0, "weight", (shape.segments, width)) if shape.segments else None,
        norm("norm", 0),
        [layer(k) for k in range(shape.layers)],
    )

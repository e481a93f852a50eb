"""Networks that tell what follows a sequence of symbols."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from experiments.training.task import Learner
from experiments.training.tasks.architectures import Reader
from experiments.training.tasks.modules import begin_and_model
from optim.losses import softmax_cross_entropy


class Gru(eqx.Module):
    """An embedding, gated recurrent units one after the other, and a dense layer of the last state."""

    embedding: eqx.nn.Embedding
    cells: list[eqx.nn.GRUCell]
    head: eqx.nn.Linear

    def __init__(self, symbols: int, context: int, reader: Reader, key: Array) -> None:
        first, second, *keys = jax.random.split(key, 2 + reader.layers)
        widths = [reader.width, *[reader.hidden] * reader.layers]
        pairs = zip(widths[:-1], widths[1:], keys, strict=True)
        self.embedding = eqx.nn.Embedding(symbols, reader.width, key=first)
        self.cells = [eqx.nn.GRUCell(before, after, key=k) for before, after, k in pairs]
        self.head = eqx.nn.Linear(reader.hidden, symbols, key=second)

    def __call__(self, symbols: Array) -> Array:
        def step(states: list[Array], x: Array) -> tuple[list[Array], None]:
            new = []
            for cell, state in zip(self.cells, states, strict=True):
                x = cell(x, state)
                new.append(x)
            return new, None

        inputs = jax.vmap(self.embedding)(symbols)
        begun = [jnp.zeros(cell.hidden_size, inputs.dtype) for cell in self.cells]
        states, _ = jax.lax.scan(step, begun, inputs)
        return self.head(states[-1])


class Block(eqx.Module):
    """Attention and two dense layers, each beside a way around it and behind a normalisation."""

    before: eqx.nn.LayerNorm
    attention: eqx.nn.MultiheadAttention
    between: eqx.nn.LayerNorm
    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __init__(self, reader: Reader, key: Array) -> None:
        first, second, third = jax.random.split(key, 3)
        self.before, self.between = eqx.nn.LayerNorm(reader.width), eqx.nn.LayerNorm(reader.width)
        self.attention = eqx.nn.MultiheadAttention(reader.heads, reader.width, key=first)
        self.up = eqx.nn.Linear(reader.width, reader.hidden, key=second)
        self.down = eqx.nn.Linear(reader.hidden, reader.width, key=third)

    def __call__(self, x: Array) -> Array:
        seen = jax.vmap(self.before)(x)
        x = x + self.attention(seen, seen, seen)
        return x + jax.vmap(lambda row: self.down(jax.nn.gelu(self.up(self.between(row)))))(x)


class Transformer(eqx.Module):
    """Embeddings of symbols and places, blocks, and a dense layer of the last place, which sees all the others."""

    embedding: eqx.nn.Embedding
    places: Array
    blocks: list[Block]
    norm: eqx.nn.LayerNorm
    head: eqx.nn.Linear

    def __init__(self, symbols: int, context: int, reader: Reader, key: Array) -> None:
        first, second, third, *keys = jax.random.split(key, 3 + reader.layers)
        self.embedding = eqx.nn.Embedding(symbols, reader.width, key=first)
        self.places = jax.random.normal(second, (context, reader.width))
        self.blocks = [Block(reader, k) for k in keys]
        self.norm = eqx.nn.LayerNorm(reader.width)
        self.head = eqx.nn.Linear(reader.width, symbols, key=third)

    def __call__(self, symbols: Array) -> Array:
        x = jax.vmap(self.embedding)(symbols) + self.places
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[-1]))


KINDS = {"gru": Gru, "transformer": Transformer}


def next_symbol(symbols: int, context: int, reader: Reader) -> Learner:
    """Learns to tell the symbol after so many others, by softmax cross-entropy; judged by the bits that it costs."""
    begin, model = begin_and_model(lambda key: KINDS[reader.kind](symbols, context, reader, key))
    return Learner(
        begin=begin,
        model=model,
        loss=softmax_cross_entropy,
        score=lambda outputs, targets: softmax_cross_entropy.mean(outputs, targets) / jnp.log(2),
        sample=(jax.ShapeDtypeStruct((context,), jnp.int32), jax.ShapeDtypeStruct((), jnp.int32)),
    )

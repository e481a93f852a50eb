"""Language models whose next symbol is one of many: how good natural gradients of each curvature are."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims.claim import Row
from experiments.claims.statements.decrease import share_of

if TYPE_CHECKING:
    from jax import Array
    from numpy.typing import NDArray

SUCCESSORS = 32
"""Symbols that follow a symbol, in a text that is made up."""


@dataclass(frozen=True)
class LanguageModel:
    """A transformer that tells the next symbol from those before it, and the text that it has read.

    Args:
        symbols: d_z; 256 are bytes.
        samples: b, of the batch that is judged.
        steps: of Adam before, on batches of as many samples; so it is neither ignorant nor done.
        draws: m of the sampled Fisher matrices.
    """

    symbols: int
    samples: int = 16
    context: int = 16
    width: int = 16
    hidden: int = 32
    steps: int = 300
    rate: float = 0.01
    draws: tuple[int, ...] = (1, 4)


def measured(reading: LanguageModel, seed: int, damping: float) -> list[Row]:
    """What every curvature's exact natural gradient reaches of the decrease of damped Gauss-Newton.

    Args:
        damping: λ in mean eigenvalues of the sampled Fisher matrix.
    """
    import jax
    import jax.numpy as jnp
    import optax
    from jax.flatten_util import ravel_pytree

    from experiments.training.tasks.characters import Reader
    from experiments.training.tasks.sequences import next_symbol
    from optim.curvature import empirical_fisher_factor, loss_and_gradient, sampled_fisher_factor
    from optim.losses import softmax_cross_entropy as loss
    from solvers.digital import Digital
    from spu_circuit.problem import GgnSystem

    reader = Reader(kind="transformer", width=reading.width, hidden=reading.hidden)
    learner = next_symbol(reading.symbols, reading.context, reader)
    model, params = learner.model, learner.begin(seed)
    text = excerpts(reading, seed)
    adam = optax.adam(reading.rate)

    @jax.jit
    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        _, gradient = loss_and_gradient(model, loss, params, x, y)
        updates, state = adam.update(gradient, state)
        return optax.apply_updates(params, updates), state

    state = adam.init(params)
    for batch in text[:-1]:
        params, state = step(params, state, batch[:, :-1], batch[:, -1])
    x, y = (jnp.asarray(part) for part in (text[-1][:, :-1], text[-1][:, -1]))
    g = ravel_pytree(loss_and_gradient(model, loss, params, x, y)[1])[0]
    key = jax.random.key(seed)
    drawn = {m: sampled_fisher_factor(model, loss, params, x, y, key, draws=m) for m in reading.draws}
    strength = damping * float(jnp.sum(drawn[reading.draws[0]] ** 2)) / reading.samples
    factors = [(f"sampled Fisher, m = {m}", True, B) for m, B in drawn.items()]
    factors += [("empirical Fisher", False, empirical_fisher_factor(model, loss, params, x, y))]
    share = share_of(model, params, x, g, strength)

    def reached(B: "Array") -> float:
        system = GgnSystem(np.asarray(B, float), strength, np.asarray(g, float))
        return share(Digital("woodbury").solve(system).value)

    row = {"part": "language", "outputs": reading.symbols, "seed": seed, "gradient": share(g)}
    return [row | {"curvature": name, "drawn": drawn, "share": reached(B)} for name, drawn, B in factors]


def excerpts(reading: LanguageModel, seed: int) -> "NDArray[np.int32]":
    """Batches (steps + 1, samples, context + 1) of a made-up text: some symbols follow each symbol, some of them more
    often, as in Zipf's law.
    """
    rng = np.random.default_rng(seed)
    following = rng.integers(reading.symbols, size=(reading.symbols, SUCCESSORS))
    ladder = np.cumsum(1 / np.arange(1, SUCCESSORS + 1))
    long, rows = reading.context + 1, (reading.steps + 1) * reading.samples
    text = np.empty((rows, long), np.int32)
    text[:, 0] = rng.integers(reading.symbols, size=rows)
    for place in range(1, long):
        chosen = ladder.searchsorted(rng.uniform(0, ladder[-1], size=rows))
        text[:, place] = following[text[:, place - 1], chosen]
    return text.reshape(reading.steps + 1, reading.samples, long)

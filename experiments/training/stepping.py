"""The compiled step of trials side by side: their gradients and curvatures, their solves, their updates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import nan
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from experiments.training.config import Experiment
from experiments.training.methods import Method, build_natural, build_plain, initial, learner_of
from experiments.training.store import Arrays, Step, Trial
from experiments.training.task import Learner
from optim.curvature import CURVATURES, loss_and_gradient

compiled = partial(jax.jit, compiler_options={"xla_cpu_multi_thread_eigen": False})
"""XLA computes in one thread, so that sums have one order and workers do not fight for cores. An option of each
compiled function holds in every process, also in one that has computed with JAX before; XLA_FLAGS would not."""


@dataclass(frozen=True)
class Place:
    """Where a trial stands.

    Args:
        last: its last finished step, which must not have ended it; None: it begins.
        state: what the chunk with that step left.
    """

    trial: Trial
    last: Step | None = None
    state: Arrays | None = None


class Stack(NamedTuple):
    """Parameters and optimizer states of trials side by side: every leaf has the trials first."""

    params: Any
    natural: Any
    plain: Any


def stepper(experiment: Experiment, method: Method) -> Callable[..., Any]:
    """A compiled step of trials side by side.

    Returns:
        A function of the stack, learning rates (m,), inputs and targets of the batches, and who takes the step (m,).
        It returns the stack after it, where a trial whose loss is not finite or whose solve failed is as before; the
        losses before it (m,); natural gradient states that say how the solves went, and factors (m, K, N), gradients
        (m, N) and natural gradients (m, N), None and an empty tuple where nothing is solved.
    """
    settings = method.settings
    used = settings.curvature_samples or experiment.batch_size
    measure = _measurement(learner_of(experiment), settings.curvature if method.solver else None, used)
    solve = _solution(method)

    def take(stack: Stack, rates: Any, inputs: Any, targets: Any, chosen: Any) -> Any:
        loss, gradients, factors = measure(stack.params, inputs, targets, chosen)
        loss = np.asarray(loss)
        stack, natural, solved = solve(stack, rates, gradients, factors, chosen & np.isfinite(loss))
        return jax.block_until_ready(stack), loss, natural, (factors, gradients, solved) if natural else ()

    return take


def stacked(experiment: Experiment, method: Method, places: Sequence[Place], wide: int) -> Stack:
    """Trials as they stand, padded with the last one."""
    natural = build_natural(method.settings, method.solver) if method.solver else None
    learner = learner_of(experiment)

    def begun(trial: Trial) -> Stack:
        params = initial(learner, trial.seed)
        state = natural.init(params)._replace(seed=np.uint32(trial.seed)) if natural else None
        return Stack(params, state, build_plain(method.settings, trial.learning_rate).init(params))

    tree = jax.tree.structure(begun(places[0].trial))
    own = [_restored(tree, place.state) if place.state else begun(place.trial) for place in places]
    found: Stack = jax.tree.map(lambda *rows: np.stack(rows), *padded(own, wide))
    return found


@lru_cache(maxsize=16)
def evaluation(learner: Learner) -> Callable[..., Any]:
    """A function of parameters, inputs and targets, and who is chosen: mean loss and score (m,)."""

    def evaluate(params: Any, inputs: jax.Array, targets: jax.Array, chosen: jax.Array) -> Any:
        def judged(own: Any) -> Any:
            outputs = learner.model(own, inputs)
            return learner.loss.mean(outputs, targets), learner.score(outputs, targets)

        return _each(judged, chosen, params)

    return compiled(evaluate)


@lru_cache(maxsize=16)
def _measurement(learner: Learner, curvature: str | None, used: int) -> Callable[..., Any]:
    """Compiled once for all trials of a process that differ in nothing here.

    Returns:
        Of parameters, inputs and targets of the batches, and who is chosen: loss (m,), gradient (m, N) and curvature
        factor (m, K, N), None where there is none. NaN for those that are not chosen.
    """
    model, loss = learner.model, learner.loss

    def measured(params: Any, inputs: jax.Array, targets: jax.Array) -> Any:
        value, gradient = loss_and_gradient(model, loss, params, inputs, targets)
        # Without a finite loss there is nothing to solve.
        gradient = jnp.where(jnp.isfinite(value), ravel_pytree(gradient)[0], nan)
        if curvature is None:
            return value, gradient, None
        return value, gradient, CURVATURES[curvature].factor(1)(model, loss, params, inputs[:used], targets[:used])

    return compiled(lambda params, inputs, targets, chosen: _each(measured, chosen, params, inputs, targets))


def _each(function: Callable[..., Any], chosen: jax.Array, *arguments: Any) -> Any:
    """A function of every chosen row of the arguments, one after the other and by the same code; NaN for the rest."""

    def one(row: Any) -> Any:
        wanted, own = row
        nothing = jax.tree.map(lambda leaf: jnp.full(leaf.shape, nan, leaf.dtype), jax.eval_shape(function, *own))
        return jax.lax.cond(wanted, lambda: function(*own), lambda: nothing)

    return jax.lax.map(one, (chosen, arguments))


@lru_cache(maxsize=16)
def _solution(method: Method) -> Callable[..., Any]:
    """The rest of a step, after gradients (m, N) and factors (m, K, N) are known, of those that ``going`` (m,) chooses.

    Returns:
        The stack after the step, unchanged where nothing is chosen or the solve failed; natural gradient states (m,)
        with what the solves say, None where there is none; and natural gradients (m, N).
    """
    natural = build_natural(method.settings, method.solver) if method.solver else None

    def one(own: Stack, rate: jax.Array, gradient: jax.Array, factor: jax.Array) -> Any:
        solved, state = gradient, own.natural
        if natural:
            solved, state = natural.update(gradient, own.natural, curvature=factor)
        updates = ravel_pytree(own.params)[1](solved)
        updates, plain = build_plain(method.settings, rate).update(updates, own.plain, own.params)
        return Stack(optax.apply_updates(own.params, updates), state, plain), solved

    @compiled
    def take(stack: Stack, rates: jax.Array, gradients: jax.Array, factors: jax.Array, going: jax.Array) -> Any:
        if natural:
            # What is not finite never reaches the solver.
            gradients = jnp.where(going[:, None], gradients, nan)
        new, solved = jax.vmap(one)(stack, rates, gradients, factors)
        kept = going & ~new.natural.failed if natural else going

        def choose(after: jax.Array, before: jax.Array) -> jax.Array:
            return jnp.where(kept.reshape(-1, *[1] * (after.ndim - 1)), after, before)

        return jax.tree.map(choose, new, stack), new.natural, solved

    return take


def padded(rows: Sequence[Any], wide: int) -> list[Any]:
    """Rows with the last one repeated."""
    return [*rows, *[rows[-1]] * (wide - len(rows))]


def _restored(tree: Any, arrays: Arrays) -> Any:
    return jax.tree.unflatten(tree, [arrays[str(k)] for k in range(len(arrays))])

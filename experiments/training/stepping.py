"""The compiled step of trials side by side: their gradients and curvatures, their solves, their updates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import nan
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from experiments.training.config import Experiment, Optimizer
from experiments.training.methods import (
    Method,
    build_natural,
    build_plain,
    build_preconditioner,
    factor_of,
    initial,
    learner_of,
)
from experiments.training.store import Arrays, Step, Trial
from experiments.training.task import Learner
from optim.curvature import CURVATURES, Model, in_micro_batches, loss_and_gradient
from optim.damping import adapted, predicted_change
from optim.systems import Ggn
from solvers.digital import Digital
from solvers.precision.rotated import Rotating
from solvers.sde import Sde
from solvers.solution import Solutions
from solvers.spu import Spu
from spu_circuit.sampling import Sample

if TYPE_CHECKING:
    from optim.kfac import Kfac

compiled = partial(jax.jit, compiler_options={"xla_cpu_multi_thread_eigen": False})
"""XLA computes in one thread, so that sums have one order and workers do not fight for cores. An option of each
compiled function holds in every process, also in one that has computed with JAX before; XLA_FLAGS would not."""
DROPPED = 2**31
"""Makes of a step's key another one, of what a model drops."""


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
    """Parameters, optimizer states and the λ of trials side by side, and the states of what scales their gradients:
    every leaf has the trials first."""

    params: Any
    natural: Any
    plain: Any
    damping: Any
    scaling: Any = None


def stepper(experiment: Experiment, name: str, method: Method) -> Callable[..., Any]:
    """A compiled step of trials of an optimizer side by side.

    Returns:
        A function of the stack, learning rates (m,), inputs and targets of the batches, seeds and numbers of the steps
        (m,), which decide what is drawn, and who takes the step (m,).
        It returns the stack after it, where a trial whose loss is not finite or whose solve failed is as before; the
        losses before it (m,); natural gradient states that say how the solves went, and factors (m, K, N), gradients
        (m, N), natural gradients (m, N), what they remember, (m, N) or (m, 0), and coordinates of the gradients in the
        rows of the factors, (m, K) or (m, 0), None and an empty tuple where nothing is solved.
    """
    settings = method.settings
    curvature = None
    if method.solver:
        curvature = (
            *(settings.curvature, settings.curvature_samples, settings.draws, settings.micro_batch_size),
            settings.placement == "kernel",
        )
    measure = _measurement(learner_of(experiment), curvature)
    scale = _scaling(experiment, name, method)
    solve = _solution(method)
    follow = _following(method, learner_of(experiment)) if settings.damping_rule != "given" else None

    def take(stack: Stack, rates: Any, inputs: Any, targets: Any, draws: Any, chosen: Any) -> Any:
        loss, gradients, factors, coordinates = measure(stack.params, inputs, targets, draws, chosen)
        loss = np.asarray(loss)
        before = stack
        going = chosen & np.isfinite(loss)
        if scale:
            stack, gradients = scale(stack, gradients, inputs, targets, draws, going)
        stack, natural, solved = solve(stack, rates, gradients, factors, coordinates, going)
        if follow:
            stack = follow(before, stack, loss, gradients, factors, inputs, targets, draws)
        if not natural:
            return jax.block_until_ready(stack), loss, natural, ()
        kept = settings.memory * before.natural.remembered
        return jax.block_until_ready(stack), loss, natural, (factors, gradients, solved, kept, coordinates)

    return take


def stacked(experiment: Experiment, method: Method, places: Sequence[Place], wide: int) -> Stack:
    """Trials as they stand, padded with the last one."""
    natural = None
    if method.solver:
        rows = factor_of(experiment, places[0].trial.optimizer).shape[0]
        natural = build_natural(method.settings, method.solver, method.steps, rows)
    learner = learner_of(experiment)
    scaling = build_preconditioner(experiment, places[0].trial.optimizer)

    def begun(trial: Trial) -> Stack:
        params = initial(learner, trial.seed)
        state = natural.init(params) if natural else None
        if state:
            state = state._replace(seed=np.uint32(trial.seed % 2**32), copy=np.int32(trial.copy))
        plain = build_plain(method.settings, trial.learning_rate, method.steps)
        damping = np.float64(method.settings.damping)
        return Stack(params, state, plain.init(params), damping, scaling.init() if scaling else None)

    tree = jax.tree.structure(begun(places[0].trial))
    own = [_restored(tree, place.state) if place.state else begun(place.trial) for place in places]
    found: Stack = jax.tree.map(lambda *rows: np.stack(rows), *padded(own, wide))
    return found


@lru_cache(maxsize=16)
def evaluation(learner: Learner) -> Callable[..., Any]:
    """A function of parameters, inputs and targets, and who is chosen: mean loss, score, and what is told beside it
    (m,), NaN where nothing is."""
    judge = learner.judge

    def evaluate(params: Any, inputs: jax.Array, targets: jax.Array, chosen: jax.Array) -> Any:
        def judged(own: Any) -> Any:
            outputs = learner.model(own, inputs)
            told = learner.score(outputs, targets) if judge is None else outputs
            return learner.loss.mean(outputs, targets), told

        return _each(judged, chosen, params)

    computed = compiled(evaluate)

    def evaluated(params: Any, inputs: Any, targets: Any, chosen: Any) -> Any:
        if not chosen.any():  # all samples would be copied for nothing
            return (np.full(len(chosen), nan),) * 3
        loss, told = map(np.asarray, computed(params, inputs, targets, chosen))
        if judge is None:
            return loss, told, np.full(len(told), nan)
        # Not as a callback of what is compiled: one that is given large arrays can wait for ever for its own thread.
        pairs = [judge(own, targets) if taken else (nan, nan) for own, taken in zip(told, chosen, strict=True)]
        return loss, *np.array(pairs).T

    return evaluated


@lru_cache(maxsize=16)
def _measurement(
    learner: Learner, curvature: tuple[str, int | None, int, int | None, bool] | None
) -> Callable[..., Any]:
    """Compiled once for all trials of a process that differ in nothing here.

    Args:
        curvature: its kind, of how many samples (None: all), draws of each, samples at a time (None: all), and whether
            the gradient's coordinates in its rows are wanted.

    Returns:
        Of parameters, inputs and targets of the batches, what decides the draws, and who is chosen: loss (m,), gradient
        (m, N), curvature factor (m, K, N) and the gradient's coordinates in its rows, (m, K) or (m, 0), None where
        there is none. NaN for those that are not chosen.
    """
    loss = learner.loss

    def measured(params: Any, inputs: jax.Array, targets: jax.Array, draw: Any) -> Any:
        model = _trained_model(learner, draw)
        value, gradient = loss_and_gradient(model, loss, params, inputs, targets)
        # Without a finite loss there is nothing to solve.
        gradient = jnp.where(jnp.isfinite(value), ravel_pytree(gradient)[0], nan)
        if curvature is None:
            return value, gradient, None, None
        kind, used, draws, together, wanted = curvature
        find = CURVATURES[kind].coordinates
        coordinates = find(model, loss, params, inputs, targets) if wanted and find else jnp.zeros(0)
        key = _key(draw)
        factor = CURVATURES[kind].factor(draws)
        factor = factor if together is None else in_micro_batches(factor, together)
        return value, gradient, factor(model, loss, params, inputs[:used], targets[:used], key), coordinates

    return compiled(
        lambda params, inputs, targets, draw, chosen: _each(measured, chosen, params, inputs, targets, draw)
    )


def _key(draw: Any) -> jax.Array:
    """Of a step: (seed, number)."""
    return jax.random.fold_in(jax.random.key(draw[0]), draw[1])


def _trained_model(learner: Learner, draw: Any) -> Model:
    """The model as it is in a step."""
    return learner.in_training(jax.random.fold_in(_key(draw), DROPPED)) if learner.in_training else learner.model


def _each(function: Callable[..., Any], chosen: jax.Array, *arguments: Any) -> Any:
    """A function of every chosen row of the arguments, one after the other and by the same code; NaN for the rest."""

    def one(row: Any) -> Any:
        wanted, own = row
        nothing = jax.tree.map(lambda leaf: jnp.full(leaf.shape, nan, leaf.dtype), jax.eval_shape(function, *own))
        return jax.lax.cond(wanted, lambda: function(*own), lambda: nothing)

    return jax.lax.map(one, (chosen, arguments))


@dataclass(eq=False)
class _Exchangeable:
    """In the place of a device where a step is compiled, so that all devices share what was compiled for one."""

    device: Spu | None = None
    analog: bool = True

    def solve_batch(self, *arguments: Any) -> Solutions:
        assert self.device is not None
        return self.device.solve_batch(*arguments)

    def of_samples(self, samples: Sequence[Sample]) -> Spu:
        assert self.device is not None
        return self.device.of_samples(samples)


def _solution(method: Method) -> Callable[..., Any]:
    """See ``_compiled``; on the method's own device.

    Learning rates and λ are arguments of what is compiled, and which hardware a device is made of changes nothing of
    it: methods that differ in nothing else share it, but for solvers that are made of a device and more.
    """
    device = method.solver
    settings = method.settings.model_copy(update={"learning_rates": (1.0,), "damping": 1.0})
    if device is None or isinstance(device, Digital | Sde | Rotating):
        return _of_values(settings, device, method.steps)
    if not isinstance(device, Spu):
        return _of_method(method)
    settings = settings.model_copy(update={"hardware": {"base": settings.hardware["base"]}})
    place, take = _with_device(settings, method.steps)

    def solve(*arguments: Any) -> Any:
        place.device = device
        return jax.block_until_ready(take(*arguments))

    return solve


@lru_cache(maxsize=16)
def _of_values(settings: Optimizer, solver: Digital | Sde | Rotating | None, steps: int) -> Callable[..., Any]:
    return _compiled(Method(settings, solver, steps))


@lru_cache(maxsize=16)
def _of_method(method: Method) -> Callable[..., Any]:
    return _compiled(method)


@lru_cache(maxsize=16)
def _with_device(settings: Optimizer, steps: int) -> tuple[_Exchangeable, Callable[..., Any]]:
    place = _Exchangeable()
    return place, _compiled(Method(settings, place, steps))  # type: ignore[arg-type]


def _compiled(method: Method) -> Callable[..., Any]:
    """The rest of a step, after gradients (m, N), factors (m, K, N) and coordinates (m, K) are known, of those that
    ``going`` (m,) chooses.

    Returns:
        The stack after the step, unchanged where nothing is chosen or the solve failed; natural gradient states (m,)
        with what the solves say, None where there is none; and natural gradients (m, N).
    """
    natural = build_natural(method.settings, method.solver, method.steps) if method.solver else None
    strength = partial(method.settings.schedules.of, "damping", steps=method.steps)

    def one(own: Stack, rate: jax.Array, gradient: jax.Array, factor: jax.Array, coordinates: jax.Array) -> Any:
        solved, state = gradient, own.natural
        if natural:
            solved, state = natural.update(
                gradient, own.natural, curvature=factor, coordinates=coordinates, damping=strength(own.damping)
            )
        updates = ravel_pytree(own.params)[1](solved)
        updates, plain = build_plain(method.settings, rate, method.steps).update(updates, own.plain, own.params)
        return own._replace(params=optax.apply_updates(own.params, updates), natural=state, plain=plain), solved

    @compiled
    def take(
        stack: Stack, rates: jax.Array, gradients: jax.Array, factors: Any, coordinates: Any, going: jax.Array
    ) -> Any:
        if natural:
            # What is not finite never reaches the solver.
            gradients, coordinates = (jnp.where(going[:, None], part, nan) for part in (gradients, coordinates))
        new, solved = jax.vmap(one)(stack, rates, gradients, factors, coordinates)
        kept = going & ~new.natural.failed if natural else going
        return _chosen(kept, new, stack), new.natural, solved

    return take


def _scaling(experiment: Experiment, name: str, method: Method) -> Callable[..., Any] | None:
    """What scales the gradients (m, N) of those that are going by a curvature of its own; None where nothing does."""
    preconditioner = build_preconditioner(experiment, name)
    return _scaled_by(preconditioner, method) if preconditioner else None


@lru_cache(maxsize=16)
def _scaled_by(preconditioner: "Kfac", method: Method) -> Callable[..., Any]:
    def scaled(own: Stack, gradient: Any, inputs: Any, targets: Any, draw: Any) -> Any:
        tree = ravel_pytree(own.params)[1](gradient)
        damping = method.settings.schedules.of("damping", own.damping, method.steps)
        strength = damping(draw[1]) if callable(damping) else damping
        found, state = preconditioner.update(tree, own.scaling, own.params, inputs, targets, _key(draw), strength)
        return state, ravel_pytree(found)[0]

    @compiled
    def scale(stack: Stack, gradients: Any, inputs: Any, targets: Any, draws: Any, going: Any) -> Any:
        state, found = _each(scaled, going, stack, gradients, inputs, targets, draws)
        return stack._replace(scaling=_chosen(going, state, stack.scaling)), found

    return scale


def _chosen(who: jax.Array, after: Any, before: Any) -> Any:
    """Of every leaf the rows after a step where ``who`` (m,) says so, else those before it."""

    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(who.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(choose, after, before)


@lru_cache(maxsize=16)
def _following(method: Method, learner: Learner) -> Callable[..., Any]:
    """What makes λ follow how well a step was predicted on its own batch; see ``optim.damping``."""

    def followed(
        before: Stack, after: Stack, loss: Any, gradient: Any, factor: Any, inputs: Any, targets: Any, draw: Any
    ) -> Any:
        step = ravel_pytree(after.params)[0] - ravel_pytree(before.params)[0]
        reached = learner.loss.mean(_trained_model(learner, draw)(after.params, inputs), targets)
        predicted = predicted_change(Ggn(factor, before.damping, gradient), step)
        changed = (step != 0).any()
        return jnp.where(changed, adapted(before.damping, reached - loss, predicted), before.damping)

    @compiled
    def follow(before: Stack, after: Stack, *rows: Any) -> Stack:
        everyone = jnp.ones(len(before.damping), bool)
        return after._replace(damping=_each(followed, everyone, before, after, *rows))

    return follow


def padded(rows: Sequence[Any], wide: int) -> list[Any]:
    """Rows with the last one repeated."""
    return [*rows, *[rows[-1]] * (wide - len(rows))]


def _restored(tree: Any, arrays: Arrays) -> Any:
    return jax.tree.unflatten(tree, [arrays[str(k)] for k in range(len(arrays))])

"""Trials of one optimizer at one point of the grid, which differ in learning rate and seed, advanced side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import inf, isfinite, nan
from time import perf_counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from experiments.training import models
from experiments.training.config import Experiment, Optimizer
from experiments.training.config import Network as Architecture
from experiments.training.data import CLASSES, SIDES, Split
from experiments.training.store import Arrays, Chunk, Step, Trial
from optim.curvature import CURVATURES, Model, loss_and_gradient
from optim.errors import unpacked
from optim.host import step_seed
from optim.losses import softmax_cross_entropy
from optim.mapping import solve_mapped
from optim.natural_gradient import scale_by_natural_gradient
from solvers.digital import Digital
from solvers.ideal import law_of
from solvers.sde import Sde
from solvers.solution import Solver, StatisticsArrays
from solvers.spu import Spu
from spu_circuit.errors import SpuError
from spu_circuit.hardware import Hardware, load_hardware
from spu_circuit.problem import GgnSystem

WIDTH = 16
"""Trials that are advanced together, at most: enough to share what a call of the device costs."""
LARGEST = 2**28
"""Bytes that their curvature factors may take together."""
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


@dataclass(frozen=True, eq=False)
class Method:
    """An optimizer with what solves its systems. What is compiled and prepared for a method serves all its trials."""

    settings: Optimizer
    solver: Solver | None


class Stack(NamedTuple):
    """Parameters and optimizer states of trials side by side: every leaf has the trials first."""

    params: Any
    natural: Any
    plain: Any


def build_solver(settings: Optimizer, hardware: Hardware | None = None) -> Solver | None:
    """What solves the linear systems of an optimizer; None where it has none.

    Args:
        hardware: what the settings name, where it is at hand: a worker elsewhere may lack the file.

    Raises:
        InputError: an unknown hardware or engine.
    """
    if settings.kind == "ngd":
        return Digital(settings.solver, iterations=settings.cg_iterations)
    if settings.kind != "tngd":
        return None
    if settings.hardware == "none":
        return Sde(settings.injected_noise)
    return Spu(hardware or load_hardware(settings.hardware), settings.chosen())


def build_natural(settings: Optimizer, solver: Solver) -> optax.GradientTransformationExtraArgs:
    """What scales the gradient by the curvature. The seed of a trial is put into its state.

    Raises:
        InputError: settings that contradict each other.
    """
    mapping = settings.mapping if settings.kind == "tngd" else "primal"
    time, warm = settings.analog_time, settings.warm_start
    return scale_by_natural_gradient(solver, settings.damping, time, mapping, warm, settings.delay)


def build_plain(settings: Optimizer, rate: Any) -> optax.GradientTransformation:
    """What makes steps of gradients or natural gradients. The learning rate may be traced."""
    if settings.kind == "adam" or settings.adam:
        return optax.adam(rate, *settings.betas)
    return optax.sgd(rate, settings.momentum or None)


def width(experiment: Experiment, name: str) -> int:
    """How many trials of an optimizer are advanced together at most; 1 where ngspice simulates each for itself."""
    settings = experiment.optimizers[name]
    if settings.kind == "tngd" and settings.hardware != "none" and settings.engine == "ngspice":
        return 1
    trials = min(WIDTH, len(settings.learning_rates) * len(experiment.seeds))
    if settings.kind in ("adam", "sgd"):
        return trials
    params, _ = _model(experiment.network, SIDES[experiment.data.name], 0)
    samples = settings.curvature_samples or experiment.batch_size
    rows = samples * CURVATURES[settings.curvature].rows(softmax_cross_entropy, CLASSES, 1)
    numbers = rows * sum(leaf.size for leaf in jax.tree.leaves(params))
    return max(1, min(trials, LARGEST // (4 * numbers)))


def advance(
    experiment: Experiment, places: Sequence[Place], data: Split, steps: int, method: Method | None = None
) -> list[Chunk]:
    """Go on with trials of one optimizer. Their systems are solved in one call of the solver a step.

    The numbers of a trial are the same, to the last bit, whatever trials are advanced with it and however many steps
    are taken at a time: each trial's model is computed for itself, by code that does not know of the others, its
    linear algebra by the code for ``width`` trials (two at least), which is compiled once and padded.

    Args:
        experiment: at the trials' point of the grid.
        places: ``width(experiment, optimizer)`` at most.
        steps: how many, at most: the experiment's last step ends a trial, and so does a loss that is not finite.
        method: in the place of what the optimizer's settings name.

    Returns:
        A chunk of each. A solve that failed ends its trial with the error in the chunk, and no other trial.
    """
    name = places[0].trial.optimizer
    settings = experiment.optimizers[name]
    method = method or Method(settings, build_solver(settings))
    images, labels = data.train
    # A width of one is another program, whose sums XLA orders otherwise.
    wide = max(2, width(experiment, name))
    assert len(places) <= wide, f"{len(places)} trials, {wide} go together"
    members = [_Member(experiment, place) for place in places]
    side = images.shape[-1]
    take, evaluate = stepper(experiment, method, side), _evaluation(experiment.network, side)
    stack = stacked(experiment, method, places, side, wide)
    rates = np.array([place.trial.learning_rate for place in _padded(places, wide)], np.float32)

    # Processes share the cores; BLAS threads would only wait for each other.
    with threadpool_limits(1, user_api="blas"):
        for _ in range(steps):
            active = _chosen([not member.ended for member in members], wide)
            if not active.any():
                break
            began = perf_counter()
            rows = np.stack([member.rows(len(labels)) for member in _padded(members, wide)])
            stack, loss, natural, systems = take(stack, rates, images[rows], labels[rows], active)
            going = active & np.isfinite(loss)
            share = (perf_counter() - began) / active.sum()
            errors = np.asarray(natural.error) if natural else np.zeros((wide, 1), np.uint8)
            failed = going & errors.any(axis=1)
            look = active & ~failed & (~going | _chosen([member.evaluates for member in members], wide))
            validation, test = (
                [np.asarray(found) for found in evaluate(stack.params, *part, look)]
                for part in (data.validation, data.test)
            )
            statistics = jax.device_get(natural.statistics) if natural else None
            systems = [np.asarray(part) for part in systems]
            for k, member in enumerate(members):
                if failed[k]:
                    member.error = unpacked(errors[k])
                elif active[k]:
                    judged = (float(validation[0][k]), float(test[1][k])) if look[k] else None
                    answer = None
                    if statistics and going[k]:
                        own = type(statistics)(*(column[k] for column in statistics))
                        answer = _Answer(own, *(part[k] for part in systems))
                    member.add(float(loss[k]), judged, answer, method, share)
    states = [jax.tree.map(partial(_row, k), jax.device_get(stack)) for k in range(len(members))]
    return [member.chunk(_leaves(state)) for member, state in zip(members, states, strict=True)]


def stepper(experiment: Experiment, method: Method, side: int) -> Callable[..., Any]:
    """A compiled step of trials side by side.

    Returns:
        A function of the stack, learning rates (m,), images and labels of the batches, and who takes the step (m,).
        It returns the stack after it, where a trial whose loss is not finite or whose solve failed is as before; the
        losses before it (m,); natural gradient states that say how the solves went, and factors (m, K, N), gradients
        (m, N) and natural gradients (m, N), None and an empty tuple where nothing is solved.
    """
    settings = method.settings
    used = settings.curvature_samples or experiment.batch_size
    measure = _measurement(experiment.network, side, settings.curvature if method.solver else None, used)
    solve = _solution(method)

    def take(stack: Stack, rates: Any, images: Any, labels: Any, chosen: Any) -> Any:
        loss, gradients, factors = measure(stack.params, images, labels, chosen)
        loss = np.asarray(loss)
        stack, natural, solved = solve(stack, rates, gradients, factors, chosen & np.isfinite(loss))
        return jax.block_until_ready(stack), loss, natural, (factors, gradients, solved) if natural else ()

    return take


def stacked(experiment: Experiment, method: Method, places: Sequence[Place], side: int, wide: int) -> Stack:
    """Trials as they stand, padded with the last one."""
    natural = build_natural(method.settings, method.solver) if method.solver else None

    def begun(trial: Trial) -> Stack:
        params, _ = _model(experiment.network, side, trial.seed)
        state = natural.init(params)._replace(seed=np.uint32(trial.seed)) if natural else None
        return Stack(params, state, build_plain(method.settings, trial.learning_rate).init(params))

    tree = jax.tree.structure(begun(places[0].trial))
    own = [_restored(tree, place.state) if place.state else begun(place.trial) for place in places]
    found: Stack = jax.tree.map(lambda *rows: np.stack(rows), *_padded(own, wide))
    return found


class _Answer(NamedTuple):
    """How the solve of a step went, and its factor (K, N), gradient (N,) and natural gradient (N,)."""

    statistics: StatisticsArrays
    factor: Any
    gradient: Any
    solved: Any


@dataclass
class _Member:
    """A trial while it is advanced, with what will be its chunk."""

    experiment: Experiment
    place: Place
    steps: list[Step] = field(default_factory=list)
    systems: dict[int, Arrays] = field(default_factory=dict)
    exhibit: Arrays | None = None
    error: SpuError | None = None

    @property
    def last(self) -> Step | None:
        return self.steps[-1] if self.steps else self.place.last

    @property
    def number(self) -> int:
        """Of the next step."""
        return self.last.step + 1 if self.last else 0

    @property
    def ended(self) -> bool:
        over = self.number >= self.experiment.steps
        return over or self.error is not None or (self.last is not None and self.last.diverged)

    @property
    def evaluates(self) -> bool:
        """Whether the next step is one after which the images are looked at."""
        return (self.number + 1) % self.experiment.evaluate_every == 0 or self.number + 1 == self.experiment.steps

    def rows(self, images: int) -> NDArray[np.intp]:
        """The next batch; the last one again after the end."""
        number = min(self.number, self.experiment.steps - 1)
        return batch(number, self.experiment.batch_size, images, self.place.trial.seed)

    def add(
        self, loss: float, judged: tuple[float, float] | None, answer: _Answer | None, method: Method, seconds: float
    ) -> None:
        """Keep a finished step."""
        settings, trial, number = method.settings, self.place.trial, self.number
        elapsed, analog = (self.last.wall_seconds, self.last.analog_seconds) if self.last else (0.0, 0.0)
        validation, accuracy = judged or (None, None)
        error, unsolved = None, None
        if answer:
            B, damping, gradient = answer.factor.astype(float), settings.damping, answer.gradient.astype(float)
            exact = exact_solution(B, damping, gradient)
            error = _relative_error(answer.solved, exact)
            scale = damping if settings.kind == "tngd" and settings.mapping == "dual" else 1.0
            unsolved = _relative_error(gradient / scale, exact)
            analog += float(answer.statistics.analog_seconds) if isfinite(answer.statistics.analog_seconds) else 0.0
            if self.experiment.record_systems:
                self.systems[number] = {"B": B, "gradient": gradient, "damping": np.array(damping)}
            shown = number == self.experiment.steps // 2 and settings.mapping == "dual"
            if shown and isinstance(method.solver, Spu):
                seed = step_seed(trial.seed, number)
                system = GgnSystem(B, damping, gradient)
                self.exhibit = _exhibit(method.solver, system, settings.analog_time, seed)
        went = answer.statistics if answer else None
        step = Step(
            *(trial.point, trial.optimizer, trial.learning_rate, trial.seed),
            *(number, (number + 1) * self.experiment.batch_size),
            loss=loss if isfinite(loss) else inf,
            validation_loss=validation if validation is not None and isfinite(validation) else None,
            test_accuracy=accuracy,
            solve_error=error,
            unsolved_error=unsolved,
            residual=float(went.residual) if went else None,
            settled_fraction=_number(went.settled_fraction) if went else None,
            saturated_nodes=int(went.saturated_nodes) if went else 0,
            clipped_codes=int(went.clipped_codes) if went else 0,
            lost_entries=int(went.lost_entries) if went else 0,
            ngspice_runs=int(went.ngspice_runs) if went else 0,
            analog_seconds=analog,
            wall_seconds=elapsed + seconds,
        )
        self.steps.append(step)

    def chunk(self, state: Arrays) -> Chunk:
        return Chunk(self.place.trial, tuple(self.steps), state, self.exhibit, self.systems, self.error)


def batch(number: int, size: int, images: int, seed: int) -> NDArray[np.intp]:
    """Indices of the batch of a step: a new shuffle every epoch, the same for every optimizer with this seed."""
    epoch, place = divmod(number, images // size)
    return _order(seed, epoch, images)[place * size : (place + 1) * size]


@lru_cache(maxsize=2 * WIDTH)
def _order(seed: int, epoch: int, images: int) -> NDArray[np.intp]:
    return np.random.default_rng([seed, epoch]).permutation(images)


@lru_cache(maxsize=64)
def _model(network: Architecture, side: int, seed: int) -> tuple[Any, Model]:
    return models.build(network, side, seed)


@lru_cache(maxsize=16)
def _measurement(network: Architecture, side: int, curvature: str | None, used: int) -> Callable[..., Any]:
    """Compiled once for all trials of a process that differ in nothing here.

    Returns:
        Of parameters, images and labels of the batches, and who is chosen: loss (m,), gradient (m, N) and curvature
        factor (m, K, N), None where there is none. NaN for those that are not chosen.
    """
    _, model = _model(network, side, 0)

    def measured(params: Any, images: jax.Array, labels: jax.Array) -> Any:
        loss, gradient = loss_and_gradient(model, softmax_cross_entropy, params, images, labels)
        # Without a finite loss there is nothing to solve.
        gradient = jnp.where(jnp.isfinite(loss), ravel_pytree(gradient)[0], nan)
        if curvature is None:
            return loss, gradient, None
        return (
            loss,
            gradient,
            CURVATURES[curvature].factor(1)(model, softmax_cross_entropy, params, images[:used], labels[:used]),
        )

    return compiled(lambda params, images, labels, chosen: _each(measured, chosen, params, images, labels))


@lru_cache(maxsize=16)
def _evaluation(network: Architecture, side: int) -> Callable[..., Any]:
    """Of parameters, images and labels, and who is chosen: mean loss and accuracy (m,)."""
    _, model = _model(network, side, 0)

    def evaluate(params: Any, images: jax.Array, labels: jax.Array, chosen: jax.Array) -> Any:
        return _each(lambda own: _evaluate(model(own, images), labels), chosen, params)

    return compiled(evaluate)


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


def _padded(rows: Sequence[Any], wide: int) -> list[Any]:
    return [*rows, *[rows[-1]] * (wide - len(rows))]


def _chosen(flags: Sequence[bool], wide: int) -> NDArray[np.bool_]:
    return np.array([*flags, *[False] * (wide - len(flags))])


def _row(k: int, leaf: NDArray[Any]) -> NDArray[Any]:
    return leaf[k]


def exact_solution(B: NDArray[np.float64], damping: float, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
    """What ``Digital("woodbury")`` gives for a system that was solved before and needs no check: (N,)."""
    A = B @ B.T
    A.ravel()[:: len(A) + 1] += damping
    y = cho_solve(cho_factor(A, overwrite_a=True, check_finite=False), B @ gradient, check_finite=False)
    return np.asarray((gradient - y @ B) / damping)


def _relative_error(value: NDArray[np.float64], exact: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(value - exact) / (np.linalg.norm(exact) or 1.0))


def _evaluate(outputs: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean loss and accuracy."""
    return softmax_cross_entropy.mean(outputs, labels), jnp.mean(jnp.argmax(outputs, axis=1) == labels)


def _exhibit(spu: Spu, system: GgnSystem, analog_time: float, seed: int) -> Arrays | None:
    """A solve of a step once more, for the report: simulated node voltages with the mean and deviation of the ideal law
    of the device. None where the engine simulates no waveform."""
    solution = solve_mapped(spu, system, "dual", analog_time, seed=seed)
    scale = solution.statistics.volts_per_unit
    if solution.waveform is None or scale is None:
        return None
    device = spu.program(system.dual(), scale)
    law = law_of(device)
    seconds = solution.waveform.seconds
    times = np.linspace(0, seconds[-1], 61)
    return {
        "seconds": seconds,
        "volts": solution.waveform.volts,
        "ideal_mean": law.mean(seconds, device.initial_volts),
        "deviation_seconds": times,
        "ideal_deviation": np.stack([np.sqrt(law.covariance(t).diagonal()) for t in times]),
        "time_constant": np.array(device.time_constant),
    }


def _number(value: float) -> float | None:
    return float(value) if isfinite(value) else None


def _leaves(tree: Any) -> Arrays:
    return {str(k): np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(tree))}


def _restored(tree: Any, arrays: Arrays) -> Any:
    return jax.tree.unflatten(tree, [arrays[str(k)] for k in range(len(arrays))])

"""An optimizer with what solves its systems, and how many of its trials go side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import jax
import optax

from experiments.training.config import Experiment, Optimizer
from experiments.training.task import Learner
from experiments.training.tasks import task_named
from optim.curvature import CURVATURES
from optim.natural_gradient import scale_by_natural_gradient
from solvers.precision.rotated import Rotating
from solvers.solution import Solver
from spu_circuit.hardware import Hardware

if TYPE_CHECKING:
    from optim.kfac import Kfac

WIDTH = 16
"""Trials that are advanced together, at most: enough to share what a call of the device costs."""
LARGEST = 2**28
"""Bytes that their curvature factors may take together."""


@dataclass(frozen=True, eq=False)
class Method:
    """An optimizer with what solves its systems. What is compiled and prepared for a method serves all its trials."""

    settings: Optimizer
    solver: Solver | Rotating | None
    steps: int
    """Of the training, which schedules run over."""


def build_solver(settings: Optimizer, hardware: Hardware | None = None) -> Solver | Rotating | None:
    """What solves the linear systems of an optimizer; None where it has none.

    Args:
        hardware: what the settings name, where it is at hand: a worker elsewhere may lack the file.

    Raises:
        InputError: an unknown hardware or engine.
    """
    build = settings.entry.solver
    return build(settings, hardware) if build else None


def build_natural(
    settings: Optimizer, solver: Solver | Rotating, steps: int, rows: int | None = None
) -> optax.GradientTransformationExtraArgs:
    """What scales the gradient by the curvature. The seed of a trial is put into its state.

    Args:
        rows: of the curvature factor; a state is begun with it.

    Raises:
        InputError: settings that contradict each other.
    """
    changing = settings.schedules
    return scale_by_natural_gradient(
        solver,
        changing.of("damping", settings.damping, steps),
        changing.of("analog_time", settings.analog_time, steps),
        settings.placement,
        settings.warm_start,
        settings.delay,
        memory=settings.memory,
        doublings=settings.doublings if settings.has_device else 0,
        noise_factor=changing.of("injected_noise", 1.0, steps),
        rows=rows,
    )


def build_plain(settings: Optimizer, rate: Any, steps: int) -> optax.GradientTransformation:
    """What makes steps of gradients or natural gradients. The learning rate may be traced."""
    made: optax.GradientTransformation = settings.entry.plain(
        settings, settings.schedules.of("learning_rate", rate, steps)
    )
    return made


def build_preconditioner(experiment: Experiment, name: str) -> "Kfac | None":
    """What scales the gradients of an optimizer by a curvature of its own; None where nothing does.

    Raises:
        InputError: what it needs is not installed, or it knows the loss, the curvature or a layer of the model not.
    """
    settings = experiment.optimizers[name]
    if not settings.entry.preconditioner:
        return None
    return _preconditioner(settings.entry.preconditioner, settings, learner_of(experiment))


@lru_cache(maxsize=16)
def _preconditioner(build: Callable[..., "Kfac"], settings: Optimizer, learner: Learner) -> "Kfac":
    return build(settings, learner, initial(learner, 0))


def learner_of(experiment: Experiment) -> Learner:
    """What the experiment's task computes; the same object for the same task, data and network."""
    return _learner(task_named(experiment.task).learner, experiment.data, experiment.network)


@lru_cache(maxsize=16)
def _learner(build: Callable[[Any, Any], Learner], sizes: Any, network: Any) -> Learner:
    return build(sizes, network)


@lru_cache(maxsize=64)
def initial(learner: Learner, seed: int) -> Any:
    """The parameters that a trial begins with, a tree of arrays."""
    return learner.begin(seed)


def width(experiment: Experiment, name: str) -> int:
    """How many trials of an optimizer are advanced together at most; 1 where ngspice simulates each for itself."""
    settings = experiment.optimizers[name]
    if settings.simulated:
        return 1
    trials = len(settings.learning_rates) * len(experiment.seeds_of(name)) * len(settings.copy_numbers)
    trials = min(WIDTH, trials)
    if not settings.entry.curved:
        return trials
    factor = factor_of(experiment, name)
    return max(1, min(trials, LARGEST // (factor.size * factor.dtype.itemsize)))


def factor_of(experiment: Experiment, name: str) -> jax.ShapeDtypeStruct:
    """What the curvature factor B (K, N) of an optimizer is like."""
    settings = experiment.optimizers[name]
    samples = settings.curvature_samples or experiment.batch_of(name)
    return _factor(learner_of(experiment), settings.curvature, samples, settings.draws)


def sizes_of(experiment: Experiment, name: str) -> dict[str, Any]:
    """The numbers that decide what a step of an optimizer takes; see ``experiments.training.ledger.StepSizes``."""
    settings, learner = experiment.optimizers[name], learner_of(experiment)
    params, (inputs, _) = initial(learner, 0), learner.sample
    outputs = jax.eval_shape(learner.model, params, jax.ShapeDtypeStruct((1, *inputs.shape), inputs.dtype))
    leaves = jax.tree.leaves(params)
    return {
        "parameters": sum(leaf.size for leaf in leaves),
        "samples": experiment.batch_of(name),
        "outputs": outputs.size,
        "rows": factor_of(experiment, name).shape[0] if settings.entry.curved else None,
        "matrices": [list(leaf.shape) for leaf in leaves if leaf.ndim == 2],
    }


@lru_cache(maxsize=64)
def _factor(learner: Learner, curvature: str, samples: int, draws: int) -> jax.ShapeDtypeStruct:
    batch = [jax.ShapeDtypeStruct((samples, *part.shape), part.dtype) for part in learner.sample]
    make = partial(CURVATURES[curvature].factor(draws), learner.model, learner.loss)
    found: jax.ShapeDtypeStruct = jax.eval_shape(make, initial(learner, 0), *batch, jax.random.key(0))
    return found

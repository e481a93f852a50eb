"""An optimizer with what solves its systems, and how many of its trials go side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import optax

from experiments.training.config import Experiment, Optimizer
from experiments.training.task import Learner
from experiments.training.tasks import task_named
from optim.curvature import CURVATURES
from optim.natural_gradient import scale_by_natural_gradient
from solvers.solution import Solver
from spu_circuit.hardware import Hardware

WIDTH = 16
"""Trials that are advanced together, at most: enough to share what a call of the device costs."""
LARGEST = 2**28
"""Bytes that their curvature factors may take together."""


@dataclass(frozen=True, eq=False)
class Method:
    """An optimizer with what solves its systems. What is compiled and prepared for a method serves all its trials."""

    settings: Optimizer
    solver: Solver | None


def build_solver(settings: Optimizer, hardware: Hardware | None = None) -> Solver | None:
    """What solves the linear systems of an optimizer; None where it has none.

    Args:
        hardware: what the settings name, where it is at hand: a worker elsewhere may lack the file.

    Raises:
        InputError: an unknown hardware or engine.
    """
    build = settings.entry.solver
    return build(settings, hardware) if build else None


def build_natural(settings: Optimizer, solver: Solver) -> optax.GradientTransformationExtraArgs:
    """What scales the gradient by the curvature. The seed of a trial is put into its state.

    Raises:
        InputError: settings that contradict each other.
    """
    time, warm = settings.analog_time, settings.warm_start
    return scale_by_natural_gradient(solver, settings.damping, time, settings.placement, warm, settings.delay)


def build_plain(settings: Optimizer, rate: Any) -> optax.GradientTransformation:
    """What makes steps of gradients or natural gradients. The learning rate may be traced."""
    made: optax.GradientTransformation = settings.entry.plain(settings, rate)
    return made


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
    trials = min(WIDTH, len(settings.learning_rates) * len(experiment.seeds))
    if not settings.entry.curved:
        return trials
    samples = settings.curvature_samples or experiment.batch_size
    return max(1, min(trials, LARGEST // _factor_bytes(learner_of(experiment), settings.curvature, samples)))


@lru_cache(maxsize=64)
def _factor_bytes(learner: Learner, curvature: str, samples: int) -> int:
    """Of the curvature factor B of so many samples."""
    batch = [jax.ShapeDtypeStruct((samples, *part.shape), part.dtype) for part in learner.sample]
    factor = jax.eval_shape(
        partial(CURVATURES[curvature].factor(1), learner.model, learner.loss), initial(learner, 0), *batch
    )
    return int(factor.size * factor.dtype.itemsize)

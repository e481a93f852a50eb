"""One trial: one optimizer with one learning rate and one seed, step by step, from wherever the store says it is."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf, isfinite
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from experiments import models
from experiments.config import Experiment, Optimizer
from experiments.data import Split
from experiments.store import Arrays, Step, Store, Trial
from optim.curvature import CURVATURES, loss_and_gradient
from optim.losses import softmax_cross_entropy
from optim.natural_gradient import scale_by_natural_gradient
from solvers.digital import Digital
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.ornstein_uhlenbeck import law_of
from solvers.sde import Sde
from solvers.solution import Solution, Solver
from solvers.spu import Spu, engine_named
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import GgnSystem

EXACT = Digital("woodbury")


def build_solver(settings: Optimizer) -> Solver | None:
    """What solves the linear systems of an optimizer; None where it has none.

    Raises:
        InputError: an unknown hardware or engine.
    """
    if settings.kind == "ngd":
        return Digital(settings.solver, iterations=settings.cg_iterations)
    if settings.kind != "tngd":
        return None
    if settings.hardware == "none":
        return Sde(settings.injected_noise)
    engine = engine_named(settings.engine)
    if isinstance(engine, Ngspice):
        engine = replace(engine, points=settings.points)
    elif isinstance(engine, Network):
        engine = replace(engine, linearise=settings.linearise, readout_bandwidth=settings.readout_bandwidth)
    return Spu(load_hardware(settings.hardware), engine)


def build_optimizer(
    settings: Optimizer,
    trial: Trial,
    observe: Callable[[GgnSystem, Solution], None] | None = None,
    solver: Solver | None = None,
) -> optax.GradientTransformationExtraArgs:
    """The optax transformation of a trial.

    Args:
        solver: in the place of the one that the settings name.

    Raises:
        InputError: settings that contradict each other.
    """
    rate, momentum = trial.learning_rate, settings.momentum or None
    plain = optax.adam(rate, *settings.betas) if settings.kind == "adam" or settings.adam else optax.sgd(rate, momentum)
    solver = solver or build_solver(settings)
    if solver is None:
        return optax.with_extra_args_support(plain)
    natural = scale_by_natural_gradient(
        solver,
        settings.damping,
        settings.analog_time,
        settings.mapping if settings.kind == "tngd" else "primal",
        settings.warm_start,
        settings.delay,
        trial.seed,
        observe,
    )
    return optax.chain(natural, plain)


def run_trial(
    experiment: Experiment, trial: Trial, data: Split, store: Store, solver: Solver | None = None
) -> Iterator[Step]:
    """Go on with a trial; every step is in the store before it is yielded. One whose loss is not finite is the last.

    Args:
        solver: in the place of the one that the optimizer's settings name.
    """
    settings = experiment.optimizers[trial.optimizer]
    images, labels = data.train
    solves: list[tuple[GgnSystem, Solution]] = []
    optimizer = build_optimizer(settings, trial, lambda system, solution: solves.append((system, solution)), solver)
    params, model = models.build(experiment.network, images.shape[-1], trial.seed)
    state = (params, optimizer.init(params))
    last, kept = store.state(trial)
    if last and kept:
        state = _restore(state, kept)
    params, optimizer_state = state
    first = last.step + 1 if last else 0
    if last and last.diverged:
        return

    gradient = jax.jit(lambda p, x, y: loss_and_gradient(model, softmax_cross_entropy, p, x, y))
    factor = jax.jit(lambda p, x, y: CURVATURES[settings.curvature](model, softmax_cross_entropy, p, x, y))
    evaluate = jax.jit(lambda p, x, y: _evaluate(model(p, x), y))
    used = settings.curvature_samples or experiment.batch_size
    elapsed = last.wall_seconds if last else 0.0
    analog = last.analog_seconds if last else 0.0

    for number in range(first, experiment.steps):
        began = perf_counter()
        rows = batch(number, experiment.batch_size, len(labels), trial.seed)
        x, y = images[rows], labels[rows]
        loss, gradients = gradient(params, x, y)
        diverged = not bool(jnp.isfinite(loss))
        if not diverged:
            curvature = factor(params, x[:used], y[:used]) if settings.kind in ("ngd", "tngd") else None
            updates, optimizer_state = optimizer.update(gradients, optimizer_state, params, curvature=curvature)
            params = optax.apply_updates(params, updates)
        elapsed += perf_counter() - began
        validation = accuracy = None
        if (number + 1) % experiment.evaluate_every == 0 or number + 1 == experiment.steps or diverged:
            validation = float(evaluate(params, *data.validation)[0])
            validation = validation if isfinite(validation) else None
            accuracy = float(evaluate(params, *data.test)[1])
        error, unsolved, exhibit, statistics, recorded = None, None, None, None, None
        if solves:
            system, solution = solves.pop()
            statistics = solution.statistics
            exact = EXACT.solve(system).value
            error = _relative_error(solution.value, exact)
            scale = system.damping if settings.kind == "tngd" and settings.mapping == "dual" else 1.0
            unsolved = _relative_error(system.gradient / scale, exact)
            analog += statistics.analog_seconds if statistics.analog_seconds < inf else 0.0
            if experiment.record_systems:
                recorded = {"B": system.B, "gradient": system.gradient, "damping": np.array(system.damping)}
            if number == experiment.steps // 2:
                exhibit = _exhibit(settings, system, solution)
        step = Step(
            *(trial.optimizer, trial.learning_rate, trial.seed, number, (number + 1) * experiment.batch_size),
            loss=inf if diverged else float(loss),
            validation_loss=validation,
            test_accuracy=accuracy,
            solve_error=error,
            unsolved_error=unsolved,
            residual=statistics.residual if statistics else None,
            settled_fraction=statistics.settled_fraction if statistics else None,
            saturated_nodes=statistics.saturated_nodes if statistics else 0,
            clipped_codes=statistics.clipped_codes if statistics else 0,
            lost_entries=statistics.lost_entries if statistics else 0,
            ngspice_runs=statistics.ngspice_runs if statistics else 0,
            analog_seconds=analog,
            wall_seconds=elapsed,
        )
        store.commit(step, _leaves((params, optimizer_state)), exhibit, recorded)
        yield step
        if diverged:
            return


def batch(number: int, size: int, images: int, seed: int) -> NDArray[np.intp]:
    """Indices of the batch of a step: a new shuffle every epoch, the same for every optimizer with this seed."""
    per_epoch = images // size
    epoch, place = divmod(number, per_epoch)
    order = np.random.default_rng([seed, epoch]).permutation(images)
    return order[place * size : (place + 1) * size]


def _relative_error(value: NDArray[np.float64], exact: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(value - exact) / (np.linalg.norm(exact) or 1.0))


def _evaluate(outputs: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean loss and accuracy."""
    return softmax_cross_entropy.mean(outputs, labels), jnp.mean(jnp.argmax(outputs, axis=1) == labels)


def _exhibit(settings: Optimizer, system: GgnSystem, solution: Solution) -> Arrays | None:
    """One solve for the report: simulated node voltages with the mean and deviation of the device's ideal law."""
    solver, scale = build_solver(settings), solution.statistics.volts_per_unit
    if not isinstance(solver, Spu) or solution.waveform is None or scale is None or settings.mapping != "dual":
        return None
    device = solver.program(system.dual(), scale)
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


def _leaves(tree: Any) -> Arrays:
    return {str(k): np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(tree))}


def _restore(like: Any, arrays: Arrays) -> Any:
    leaves = [jnp.asarray(arrays[str(k)]) for k in range(len(jax.tree.leaves(like)))]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)

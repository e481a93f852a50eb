"""Optimizer steps side by side, and the demonstration."""

import os
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from math import inf
from pathlib import Path
from time import process_time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks.measure import Figure, at_least, at_most, paired, seconds
from experiments.training.config import Experiment, Optimizer, load_experiment, load_training, single
from experiments.training.methods import WIDTH, Method, build_solver, initial, learner_of
from experiments.training.report import write_reports
from experiments.training.run import prepare, run
from experiments.training.stepping import Place, stacked, stepper
from experiments.training.store import Store, Trial
from experiments.training.summary import summarize
from experiments.training.tasks import task_named
from experiments.training.trial import batch
from optim.curvature import gauss_newton_factor, loss_and_gradient
from optim.natural_gradient import scale_by_natural_gradient
from solvers.digital import Digital
from solvers.sde import Sde


def step(batch: int = 32) -> list[Figure]:
    """One step of the digits model, gradient and curvature included, through each optimizer."""
    experiment = load_experiment("digits")
    images, labels = task_named(experiment.task).load(experiment.data, None).train
    x, y = jnp.asarray(images[:batch]), jnp.asarray(labels[:batch])
    learner = learner_of(experiment)
    params, model, loss = initial(learner, 0), learner.model, learner.loss
    gradient = jax.jit(lambda p: loss_and_gradient(model, loss, p, x, y)[1])
    factor = jax.jit(lambda p: gauss_newton_factor(model, loss, p, x, y))

    def stepper(transformation: optax.GradientTransformation, curved: bool) -> Callable[[], object]:
        optimizer = optax.with_extra_args_support(transformation)
        state = optimizer.init(params)

        def one() -> object:
            extra = {"curvature": factor(params)} if curved else {}
            updates, _ = optimizer.update(gradient(params), state, params, **extra)
            return jax.block_until_ready(optax.apply_updates(params, updates))

        return one

    def natural(solver: Digital | Sde, time: float = float("inf")) -> Callable[[], object]:
        scaled = scale_by_natural_gradient(solver, 0.5, time, "primal")
        return stepper(optax.chain(scaled, optax.sgd(0.1)), True)

    sde, woodbury = natural(Sde(1e-4), 5.0), natural(Digital("woodbury"))
    adam = stepper(optax.adam(0.01), False)
    first, second, against_woodbury = paired(sde, woodbury, runs=15)
    _, third, against_adam = paired(sde, adam, runs=15)
    where = f"digits model, batch {batch}"
    return [
        at_most(
            f"sde step / Woodbury step, {where}", against_woodbury, "×", 2, f"{first:.4f} s against {second:.4f} s"
        ),
        Figure(f"sde step / Adam step, {where}", against_adam, "×", note=f"Adam {third:.5f} s"),
    ]


def ensembles(sizes: tuple[int, ...] = (WIDTH, 64)) -> list[Figure]:
    """A step of many trainings of the digits model at once: through a circuit, with the exact solver, and Adam's."""
    return [figure for trials in sizes for figure in ensemble(trials)]


def ensemble(trials: int) -> list[Figure]:
    """The same for so many."""
    exact = _stepping(Optimizer(kind="ngd", learning_rates=(0.5,), damping=0.5, curvature_samples=8), trials)
    adam = _stepping(Optimizer(kind="adam", learning_rates=(0.01,)), trials)
    figures = []
    for time, bound, name in ((inf, 1.5, "operating point"), (6.0, 8.0, "t = 6τ")):
        circuit = _stepping(_through_bench(time), trials)
        first, second, ratio = paired(circuit, exact, runs=15)
        _, third, against_adam = paired(circuit, adam, runs=7)
        cpu = [_processor_seconds(work, 5) / trials for work in (circuit, exact)]
        where = f"{name}, 72 cells, {trials} trainings"
        each = f"{1e3 * first / trials:.2f} ms a step of one against {1e3 * second / trials:.2f} ms"
        note = f"{each}; processor time {1e3 * cpu[0]:.2f} ms against {1e3 * cpu[1]:.2f} ms"
        figures.append(at_most(f"network step / exact step, {where}", ratio, "×", bound, note))
        note = f"Adam {1e3 * third / trials:.3f} ms"
        figures.append(Figure(f"network step / Adam step, {where}", against_adam, "×", note=note))
    return figures


def trainings(trials: int = 64) -> list[Figure]:
    """Whole trainings through a circuit, with store and processes: the digits, 100 steps."""
    figures = []
    for time, bound, name in ((inf, 20, "operating points"), (6.0, 90, "t = 6τ")):
        settings = {"optimizers": {"network": _through_bench(time)}, "seeds": tuple(range(trials)), "workers": 2}
        training = single(load_experiment("digits").model_copy(update=settings))
        with tempfile.TemporaryDirectory() as folder:
            config = prepare(training, None)
            before = os.times()
            took = seconds(partial(run, training, config, Path(folder), None, lambda latest: None))
            # The workers have ended, so that their time is known.
            busy = sum(after - begun for after, begun in zip(os.times()[:4], before[:4], strict=True))
            with closing(Store(Path(folder))) as store:
                accuracy = summarize(store.history(), config)["optimizers"]["network"]["final_score"]["mean"]
        note = f"72 cells, processor time {busy:.0f} s, test accuracy {100 * accuracy:.1f} %"
        figures.append(at_most(f"digits, 100 steps, {trials} trainings in network, {name}", took, "s", bound, note))
    return figures


def _through_bench(time: float) -> Optimizer:
    return Optimizer(
        kind="tngd",
        learning_rates=(0.5,),
        damping=0.5,
        curvature_samples=8,
        hardware={"base": "bench"},
        engine="network",
        linearise=True,
        readout_bandwidth=10e6,
        analog_time=time,
    )


def _stepping(settings: Optimizer, trials: int) -> Callable[[], object]:
    """Takes one step of so many trainings of the digits model, from their first."""
    experiment: Experiment = load_experiment("digits").model_copy(update={"optimizers": {"one": settings}})
    images, labels = task_named(experiment.task).load(experiment.data, None).train
    method = Method(settings, build_solver(settings), experiment.steps)
    places = [Place(Trial(0, "one", settings.learning_rates[0], seed)) for seed in range(trials)]
    stack, take = stacked(experiment, method, places, trials), stepper(experiment, "one", method)
    rows = np.stack([batch(0, experiment.batch_size, len(labels), seed) for seed in range(trials)])
    rates, everyone = np.full(trials, settings.learning_rates[0], np.float32), np.ones(trials, dtype=bool)
    draws = np.arange(trials, dtype=np.uint32), np.zeros(trials, np.uint32)
    return lambda: take(stack, rates, images[rows], labels[rows], draws, everyone)


def _processor_seconds(work: Callable[[], object], runs: int) -> float:
    """Of all threads of this process, the least of some calls."""
    took = []
    for _ in range(runs):
        began = process_time()
        work()
        took.append(process_time() - began)
    return min(took)


def demo() -> list[Figure]:
    """What ``make demo`` runs after set-up, in an empty folder."""
    training = load_training("digits")
    with tempfile.TemporaryDirectory() as folder:
        config = prepare(training, None)
        took = seconds(lambda: run(training, config, Path(folder), None, lambda latest: None))
        store = Store(Path(folder))
        took += seconds(lambda: write_reports(store))
        found = summarize(store.history(), config)["optimizers"]
        store.close()
    tngd, ngd, judge = found["tngd"], found["ngd"], found["ngspice"]
    points = 100 * abs(tngd["final_score"]["mean"] - ngd["final_score"]["mean"])
    share = 100 * judge["solves_by_ngspice"] / judge["solves"]
    solves = f"{tngd['solves']} solves of 64 cells in network, {judge['solves']} in ngspice"
    return [
        at_most("demo, wall time", took / 60, "min", 3, solves),
        at_most("demo, accuracy of TNGD against exact NGD", points, "points", 1.5, "mean over the seeds"),
        at_least("demo, solves of its optimizer done by ngspice", share, "%", 100, f"{judge['ngspice_runs']} runs"),
    ]

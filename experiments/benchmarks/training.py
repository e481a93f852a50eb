"""Optimizer steps side by side, and the demonstration."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import optax

from experiments import models
from experiments.benchmarks.measure import Figure, at_least, at_most, paired, seconds
from experiments.config import load_experiment
from experiments.data import load_data
from experiments.report import write_reports
from experiments.store import Store
from experiments.summary import summarize
from experiments.train import prepare, run
from optim.curvature import gauss_newton_factor, loss_and_gradient
from optim.losses import softmax_cross_entropy
from optim.natural_gradient import scale_by_natural_gradient
from solvers.digital import Digital
from solvers.sde import Sde


def step(batch: int = 32) -> list[Figure]:
    """One step of the digits model, gradient and curvature included, through each optimizer."""
    experiment = load_experiment("digits")
    images, labels = load_data(experiment.data).train
    x, y = jnp.asarray(images[:batch]), jnp.asarray(labels[:batch])
    params, model = models.build(experiment.network, images.shape[-1], seed=0)
    gradient = jax.jit(lambda p: loss_and_gradient(model, softmax_cross_entropy, p, x, y)[1])
    factor = jax.jit(lambda p: gauss_newton_factor(model, softmax_cross_entropy, p, x, y))

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


def demo() -> list[Figure]:
    """What ``make demo`` runs after set-up, in an empty folder."""
    experiment = load_experiment("digits")
    with tempfile.TemporaryDirectory() as folder:
        config = prepare(experiment, None)
        took = seconds(lambda: run(experiment, config, Path(folder), None, lambda latest: None))
        store = Store(Path(folder))
        took += seconds(lambda: write_reports(store))
        found = summarize(store.history(), config)["optimizers"]
        store.close()
    tngd, ngd = found["tngd"], found["ngd"]
    points = 100 * abs(tngd["final_test_accuracy"]["mean"] - ngd["final_test_accuracy"]["mean"])
    share = 100 * tngd["solves_by_ngspice"] / tngd["solves"]
    return [
        at_most("demo, wall time", took / 60, "min", 3, f"{tngd['solves']} solves of 72 cells"),
        at_most("demo, accuracy of TNGD against exact NGD", points, "points", 1.5, "mean over the seeds"),
        at_least("demo, solves done by ngspice", share, "%", 100, f"{tngd['ngspice_runs']} runs of ngspice"),
    ]

"""The device as training uses it: one system after the other, batches, new structures, and how exact that is."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from math import inf
from statistics import median

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.measure import Figure, at_least, at_most, paired, seconds
from experiments.shared.systems import spd_system
from netlists.board import Board
from netlists.device import Device, batch_of
from solvers.network import Network
from solvers.network.by_text import space_of
from solvers.solution import Solution
from solvers.spu import Spu
from spu_circuit.hardware import Noise, changed_hardware, load_hardware
from spu_circuit.problem import GgnSystem, LinearSystem, LinearSystems

Array = NDArray[np.float64]

TIME = 6.0
"""Of transients, in τ, as the configs of the digits have it."""
BANDWIDTH = 1e7
"""Hz, of whoever reads the bench's outputs."""
ENGINES = {"paper": Network(), "bench": Network(linearise=True, readout_bandwidth=BANDWIDTH)}
OUTPUTS = 9
"""Rows that each image gives a factor."""
DAMPING = 0.5
CONDITION = 10.0
SYSTEMS = f"digits: B Bᵀ + {DAMPING:g} I of new images each time; random: condition {CONDITION:g}, new each time"


def one_by_one(cells: int = 72, count: int = 40) -> list[Figure]:
    """A solve of training: another matrix each time, on a structure that is prepared."""
    found = []
    for time, bounds in ((inf, {"paper": 1, "bench": 3}), (TIME, {"paper": 3, "bench": 12})):
        for name, bound in bounds.items():
            found.append(_single(name, cells, count, time, bound))
    return [*found, _single("bench", 144, count // 2, TIME, 40), _single("bench", cells, count // 2, inf, 50, "1 Ω")]


def batches(cells: int = 72, count: int = 64) -> list[Figure]:
    """Many systems at once."""
    figures = []
    for time, bounds in ((inf, {"paper": 10_000, "bench": 4_000}), (TIME, {"paper": 1_000, "bench": 200})):
        for name, bound in bounds.items():
            spu, seeds, rates = Spu(load_hardware(name), ENGINES[name]), list(range(count)), {}
            for kind, systems in _systems(cells, count).items():
                stack = LinearSystems(np.stack([s.A for s in systems]), np.stack([s.b for s in systems]))
                spu.solve_batch(stack, time, seeds=seeds)
                each = [seconds(partial(spu.solve_batch, stack, time, seeds=seeds)) for _ in range(7)]
                rates[kind] = count / median(each)
            what = f"network, {name}: batch of {count} systems of {cells} cells, {_at(time)}"
            figures.append(at_least(what, min(rates.values()), "1/s", bound, _worse(rates, "{:.0f} /s", "7 batches")))
    return figures


def first(cells: int = 128) -> list[Figure]:
    """From a system to its solution on a structure that nothing knows yet: table, blocks, plan, operating point."""
    figures = []
    for name in ENGINES:
        took = {}
        for kind, systems in _systems(cells, 8).items():
            each = [seconds(partial(_anew, name, system)) for system in systems]
            took[kind] = 1e3 * median(each[1:])
        what = f"network, {name}: first solve of a new structure, {cells} cells"
        figures.append(at_most(what, max(took.values()), "ms", 60, _worse(took, "{:.1f} ms", "7, a fresh Spu each")))
    return figures


def agreement(cells: int = 72, seeds: int = 1024) -> list[Figure]:
    """The bench by its fast paths beside the dense law of its circuit's text."""
    engine, hardware = ENGINES["bench"], load_hardware("bench")
    means, errors, off = [], [], 0.0
    for systems in _systems(cells, 1).values():
        device = Spu(hardware, engine).ranged(systems[0])
        space = space_of(device.circuit, hardware.temperature, True, BANDWIDTH)
        times = np.array([1.0, TIME]) * float(device.time_constant)
        exact = [space.operating_point(), *space.mean(times)]
        quiet = replace(device, hardware=hardware.model_copy(update={"noise": Noise(thermal=False)}))
        for time, mean in zip((inf, *times.tolist()), exact, strict=True):
            means.append(float(np.linalg.norm(_read(quiet, time, 1)[0] - mean) / np.linalg.norm(mean)))
        covariance = space.covariance(float(times[1]))
        noise = np.concatenate([_read(device, float(times[1]), 64, start) for start in range(0, seeds, 64)]) - exact[2]
        power = float(covariance.trace())
        errors.append(abs(float(np.sqrt((noise**2).sum() / seeds / power)) - 1))
        # Half of the relative standard error of a trace that N samples of this covariance have.
        off = max(off, float(np.sqrt(2 / seeds) * np.linalg.norm(covariance) / power / 2))
    where = f"bench, {cells} cells, one digits and one random system"
    return [
        at_most(
            f"means of network against the dense state space, {where}", max(means), "relative", 1e-6, "rest, 1 and 6 τ"
        ),
        at_most(
            f"standard error of network's sampled noise, root mean square of the cells, {where}",
            100 * max(errors),
            "%",
            1,
            f"{seeds} seeds at t = {TIME:g}τ, whose own standard error is {100 * off:.2f} %",
        ),
    ]


def gradient(cells: int = 64) -> list[Figure]:
    """The derivative of a scalar of the solution by every part of a device, beside the solve alone."""
    spu, system = Spu(load_hardware("bench"), ENGINES["bench"]), spd_system(cells, CONDITION)
    figures = []
    for time in (inf, TIME):
        found = spu.sensitivity(system, np.ones(cells), time)
        parts = sum(len(of_kind) for of_kind in found.parts.values())
        with_gradient, alone, ratio = paired(
            partial(spu.sensitivity, system, np.ones(cells), time), partial(spu.solve, system, time), runs=25
        )
        note = f"{1e3 * with_gradient:.1f} ms, its own solve included, against {1e3 * alone:.1f} ms, median of 25 pairs"
        name = f"derivatives by all {parts:,} parts of {cells} bench cells, {_at(time)} / one solve"
        figures.append(at_most(name, ratio, "×", 3, note))
    return figures


def _single(name: str, cells: int, count: int, time: float, bound: float, wires: str = "0 Ω") -> Figure:
    spu, took = Spu(changed_hardware(name, {"array": {"wire_resistance": wires}}), ENGINES[name]), {}
    for kind, systems in _systems(cells, count + 2).items():
        for system in systems[:2]:
            spu.solve(system, time)
        each = [seconds(partial(spu.solve, system, time, seed=k)) for k, system in enumerate(systems[2:])]
        took[kind] = 1e3 * median(each)
    behind = "" if wires == "0 Ω" else f" behind wires of {wires} a segment"
    what = f"network, {name}: one solve of {cells} cells{behind}, {_at(time)}"
    return at_most(what, max(took.values()), "ms", bound, _worse(took, "{:.2f} ms", f"{count} systems"))


def _anew(name: str, system: LinearSystem) -> Solution:
    return Spu(load_hardware(name), ENGINES[name]).solve(system)


def _at(time: float) -> str:
    return "operating point" if time == inf else f"t = {time:g}τ with its noise"


def _worse(found: dict[str, float], shown: str, runs: str) -> str:
    each = ", ".join(f"{kind} {shown.format(value)}" for kind, value in found.items())
    return f"the worse of {each}; medians of {runs}; {SYSTEMS}"


@cache
def _systems(cells: int, count: int) -> dict[str, Sequence[LinearSystem]]:
    return {
        "digits": _digits(cells, count),
        "random": [spd_system(cells, CONDITION, seed) for seed in range(count)],
    }


def _digits(cells: int, count: int) -> list[LinearSystem]:
    """Systems of the first steps of the digits model, in the dual mapping, cut to so many cells."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    from experiments.training.config import load_experiment
    from experiments.training.methods import initial, learner_of
    from experiments.training.tasks import task_named
    from optim.curvature import gauss_newton_factor, loss_and_gradient

    experiment = load_experiment("digits")
    images, labels = task_named(experiment.task).load(experiment.data, None).train
    learner = learner_of(experiment)
    params, model, loss = initial(learner, 0), learner.model, learner.loss
    used, rng, found = -(-cells // OUTPUTS), np.random.default_rng(0), []
    gradient = jax.jit(lambda x, y: loss_and_gradient(model, loss, params, x, y)[1])
    factor = jax.jit(lambda x, y: gauss_newton_factor(model, loss, params, x, y))
    for _ in range(count):
        rows = rng.choice(len(labels), experiment.batch_size, replace=False)
        x, y = jnp.asarray(images[rows]), jnp.asarray(labels[rows])
        flat = np.asarray(ravel_pytree(gradient(x, y))[0], dtype=np.float64)
        B = np.asarray(factor(x[:used], y[:used]), dtype=np.float64)[:cells]
        found.append(GgnSystem(B, DAMPING, flat).dual())
    return found


def _read(device: Device, time: float, count: int, start: int = 0) -> Array:
    batch, seeds = batch_of(device, count), np.asarray(range(start, start + count))
    programmed = ENGINES["bench"].prepare(Board(device.hardware, device.circuit)).program(batch.array)
    return programmed.read(batch, np.full(count, time), seeds).volts

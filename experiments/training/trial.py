"""Trials of one optimizer at one point of the grid, which differ in learning rate and seed, advanced side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from math import inf, isfinite
from time import perf_counter
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from experiments.training.config import Experiment
from experiments.training.data import Split
from experiments.training.methods import WIDTH, Method, build_solver, learner_of, width
from experiments.training.stepping import Place, evaluation, padded, stacked, stepper
from experiments.training.store import Arrays, Chunk, Step
from optim.errors import unpacked
from optim.host import copy_of
from optim.seeds import step_seed
from solvers.ideal import law_of
from solvers.refinement import ENDS
from solvers.solution import StatisticsArrays
from solvers.spu import Spu
from spu_circuit.errors import SpuError
from spu_circuit.problem import GgnSystem, LinearSystem


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
    method = method or Method(settings, build_solver(settings), experiment.steps)
    inputs, targets = data.train
    # A width of one is another program, whose sums XLA orders otherwise.
    wide = max(2, width(experiment, name))
    assert len(places) <= wide, f"{len(places)} trials, {wide} go together"
    members = [_Member(experiment, place) for place in places]
    take, evaluate = stepper(experiment, name, method), evaluation(learner_of(experiment))
    stack = stacked(experiment, method, places, wide)
    rates = np.array([place.trial.learning_rate for place in padded(places, wide)], np.float32)

    # Processes share the cores; BLAS threads would only wait for each other.
    with threadpool_limits(1, user_api="blas"):
        for _ in range(steps):
            active = _chosen([not member.ended for member in members], wide)
            if not active.any():
                break
            began = perf_counter()
            rows = np.stack([member.rows(len(targets)) for member in padded(members, wide)])
            draws = np.array([member.draw for member in padded(members, wide)], np.uint32).T
            stack, loss, natural, systems = take(stack, rates, inputs[rows], targets[rows], tuple(draws), active)
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
            dampings = np.stack([natural.damping, natural.doublings], axis=1).tolist() if natural else []
            systems = [np.asarray(part) for part in systems]
            for k, member in enumerate(members):
                if failed[k]:
                    member.error = unpacked(errors[k])
                elif active[k]:
                    judged = (float(validation[0][k]), float(test[1][k]), float(test[2][k])) if look[k] else None
                    answer = None
                    if statistics and going[k]:
                        own = type(statistics)(*(column[k] for column in statistics))
                        answer = _Answer(own, *dampings[k], *(part[k] for part in systems))
                    member.add(float(loss[k]), judged, answer, method, share)
    states = [jax.tree.map(partial(_row, k), jax.device_get(stack)) for k in range(len(members))]
    return [member.chunk(_leaves(state)) for member, state in zip(members, states, strict=True)]


class _Answer(NamedTuple):
    """How the solve of a step went: the λ that it took, and how often that was doubled for it; its factor (K, N),
    gradient (N,), natural gradient (N,), what of the last one that kept, (N,) or (0,), and the gradient's coordinates
    in the rows of the factor, (K,) or (0,)."""

    statistics: StatisticsArrays
    damping: float
    doublings: float
    factor: Any
    gradient: Any
    solved: Any
    kept: Any
    coordinates: Any

    def system(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """B (K, N) and right-hand side (N,) of what the array solved: for the natural gradient, or for what is new in
        it."""
        B, gradient = self.factor.astype(float), self.gradient.astype(float)
        if self.kept.size:
            gradient = gradient - (B @ self.kept.astype(float)) @ B
        return B, gradient

    @property
    def coordinates_of_system(self) -> NDArray[np.float64] | None:
        """Those of the system's right-hand side, (K,); None where they are not known."""
        if not self.coordinates.size:
            return None
        coordinates = self.coordinates.astype(float)
        return coordinates - self.factor.astype(float) @ self.kept.astype(float) if self.kept.size else coordinates


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
    def draw(self) -> tuple[int, int]:
        """What decides the random numbers of the next step."""
        return self.place.trial.seed % 2**32, self.number

    @property
    def ended(self) -> bool:
        over = self.number >= self.experiment.steps
        return over or self.error is not None or (self.last is not None and self.last.diverged)

    @property
    def size(self) -> int:
        """Samples of a batch."""
        return self.experiment.batch_of(self.place.trial.optimizer)

    @property
    def evaluates(self) -> bool:
        """Whether the next step is one after which validation and test samples are looked at."""
        return (self.number + 1) % self.experiment.evaluate_every == 0 or self.number + 1 == self.experiment.steps

    def rows(self, samples: int) -> NDArray[np.intp]:
        """The next batch; the last one again after the end."""
        number = min(self.number, self.experiment.steps - 1)
        return batch(number, self.size, samples, self.place.trial.seed if self.experiment.shuffle else None)

    def add(
        self,
        loss: float,
        judged: tuple[float, float, float] | None,
        answer: _Answer | None,
        method: Method,
        seconds: float,
    ) -> None:
        """Keep a finished step."""
        settings, trial, number = method.settings, self.place.trial, self.number
        elapsed, analog = (self.last.wall_seconds, self.last.analog_seconds) if self.last else (0.0, 0.0)
        validation, score, beside = (_number(value) for value in judged) if judged else (None, None, None)
        error, unsolved = None, None
        if answer:
            (B, gradient), damping = answer.system(), answer.damping
            kept = answer.kept.astype(float) if answer.kept.size else 0.0
            coordinates = answer.coordinates_of_system
            exact = kept + exact_solution(B, damping, gradient, coordinates)
            error = _relative_error(answer.solved, exact)
            begun = {"primal": 1.0, "dual": 1 / damping, "kernel": 0.0}[settings.placement]
            unsolved = _relative_error(kept + begun * gradient, exact)
            analog += float(answer.statistics.analog_seconds) if isfinite(answer.statistics.analog_seconds) else 0.0
            if self.experiment.record_systems:
                self.systems[number] = {"B": B, "gradient": gradient, "damping": np.array(damping)}
            shown = number == self.experiment.steps // 2 and settings.placement != "primal"
            if shown and isinstance(method.solver, Spu) and method.solver.engine.points:
                seed = step_seed(trial.seed, number)
                spu = replace(method.solver, sample=copy_of(trial.seed, trial.copy)) if trial.copy else method.solver
                asked = GgnSystem(B, damping, gradient).dual()
                asked = asked if coordinates is None else asked.facing(coordinates)
                self.exhibit = _exhibit(spu, asked, settings.analog_time, seed)
        went = answer.statistics if answer else None
        step = Step(
            *(trial.point, trial.optimizer, trial.learning_rate, trial.seed, trial.copy),
            *(number, (number + 1) * self.size),
            loss=loss if isfinite(loss) else inf,
            validation_loss=validation,
            score=score,
            beside=beside,
            solve_error=error,
            unsolved_error=unsolved,
            damping=answer.damping if answer else None,
            doublings=round(answer.doublings) if answer else 0,
            residual=float(went.residual) if went else None,
            settled_fraction=_number(went.settled_fraction) if went else None,
            saturated_nodes=int(went.saturated_nodes) if went else 0,
            clipped_codes=int(went.clipped_codes) if went else 0,
            lost_entries=int(went.lost_entries) if went else 0,
            injected_noise=_number(went.injected_noise) if went else None,
            ngspice_runs=int(went.ngspice_runs) if went else 0,
            solves=int(went.solves) if went else 0,
            programs=int(went.programs) if went else 0,
            dac_words=int(went.dac_words) if went else 0,
            adc_words=int(went.adc_words) if went else 0,
            flops=float(went.flops) if went else 0.0,
            refinement=ENDS[int(went.outcome) - 1] if went and went.outcome else None,
            estimated_error=_number(went.estimated_error) if went else None,
            analog_seconds=analog,
            wall_seconds=elapsed + seconds,
        )
        self.steps.append(step)

    def chunk(self, state: Arrays) -> Chunk:
        return Chunk(self.place.trial, tuple(self.steps), state, self.exhibit, self.systems, self.error)


def batch(number: int, size: int, samples: int, seed: int | None) -> NDArray[np.intp]:
    """Indices of the batch of a step: a new shuffle every epoch, the same for every optimizer with this seed; without a
    seed, the samples' own order."""
    epoch, place = divmod(number, samples // size)
    return _order(seed, epoch, samples)[place * size : (place + 1) * size]


@lru_cache(maxsize=2 * WIDTH)
def _order(seed: int | None, epoch: int, samples: int) -> NDArray[np.intp]:
    return np.arange(samples) if seed is None else np.random.default_rng([seed, epoch]).permutation(samples)


def _chosen(flags: Sequence[bool], wide: int) -> NDArray[np.bool_]:
    return np.array([*flags, *[False] * (wide - len(flags))])


def _row(k: int, leaf: NDArray[Any]) -> NDArray[Any]:
    return leaf[k]


def exact_solution(
    B: NDArray[np.float64],
    damping: float,
    gradient: NDArray[np.float64],
    coordinates: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """The natural gradient (N,) of a system that was solved before and needs no check; see ``optim.mapping``.

    Args:
        coordinates: of the gradient in the rows of B, (K,), where they are known: they say it more exactly, since what
            rounding puts outside these rows is divided by λ.
    """
    A = B @ B.T
    A.ravel()[:: len(A) + 1] += damping
    b = B @ gradient if coordinates is None else coordinates
    y = cho_solve(cho_factor(A, overwrite_a=True, check_finite=False), b, check_finite=False)
    return np.asarray((gradient - y @ B) / damping if coordinates is None else y @ B)


def _relative_error(value: NDArray[np.float64], exact: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(value - exact) / (np.linalg.norm(exact) or 1.0))


def _exhibit(spu: Spu, system: LinearSystem, analog_time: float, seed: int) -> Arrays | None:
    """A solve of an array once more, for the report: simulated node voltages with the mean and deviation of its ideal
    law. None where the engine simulates no waveform."""
    solution = spu.solve(system, analog_time, seed=seed)
    scale = solution.statistics.volts_per_unit
    if solution.waveform is None or scale is None:
        return None
    device = spu.program(system, scale)
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

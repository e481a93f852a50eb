"""What a training run found: per optimizer, the chosen learning rate and its results over the seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, sqrt
from typing import Any

import numpy as np

from experiments.training.config import points_of
from experiments.training.store import Failure, Step, Trial
from experiments.training.task import Measure
from solvers.refinement import ENDS

SMOOTH = 5
"""Batches whose mean loss is the training loss."""


@dataclass(frozen=True)
class Result:
    """One optimizer at one point of the grid, at its chosen learning rate, and the steps of each of its trials."""

    optimizer: str
    learning_rate: float
    trials: dict[Trial, list[Step]]
    complete: bool

    @property
    def seeds(self) -> list[int]:
        return sorted({trial.seed for trial in self.trials})

    @property
    def copies(self) -> int:
        """Of the device, that each seed has; 0: the nominal one."""
        return max(trial.copy for trial in self.trials)

    @property
    def steps(self) -> list[Step]:
        return [step for steps in self.trials.values() for step in steps]

    @property
    def solve_errors(self) -> list[float]:
        return [step.solve_error for step in self.steps if step.solve_error is not None]


def results(history: Sequence[Step], config: dict[str, Any]) -> list[Result]:
    """The chosen learning rate of every optimizer that has a step: lowest final validation loss, mean over seeds.

    Args:
        history: of one point of the grid.
        config: of that point.
    """
    trials, found = _by_trial(history), []
    for name, settings in config["optimizers"].items():
        begun = {trial.learning_rate for trial in trials if trial.optimizer == name}
        rates = [rate for rate in settings["learning_rates"] if rate in begun]
        if not rates:
            continue
        best = min(rates, key=lambda rate: _final_validation_loss(trials, name, rate))
        chosen = {t: steps for t, steps in trials.items() if (t.optimizer, t.learning_rate) == (name, best)}
        seeds = settings["seeds"] or config["seeds"]
        expected = len(seeds) * len(settings["learning_rates"]) * max(1, settings.get("copies", 0))
        ended = [s for t, s in trials.items() if t.optimizer == name and (len(s) == config["steps"] or s[-1].diverged)]
        found.append(Result(name, best, chosen, complete=len(ended) == expected))
    return found


def summarize(
    history: Sequence[Step], config: dict[str, Any], failures: Mapping[Trial, Failure] | None = None
) -> dict[str, Any]:
    """``summary.json``: scores as the task gives them (in percent: fractions), errors relative, mean and standard error
    over the seeds.

    Args:
        failures: of the trials that a failed solve ended.

    Returns:
        What the score is and what is told beside it, steps, results of the optimizers by name, and which trials failed
        and why; where there is a grid, a list of these under "points".
    """
    configs = points_of(config)
    failed = {trial: {**asdict(trial), **asdict(failure)} for trial, failure in (failures or {}).items()}
    points = [
        {
            "setting": point["setting"],
            "score": point["score"],
            "beside": point["beside"],
            "steps": point["steps"],
            "optimizers": _optimizers(own, point),
            "failed": [
                {k: v for k, v in entry.items() if k != "point"}
                for trial, entry in failed.items()
                if trained(trial, point)
            ],
        }
        for point, own in zip(configs, shares(history, configs), strict=True)
    ]
    if "points" in config:
        return {"name": config["name"], "grid": config["grid"], "points": points}
    del points[0]["setting"]
    return {"name": config["name"], **points[0]}


def trained(trial: Trial, config: Mapping[str, Any]) -> bool:
    """Whether a trial is one of a point, whose config this is."""
    return bool(config["trained_at"].get(trial.optimizer) == trial.point)


def shares(history: Sequence[Step], configs: Sequence[Mapping[str, Any]]) -> list[list[Step]]:
    """The steps of each point, in their order, those that it shares with others too."""
    parts: dict[tuple[str, int], list[Step]] = {}
    for step in history:
        parts.setdefault((step.optimizer, step.point), []).append(step)
    return [[step for where in config["trained_at"].items() for step in parts.get(where, [])] for config in configs]


def _optimizers(history: Sequence[Step], config: dict[str, Any]) -> dict[str, Any]:
    """The results at one point."""
    optimizers, trials, score = {}, _by_trial(history), Measure(**config["score"])
    for result in results(history, config):
        best = {
            trial: score.best([step.score for step in own if step.score is not None])
            for trial, own in result.trials.items()
        }
        lasts = {trial: own[-1] for trial, own in result.trials.items()}
        errors, steps = result.solve_errors, result.steps
        simulates = any(step.settled_fraction is not None for step in steps)
        optimizers[result.optimizer] = {
            "complete": result.complete,
            "learning_rate": result.learning_rate,
            "seeds": result.seeds,
            "copies": result.copies,
            "final_score": _over_seeds({trial: last.score for trial, last in lasts.items()}),
            "best_score": _over_seeds(best),
            "final_beside": _over_seeds({trial: last.beside for trial, last in lasts.items()}),
            "final_loss": _over_seeds({t: last.loss if not last.diverged else None for t, last in lasts.items()}),
            "steps_to": {f"{target:g}": _reached(target, result.trials) for target in config["targets"]},
            "solves": len(errors),
            "solves_by_ngspice": sum(step.ngspice_runs > 0 for step in steps),
            "ngspice_runs": sum(step.ngspice_runs for step in steps),
            "median_relative_solve_error": _median(errors),
            "worst_relative_solve_error": max(errors, default=None),
            "median_relative_error_without_solving": _median([step.unsolved_error for step in steps]),
            "median_residual": _median([step.residual for step in steps]),
            "worst_residual": max((step.residual for step in steps if step.residual is not None), default=None),
            "median_settled_fraction": _median([step.settled_fraction for step in steps]),
            "median_lost_entries": _median([step.lost_entries for step in steps]) if simulates else None,
            "solves_with_raised_damping": sum(step.doublings > 0 for step in steps) if simulates else None,
            "largest_doublings_of_damping": max(step.doublings for step in steps) if simulates else None,
            "solves_with_saturation": sum(step.saturated_nodes > 0 for step in steps) if simulates else None,
            "median_device_solves_of_a_step": _median([step.solves for step in steps]) if simulates else None,
            "median_programs_of_a_step": _median([step.programs for step in steps]) if simulates else None,
            "median_words_of_a_step": _median([s.dac_words + s.adc_words for s in steps]) if simulates else None,
            "median_flops_of_a_step": _median([step.flops for step in steps]) if simulates else None,
            "refinements": {end: count for end in ENDS if (count := sum(step.refinement == end for step in steps))},
            "solves_with_clipped_codes": sum(step.clipped_codes > 0 for step in steps) if simulates else None,
            "analog_seconds": sum(s[-1].analog_seconds for s in result.trials.values()),
            "wall_seconds": sum(s[-1].wall_seconds for s in result.trials.values()),
            "validation_loss_of_each_learning_rate": {
                f"{rate:g}": _finite(_final_validation_loss(trials, result.optimizer, rate))
                for rate in config["optimizers"][result.optimizer]["learning_rates"]
            },
        }
    return optimizers


def steps_to(target: float, losses: Sequence[float]) -> int | None:
    """Steps until the mean loss of ``SMOOTH`` batches is below a target; None: it never is."""
    if len(losses) < SMOOTH:
        return None
    below = np.flatnonzero(np.convolve(losses, np.ones(SMOOTH) / SMOOTH, "valid") < target)
    return int(below[0]) + SMOOTH if len(below) else None


def _reached(target: float, trials: Mapping[Trial, Sequence[Step]]) -> dict[str, Any]:
    """Steps to a training loss over the seeds that reach it, and how many those are."""
    counts = {trial: steps_to(target, [step.loss for step in own]) for trial, own in trials.items()}
    return {**_over_seeds(counts), "reached": len(of_seeds(counts))}


def of_seeds(values: Mapping[Trial, float | None]) -> dict[int, float]:
    """The mean of each seed over the copies that it has; every seed has copies of its own, so these are independent."""
    known: dict[int, list[float]] = {}
    for trial, value in values.items():
        if value is not None:
            known.setdefault(trial.seed, []).append(value)
    return {seed: float(np.mean(own)) for seed, own in known.items()}


def _over_seeds(values: Mapping[Trial, float | None]) -> dict[str, float | None]:
    """Mean and its standard error, which a single value has not."""
    known = list(of_seeds(values).values())
    if not known:
        return {"mean": None, "standard_error": None}
    error = float(np.std(known, ddof=1)) / sqrt(len(known)) if len(known) > 1 else None
    return {"mean": float(np.mean(known)), "standard_error": error}


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _by_trial(history: Sequence[Step]) -> dict[Trial, list[Step]]:
    trials: dict[Trial, list[Step]] = {}
    for step in history:
        trials.setdefault(step.trial, []).append(step)
    return trials


def _final_validation_loss(trials: dict[Trial, list[Step]], name: str, rate: float) -> float:
    last = [steps[-1].validation_loss for t, steps in trials.items() if (t.optimizer, t.learning_rate) == (name, rate)]
    return float(np.mean([inf if loss is None else loss for loss in last])) if last else inf


def _finite(value: float) -> float | None:
    return value if value < inf else None

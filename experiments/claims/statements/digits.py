"""Trainings on digits that claims rest on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims.claim import Rows, column

if TYPE_CHECKING:
    from experiments.training.config import Experiment
    from experiments.training.store import Chunk, Step

STANDARD = {"damping": 0.5, "curvature_samples": 8}
"""Of natural gradients: 72 cells."""


def experiment_of(
    optimizer: Mapping[str, Any],
    seeds: Sequence[int],
    steps: int,
    hidden: int = 32,
    batch: int = 64,
    hardware: Mapping[str, Any] | None = None,
    kind: str = "mlp",
) -> "Experiment":
    """An experiment of one optimizer, named "one", which looks at validation and test samples at the end.

    Args:
        optimizer: its table in a config.
        hardware: what is changed in its device.
        kind: of the network.
    """
    from experiments.training.config import read_experiment

    tables: dict[str, Any] = {
        "data": {"train": 1257, "validation": 180, "test": 360},
        "network": {"kind": kind, "hidden": [hidden]},
        "optimizers": {"one": dict(optimizer)},
    }
    if hardware:
        tables["hardware"] = hardware
    sizes = {"steps": steps, "batch_size": batch, "evaluate_every": steps, "seeds": list(seeds)}
    return read_experiment({"name": "claim", "task": "digits", **sizes, **tables}, "claim")


def trainings(experiment: "Experiment") -> Iterator[tuple[int, "Chunk"]]:
    """Each seed with its whole training, at the first learning rate and on the first copy of a device where there are
    several."""
    from experiments.training.methods import width
    from experiments.training.stepping import Place
    from experiments.training.store import Trial
    from experiments.training.tasks import task_named
    from experiments.training.trial import advance

    settings = experiment.optimizers["one"]
    rate, copy = settings.learning_rates[0], settings.copy_numbers[0]
    data = task_named(experiment.task).load(experiment.data, None)
    together = width(experiment, "one")
    for start in range(0, len(experiment.seeds), together):
        seeds = experiment.seeds[start : start + together]
        places = [Place(Trial(0, "one", rate, seed, copy)) for seed in seeds]
        yield from zip(seeds, advance(experiment, places, data, experiment.steps), strict=True)


def last_step(chunk: "Chunk", steps: int) -> "Step | None":
    """Of a whole training; None where it broke off."""
    whole = len(chunk.steps) == steps and chunk.error is None and not chunk.steps[-1].diverged
    return chunk.steps[-1] if whole else None


def trained(
    optimizer: Mapping[str, Any], seeds: Sequence[int], steps: int, hardware: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """What each seed reaches: test score and validation loss, None where the training fails; and refused matrices.

    Args:
        optimizer, hardware: see ``experiment_of``.
    """
    for seed, chunk in trainings(experiment_of(optimizer, seeds, steps, hardware=hardware)):
        last = last_step(chunk, steps)
        yield {
            "seed": seed,
            "score": last.score if last else None,
            "validation_loss": last.validation_loss if last else None,
            "held": sum(step.doublings == 0 for step in chunk.steps),
            "raised": sum(step.doublings > 0 for step in chunk.steps),
            "error": str(chunk.error or ""),
        }


def lost(rows: Rows, undisturbed: Rows) -> tuple[float, ...]:
    """What each seed loses of its score against the same seed without disturbance; NaN where it failed."""
    return tuple(was - now for was, now in _paired(rows, undisturbed, "score"))


def risen(rows: Rows, undisturbed: Rows) -> tuple[float, ...]:
    """By which share of it each seed's validation loss is above that without disturbance; NaN where it failed."""
    return tuple(now / was - 1 for was, now in _paired(rows, undisturbed, "validation_loss"))


def _paired(rows: Rows, undisturbed: Rows, field: str) -> Iterator[tuple[float, float]]:
    """A number of each seed without disturbance, and with it; NaN where there is none."""
    before = dict(zip((row["seed"] for row in undisturbed), column(undisturbed, field), strict=True))
    return ((before[row["seed"]], now) for row, now in zip(rows, column(rows, field), strict=True))


def in_points(losses: Sequence[float]) -> str:
    """Points of accuracy in the mean, in words."""
    return f"{round(100 * float(np.mean(losses)), 1) + 0.0:.1f}"  # no minus before what is rounded to 0

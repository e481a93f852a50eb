"""Trainings on digits that claims about disturbances rest on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

STANDARD = {"damping": 0.5, "curvature_samples": 8}
"""Of natural gradients: 72 cells."""


def trained(
    optimizer: Mapping[str, Any], seeds: Sequence[int], steps: int, hardware: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """What each seed reaches: test score and validation loss, None where the training fails; and refused matrices.

    Args:
        optimizer: its table in a config, with one learning rate; on its first copy of a device where it has copies.
        hardware: what is changed in its device.
    """
    from experiments.training.config import read_experiment
    from experiments.training.stepping import Place
    from experiments.training.store import Trial
    from experiments.training.tasks import task_named
    from experiments.training.trial import advance

    tables: dict[str, Any] = {
        "data": {"train": 1257, "validation": 180, "test": 360},
        "network": {"kind": "mlp", "hidden": [32]},
        "optimizers": {"one": dict(optimizer)},
    }
    if hardware:
        tables["hardware"] = hardware
    sizes = {"steps": steps, "batch_size": 64, "evaluate_every": steps, "seeds": list(seeds)}
    experiment = read_experiment({"name": "claim", "task": "digits", **sizes, **tables}, "claim")
    data = task_named("digits").load(experiment.data, None)
    settings = experiment.optimizers["one"]
    (rate,), copy = settings.learning_rates, settings.copy_numbers[0]
    places = [Place(Trial(0, "one", rate, seed, copy)) for seed in seeds]
    for seed, chunk in zip(seeds, advance(experiment, places, data, steps), strict=True):
        whole = len(chunk.steps) == steps and chunk.error is None and not chunk.steps[-1].diverged
        last = chunk.steps[-1] if whole else None
        yield {
            "seed": seed,
            "score": last.score if last else None,
            "validation_loss": last.validation_loss if last else None,
            "raised": sum(step.doublings > 0 for step in chunk.steps),
            "error": str(chunk.error or ""),
        }


def lost(rows: Sequence[Mapping[str, Any]], undisturbed: Sequence[Mapping[str, Any]]) -> tuple[float, ...]:
    """What each seed loses of its score against the same seed without disturbance; NaN where it failed."""
    before = {row["seed"]: row["score"] for row in undisturbed}
    known = [(before[row["seed"]], row["score"]) for row in rows]
    return tuple(float("nan") if was is None or now is None else was - now for was, now in known)

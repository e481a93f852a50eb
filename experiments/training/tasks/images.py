"""What tasks of square grey images of ten classes share."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from experiments.training.data import Sizes, Split
from experiments.training.task import Learner, Measure, Task
from experiments.training.tasks.architectures import Architecture

CLASSES = 10


def image_task(name: str, side: int, load: Callable[[Sizes, Path | None], Split]) -> Task:
    """A task of images (n, side, side) in 0 … 1 and labels (n,) 0 … 9."""
    return Task(
        name=name,
        samples="images",
        loss=Measure("softmax cross-entropy", "nats"),
        score=Measure("accuracy", "%", "higher"),
        data=Sizes,
        network=Architecture,
        load=load,
        learner=partial(_learner, side),
    )


def _learner(side: int, sizes: Sizes, architecture: Architecture) -> Learner:
    from experiments.training.tasks.networks import classifier

    return classifier(side, CLASSES, architecture)

"""What tasks of square grey images of ten classes share."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from experiments.training.data import Sizes, Split
from experiments.training.task import Learner, Measure, Task
from spu_circuit.description import Description

CLASSES = 10


class Architecture(Description):
    """The model: a multilayer perceptron, or one convolution and two dense layers."""

    kind: Literal["mlp", "cnn"]
    hidden: Annotated[tuple[int, ...], Field(description="width of each hidden dense layer")] = (32,)
    channels: Annotated[int, Field(ge=1, description="of the convolution (cnn)")] = 6

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden {self.hidden} has a layer without units")
        if self.kind == "cnn" and len(self.hidden) != 1:
            raise ValueError(f"a cnn has one hidden dense layer; hidden is {self.hidden}")
        return self


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

"""What a training task is: samples, a model of them, a loss, a score, and what these are called."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from experiments.training.data import Sizes, Split
from spu_circuit.description import Description

if TYPE_CHECKING:
    from optim.curvature import Model
    from optim.losses import Loss


@dataclass(frozen=True)
class Measure:
    """What a loss or a score is called.

    Args:
        unit: "%" for fractions of one, which are shown in percent; else the unit of the numbers, or nothing.
        better: which values are.
    """

    name: str
    unit: str = ""
    better: Literal["higher", "lower"] = "lower"

    @property
    def title(self) -> str:
        """For axes and heads of columns."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def shown(self, value: float) -> float:
        """The number beside the unit."""
        return 100 * value if self.unit == "%" else value

    def text(self, value: float | None, error: float | None = None) -> str:
        """A value as people read it, with its standard error where there is one."""
        if value is None:
            return "–"
        form = ".2f" if self.unit == "%" else ".4g"
        spread = "" if error is None else f" ± {self.shown(error):{form}}"
        return f"{self.shown(value):{form}}{spread} {self.unit}".rstrip()

    def best(self, values: list[float]) -> float | None:
        """The best of some values; None of none."""
        return (max if self.better == "higher" else min)(values, default=None)


@dataclass(frozen=True, eq=False)
class Learner:
    """What a task computes, in JAX.

    Args:
        begin: seed → initial parameters, a tree of arrays.
        model: parameters and inputs (b, ...) → outputs (b, d_z).
        loss: of a sample's outputs and target.
        score: outputs (n, d_z) and targets (n, ...) → what the task is judged by, ().
        judge: the score in NumPy, and what is told beside it; None: JAX computes ``score``, and nothing is beside it.
        sample: one input and its target, or their ``jax.ShapeDtypeStruct``.
        in_training: key → the model as it is trained, where that differs by chance from the one that is judged.
    """

    begin: Callable[[int], Any]
    model: "Model"
    loss: "Loss"
    score: Callable[[Any, Any], Any]
    sample: tuple[Any, Any]
    in_training: "Callable[[Any], Model] | None" = None
    judge: Callable[[Any, Any], tuple[float, float]] | None = None


@dataclass(frozen=True)
class Task:
    """A training task. It is one file, and one line in ``experiments.training.tasks``.

    Importing the file must not import JAX, which reading a config or a report does not need: ``learner`` may.

    Args:
        name: in configs.
        samples: what they are called, in the plural.
        loss, score: what training lowers, and what test samples judge it by.
        beside: what else is told of the test samples, which decides nothing; None: nothing is.
        data: fields of a config's table [data].
        network: fields of a config's table [network].
        load: samples, from the file or folder of ``--data`` or from where the task has them. Raises InputError.
        learner: the model and its measures.
    """

    name: str
    samples: str
    loss: Measure
    score: Measure
    data: type[Sizes]
    network: type[Description]
    load: Callable[[Any, Path | None], Split]
    learner: Callable[[Any, Any], Learner]
    beside: Measure | None = None

"""A regression: real measurements that come with scikit-learn, or Friedman's function with noise.

``diabetes``: how far the disease went in a year, from ten measurements of 442 patients (Efron et al. 2004, Annals of
Statistics 32:407). ``friedman``: ``10 sin(π x₁ x₂) + 20 (x₃ − ½)² + 10 x₄ + 5 x₅`` plus normal noise, from ten numbers
of which five mean nothing (Friedman 1991, Annals of Statistics 19:1).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from experiments.training.data import Samples, Sizes, Split, split
from experiments.training.task import Learner, Measure, Task
from experiments.training.tasks.layers import Layers
from spu_circuit.errors import InputError

FEATURES = 10


class Measurements(Sizes):
    """Samples and where they come from. Inputs and targets are scaled by what the training samples say."""

    source: Annotated[Literal["diabetes", "friedman"], Field(description="of the samples")] = "diabetes"
    noise: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="standard deviation of friedman's; its signal has 4.9")
    ] = 1.0


def _diabetes(sizes: Measurements) -> Samples:
    from sklearn.datasets import load_diabetes

    inputs, targets = load_diabetes(return_X_y=True)
    return inputs, targets


def _friedman(sizes: Measurements) -> Samples:
    rng = np.random.default_rng([sizes.split_seed, 1])
    x = rng.uniform(size=(sizes.total, FEATURES))
    signal = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return x, signal + sizes.noise * rng.normal(size=sizes.total)


SOURCES: dict[str, Callable[[Measurements], Samples]] = {"diabetes": _diabetes, "friedman": _friedman}


def _load(sizes: Measurements, path: Path | None) -> Split:
    if path is not None:
        raise InputError(f"data: --data {str(path)!r} is for other tasks; regression has its samples, leave it out")
    inputs, targets = SOURCES[sizes.source](sizes)
    parts = split(inputs, targets[:, None], sizes)
    scaled, known = partial(_standard, parts.train[0]), partial(_standard, parts.train[1])
    return Split(*((scaled(x), known(y)) for x, y in (parts.train, parts.validation, parts.test)))


def _standard(training: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float32]:
    """Columns in deviations of the training samples from their mean; a column that never changes keeps its size."""
    spread = training.std(axis=0)
    return ((values - training.mean(axis=0)) / np.where(spread > 0, spread, 1.0)).astype(np.float32)


def _learner(sizes: Measurements, layers: Layers) -> Learner:
    import jax
    import jax.numpy as jnp

    from experiments.training.tasks.modules import Mlp, begin_and_model
    from optim.losses import half_squared_error

    def determination(outputs: jax.Array, targets: jax.Array) -> jax.Array:
        """R² = 1 − Σ(output − target)² / Σ(target − mean)²."""
        return 1 - jnp.sum((outputs - targets) ** 2) / jnp.sum((targets - targets.mean()) ** 2)

    begin, model = begin_and_model(lambda key: Mlp([FEATURES, *layers.hidden, 1], key))
    return Learner(
        begin=begin,
        model=model,
        loss=half_squared_error,
        score=determination,
        sample=(jax.ShapeDtypeStruct((FEATURES,), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.float32)),
    )


TASK = Task(
    name="regression",
    samples="samples",
    loss=Measure("half squared error"),
    score=Measure("R²", better="higher"),
    data=Measurements,
    network=Layers,
    load=_load,
    learner=_learner,
)

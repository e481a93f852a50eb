"""A physics-informed network: −Δu = f on the unit interval or the unit square, with u given on the boundary.

A sample is a point and what is asked of the network u there: ``a (−Δu) + b u`` with the row ``(x…, a, b)``. Inside the
domain that is the weighted residual of the equation, on the boundary that of the condition, at a test point u itself.
The exact solution is ``u = Π sin(kπ xᵢ)``.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from experiments.training.data import Samples, Sizes, Split
from experiments.training.task import Learner, Measure, Task
from experiments.training.tasks.layers import Layers
from spu_circuit.errors import InputError

Floats = NDArray[np.float64]


class Points(Sizes):
    """Samples come in sets of collocation and boundary points. One set as the batch, in order, is a fixed grid;
    many sets with ``shuffle = false`` are other points at every step."""

    dimension: Annotated[Literal[1, 2], Field(description="1: the unit interval; 2: the unit square")] = 1
    waves: Annotated[int, Field(ge=1, le=64, description="k of the solution Π sin(kπ xᵢ): half waves a side")] = 1
    interior: Annotated[int, Field(ge=1, description="collocation points of a set")] = 64
    boundary: Annotated[int, Field(ge=1, description="boundary points of a set")] = 2
    boundary_weight: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="of the boundary's mean square, beside the equation's")
    ] = 1.0

    @property
    def set_size(self) -> int:
        return self.interior + self.boundary

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("train", "validation"):
            count = getattr(self, name)
            if count % self.set_size:
                raise ValueError(
                    f"{name} {count} is no multiple of interior + boundary = {self.set_size}; take {self.set_size} "
                    "or a multiple"
                )
        return self


def solution(points: Floats, waves: int) -> Floats:
    """u at points (n, dimension), (n,)."""
    return np.asarray(np.prod(np.sin(waves * np.pi * points), axis=-1))


def source(points: Floats, waves: int) -> Floats:
    """f = −Δu at points (n, dimension), (n,)."""
    return points.shape[-1] * (waves * np.pi) ** 2 * solution(points, waves)


def _load(sizes: Points, path: Path | None) -> Split:
    if path is not None:
        raise InputError(f"data: --data {str(path)!r} is for other tasks; the points are drawn, leave it out")
    parts = [np.random.default_rng(seed) for seed in np.random.SeedSequence(sizes.split_seed).spawn(3)]
    train, validation = (
        [_set(sizes, rng) for _ in range(count // sizes.set_size)]
        for count, rng in zip((sizes.train, sizes.validation), parts, strict=False)
    )
    return Split(_joined(train), _joined(validation), _test(sizes, parts[2]))


def _set(sizes: Points, rng: np.random.Generator) -> Samples:
    """Collocation points, then boundary points; their mean squares weigh as if each had a mean of its own."""
    inside, edge = _inside(sizes.interior, sizes, rng), _edge(sizes.boundary, sizes, rng)
    a = np.sqrt(sizes.set_size / sizes.interior)
    b = np.sqrt(sizes.boundary_weight * sizes.set_size / sizes.boundary)
    return _joined(
        [
            _samples(inside, (a, 0.0), a * source(inside, sizes.waves)),
            _samples(edge, (0.0, b), b * solution(edge, sizes.waves)),
        ]
    )


def _test(sizes: Points, rng: np.random.Generator) -> Samples:
    points = rng.uniform(size=(sizes.test, sizes.dimension))
    return _samples(points, (0.0, 1.0), solution(points, sizes.waves))


def _inside(count: int, sizes: Points, rng: np.random.Generator) -> Floats:
    """Scrambled Sobol points: random, and even over the domain."""
    from scipy.stats.qmc import Sobol

    drawn = Sobol(sizes.dimension, rng=rng).random_base2((count - 1).bit_length())
    return np.asarray(drawn[:count])


def _edge(count: int, sizes: Points, rng: np.random.Generator) -> Floats:
    """Points of the sides in turn: x₁ = 0, x₁ = 1, x₂ = 0, x₂ = 1."""
    points, k = rng.uniform(size=(count, sizes.dimension)), np.arange(count)
    points[k, k // 2 % sizes.dimension] = k % 2
    return points


def _samples(points: Floats, asked: tuple[float, float], targets: Floats) -> Samples:
    rows = np.hstack([points, np.broadcast_to(asked, (len(points), 2))])
    return rows.astype(np.float32), targets[:, None].astype(np.float32)


def _joined(parts: list[Samples]) -> Samples:
    inputs, targets = zip(*parts, strict=True)
    return np.concatenate(inputs), np.concatenate(targets)


def _learner(sizes: Points, layers: Layers) -> Learner:
    import jax
    import jax.numpy as jnp

    from experiments.training.tasks.modules import Mlp, begin_and_model
    from optim.losses import half_squared_error

    d = sizes.dimension

    def outputs(module: Mlp, row: jax.Array) -> jax.Array:
        point, (a, b) = row[:d], row[d:]

        def second(axis: jax.Array) -> jax.Array:
            """The second derivative of u along an axis, (1,)."""
            slope = lambda x: jax.jvp(module, (x,), (axis,))[1]  # noqa: E731
            return jax.jvp(slope, (point,), (axis,))[1]

        laplacian = jnp.sum(jax.vmap(second)(jnp.eye(d, dtype=row.dtype)), axis=0)
        return b * module(point) - a * laplacian

    begin, model = begin_and_model(lambda key: Mlp([d, *layers.hidden, 1], key), outputs)
    return Learner(
        begin=begin,
        model=model,
        loss=half_squared_error,
        score=lambda found, targets: jnp.linalg.norm(found - targets) / jnp.linalg.norm(targets),
        sample=(jax.ShapeDtypeStruct((d + 2,), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.float32)),
    )


TASK = Task(
    name="poisson",
    samples="points",
    loss=Measure("half mean squared residual"),
    score=Measure("relative L2 error"),
    data=Points,
    network=Layers,
    load=_load,
    learner=_learner,
)

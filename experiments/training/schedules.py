"""How a setting of an optimizer changes over a training: a factor on it, from 1 at the first step."""

from math import pi
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from spu_circuit.description import Description

if TYPE_CHECKING:
    from collections.abc import Callable


class Ramp(Description):
    """A way from one value to another."""

    shape: Annotated[
        Literal["constant", "linear", "cosine", "exponential"], Field(description="of the way from start to end")
    ] = "constant"
    end: Annotated[float, Field(ge=0, allow_inf_nan=False, description="factor at the last step")] = 0.0
    warmup: Annotated[int, Field(ge=0, description="first steps, over which the factor rises from 0 to 1")] = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.shape == "exponential" and self.end == 0:
            raise ValueError("an exponential schedule never reaches end = 0; give a factor above it, as 0.01")
        if self.shape == "constant" and "end" in self.model_fields_set:
            raise ValueError("a constant schedule has no 'end'; leave it out, or choose linear, cosine or exponential")
        return self

    def factor(self, steps: int) -> "Callable[[Any], Any]":
        """A function of the step's number, traced or not: what the setting is multiplied by.

        Args:
            steps: of the training; the last one has the number ``steps − 1``.
        """
        import jax.numpy as jnp

        first, last = self.warmup, max(steps - 1, self.warmup + 1)

        def factor(number: Any) -> Any:
            done = jnp.clip((number - first) / (last - first), 0.0, 1.0)
            rising = jnp.where(number < first, (number + 1) / (first + 1), 1.0)
            return rising * SHAPES[self.shape](done, self.end)

        return factor


class Schedules(Description):
    """Which settings change over a training, and how."""

    learning_rate: Ramp | None = None
    damping: Ramp | None = None
    analog_time: Ramp | None = None
    injected_noise: Ramp | None = None

    @property
    def given(self) -> set[str]:
        """Names of the settings that change."""
        return {name for name in type(self).model_fields if getattr(self, name) is not None}

    def of(self, name: str, value: Any, steps: int) -> Any:
        """A setting: the value itself, which may be traced, or a function of the step's number."""
        ramp: Ramp | None = getattr(self, name)
        if ramp is None:
            return value
        factor = ramp.factor(steps)
        return lambda number: value * factor(number)


def _linear(done: Any, end: float) -> Any:
    return 1 + (end - 1) * done


def _cosine(done: Any, end: float) -> Any:
    import jax.numpy as jnp

    return end + (1 - end) * (1 + jnp.cos(pi * done)) / 2


def _exponential(done: Any, end: float) -> Any:
    return end**done


SHAPES = {
    "constant": lambda done, end: 1.0,
    "linear": _linear,
    "cosine": _cosine,
    "exponential": _exponential,
}
"""(share of the way, factor at its end) → factor."""

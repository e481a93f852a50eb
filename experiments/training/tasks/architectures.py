"""What networks are made of, as data: those that classify images, that read symbols, and that are adapted."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from spu_circuit.description import Description
from spu_circuit.errors import did_you_mean

MATRICES = ("query", "key", "value", "out", "up", "down")
"""Of every layer: those of the attention, then the dense layers."""


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


class Reader(Description):
    """The model: gated recurrent units, or a transformer."""

    kind: Literal["gru", "transformer"]
    width: Annotated[int, Field(ge=1, description="of the embedding of a character")] = 16
    hidden: Annotated[
        int, Field(ge=1, description="gru: units of a layer; transformer: width between dense layers")
    ] = 48
    layers: Annotated[int, Field(ge=1, description="recurrent layers, or blocks of the transformer")] = 1
    heads: Annotated[int, Field(ge=1, description="of the attention (transformer)")] = 2

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind == "transformer" and self.width % self.heads:
            raise ValueError(
                f"width {self.width} is no multiple of heads {self.heads}; take {self.heads} or a multiple"
            )
        if self.kind == "gru" and "heads" in self.model_fields_set:
            raise ValueError("a gru has no 'heads'; leave it out, or take kind = 'transformer'")
        return self


class Adaptation(Description):
    """What is trained of the encoder: changes of low rank (LoRA) beside chosen matrices, and the head."""

    matrices: Annotated[tuple[str, ...], Field(description=f"changed in every layer, of {', '.join(MATRICES)}")] = (
        "query",
        "key",
        "value",
        "out",
    )
    rank: Annotated[int, Field(ge=1, le=2**12, description="r of the changes")] = 2
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False, description="α; changes are scaled by α/r")] = 32.0
    dropout: Annotated[float, Field(ge=0, lt=1, description="of what goes into a change, while training")] = 0.0
    dtype: Annotated[
        Literal["float32", "bfloat16"], Field(description="of the encoder; gradients and curvature are float32")
    ] = "float32"

    @field_validator("matrices")
    @classmethod
    def _known(cls, matrices: tuple[str, ...]) -> tuple[str, ...]:
        for name in matrices:
            if name not in MATRICES:
                raise ValueError(f"no matrix {name!r}; {did_you_mean(name, MATRICES, 'matrices')}")
        if len(set(matrices)) < len(matrices):
            raise ValueError(f"{', '.join(matrices)} repeat; list each once")
        return matrices

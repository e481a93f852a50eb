"""What networks are made of, as data: of those that classify images, and of those that read symbols."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spu_circuit.description import Description


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

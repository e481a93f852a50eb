"""The table [network] of tasks whose model is a multilayer perceptron."""

from typing import Annotated

from pydantic import Field

from spu_circuit.description import Description


class Layers(Description):
    """A multilayer perceptron with tanh."""

    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Field(description="width of each hidden layer", min_length=1)
    ] = (24, 24)

"""Which engine computes the voltages, as a part of every config."""

from typing import Annotated, Literal

from pydantic import Field

from solvers.engine import Engine
from solvers.engines import engine_named
from spu_circuit.description import Description
from spu_circuit.errors import InputError
from spu_circuit.quantity import Hertz


class EngineSettings(Description):
    """Which engine computes the voltages, with its settings; what is not given keeps the engine's default."""

    engine: str = "network"
    points: Annotated[int | None, Field(ge=10, description="of an ngspice transient, at least")] = None
    linearise: Annotated[bool, Field(description="network: amplifiers that saturate by their tangents at rest")] = False
    readout_bandwidth: Annotated[
        Hertz | None, Field(description="network: bounds the noise that passes every capacitor, Hz")
    ] = None
    reltol: Annotated[float | None, Field(gt=0, lt=1, description="ngspice: relative tolerance")] = None
    method: Annotated[Literal["gear", "trap"] | None, Field(description="ngspice: how it integrates")] = None

    def chosen(self) -> Engine:
        """The engine. Raises InputError where there is none of this name, or it has no such setting."""
        given = {name: getattr(self, name) or None for name in EngineSettings.model_fields if name != "engine"}
        return engine_named(self.engine, **given)


def check_engine(settings: EngineSettings) -> None:
    """Raises ValueError, which descriptions take for a wrong field."""
    try:
        settings.chosen()
    except InputError as error:
        raise ValueError(str(error)) from None

"""The operational amplifiers of a device: everything that some model of them takes."""

from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from spu_circuit.amplifiers import AMPLIFIERS, AmplifierModel
from spu_circuit.description import Description
from spu_circuit.errors import did_you_mean
from spu_circuit.files import shortened
from spu_circuit.quantity import (
    LARGEST,
    Amperes,
    AmperesPerRootHertzOrZero,
    Hertz,
    OhmsOrZero,
    SignedAmperes,
    SignedVolts,
    Volts,
    VoltsPerRootHertzOrZero,
)

Role = Literal["plus", "minus", "output", "positive_supply", "negative_supply", "ground", "float"]


def _known(model: str) -> str:
    if model not in AMPLIFIERS:
        raise ValueError(f"no model {shortened(model)}; {did_you_mean(model, AMPLIFIERS, 'models')}")
    return model


class Amplifier(Description):
    """The operational amplifier. Which fields it takes is its model's to say: see ``spu_circuit.amplifiers``."""

    model: Annotated[
        str,
        AfterValidator(_known),
        Field(description="ideal; macromodel: one pole with imperfections; subckt: a subcircuit from a SPICE library"),
    ]
    dc_gain: Annotated[float, Field(gt=1, le=LARGEST, description="open-loop DC gain, V/V")] = 1e9
    gain_bandwidth: Annotated[Hertz | None, Field(description="gain-bandwidth product, Hz; none: infinite")] = None
    offset: Annotated[SignedVolts, Field(description="input offset voltage, the same in every amplifier, V")] = 0.0
    output_resistance: Annotated[
        OhmsOrZero, Field(description="open-loop output resistance, Ω; of a subckt: what ranging counts with")
    ] = 0.0
    rail: Annotated[
        Volts | None,
        Field(
            description="output saturates at ± this voltage, V; none: unlimited; of a subckt: what ranging stays below"
        ),
    ] = None
    current_limit: Annotated[
        Amperes | None,
        Field(
            description="output current saturates at ± this, A; none: unlimited; of a subckt: what ranging stays below"
        ),
    ] = None
    bias_current: Annotated[
        SignedAmperes | None,
        Field(description="into the inverting input, the same in every amplifier, A; none: none flows"),
    ] = None
    input_noise: Annotated[
        VoltsPerRootHertzOrZero | None,
        Field(description="white input noise voltage, V/√Hz; none: noiseless; of a subckt: what its model has"),
    ] = None
    input_current_noise: Annotated[
        AmperesPerRootHertzOrZero | None,
        Field(
            description="white noise current into the inverting input, A/√Hz; none: noiseless; of a subckt: what its "
            "model has"
        ),
    ] = None
    library: Annotated[
        str | None,
        Field(description="subckt: SPICE library, path relative to this description's file, or one that comes with it"),
    ] = None
    subcircuit: Annotated[str | None, Field(description="subckt: name of the subcircuit in the library")] = None
    pins: Annotated[
        tuple[Role, ...],
        Field(description=f"subckt: its pins in order, each one of {', '.join(get_args(Role))} (1 GΩ to ground)"),
    ] = ()
    supply: Annotated[
        Volts | None,
        Field(description="± this voltage at the supply pins, V; of a macromodel for the power that it takes alone"),
    ] = None
    supply_rejection: Annotated[
        float | None,
        Field(
            gt=0,
            le=LARGEST,
            description="change of the supply over the offset that it makes, V/V: 10,000 is a PSRR of 80 dB; none: ∞",
        ),
    ] = None
    library_text: Annotated[
        str | None, Field(description="subckt: what is used of the library; left out: read from its file")
    ] = None

    @property
    def kind(self) -> AmplifierModel:
        """Its model's entry."""
        return AMPLIFIERS[self.model]

    @property
    def varying(self) -> tuple[str, ...]:
        """By which parameters samples of it differ."""
        return self.kind.varying(self)

    @property
    def is_ideal(self) -> bool:
        """Whether there is nothing to say about it."""
        return not self.kind.takes

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        fields = type(self).model_fields
        own = {"model", *self.kind.takes}
        given = sorted(name for name in self.model_fields_set - own if getattr(self, name) != fields[name].default)
        if given:
            takers = " or ".join(repr(name) for name, model in AMPLIFIERS.items() if given[0] in model.takes)
            article = "an" if self.model[0] in "aeiou" else "a"
            raise ValueError(
                f"{article} {self.model} amplifier has no {given[0]}; leave it out or set model = {takers}"
            )
        if self.supply_rejection is not None and self.supply is None:
            raise ValueError("supply_rejection is of a supply that is not given; add it, like supply = '15 V'")
        for name, value in self.kind.completed(self, (info.context or {}).get("folder", Path())).items():
            object.__setattr__(self, name, value)
        return self

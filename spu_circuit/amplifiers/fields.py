"""Everything that some model of amplifiers takes. Data only."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from spu_circuit.description import Description
from spu_circuit.quantity import (
    Amperes,
    AmperesPerRootHertzOrZero,
    Gain,
    Hertz,
    OhmsOrZero,
    Rejection,
    SignedAmperes,
    SignedVolts,
    Volts,
    VoltsPerRootHertzOrZero,
)

Role = Literal["plus", "minus", "output", "positive_supply", "negative_supply", "ground", "float"]


class AmplifierFields(Description):
    """The fields of an amplifier, of which each model takes some."""

    model: Annotated[
        str,
        Field(description="ideal; macromodel: one pole with imperfections; subckt: a subcircuit from a SPICE library"),
    ]
    dc_gain: Annotated[Gain, Field(description="open-loop DC gain, V/V, or as text in dB")] = 1e9
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
        Rejection | None,
        Field(description="change of the supply over the offset that it makes, V/V, or as text, '80 dB'; none: ∞"),
    ] = None
    library_text: Annotated[
        str | None, Field(description="subckt: what is used of the library; left out: read from its file")
    ] = None

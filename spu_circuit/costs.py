"""What a device takes beside its circuit: times and energies of writing, converting and moving numbers. Data only."""

from typing import Annotated, Literal

from pydantic import Field

from spu_circuit.description import Description
from spu_circuit.errors import InputError
from spu_circuit.quantity import BitsPerSecond, Joules, JoulesPerBit, KelvinPerWatt, Seconds, Watts


class Sourced(Description):
    """A number with where it comes from: a paper, a data sheet, or "assumption".

    A class for each unit: a generic one would be built as soon as this file is imported, which takes longer than NumPy.
    """

    value: float
    source: Annotated[str, Field(min_length=1, description="paper, data sheet, or assumption")]


class SourcedTime(Sourced):
    value: Seconds


class SourcedEnergy(Sourced):
    value: Joules


class SourcedPower(Sourced):
    value: Watts


class SourcedRate(Sourced):
    value: BitsPerSecond


class SourcedEnergyPerBit(Sourced):
    value: JoulesPerBit


class SourcedPackage(Sourced):
    """Thermal resistance from the junctions of a package to the air, with how many amplifiers are in it."""

    value: KelvinPerWatt
    amplifiers: Annotated[int, Field(ge=1, description="in a package, that heat each other")] = 1


class Costs(Description):
    """Times and energies. What is not given is not known, and whoever needs it says so."""

    write_time: Annotated[SourcedTime | None, Field(description="to write one programmable resistor, s")] = None
    write_energy: Annotated[SourcedEnergy | None, Field(description="to write one programmable resistor, J")] = None
    buses: Annotated[
        Literal["one", "row", "all"],
        Field(description="which resistors are written at once: one, one of each row, or all"),
    ] = "row"
    dac_time: Annotated[SourcedTime | None, Field(description="until a DAC has settled, s")] = None
    dac_energy: Annotated[SourcedEnergy | None, Field(description="of one conversion of a DAC, J")] = None
    adc_time: Annotated[SourcedTime | None, Field(description="of one conversion of an ADC, s")] = None
    adc_energy: Annotated[SourcedEnergy | None, Field(description="of one conversion of an ADC, J")] = None
    amplifier_power: Annotated[SourcedPower | None, Field(description="quiescent, of one amplifier, W")] = None
    amplifier_package: Annotated[
        SourcedPackage | None,
        Field(description="thermal resistance from an amplifier's junctions to the air, K/W, and amplifiers in it"),
    ] = None
    transfer_rate: Annotated[
        SourcedRate | None, Field(description="of words between the digital side and the device, b/s")
    ] = None
    transfer_energy: Annotated[SourcedEnergyPerBit | None, Field(description="of moving a bit there, J/b")] = None

    def known(self, field: str) -> float:
        """The value of a field.

        Raises:
            InputError: the description does not have it.
        """
        found: Sourced | None = getattr(self, field)
        if found is None:
            meaning = type(self).model_fields[field].description
            raise InputError(
                f"costs.{field} is not in this hardware description; add [costs] {field} = "
                f'{{ value = "...", source = "..." }} ({meaning})'
            )
        return found.value

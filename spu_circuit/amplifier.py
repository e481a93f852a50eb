"""The operational amplifiers of a device."""

from pathlib import Path
from typing import Self

from pydantic import ValidationInfo, field_validator, model_validator

from spu_circuit.amplifiers import AMPLIFIERS, AmplifierModel
from spu_circuit.amplifiers.fields import AmplifierFields
from spu_circuit.errors import did_you_mean
from spu_circuit.files import shortened


class Amplifier(AmplifierFields):
    """The operational amplifier. Which fields it takes is its model's to say: see ``spu_circuit.amplifiers``."""

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

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        if model not in AMPLIFIERS:
            raise ValueError(f"no model {shortened(model)}; {did_you_mean(model, AMPLIFIERS, 'models')}")
        return model

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

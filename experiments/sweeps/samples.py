"""Numbered sets of samples: how many there are, and where their random numbers come from."""

from dataclasses import dataclass

from spu_circuit.sampling import Sampling, varying
from spu_circuit.variation import Variation

NOMINAL = "nominal"
WHOLE = "lhs"
"""The design whose samples depend on how many there are."""


@dataclass(frozen=True)
class SampleSet:
    """A numbered set of samples.

    Args:
        samples: how many.
        sampling: where their random numbers come from; None: they are corners, of which the first is nominal.
        only: the one kind of parts that varies; None: all.
        heaviest: how many samples of the wanted distribution one may stand for, at most.
    """

    samples: int
    sampling: Sampling | None
    only: str | None = None
    heaviest: float = 1.0

    @property
    def drawn(self) -> bool:
        """Whether they say how often something happens; extremes do not."""
        return self.sampling is not None

    @property
    def extends(self) -> bool:
        """Whether its samples are the same however many there are; a Latin hypercube divides among all of them."""
        return self.sampling is not None and self.sampling.design != WHOLE

    @property
    def weighted(self) -> bool:
        """Whether some samples stand for more than others."""
        return self.heaviest > 1

    @property
    def mixed(self) -> tuple[str, ...]:
        """Kinds of parts that come from another set of samples."""
        return () if self.sampling is None else tuple(self.sampling.streams)

    def moves(self, variation: Variation) -> Variation:
        """What varies in these samples; correlations mean nothing where one kind varies alone.

        Ageing, corners of lots and mean temperature coefficients, which are not random, stay. What spreads coefficients
        is part of what temperature does, and goes with it; but where parts are away from their reference anyway, it is
        their own.
        """
        if self.only is None:
            return variation
        nothing: dict[str, object] = {"correlation": {}}
        for other in varying(variation):
            if other == "temperature" != self.only:
                nothing[other] = None
            elif other != self.only:
                of_kind = getattr(variation, other)
                random = [name for name in of_kind.drawn if name != "lot" or of_kind.lot_corner is None]
                off = {name: type(of_kind).model_fields[name].default for name in random}
                drift = of_kind.temperature_coefficient
                if (self.only != "temperature" or variation.reference_temperature is not None) and not drift.steady:
                    off["temperature_coefficient"] = type(drift)(mean=drift.mean)
                nothing[other] = of_kind.model_copy(update=off)
        return variation.model_copy(update=nothing)

"""How parts of a kind deviate: what all kinds have in common."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from spu_circuit.description import Description
from spu_circuit.spread import Spread

ENDS = {"low": -1.0, "nominal": 0.0, "high": 1.0}
"""Corners of a lot, and their signs."""
Corner = Annotated[
    Literal["low", "nominal", "high"] | None,
    Field(description="the end of its distribution, or middle, where the lot of every copy is; none: it is drawn"),
]


class KindVariation(Description):
    """How parts of a kind deviate."""

    adds: ClassVar[bool] = True
    """Whether a deviation adds; else it multiplies."""
    drawn: ClassVar[tuple[str, ...]] = ("lot", "local")
    """Fields that say what is random, temperature coefficients aside."""

    def aged(self, hours: float) -> float:
        """The factor by which parts have drifted after so many hours of operation."""
        return 1.0


class LotVariation(KindVariation):
    """What all parts of a kind share in a copy."""

    lot: Spread | None = None
    corner: Corner = None

    @model_validator(mode="after")
    def _has_lot(self) -> Self:
        if self.corner and not self.lot:
            raise ValueError(f"corner {self.corner!r} is the lot's, and there is none; give a lot, or leave corner out")
        return self

    @property
    def drawn_lot(self) -> Spread | None:
        """Of the deviation that all parts of a copy share; None: there is none, or it is at a corner."""
        return None if self.corner else self.lot

    @property
    def lot_corner(self) -> float | None:
        """The deviation that all parts of every copy share; None: it is drawn, or there is none."""
        return self.lot.extreme(ENDS[self.corner]) if self.lot and self.corner else None

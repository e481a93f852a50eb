"""How parts of samples follow their temperature: coefficients that may spread, and currents that double."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spu_circuit.errors import InputError
from spu_circuit.spread import Drift
from spu_circuit.variation import CurrentVariation

Array = NDArray[np.float64]

DRIFT = "temperature coefficient"
"""What its random numbers are for."""


def coefficients(drift: Drift, kind: str, numbers: Mapping[str, Array]) -> Array:
    """Temperature coefficients of the parts of a kind, (samples, parts) or broadcast to it."""
    found = np.full((1, 1), drift.mean)
    for spread, purpose in ((drift.common, f"{kind} {DRIFT}"), (drift.own, f"{kind} {DRIFT} local")):
        if spread and purpose in numbers:
            found = found + spread.quantile(numbers[purpose])
    return found


def above_zero(factors: Array, kind: str, kelvin: Array) -> Array:
    """Factors (samples, parts). Raises InputError where one is not above zero."""
    if (
        found := np.broadcast_to(factors, np.broadcast_shapes(factors.shape, (len(kelvin), 1))).min(axis=1, initial=1.0)
    ).min() <= 0:
        raise InputError(
            f"variation.{kind}.temperature_coefficient leaves {found.min():.2g} of a part at "
            f"{kelvin[int(found.argmin())]:.4g} K; lower its mean or spread, or the temperature's"
        )
    return factors


def warmed(deviations: Array, of_kind: Any, nominal: float, rise: Array) -> Array:
    """Deviations (samples, parts) of what a temperature multiplies, nominal value and all."""
    if not isinstance(of_kind, CurrentVariation) or of_kind.doubling is None:
        return deviations
    return (nominal + deviations) * of_kind.warmed(rise)[:, None] - nominal

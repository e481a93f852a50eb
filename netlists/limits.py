"""What an amplifier's output can be trusted to reach."""

import numpy as np
from numpy.typing import NDArray

from spu_circuit.amplifier import Amplifier

Array = NDArray[np.float64]

TRUSTED = 0.9
"""Share of an amplifier's limits up to which its output is trusted."""


def limited(amplifier: Amplifier) -> bool:
    """Whether an amplifier's output has limits at all."""
    return amplifier.rail is not None or amplifier.current_limit is not None


def trusted_outputs(amplifier: Amplifier, load: Array) -> Array:
    """Nine tenths of what rail and output current leave behind the output resistance.

    An output that drives G into virtual grounds needs ``V G ≤ I_max`` and ``V (1 + R_out G) ≤ rail``. Where the current
    saturates as tanh, R_out is ``artanh(0.9) / 0.9`` of itself at 0.9 I_max.

    Args:
        load: G of each output, S, any shape.

    Returns:
        V, of the same shape; infinite without limits.
    """
    limits, resistance = np.full_like(load, np.inf), amplifier.output_resistance
    if amplifier.current_limit is not None:
        limits = TRUSTED * amplifier.current_limit / load
        resistance *= np.arctanh(TRUSTED) / TRUSTED
    if amplifier.rail is not None:
        limits = np.minimum(limits, TRUSTED * amplifier.rail / (1 + resistance * load))
    return limits

"""What a DAC and an ADC do to a voltage."""

import numpy as np
from numpy.typing import NDArray

from spu_circuit.hardware import Converter

Array = NDArray[np.float64]


def quantize(volts: Array, converter: Converter) -> tuple[Array, NDArray[np.bool_]]:
    """Nearest code of a bipolar two's-complement converter, as a voltage.

    Args:
        volts: any shape, in volts.

    Returns:
        The voltage of each code (code · LSB, LSB = 2 · full scale / 2^bits, codes −2^(bits−1) … 2^(bits−1) − 1), and
        which values were clipped: more than half an LSB beyond the last code.
    """
    lsb = converter.lsb
    top = converter.full_scale - lsb
    clipped = (volts > top + lsb / 2) | (volts < -converter.full_scale - lsb / 2)
    codes = volts if lsb == 0 else np.rint(volts / lsb) * lsb
    return np.clip(codes, -converter.full_scale, top), clipped


def characteristic(
    volts: Array,
    converter: Converter,
    gain: Array | float = 1.0,
    offset: Array | float = 0.0,
    inl: Array | float = 0.0,
    dnl: Array | float = 0.0,
) -> Array:
    """What a real converter makes of a voltage, before or after its codes.

    Args:
        volts: any shape that broadcasts with the others, V.
        gain: factor.
        offset: V.
        inl: height of the bow ``1 − (V / full scale)²`` of the integral non-linearity, LSB.
        dnl: how far the code that is used is off, LSB.
    """
    bow = 1 - (volts / converter.full_scale) ** 2
    return volts * gain + offset + converter.lsb * (inl * bow + dnl)

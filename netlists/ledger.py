"""What a device takes: currents and power, by Ohm's law from its nominal resistors."""

import numpy as np
from numpy.typing import NDArray

from netlists.device import Device

Array = NDArray[np.float64]


def output_currents(device: Device, volts: Array) -> Array:
    """Largest current of each amplifier and DAC when the cells rest at these voltages.

    Args:
        volts: of the cells, (samples, n).

    Returns:
        |I| in A, (samples, sources): amplifiers, where there are any, then DACs.
    """
    amplifiers = np.abs(device.array.outputs(volts))[:, None, :] * device.array.loads(device.hardware)
    dacs = np.abs(device.array.dac_currents(volts, device.dac_volts, device.hardware))
    return np.concatenate([amplifiers.reshape(len(volts), -1), dacs], axis=1)


def dissipation(device: Device, volts: Array) -> Array:
    """Power that turns to heat in the resistors at rest, W, (samples,). Amplifiers' own consumption comes on top.

    All of it comes from the amplifiers' outputs and the DACs: ``Σ V_j² G_j + Σ V_DAC I_DAC``, since virtual grounds are
    at 0 V.
    """
    hardware = device.hardware
    amplifiers = device.array.outputs(volts) ** 2 @ device.array.loads(hardware).sum(axis=0)
    dacs = device.array.dac_currents(volts, device.dac_volts, hardware) @ device.dac_volts
    return np.asarray(amplifiers + dacs * device.array.dacs_per_cell)

"""What a device takes: currents, power and heat, by Ohm's law from its nominal resistors."""

import numpy as np
from numpy.typing import NDArray

from netlists.device import Device
from spu_circuit.errors import InputError

Array = NDArray[np.float64]


def parts(device: Device) -> dict[str, int]:
    """How many parts of each kind the circuit has."""
    found: dict[str, int] = {}
    for group in device.array.circuit(device.hardware).elements:
        if group.part:
            found[group.part] = found.get(group.part, 0) + group.count
    return found


def output_currents(device: Device, volts: Array) -> Array:
    """Largest current of each amplifier and DAC when the cells rest at these voltages.

    Args:
        volts: of the cells, (samples, n).

    Returns:
        |I| in A, (samples, sources): amplifiers, where there are any, then DACs.
    """
    amplifiers, dacs = _currents(device, volts)
    return np.abs(np.concatenate([amplifiers, dacs], axis=1))


def dissipation(device: Device, volts: Array) -> Array:
    """Power that turns to heat in the resistors at rest, W, (samples,). Amplifiers' own consumption comes on top.

    All of it comes from the amplifiers' outputs and the DACs: ``Σ V_j² G_j + Σ V_DAC I_DAC``, since virtual grounds are
    at 0 V.
    """
    hardware = device.hardware
    amplifiers = device.array.outputs(volts) ** 2 @ device.array.loads(hardware).sum(axis=0)
    dacs = device.array.dac_currents(volts, device.dac_volts, hardware) @ device.dac_volts
    return np.asarray(amplifiers + dacs * device.array.dacs_per_cell)


def output_power(device: Device, volts: Array) -> Array:
    """Power that outputs of amplifiers and DACs take from the supplies beside what they take at idle, W, (samples,).

    An output stage of class AB takes each current from a whole supply: ``V_S Σ |I|``. Where the description gives no
    supply it is the heat in the resistors alone, what a lossless output stage would take.
    """
    supply = device.hardware.amplifier.supply
    if supply is None:
        return dissipation(device, volts)
    amplifiers, dacs = _currents(device, volts)
    per_cell = device.array.dacs_per_cell
    return np.asarray(supply * (np.abs(amplifiers).sum(axis=1) + per_cell * np.abs(dacs).sum(axis=1)))


def supply_power(device: Device, volts: Array) -> Array:
    """Power that the board takes at rest, W, (samples,): amplifiers at idle, outputs, and converters that convert.

    A converter takes the energy of a conversion in the time of one.

    Raises:
        InputError: the hardware description lacks the amplifiers' power or supply, or a converter's energy or time.
    """
    costs, counts = device.hardware.costs, parts(device)
    amplifiers = counts.get("amplifier", 0)
    if amplifiers:
        _supply(device)
    idle = amplifiers * costs.known("amplifier_power") if amplifiers else 0.0
    dacs = counts["dac"] * _converting(device, "dac")
    adcs = device.cells * _converting(device, "adc")
    return output_power(device, volts) + idle + dacs + adcs


def supply_current(device: Device, volts: Array) -> Array:
    """The larger of the currents from the two supplies of amplifiers and DAC outputs at rest, A, (samples,).

    Raises:
        InputError: the hardware description lacks the amplifiers' power or supply.
    """
    supply = _supply(device)
    idle = parts(device).get("amplifier", 0) * device.hardware.costs.known("amplifier_power") / (2 * supply)
    currents = np.concatenate(_currents(device, volts), axis=1)
    return np.asarray(idle + np.maximum(np.maximum(currents, 0).sum(axis=1), np.maximum(-currents, 0).sum(axis=1)))


def junction_rise(device: Device, volts: Array) -> Array:
    """How far the junctions of the hottest amplifier's package are above the air at rest, K, (samples,).

    ``θ_JA m (P_idle + (V_S − |V|) |I|)``, where all m amplifiers of the package are as busy as the busiest.

    Raises:
        InputError: the hardware description lacks the amplifiers' power, supply or thermal resistance.
    """
    hardware, supply = device.hardware, _supply(device)
    costs = hardware.costs
    peaks = np.abs(device.array.outputs(volts))[:, None, :]
    dropped = (supply - peaks) * peaks * device.array.loads(hardware)
    busiest = dropped.reshape(len(volts), -1).max(axis=1, initial=0.0)
    resistance, package = costs.known("amplifier_package"), costs.amplifier_package
    assert package is not None
    return np.asarray(resistance * package.amplifiers * (costs.known("amplifier_power") + busiest))


def _currents(device: Device, volts: Array) -> tuple[Array, Array]:
    """Currents out of amplifiers and out of one DAC of each cell, with their signs, A, (samples, ·) each.

    An output's inverse has the other sign.
    """
    loads = device.array.loads(device.hardware)
    amplifiers = device.array.outputs(volts)[:, None, :] * (np.array([[1.0], [-1.0]]) * loads)
    dacs = device.array.dac_currents(volts, device.dac_volts, device.hardware)
    return amplifiers.reshape(len(volts), -1), np.asarray(dacs)


def _supply(device: Device) -> float:
    supply = device.hardware.amplifier.supply
    if supply is None:
        raise InputError(
            "amplifier.supply is not in this hardware description; add it, like supply = '15 V' (± at the supply pins)"
        )
    return supply


def _converting(device: Device, converter: str) -> float:
    """Power of a converter that converts, W."""
    costs = device.hardware.costs
    energy, seconds = costs.known(f"{converter}_energy"), costs.known(f"{converter}_time")
    if seconds == 0:
        raise InputError(f"costs.{converter}_time is 0, in which no power gives an energy; give it")
    return energy / seconds

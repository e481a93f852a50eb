"""Noise of a programmed array, as current densities and as the diffusion of its voltages."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.constants import Boltzmann

from spu_circuit.program import Device

Array = NDArray[np.float64]
Conductance = TypeVar("Conductance", float, Array)


def johnson_current_density(conductance: Conductance, temperature: float) -> Conductance:
    """One-sided power spectral density of the thermal noise current of resistors.

    Args:
        conductance: siemens, any shape.
        temperature: kelvin.

    Returns:
        A²/Hz, the shape of ``conductance``: S = 4 k T G (Nyquist 1928).

    Raises:
        ValueError: a conductance or the temperature is negative.
    """
    if np.any(np.asarray(conductance) < 0) or temperature < 0:
        raise ValueError("conductance and temperature must not be negative")
    return 4 * Boltzmann * temperature * conductance


def injected_current_density(device: Device) -> float:
    """One-sided density of the injected noise current, A²/Hz: ``4 κ₀ g_u C``, alone variance κ₀ / A in a cell."""
    hardware = device.hardware
    return 4 * hardware.noise.injected**2 * device.array.siemens_per_unit * hardware.cell.capacitance


def integrator_noise_density(device: Device) -> Array:
    """One-sided density of the noise current into each integrator's virtual ground, A²/Hz, (n,).

    Johnson noise of the row's resistors and of the input resistor, which adds up because all of them end in a
    low-impedance node, and the injected noise.
    """
    hardware, array = device.hardware, device.array
    density = np.full(device.cells, injected_current_density(device))
    if hardware.noise.thermal:
        total = array.direct.sum(axis=1) + array.inverted.sum(axis=1) + 1 / hardware.cell.input_resistance
        density += johnson_current_density(total, hardware.temperature)
    return density


def inverter_noise_density(device: Device) -> float:
    """One-sided density of the noise current into an inverting stage's virtual ground, A²/Hz: two resistors."""
    if not device.hardware.noise.thermal:
        return 0.0
    return johnson_current_density(2 / device.hardware.cell.inverter_resistance, device.hardware.temperature)


def diffusion(device: Device) -> Array:
    """D in V²/s, (n, n), of ``dV = (u − M V) dt + N(0, 2 D dt)`` with ideal amplifiers.

    A current of one-sided density S into a virtual ground gives D = S / (4 C²). The noise of an inverting stage is a
    voltage R_inv² S_inv at its output; it drives every row that uses this output, so D is not diagonal.
    """
    cell = device.hardware.cell
    rows = np.diag(integrator_noise_density(device))
    shared = cell.inverter_resistance**2 * inverter_noise_density(device)
    return (rows + shared * device.array.inverted @ device.array.inverted.T) / (4 * cell.capacitance**2)

"""Time and energy of a training step: what the device takes, and what the digital side has to do for it.

All digital work is counted in floating-point operations, an addition or a multiplication each; a product of matrices
(a, b) and (b, c) takes 2abc, half of it where the result is symmetric, a Cholesky factor K³/3 (Golub and Van Loan).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, log

from scipy.constants import Boltzmann

from netlists.device import Device
from netlists.ledger import output_power, parts
from spu_circuit.errors import InputError
from spu_circuit.hardware import Hardware


@dataclass(frozen=True)
class Work:
    """The sizes of a step.

    Args:
        parameters: N.
        samples: b, of a batch.
        rows: K, of the curvature factor B.
        iterations: c, of conjugate gradients.
    """

    parameters: int
    samples: int
    rows: int
    iterations: int = 200


@dataclass(frozen=True)
class Machine:
    """A digital computer.

    Args:
        name: with its source.
        rate: FLOP/s that a step reaches.
        efficiency: FLOP/J.
    """

    name: str
    rate: float
    efficiency: float
    source: str


@dataclass(frozen=True)
class Item:
    """A line of the ledger.

    Args:
        joules: None where the hardware description does not say.
        missing: what it does not say.
    """

    name: str
    seconds: float
    joules: float | None
    missing: str = ""


def gradient(work: Work) -> float:
    """FLOP of loss and gradient of a batch: forward 2bN, backward twice that, for dense layers."""
    return 6.0 * work.samples * work.parameters


def factor(work: Work) -> float:
    """FLOP of B: a forward pass of the batch, and one backward pass of a sample for each row."""
    return (2.0 * work.samples + 4.0 * work.rows) * work.parameters


def _dual(work: Work) -> float:
    """The dual matrix BBᵀ, its right-hand side B g, and g̃ = (g − Bᵀy)/λ."""
    K, N = work.rows, work.parameters
    return K * K * N + 4.0 * K * N + 2.0 * N


def _woodbury(work: Work) -> float:
    K = work.rows
    return _dual(work) + K**3 / 3 + 2.0 * K * K


def _conjugate_gradients(work: Work) -> float:
    return work.iterations * (4.0 * work.rows + 10.0) * work.parameters


DIGITAL: dict[str, Callable[[Work], float]] = {
    "SGD": lambda work: gradient(work) + 2.0 * work.parameters,
    "Adam": lambda work: gradient(work) + 12.0 * work.parameters,
    "NGD, Woodbury": lambda work: gradient(work) + factor(work) + _woodbury(work),
    "NGD, conjugate gradients": lambda work: gradient(work) + factor(work) + _conjugate_gradients(work),
}
"""FLOP of a step of each optimizer that a digital computer makes alone."""

PREPARED: dict[str, Callable[[Work], float]] = {
    "factored": lambda work: gradient(work) + factor(work),
    "active": lambda work: gradient(work) + factor(work) + _dual(work),
    "passive": lambda work: gradient(work) + factor(work) + _dual(work),
}
"""FLOP that a device leaves to the digital side, by topology: a factored array takes B as it is."""


def digital_step(name: str, work: Work, machine: Machine) -> Item:
    """A step of an optimizer that has no device."""
    flop = DIGITAL[name](work)
    return Item(name, flop / machine.rate, flop / machine.efficiency)


def device_step(device: Device, analog_time: float, work: Work, machine: Machine) -> list[Item]:
    """A step whose linear system this device solves, part by part.

    Args:
        device: programmed with a system of the step's size, its cells at the voltages of a solution.
        analog_time: t in τ, finite.
        machine: that does what the device leaves to be done.

    Raises:
        InputError: the time is infinite, the topology's digital work is not known, or the hardware description lacks
            a time. A missing energy is said in the line that needs it.
    """
    if not isfinite(analog_time):
        raise InputError("time: a step of infinite time has no end; give t in τ, as 6")
    hardware, costs = device.hardware, device.hardware.costs
    if hardware.topology not in PREPARED:
        raise InputError(
            f"topology {hardware.topology!r}: nobody said what it leaves to the digital side; see PREPARED"
        )
    counts = parts(device)
    resistors, cells, channels = counts["array_resistor"], device.cells, counts["dac"]
    rounds = {"one": resistors, "row": -(-resistors // cells), "all": 1}[costs.buses]
    words = resistors + channels + cells
    bits = resistors * _bits(hardware) + channels * (hardware.dac.bits or 64) + cells * (hardware.adc.bits or 64)
    seconds = analog_time * float(device.time_constant)
    flop = PREPARED[hardware.topology](work)
    array_power = float(output_power(device, device.at_rest()[None])[0])
    amplifiers = counts.get("amplifier", 0)

    def item(name: str, duration: float, field: str, count: float, extra: float = 0.0) -> Item:
        try:
            return Item(name, duration, count * costs.known(field) + extra if count else extra)
        except InputError as error:
            return Item(name, duration, None, str(error))

    digital = Item(f"digital work ({machine.name})", flop / machine.rate, flop / machine.efficiency)
    return [
        digital,
        item(
            f"transfer of {words} words",
            bits / costs.known("transfer_rate"),
            "transfer_energy",
            bits,
        ),
        item(f"writing {resistors} resistors", rounds * costs.known("write_time"), "write_energy", resistors),
        item(f"{channels} DACs", costs.known("dac_time"), "dac_energy", channels),
        item(
            f"relaxing for {analog_time:g} τ, {amplifiers} amplifiers",
            seconds,
            "amplifier_power",
            amplifiers * seconds,
            array_power * seconds,
        ),
        item(f"{cells} ADCs", costs.known("adc_time"), "adc_energy", cells),
    ]


def total(items: list[Item], name: str = "together") -> Item:
    """The sum; its energy is known where each part's is."""
    joules = [item.joules for item in items]
    known = None if any(one is None for one in joules) else sum(one for one in joules if one is not None)
    missing = next((item.missing for item in items if item.missing), "")
    return Item(name, sum(item.seconds for item in items), known, missing)


def landauer(device: Device) -> float:
    """kT ln 2 for each bit of the solution that is read, J: the least that erasing them takes (Landauer 1961)."""
    hardware = device.hardware
    return device.cells * (hardware.adc.bits or 64) * Boltzmann * hardware.temperature * log(2)


def _bits(hardware: Hardware) -> float:
    """Of the word that sets one resistor."""
    grid = hardware.array.grid
    return 64.0 if grid is None else float(max(1, (len(grid) - 1).bit_length()))

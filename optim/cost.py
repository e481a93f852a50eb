"""Time and energy of a training step: what the device takes, and what the digital side has to do for it.

All digital work is counted in floating-point operations, an addition or a multiplication each; a product of matrices
(a, b) and (b, c) takes 2abc, half of it where the result is symmetric, a Cholesky factor K³/3 (Golub and Van Loan).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite, log
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.constants import Boltzmann

from netlists.device import Device
from netlists.ledger import output_power, parts
from optim.mapping import Mapping
from spu_circuit.costs import Costs
from spu_circuit.errors import InputError
from spu_circuit.hardware import Hardware

Array = NDArray[np.float64]
Part = Literal["digital", "transfer", "program", "convert", "settle", "static"]
"""What of a step a line of the ledger is."""


@dataclass(frozen=True)
class Work:
    """The sizes of a step.

    Args:
        parameters: N.
        samples: b, of a batch.
        rows: K, of the curvature factor B.
        iterations: c, of conjugate gradients.
        mapping: of the system on an array.
    """

    parameters: int
    samples: int
    rows: int
    iterations: int = 200
    mapping: Mapping = "dual"

    @property
    def cells(self) -> int:
        """Of the array, one for each unknown."""
        return self.parameters if self.mapping == "primal" else self.rows


@dataclass(frozen=True)
class Effort:
    """How often a step uses its device.

    Args:
        programs: how often all resistors are set.
        reads: how often the array relaxes and is read.
        flop: digital operations beside those that every step has.
        seconds: that the array relaxes for one read; None: the analog time in τ of the device.
    """

    programs: float = 1.0
    reads: float = 1.0
    flop: float = 0.0
    seconds: float | None = None


ONCE = Effort()


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
        seconds, joules: None where they are not known.
        missing: why, and the cure.
        lacks: the fields that do not say it.
        part: what of a step it is; None: a whole one.
    """

    name: str
    seconds: float | None
    joules: float | None
    missing: str = ""
    lacks: tuple[str, ...] = ()
    part: Part | None = None


def gradient(work: Work) -> float:
    """FLOP of loss and gradient of a batch: forward 2bN, backward twice that, for dense layers."""
    return 6.0 * work.samples * work.parameters


def factor(work: Work) -> float:
    """FLOP of B: a forward pass of the batch, and one backward pass of a sample for each row."""
    return (2.0 * work.samples + 4.0 * work.rows) * work.parameters


def _gram(work: Work) -> float:
    """The K×K matrix BBᵀ."""
    return float(work.rows) ** 2 * work.parameters


def _dual(work: Work) -> float:
    """The dual matrix, its right-hand side B g, and g̃ = (g − Bᵀy)/λ."""
    return _gram(work) + 4.0 * work.rows * work.parameters + 2.0 * work.parameters


def _primal(work: Work) -> float:
    """The N×N matrix BᵀB."""
    return float(work.rows) * work.parameters**2


FORMED: dict[Mapping, Callable[[Work], float]] = {
    "primal": _primal,
    "dual": _dual,
    "kernel": lambda work: _gram(work) + 2.0 * work.rows * work.parameters,
}
"""FLOP of a mapping's system and of g̃ from its solution, where an array holds no factors; of kernel, g̃ = Bᵀz."""


def factorised(size: int) -> float:
    """FLOP of a Cholesky factor, and of the substitutions with it."""
    return size**3 / 3 + 2.0 * size * size


def iterated(work: Work) -> float:
    """FLOP of conjugate gradients: in the parameters with products by B and Bᵀ, else with a formed K×K matrix."""
    if work.mapping == "primal":
        return work.iterations * (4.0 * work.rows + 10.0) * work.parameters
    return FORMED[work.mapping](work) + work.iterations * (2.0 * work.rows + 10.0) * work.rows


def orthogonalised(rows: int, columns: int) -> float:
    """FLOP of Muon's five Newton-Schulz iterations ``X ← aX + (bXXᵀ + c(XXᵀ)²)X`` of a matrix."""
    few, many = sorted((rows, columns))
    return 5 * (4.0 * few * few * many + 2.0 * few**3)


DIGITAL: dict[str, Callable[[Work], float]] = {
    "SGD": lambda work: gradient(work) + 2.0 * work.parameters,
    "Adam": lambda work: gradient(work) + 12.0 * work.parameters,
    "NGD, Cholesky": lambda work: prepared(work) + _primal(work) + factorised(work.parameters),
    "NGD, Woodbury": lambda work: prepared(work) + _dual(work) + factorised(work.rows),
    "NGD, conjugate gradients": lambda work: prepared(work) + iterated(replace(work, mapping="primal")),
}
"""FLOP of a step of each optimizer that a digital computer makes alone."""


def prepared(work: Work) -> float:
    """FLOP of what every natural gradient begins with: loss, gradient and B."""
    return gradient(work) + factor(work)


PREPARED: dict[str, Callable[[Work], float]] = {
    "factored": prepared,
    "active": lambda work: prepared(work) + FORMED[work.mapping](work),
    "passive": lambda work: prepared(work) + FORMED[work.mapping](work),
}
"""FLOP that a device leaves to the digital side, by topology: a factored array takes B as it is."""


def digital_step(name: str, work: Work, machine: Machine) -> Item:
    """A step of an optimizer that has no device."""
    return digital_item(name, DIGITAL[name](work), machine)


def digital_item(name: str, flop: float, machine: Machine) -> Item:
    """Work of a digital computer."""
    return Item(name, flop / machine.rate, flop / machine.efficiency, part="digital")


def device_step(
    device: Device, analog_time: float | None, work: Work, machine: Machine, effort: Effort = ONCE
) -> list[Item]:
    """A step whose linear system this device solves, part by part.

    Args:
        device: programmed with a system of the step's size, its cells at the voltages of a solution.
        analog_time: t in τ, finite; None: nobody says when the array is read.
        machine: that does what the device leaves to be done.
        effort: how often the device is set and read.

    Raises:
        InputError: the time is infinite, or the topology's digital work is not known. A time or an energy that the
            hardware description lacks is said in the line that needs it.
    """
    if analog_time is not None and not isfinite(analog_time):
        raise InputError("time: a step of infinite time has no end; give t in τ, as 6")
    hardware = device.hardware
    if hardware.topology not in PREPARED:
        raise InputError(
            f"topology {hardware.topology!r}: nobody said what it leaves to the digital side; see PREPARED"
        )
    flop = PREPARED[hardware.topology](work) + effort.flop
    seconds = effort.seconds
    if seconds is None and analog_time is not None:
        seconds = analog_time * float(device.time_constant)
    *sent, read = _moved(device, effort)
    digital = digital_item(f"digital work ({machine.name})", flop, machine)
    return [digital, *sent, *_relaxed(device, analog_time, seconds, effort), read]


def _moved(device: Device, effort: Effort) -> list[Item]:
    """What numbers take on their way to the device and back: transfer, writing, converting there, converting back."""
    hardware, costs = device.hardware, device.hardware.costs
    counts = parts(device)
    resistors, cells, channels = counts["array_resistor"], device.cells, counts["dac"]
    rounds = {"one": resistors, "row": -(-resistors // cells), "all": 1}[costs.buses]
    programs, reads = effort.programs, effort.reads
    words = round(programs * resistors + reads * (channels + cells))
    bits = programs * resistors * _bits(hardware)
    bits += reads * (channels * (hardware.dac.bits or 64) + cells * (hardware.adc.bits or 64))
    inverse = Priced(costs, "transfer_rate", bits, divided=True)
    return [
        _item("transfer", f"transfer of {words} words", inverse, Priced(costs, "transfer_energy", bits)),
        _item(
            "program",
            f"writing {resistors} resistors{_often(programs)}",
            Priced(costs, "write_time", rounds * programs),
            Priced(costs, "write_energy", resistors * programs),
        ),
        _item(
            "convert",
            f"{channels} DACs{_often(reads)}",
            Priced(costs, "dac_time", reads),
            Priced(costs, "dac_energy", channels * reads),
        ),
        _item(
            "convert",
            f"{cells} ADCs{_often(reads)}",
            Priced(costs, "adc_time", reads),
            Priced(costs, "adc_energy", cells * reads),
        ),
    ]


def _relaxed(device: Device, analog_time: float | None, seconds: float | None, effort: Effort) -> list[Item]:
    """What the array takes while it relaxes: its resistors and outputs, and the amplifiers' own power meanwhile."""
    amplifiers = parts(device).get("amplifier", 0)
    static = f"static power of {amplifiers} amplifiers meanwhile"
    if seconds is None:
        unknown = Item("relaxing", None, None, NEVER, ("analog_time",), "settle")
        lacks = () if device.hardware.costs.amplifier_power else ("costs.amplifier_power",)
        return [unknown, Item(static, 0.0, None, NEVER, ("analog_time", *lacks), "static")][: 1 + bool(amplifiers)]
    power = float(output_power(device, device.at_rest()[None])[0])
    span = seconds * effort.reads
    time = f"{analog_time:g} τ" if effort.seconds is None else f"{seconds:.3g} s"
    found = [Item(f"relaxing for {time}{_often(effort.reads)}", span, power * span, part="settle")]
    if amplifiers:
        found.append(
            _item("static", static, Priced(), Priced(device.hardware.costs, "amplifier_power", amplifiers * span))
        )
    return found


NEVER = "analog_time: the array is read at rest, and nobody says when that is; give it in τ, as 6"


@dataclass(frozen=True)
class Priced:
    """So many times a field of a hardware's costs, or that count divided by it."""

    costs: Costs | None = None
    field: str = ""
    count: float = 0.0
    divided: bool = False

    @property
    def value(self) -> float:
        """Raises InputError where the field is not given. Nothing takes nothing."""
        if not self.count or self.costs is None:
            return 0.0
        known = self.costs.known(self.field)
        return self.count / known if self.divided else self.count * known


def _item(part: Part, name: str, seconds: Priced, joules: Priced) -> Item:
    values: list[float | None] = []
    missing, lacks = "", []
    for price in (seconds, joules):
        try:
            values.append(price.value)
        except InputError as error:
            values.append(None)
            lacks.append(f"costs.{price.field}")
            missing = missing or str(error)
    return Item(name, values[0], values[1], missing, tuple(lacks), part)


def _often(count: float) -> str:
    return "" if count == 1 else f", {count:.3g} times"


def total(items: list[Item], name: str = "together") -> Item:
    """The sum; its time or energy is known where that of each part is."""
    missing = next((item.missing for item in items if item.missing), "")
    lacks = tuple(dict.fromkeys(field for item in items for field in item.lacks))
    return Item(name, _sum([i.seconds for i in items]), _sum([i.joules for i in items]), missing, lacks)


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def solve_time(device: Device, seconds: Array, solves: Array, programs: Array) -> Array:
    """What solutions take on a device, without digital work: writing, transfers, converting, relaxing.

    Args:
        seconds: that the array relaxes for a solve, (samples,).
        solves: on the device for each solution, (samples,).
        programs: how often the resistors are set for each, (samples,).

    Returns:
        s, (samples,).

    Raises:
        InputError: the hardware description lacks a time.
    """
    return _paid(device, "seconds", solves, programs) + solves * seconds


def solve_energy(device: Device, volts: Array, seconds: Array, solves: Array, programs: Array) -> Array:
    """What they take from the supplies, J, (samples,). See ``solve_time``.

    Args:
        volts: of the cells at rest, (samples, n).

    Raises:
        InputError: the hardware description lacks an energy or the amplifiers' power.
    """
    amplifiers = parts(device).get("amplifier", 0)
    static = amplifiers * device.hardware.costs.known("amplifier_power") if amplifiers else 0.0
    return _paid(device, "joules", solves, programs) + solves * seconds * (static + output_power(device, volts))


def _paid(device: Device, measure: Literal["seconds", "joules"], solves: Array, programs: Array) -> Array:
    """Of writing and of converting, with the transfer that each needs."""
    found = []
    for effort in (Effort(programs=1, reads=0), Effort(programs=0, reads=1)):
        items = _moved(device, effort)
        if lacking := [item.missing for item in items if getattr(item, measure) is None]:
            raise InputError(lacking[0])
        found.append(getattr(total(items), measure))
    written, read = found
    return np.asarray(programs * written + solves * read)


def landauer(device: Device) -> float:
    """kT ln 2 for each bit of the solution that is read, J: the least that erasing them takes (Landauer 1961)."""
    hardware = device.hardware
    return device.cells * (hardware.adc.bits or 64) * Boltzmann * hardware.temperature * log(2)


def _bits(hardware: Hardware) -> float:
    """Of the word that sets one resistor."""
    grid = hardware.array.grid
    return 64.0 if grid is None else float(max(1, (len(grid) - 1).bit_length()))

"""What a nominal board does, and how its solution follows every kind of parts: the gradients that a design goes by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from experiments.design.choices import Choice, Structure, Table, board_document, celsius, changes_of, told
from experiments.sweeps.config import Workload
from experiments.sweeps.workloads import systems_of
from netlists.board import Board
from netlists.device import Device, batch_of, program_array, stacked
from netlists.ledger import junction_rise, output_power, parts
from solvers.behaviour import Question, in_network
from solvers.boards import Boards
from solvers.digital import Digital
from solvers.ideal import IdealLaw
from solvers.network import Network
from solvers.sensitivity import adjoint_of
from spu_circuit.converters import quantize
from spu_circuit.documents import from_document, merged
from spu_circuit.errors import InputError, SimulationError
from spu_circuit.hardware import Converter, Hardware
from spu_circuit.problem import LinearSystem
from spu_circuit.sampling import corners
from spu_circuit.several import Several

Array = NDArray[np.float64]

FINE = 32
"""Bits of converters that round nothing."""


@dataclass(frozen=True)
class Range:
    """Full scales of DAC and ADC, V, and resolutions of the DACs that have theirs."""

    dac: float
    adc: float
    resolutions: tuple[int, ...]


@dataclass(frozen=True)
class Asked:
    """What is asked of the boards of one array and one op-amp.

    Args:
        base: the hardware description that is changed.
        amplifier: not yet warm.
        others: parts beside them, of which the nominal values count.
        capacitances: F.
        temperature: of the air, K.
        floor: relative error of an array that nothing else adds to, above which its boards are of no use.
    """

    workload: Workload
    base: Table
    structure: Structure
    amplifier: Choice
    others: tuple[Choice, ...]
    ranges: tuple[Range, ...]
    capacitances: tuple[float, ...]
    settling_error: float
    temperature: float
    floor: float


@dataclass(frozen=True)
class Nominal:
    """A board with nominal parts and converters that round nothing.

    Args:
        kinds: of parts by which derivatives are; of non-linearities by a deviation as large as the whole range.
        squares: kind → ‖∂x/∂p‖² over ‖x‖², summed over its parts, (kinds,).
        cross: tr(S_j S_k) of ``S_k = J_kᵀ J_k / ‖x‖²``, (kinds, kinds).
        offsets: bits of the DAC → μ, what is off without any deviation: ``‖μ‖²``, and ``μᵀ S_k μ``, (kinds,).
        counts: parts on the board of each place.
        output_power: of outputs and DACs, W.
        rise: of the hottest junctions, K.
        peak: largest |V| of any output, V; ``driven``: of any DAC.
        current: largest into a capacitor when a solve begins, A.
        seconds: settling time with each capacitance, s.
        values: of the array's resistors, Ω.
    """

    structure: Structure
    amplifier: str
    range: Range
    kinds: tuple[str, ...]
    squares: Array
    cross: Array
    offsets: dict[int, tuple[float, Array]]
    counts: dict[str, int]
    output_power: float
    rise: float
    peak: float
    driven: float
    current: float
    seconds: tuple[float, ...]
    values: Array


def examined(asked: Asked) -> list[Nominal]:
    """The boards of one array and one op-amp, one for each pair of full scales; none where they hold no solution."""
    (system,) = systems_of(asked.workload)
    with threadpool_limits(1, user_api="blas"):
        try:
            return _examined(asked, system)
        except (InputError, SimulationError):
            return []  # the array cannot hold the matrix, or such a board has no operating point


def _examined(asked: Asked, system: LinearSystem) -> list[Nominal]:
    exact = Digital("cholesky").solve(system).value
    hardware = _hardware(asked)
    array = stacked([program_array(system, hardware)])
    table = program_array(system, hardware).circuit(hardware)
    board = Board(hardware, table)
    prepared = IdealLaw().prepare(board)
    ideal = prepared.program(array, None)
    devices = [
        Boards(_ranging(hardware, each), Several((system,)), array, board, None, prepared, ideal)
        .read(system.b[None], inf, None, [0])
        .device[0]
        for each in asked.ranges
    ]
    rest = devices[0].at_rest() * devices[0].unknowns_per_volt
    if float(np.linalg.norm(rest - exact)) > asked.floor * float(np.linalg.norm(exact)):
        return []
    # Small signals: the limits of an amplifier's output are what ranging stays below.
    straight = hardware.model_copy(
        update={"amplifier": hardware.amplifier.model_copy(update={"rail": None, "current_limit": None})}
    )
    first = replace(devices[0], hardware=straight)
    own = Board(straight, first.circuit)
    adjoint = adjoint_of(Network().prepare(own).program(first.array), batch_of(first))
    slopes = adjoint.derivatives(own, np.diag(first.unknowns_per_volt)[None]).parts
    unit = float(np.linalg.norm(exact))
    found = {kind: of_kind[0] / unit for kind, of_kind in slopes.items()}
    away = (adjoint.volts[0] * first.unknowns_per_volt - exact) / unit
    seconds = tuple(_settling(first, value, asked.settling_error) for value in asked.capacitances)
    return [
        _nominal(asked, device, each, found, away, float(device.volts_per_unit / first.volts_per_unit), seconds)
        for device, each in zip(devices, asked.ranges, strict=True)
    ]


def _nominal(
    asked: Asked,
    device: Device,
    own: Range,
    slopes: dict[str, Array],
    away: Array,
    larger: float,
    seconds: tuple[float, ...],
) -> Nominal:
    """Of one pair of full scales.

    Args:
        slopes: kind → (parts, n), by relative deviations and volts at another voltage scale.
        away: what is off without any deviation, (n,), relative to ‖x‖.
        larger: this device's voltage scale over the other one.
    """
    volts = device.at_rest()
    found = {
        kind: of_kind / (larger if kind.endswith("offset") else 1.0)
        for kind, of_kind in slopes.items()
        if not kind.endswith(("inl", "dnl"))
    }
    for converter, at, full_scale in (("dac", device.dac_volts, own.dac), ("adc", volts, own.adc)):
        whole = 2 * full_scale * found[f"{converter}_offset"]
        found |= {f"{converter}_inl": whole * (1 - (at / full_scale) ** 2)[:, None], f"{converter}_dnl": whole}
    gram = np.stack([of_kind.T @ of_kind for of_kind in found.values()])
    flat = gram.reshape(len(gram), -1)
    offsets = {}
    for bits in own.resolutions:
        rounded, _ = quantize(device.dac_volts, Converter(bits=bits, full_scale=own.dac))
        off = away + (rounded - device.dac_volts) @ found["dac_offset"]
        offsets[bits] = float(off @ off), np.einsum("i,kij,j->k", off, gram, off)
    held = np.concatenate([value.ravel() for value in device.array.values().values()])
    counts = {**parts(device), "adc": device.cells}
    if not asked.structure.programmable:
        counts["array_resistor"] = int(np.isfinite(held).sum())
    return Nominal(
        asked.structure,
        asked.amplifier.name,
        own,
        tuple(found),
        np.trace(gram, axis1=1, axis2=2),
        flat @ flat.T,
        offsets,
        counts,
        float(output_power(device, volts[None])[0]),
        float(junction_rise(device, volts[None])[0]),
        float(np.abs(device.array.outputs(volts)).max()),
        float(np.abs(device.dac_volts).max()),
        float(np.abs(device.input_rate).max()) * device.hardware.cell.capacitance,
        seconds,
        held[np.isfinite(held)],
    )


def _settling(device: Device, capacitance: float, error: float) -> float:
    """Seconds; infinite where the board oscillates."""
    cell = device.hardware.cell.model_copy(update={"capacitance": capacitance})
    own = replace(device, hardware=device.hardware.model_copy(update={"cell": cell}))
    board = Board(own.hardware, own.circuit)
    nominal = corners(own.hardware.variation, own.hardware.temperature, board.places, {"temperature": np.zeros((1, 1))})
    found = in_network(Network().prepare(board), own, nominal, Question(inf, error))
    return inf if found.unstable[0] else float(found.settling_seconds[0])


def _ranging(hardware: Hardware, own: Range) -> Hardware:
    dac, adc = (Converter(bits=FINE, full_scale=full_scale) for full_scale in (own.dac, own.adc))
    return hardware.model_copy(update={"dac": dac, "adc": adc})


def _hardware(asked: Asked) -> Hardware:
    """With the first range, and nothing that varies."""
    first = asked.ranges[0]
    more: dict[str, Any] = {
        "dac": {"bits": FINE, "full_scale": told(first.dac, "V")},
        "adc": {"bits": FINE, "full_scale": told(first.adc, "V")},
        "temperature": celsius(asked.temperature),
    }
    changes = changes_of((asked.amplifier, *asked.others), asked.structure)
    document = board_document(asked.base, merged(changes, more))
    return from_document(Hardware, document | {"variation": {}}, "design")


def ranges_of(dacs: Sequence[Choice], adcs: Sequence[Choice]) -> tuple[Range, ...]:
    """Every pair of full scales that converters have."""
    resolutions: dict[float, set[int]] = {}
    for choice in dacs:
        resolutions.setdefault(choice.number, set()).add(choice.bits)
    return tuple(
        Range(dac, adc, tuple(sorted(bits)))
        for dac, bits in sorted(resolutions.items())
        for adc in sorted({choice.number for choice in adcs})
    )

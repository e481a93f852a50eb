"""Devices that many tests use, and how they are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.shared.systems import dominant_system, ggn_system, spd_system
from netlists.board import Board
from netlists.device import Device, batch_of, load, program_array, stacked
from netlists.elements import ElementTable
from solvers.engine import Engine, Reading
from solvers.network import Network
from solvers.network.programmed import ProgrammedNetwork
from spu_circuit.amplifier import Amplifier
from spu_circuit.hardware import Hardware, Noise, load_hardware
from spu_circuit.problem import GgnSystem, System
from spu_circuit.sampling import Parts, Samples, Sampling, draw
from spu_circuit.variation import Variation

Array = NDArray[np.float64]

REAL = Amplifier(model="macromodel", dc_gain=2e4, offset="2 mV", gain_bandwidth="20 MHz", output_resistance=20.0)
"""Amplifiers whose every linear imperfection shows."""
_plain = ggn_system(4, 7, 0.3)
_root = np.random.default_rng(5).normal(size=(4, 3))
_hessian = GgnSystem(_plain.B, _plain.damping, _plain.gradient, _root @ _root.T)
_factored = load_hardware("factored")
_real = _factored.model_copy(update={"amplifier": REAL})
_noisy = load_hardware("bench").model_copy(update={"amplifier": Amplifier(model="ideal"), "noise": Noise(thermal=True)})


@dataclass(frozen=True)
class Case:
    """A device of each topology and kind of amplifier: a system on a hardware, at a voltage scale that fits it."""

    name: str
    hardware: Hardware
    system: System
    scale: float

    def device(self, scale: float = 1.0) -> Device:
        """With charges of both signs."""
        state = np.linspace(-1, 1, len(self.system.b))
        return load(program_array(self.system, self.hardware), self.system.b, self.hardware, scale * self.scale, state)

    def changed(self, **update: object) -> "Case":
        return Case(self.name, self.hardware.model_copy(update=update), self.system, self.scale)


CASES = (
    *(Case(name, load_hardware(name), spd_system(6, 8), 0.2) for name in ("ideal", "paper", "bench", "rram", "vendor")),
    Case("noisy", _noisy, spd_system(6, 8), 0.2),
    Case("passive", load_hardware("passive"), dominant_system(5, 8), 0.05),
    Case("factored", _factored, _plain, 0.1),
    Case("factored, real amplifiers", _real, _plain, 0.1),
    Case("three arrays", _factored, _hessian, 0.1),
    Case("three arrays, real amplifiers", _real, _hessian, 0.1),
)
"""One of each."""


def _sigma(tolerance: str) -> dict[str, str]:
    return {"tolerance": tolerance, "meaning": "sigma"}


SPREAD = {
    "array_resistor": {"lot": _sigma("1 %"), "local": _sigma("1 %"), "temperature_coefficient": "50 ppm/K"},
    "input_resistor": {"local": _sigma("1 %")},
    "capacitor": {"local": _sigma("2 %")},
    "dac_gain": {"local": _sigma("0.5 %")},
    "dac_offset": {"local": _sigma("1 mV")},
    "temperature": _sigma("20 K"),
}
"""What every board can vary by."""


def varied(hardware: Hardware) -> Hardware:
    """All that a hardware has varies: its amplifiers, inverting and summing resistors too; some resistors are stuck."""
    spread: dict[str, object] = dict(SPREAD)
    if hardware.topology != "passive":
        amplifier = hardware.amplifier
        spread["inverter_resistor"] = {"local": _sigma("1 %")}
        spread["array_resistor"] = {**SPREAD["array_resistor"], "stuck_open": 0.02, "stuck_closed": 0.005}
        widths = {"gain": "10 %", "offset": "1 mV", "bandwidth": "10 %"}
        spread |= {f"amplifier_{name}": {"local": _sigma(widths[name])} for name in amplifier.varying if name in widths}
    if hardware.topology == "factored":
        spread["summing_resistor"] = {"local": _sigma("1 %")}
    return hardware.model_copy(update={"variation": Variation.model_validate(spread)})


def board_of(device: Device) -> Board:
    return Board(device.hardware, device.circuit)


def samples_of(board: Board, count: int, seed: int = 0) -> Samples:
    hardware = board.hardware
    return draw(hardware.variation, hardware.temperature, board.places, range(count), Sampling(seed=seed))


def chosen(samples: Samples, which: list[int]) -> Samples:
    """Some of a batch."""
    return Samples(
        {kind: values[which] for kind, values in samples.relative.items()},
        {kind: values[which] for kind, values in samples.absolute.items()},
        *(own[which] for own in (samples.open, samples.closed, samples.temperature, samples.weights)),
    )


def read_one(engine: Engine, device: Device, seconds: float, seed: int = 0) -> Reading:
    """What an engine reads of one device."""
    programmed = engine.prepare(board_of(device)).program(stacked([device.array]), None)
    return programmed.read(batch_of(device), np.array([seconds]), np.array([seed]))


def volts_of(engine: Engine, device: Device, seconds: float, seed: int = 0) -> Array:
    return read_one(engine, device, seconds, seed).volts[0]


def programmed_of(device: Device, engine: Network | None = None) -> ProgrammedNetwork:
    found = (engine or Network(linearise=True)).prepare(board_of(device)).program(stacked([device.array]), None)
    assert isinstance(found, ProgrammedNetwork)
    return found


def table_of(board: Board, device: Device, samples: Samples, which: int) -> ElementTable:
    """The circuit of one sample of a device."""
    values = {key: np.atleast_2d(value) for key, value in device.array.values().items()}
    inputs = {key: np.atleast_2d(value) for key, value in device.inputs.items()}
    one = samples[which]
    own = {**board.values(one, values), **board.inputs(one, inputs)}
    return device.circuit.filled({key: np.asarray(value)[0] for key, value in own.items()})


def quiet(hardware: Hardware) -> Hardware:
    return hardware.model_copy(update={"noise": Noise(thermal=False)})


def relative(value: Array, reference: Array) -> float:
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))


def bench_of(hardware: Hardware, places: Mapping[str, Parts]) -> Any:
    """What analyses draw samples by, of parts that belong to no circuit: those at ``places``."""
    return SimpleNamespace(device=SimpleNamespace(hardware=hardware), board=SimpleNamespace(places=places))

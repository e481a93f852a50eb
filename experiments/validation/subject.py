"""A setup made: its devices, and each engine's law of them."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from experiments.validation.evidence import Check
from experiments.validation.setups import Setup, random_system
from netlists.board import Board
from netlists.device import Device, batch_of, load, program_array, voltage_limits
from solvers.amplifier_noise import with_noise
from solvers.ideal import law_of
from solvers.network import Network, state_space
from solvers.network.by_text import space_of
from solvers.network.state_space import StateSpace
from solvers.ngspice import Ngspice
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from spu_circuit.hardware import Noise
from spu_circuit.problem import GgnSystem, LinearSystem, System

Array = NDArray[np.float64]

SWING = 0.25
"""Largest settled voltage, as a share of what the amplifiers can drive, or of a volt where they have no rails."""
READOUT_BANDWIDTH = 1e7
"""Hz, of whoever reads outputs whose noise has no other bound."""


def with_hessian(system: LinearSystem, seed: int) -> GgnSystem:
    """The same matrix as ``JᵀHJ + λI`` with a random positive definite H."""
    folded = system.factored()
    rows = len(folded.B)
    root: Array = np.eye(rows) + np.random.default_rng(seed).uniform(0, 1 / rows, (rows, rows))
    J = np.asarray(np.linalg.solve(root.T, folded.B), dtype=np.float64)
    return GgnSystem(J, folded.damping, folded.gradient, root @ root.T)


@dataclass(frozen=True)
class Subject:
    """A setup made: devices, laws and engines, each computed once.

    Args:
        spice: runs the circuits.
    """

    setup: Setup
    spice: Ngspice = field(default_factory=Ngspice)

    @cached_property
    def system(self) -> System:
        setup = self.setup
        system = random_system(setup.topology, setup.cells, setup.condition, setup.seed)
        return with_hessian(system, setup.seed) if setup.hessian else system

    @cached_property
    def device(self) -> Device:
        """At a quarter of its range when settled, from initial charges that no mode is blind to."""
        hardware, b = with_noise(self.setup.hardware), self.system.b
        array = program_array(self.system, hardware)
        if self.setup.alteration is not None:
            array = self.setup.alteration.apply(array)
        rest = np.linalg.solve(array.matrix, array.scaling * b)
        largest = float(np.abs(rest).max())
        limit = min(1.0, float(voltage_limits(array, hardware).min()))
        start = array.scaling * np.linspace(-largest, largest, self.setup.cells) if self.setup.cells > 1 else None
        return load(array, b, hardware, SWING * limit / largest, start)

    @cached_property
    def quiet(self) -> Device:
        """The device without noise."""
        return replace(
            self.device, hardware=self.device.hardware.model_copy(update={"noise": Noise(thermal=False, injected=0.0)})
        )

    @cached_property
    def law(self) -> OrnsteinUhlenbeck:
        """Of ideal amplifiers: the engine ``sde``."""
        return law_of(self.device)

    @cached_property
    def space(self) -> StateSpace:
        """The circuit itself, from its blocks: the engine ``network``."""
        return state_space(self.device, Network(linearise=not self.linear))

    @cached_property
    def text(self) -> StateSpace:
        """The circuit as its deck has it, element by element: the oracle of the blocks."""
        hardware = self.device.hardware
        temperature = hardware.temperature if hardware.noise.thermal else None
        return space_of(self.device.circuit, temperature, not self.linear, self.readout_bandwidth)

    @property
    def amplifiers_are_ideal(self) -> bool:
        return self.device.hardware.topology == "passive" or self.device.hardware.amplifier.is_ideal

    @property
    def linear(self) -> bool:
        amplifier = self.device.hardware.amplifier
        return self.amplifiers_are_ideal or amplifier.kind.linear(amplifier)

    @property
    def law_is_exact(self) -> bool:
        """Engine ``sde`` knows everything in the circuit: no amplifier that is not ideal, and no wire."""
        return self.amplifiers_are_ideal and self.setup.hardware.array.wire_resistance == 0

    @property
    def noise_is_bounded(self) -> bool:
        """No noise goes straight to the outputs, so variances are finite without a band."""
        amplifier = self.device.hardware.amplifier
        return self.amplifiers_are_ideal or (amplifier.library_text is None and amplifier.output_resistance == 0)

    @property
    def time_constant(self) -> float:
        """τ of the device, s."""
        return float(self.device.time_constant)

    @property
    def readout_bandwidth(self) -> float | None:
        """Hz, where variances need one."""
        return None if self.noise_is_bounded else READOUT_BANDWIDTH

    def read(self, device: Device, time: float, seeds: NDArray[Any]) -> Array:
        """What the engine ``network`` reads after a time, in τ, of as many equal devices as there are seeds, V."""
        engine = Network(linearise=not self.linear, readout_bandwidth=self.readout_bandwidth)
        batch = batch_of(device, len(seeds))
        programmed = engine.prepare(Board(device.hardware, device.circuit)).program(batch.array)
        return programmed.read(batch, np.full(len(seeds), time * device.time_constant), seeds).volts

    @property
    def rates(self) -> tuple[float, float]:
        """Slowest and fastest of the ideal law, 1/s."""
        return float(np.min(np.real(self.law.rates))), float(np.abs(self.law.rates).max())

    def check(
        self,
        agreement: str,
        quantity: str,
        engines: tuple[str, str],
        difference: float,
        bound: float,
        reason: str,
        *,
        time: float | None = None,
        unit: Literal["relative", "standard errors"] = "relative",
    ) -> Check:
        """A verdict on this device.

        Args:
            engines: whose number it is, and whose the reference is.
            time: in units of τ.
        """
        seconds = None if time is None else time * self.time_constant
        return Check(self.setup, agreement, quantity, *engines, difference, bound, reason, unit, time, seconds)

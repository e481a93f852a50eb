"""The devices on which engines are compared, as data: a topology, a preset or a size more is a line more."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from experiments.shared.systems import dominant_system, spd_system
from experiments.validation.alterations import ROTATION, SHEAR, Alteration, mismatch
from spu_circuit.hardware import Hardware, Noise, load_hardware
from spu_circuit.problem import LinearSystem

SYSTEMS: dict[str, Callable[[int, float, int], LinearSystem]] = {"passive": dominant_system}
"""Which systems a topology is given; any symmetric positive definite one where it is not named."""


def random_system(topology: str, cells: int, condition: float, seed: int) -> LinearSystem:
    """A system that the topology can hold."""
    return SYSTEMS.get(topology, spd_system)(cells, condition, seed)


@dataclass(frozen=True)
class Setup:
    """A device to compare engines on.

    Args:
        topology: takes the place of the preset's own.
        preset: of the hardware.
        cells, condition: of the random system.
        times: of the transients, in units of τ, ascending.
        hessian: a factored array has a third array, for the Hessian.
        parasitic: wires of 2 Ω a segment, capacitors that leak through 50 kΩ, unused resistors of 1 µS.
        injected: √κ₀, V.
        thermal: takes the place of the preset's own.
        alteration: what happens to the resistors after programming.
        samples: of the voltages in noisy transients; 0: none are run.
        closed: closed forms for this very setup, by their name in ``CLOSED_FORMS``.
        full: only with ``--full``.
    """

    topology: str
    preset: str
    cells: int
    condition: float
    times: tuple[float, ...] = ()
    hessian: bool = False
    parasitic: bool = False
    injected: float = 0.0
    thermal: bool | None = None
    alteration: Alteration | None = None
    samples: int = 0
    closed: str = ""
    seed: int = 0
    full: bool = False

    @property
    def hardware(self) -> Hardware:
        preset = load_hardware(self.preset)
        thermal = preset.noise.thermal if self.thermal is None else self.thermal
        update: dict[str, Any] = {"topology": self.topology}
        update["noise"] = Noise(thermal=thermal, injected=self.injected)
        if self.parasitic:
            floor = max(preset.array.G_min, 1e-6)
            array = {"wire_resistance": 2.0, "off_conductance": 1e-6, "G_min": floor, "bits": None}
            update["array"] = preset.array.model_copy(update=array)
            update["cell"] = preset.cell.model_copy(update={"leakage_resistance": 50e3})
        return preset.model_copy(update=update)

    @property
    def device(self) -> str:
        """The hardware in words: preset, topology where that is not its own or op-amp integrators, and what is odd."""
        name = self.preset if self.topology in (self.preset, "active") else f"{self.preset}, {self.topology}"
        odd = [*["Hessian"] * self.hessian, *["wires, leakage, off-conductance"] * self.parasitic]
        return " with ".join([name, *odd])

    @property
    def matrix(self) -> str:
        """The system in words."""
        what = self.alteration.name if self.alteration else f"condition {self.condition:g}".replace("e+0", "e")
        return f"{self.cells} cell{'s' * (self.cells > 1)}, {what}"

    @property
    def name(self) -> str:
        """All of it in words; chooses nothing."""
        noise = self.hardware.noise
        noises = " + ".join(["thermal"] * noise.thermal + ["injected"] * (noise.injected > 0)) or "no"
        return f"{self.device}, {self.matrix}, {noises} noise"

    def columns(self) -> dict[str, Any]:
        """What a table says of it, in SI."""
        noise = self.hardware.noise
        return {
            "topology": self.topology,
            "preset": self.preset,
            "cells": self.cells,
            "condition": float(self.condition),
            "alteration": self.alteration.name if self.alteration else "",
            "hessian": self.hessian,
            "parasitic": self.parasitic,
            "thermal": noise.thermal,
            "injected": noise.injected,
            "seed": self.seed,
        }


SETUPS: tuple[Setup, ...] = (
    Setup("active", "ideal", 4, 10, (0.5, 2.0, 10.0), closed="x = A⁻¹b"),
    Setup("active", "ideal", 16, 100, (0.5, 10.0), closed="x = A⁻¹b"),
    Setup("active", "ideal", 64, 10, (2.0,), closed="x = A⁻¹b"),
    Setup("active", "ideal", 8, 1e4, (0.5, 10.0), closed="x = A⁻¹b"),
    Setup("active", "ideal", 8, 1e6, (0.5,), closed="x = A⁻¹b"),
    Setup("active", "ideal", 2, 2, (0.5, 2.0), injected=1e-3, alteration=ROTATION, closed="Van Loan", samples=300),
    Setup("active", "ideal", 2, 2, (0.5, 5.0), thermal=True, alteration=SHEAR),
    Setup("active", "paper", 8, 8, (0.5, 2.0, 8.0), samples=600),
    Setup("active", "paper", 6, 20, (2.0,), alteration=mismatch(0.2), samples=300),
    Setup("active", "paper", 6, 8, (2.0,), injected=1e-3, thermal=False, closed="κ₀ A⁻¹", samples=300),
    Setup("active", "paper", 8, 1e3, (10.0,)),
    Setup("active", "paper", 1, 1, (1.0,), closed="(kT/C)(1 + G_in/G)"),
    Setup("active", "bench", 6, 8, (0.5, 3.0)),
    Setup("active", "rram", 4, 3, (0.5, 3.0), samples=300),
    Setup("passive", "passive", 5, 8, (0.5, 3.0), closed="2kT/C", samples=300),
    Setup("passive", "passive", 12, 50, (2.0,)),
    Setup("factored", "ideal", 6, 100, (0.5, 5.0), closed="x = A⁻¹b"),
    Setup("factored", "factored", 5, 8, (0.5, 2.0), hessian=True, samples=300),
    Setup("factored", "bench", 4, 4, (0.5, 3.0)),
    Setup("active", "vendor", 4, 4, (0.5, 3.0)),
    Setup("active", "paper", 4, 4, (0.5, 3.0), parasitic=True),
    Setup("factored", "factored", 4, 4, (0.5, 3.0), parasitic=True),
    Setup("passive", "passive", 4, 4, (0.5, 3.0), parasitic=True),
    *(
        Setup("active", "ideal", size, condition, times, closed="x = A⁻¹b", seed=1, full=True)
        for size in (4, 16, 64)
        for condition, times in ((2.0, (0.5, 2.0, 10.0)), (100.0, (0.5, 2.0, 10.0)), (1e4, (0.5, 2.0)), (1e6, (0.1,)))
        if not (size == 64 and condition > 100)
    ),
    Setup("active", "ideal", 64, 1e6, full=True),
    Setup("active", "ideal", 128, 100, (0.5,), full=True),
    Setup("active", "ideal", 2, 2, (2.0,), thermal=True, alteration=ROTATION, samples=2000, full=True),
    Setup("active", "ideal", 2, 2, (2.0,), injected=1e-3, alteration=SHEAR, samples=2000, full=True),
    Setup("active", "paper", 16, 10, (0.5, 5.0), injected=1e-4, samples=500, seed=1, full=True),
    Setup("active", "paper", 32, 8, (2.0,), seed=1, full=True),
    Setup("active", "paper", 8, 8, (0.5, 2.0), alteration=mismatch(0.05), samples=3000, seed=1, full=True),
    Setup("active", "paper", 8, 1e4, (2.0,), seed=1, full=True),
    Setup("active", "bench", 16, 8, (0.5, 3.0), seed=1, full=True),
    Setup("active", "bench", 4, 8, (2.0,), alteration=mismatch(0.1), seed=1, full=True),
    Setup("active", "rram", 8, 2, (2.0,), samples=2000, seed=1, full=True),
    Setup("factored", "factored", 12, 100, (0.5, 5.0), seed=1, full=True),
    Setup("factored", "ideal", 12, 1e5, (0.5,), hessian=True, seed=1, full=True),
    Setup("passive", "passive", 12, 10, (0.5, 3.0), samples=500, seed=1, full=True),
    Setup("passive", "passive", 8, 8, (2.0,), injected=2e-6, samples=2000, seed=1, full=True),
)

"""A device's amplifiers as a subcircuit with the pins plus, minus and output.

Samples of a device differ by its parameters: ``offset`` and ``bias`` add, in volts and amperes; ``gain`` and
``bandwidth`` multiply. ``start`` is the output voltage at time 0 of a transient that uses initial conditions.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netlists.spice import empty_subcircuit
from spu_circuit.amplifiers.subckt import SUPPLIES
from spu_circuit.hardware import Hardware

if TYPE_CHECKING:
    from PySpice.Spice.Netlist import Circuit

NAME = "spu_amplifier"
ADDING = ("offset", "bias")
"""Parameters that add to a value of the amplifier; others multiply it."""


@dataclass(frozen=True)
class AmplifierCircuit:
    """The subcircuit of a device's amplifiers.

    Args:
        hardware: whose amplifiers they are.
    """

    hardware: Hardware

    name = NAME

    @property
    def parameters(self) -> tuple[str, ...]:
        """What instances differ by, ``start`` included."""
        return ("start", *self.hardware.amplifier.varying)

    @property
    def silent(self) -> frozenset[str]:
        """Subcircuits of a library, for whose parts' noise sources at the input stand."""
        amplifier = self.hardware.amplifier
        return frozenset() if amplifier.library_text is None else frozenset({str(amplifier.subcircuit).lower()})

    def define(self, circuit: "Circuit", noise_hold: float | None = None) -> None:
        """Put the subcircuit into a circuit, with the library and the supplies that it needs.

        Args:
            noise_hold: see ``AmplifierModel.lines``.
        """
        amplifier = self.hardware.amplifier
        unchanged = {name: 0.0 if name in ADDING else 1.0 for name in amplifier.varying}
        own = empty_subcircuit(NAME, "plus", "minus", "output", start=0.0, **unchanged)
        temperature = self.hardware.temperature if self.hardware.noise.thermal else None
        own.raw_spice = "\n".join(amplifier.kind.lines(amplifier, temperature, noise_hold))
        circuit.subcircuit(own)
        if amplifier.library_text is None:
            return
        circuit.raw_spice += amplifier.library_text + "\n"
        if amplifier.supply is not None:
            circuit.raw_spice += f".global {' '.join(node for node, _ in SUPPLIES.values())}\n"
            for node, sign in SUPPLIES.values():
                circuit.V(node, node, circuit.gnd, raw_spice=f"DC {sign * amplifier.supply!r}")

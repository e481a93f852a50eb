"""What a topology returns: a circuit, and where to look in it."""

from dataclasses import dataclass

from PySpice.Spice.Netlist import Circuit


@dataclass(frozen=True)
class Netlist:
    """A PySpice circuit with its ports.

    Args:
        circuit: all elements, values in SI.
        outputs: node names of the cell voltages, in the order of the unknowns.
        stimulus: name of the first input source, the reference of ``.noise``.
        notes: lines that tell a reader of the deck hardware, scales and units.
        noise_currents: nodes into which white noise flows beside that of the resistors; one-sided densities, A²/Hz.
    """

    circuit: Circuit
    outputs: tuple[str, ...]
    stimulus: str
    notes: tuple[str, ...]
    noise_currents: tuple[tuple[str, float], ...] = ()

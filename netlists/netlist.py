"""What a topology returns: a circuit, and where to look in it."""

from dataclasses import dataclass

from PySpice.Spice.Netlist import Circuit

Probe = str | tuple[str, str]
"""A node, or a pair of nodes whose voltage difference is meant."""


@dataclass(frozen=True)
class Netlist:
    """A PySpice circuit with its ports.

    Args:
        circuit: all elements, values in SI.
        outputs: of the cell voltages, in the order of the unknowns: a node, or a pair whose difference is meant.
        stimulus: name of the first input source, the reference of ``.noise``.
        notes: lines that tell a reader of the deck hardware, scales and units.
        lines: of all elements, where they are not those of ``circuit`` but of a drawn copy.
        noise_currents: nodes into which white noise flows beside that of the resistors; one-sided densities, A²/Hz.
        precharged: until time 0 a switch beside each capacitor that has an initial voltage holds it at that, and the
            rest of the circuit is at rest with it, as amplifiers are whose inner state only their model knows. When it
            opens, its current goes on through the capacitor, and the amplifiers take some 1/(2π GBW) to leave rest for
            the slope. False: every capacitor states its initial voltage, and nothing is at rest (SPICE's ``uic``).
    """

    circuit: Circuit
    outputs: tuple[Probe, ...]
    stimulus: str
    notes: tuple[str, ...]
    noise_currents: tuple[tuple[str, float], ...] = ()
    precharged: bool = False
    lines: tuple[str, ...] = ()

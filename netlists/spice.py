"""The circuits of PySpice, which is loaded when the first one is made: it takes half as long as all the rest.

Values that are no plain numbers go in as ``raw_spice``, which PySpice and its fork InSpice write alike: the fork puts
a "DC" of its own before the value of a source.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySpice.Spice.Netlist import Circuit, SubCircuit


def empty_circuit(title: str = "") -> "Circuit":
    from PySpice.Spice.Netlist import Circuit

    return Circuit(title)


def empty_subcircuit(name: str, *pins: str, **defaults: float) -> "SubCircuit":
    """Args: its pins, and its parameters with what they are where an instance does not say."""
    from PySpice.Spice.Netlist import SubCircuit

    return SubCircuit(name, *pins, **defaults)

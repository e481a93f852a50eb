"""Operational amplifiers as subcircuits with the pins (plus, minus, output) and a parameter ``start``.

``start`` is the output voltage at time 0 of a transient that uses initial conditions. Copies of a device differ by
further parameters: ``offset`` adds, in volts; ``gain`` and ``bandwidth`` multiply.
"""

from collections.abc import Callable
from math import pi

import numpy as np
from numpy.typing import NDArray
from PySpice.Spice.Netlist import SubCircuit

from spu_circuit.hardware import Amplifier

Array = NDArray[np.float64]

NAME = "opamp"
TRANSCONDUCTANCE = 1e-3
"""Input stage of the macromodel, S. Any value gives the same behaviour; 1 mS is an op-amp's order of magnitude."""


def ideal(amplifier: Amplifier) -> SubCircuit:
    """A voltage-controlled voltage source: V_out = A₀ (V_plus − V_minus)."""
    circuit = _subcircuit(gain=1.0)
    circuit.VCVS("out", "output", circuit.gnd, "plus", "minus", voltage_gain=f"{{{amplifier.dc_gain!r}*gain}}")
    return circuit


def macromodel(amplifier: Amplifier) -> SubCircuit:
    """One pole, offset, saturating output with series resistance.

    g_m into C_p with ``GBW = g_m / (2π C_p)`` and a noiseless load g_m / A₀; the output follows it as
    ``rail · tanh(v / rail)``. Without a gain-bandwidth product there is no capacitor, without a rail no saturation.
    """
    circuit = _subcircuit(offset=0.0, gain=1.0, bandwidth=1.0)
    ground = circuit.gnd
    circuit.V("offset", "shifted", "plus", f"DC {{{amplifier.offset!r}+offset}}")
    circuit.VCCS("input", ground, "pole", "shifted", "minus", transconductance=TRANSCONDUCTANCE)
    load = f"{{{TRANSCONDUCTANCE / amplifier.dc_gain!r}/gain}}"
    circuit.VCCS("load", "pole", ground, "pole", ground, transconductance=load)
    rail = amplifier.rail
    if amplifier.gain_bandwidth is not None:
        start = "start" if rail is None else f"{rail!r}*atanh(start/{rail!r})"
        pole = f"{{{TRANSCONDUCTANCE / (2 * pi * amplifier.gain_bandwidth)!r}/bandwidth}}"
        circuit.C("pole", "pole", ground, pole, raw_spice=f"ic={{{start}}}")
    behind = "source" if amplifier.output_resistance > 0 else "output"
    if rail is None:
        circuit.VCVS("out", behind, ground, "pole", ground, voltage_gain=1.0)
    else:
        circuit.B("out", behind, ground, voltage_expression=f"{rail!r}*tanh(V(pole)/{rail!r})")
    if amplifier.output_resistance > 0:
        circuit.R("out", behind, "output", amplifier.output_resistance)
    return circuit


MODELS: dict[str, Callable[[Amplifier], SubCircuit]] = {"ideal": ideal, "macromodel": macromodel}


def parameters(amplifier: Amplifier) -> dict[str, tuple[str, Callable[[Array, Array], Array]]]:
    """By which parameters copies of this amplifier differ: the element it changes, and how from nominal."""
    if amplifier.model == "ideal":
        return {"gain": ("Eout", np.multiply)}
    found: dict[str, tuple[str, Callable[[Array, Array], Array]]] = {
        "offset": ("Voffset", np.add),
        "gain": ("Gload", np.divide),
        "bandwidth": ("Cpole", np.divide),
    }
    return found if amplifier.gain_bandwidth is not None else {k: v for k, v in found.items() if k != "bandwidth"}


def _subcircuit(**defaults: float) -> SubCircuit:
    return SubCircuit(NAME, "plus", "minus", "output", start=0.0, **defaults)

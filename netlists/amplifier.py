"""Operational amplifiers as subcircuits with the pins (plus, minus, output) and a parameter ``start``.

``start`` is the output voltage at time 0 of a transient that uses initial conditions.
"""

from collections.abc import Callable
from math import pi

from PySpice.Spice.Netlist import SubCircuit

from spu_circuit.hardware import Amplifier

NAME = "opamp"
TRANSCONDUCTANCE = 1e-3
"""Input stage of the macromodel, S. Any value gives the same behaviour; 1 mS is an op-amp's order of magnitude."""
IDEAL_GAIN = 1e15
"""A settled array is off by about its condition number over this: 1e-9 at condition 1e6. ngspice needs a number."""


def ideal(amplifier: Amplifier) -> SubCircuit:
    """A voltage-controlled voltage source: V_out = A₀ (V_plus − V_minus), A₀ = 1e15."""
    circuit = _subcircuit()
    circuit.VCVS("out", "output", circuit.gnd, "plus", "minus", voltage_gain=IDEAL_GAIN)
    return circuit


def macromodel(amplifier: Amplifier) -> SubCircuit:
    """One pole, offset, saturating output with series resistance.

    g_m into C_p with ``GBW = g_m / (2π C_p)`` and a noiseless load g_m / A₀; the output follows it as
    ``rail · tanh(v / rail)``. Without a gain-bandwidth product there is no capacitor, without a rail no saturation.
    """
    circuit = _subcircuit()
    ground = circuit.gnd
    circuit.V("offset", "shifted", "plus", f"DC {amplifier.offset!r}")
    circuit.VCCS("input", ground, "pole", "shifted", "minus", transconductance=TRANSCONDUCTANCE)
    circuit.VCCS("load", "pole", ground, "pole", ground, transconductance=TRANSCONDUCTANCE / amplifier.dc_gain)
    rail = amplifier.rail
    if amplifier.gain_bandwidth is not None:
        start = "start" if rail is None else f"{rail!r}*atanh(start/{rail!r})"
        circuit.C(
            "pole", "pole", ground, TRANSCONDUCTANCE / (2 * pi * amplifier.gain_bandwidth), raw_spice=f"ic={{{start}}}"
        )
    behind = "source" if amplifier.output_resistance > 0 else "output"
    if rail is None:
        circuit.VCVS("out", behind, ground, "pole", ground, voltage_gain=1.0)
    else:
        circuit.B("out", behind, ground, voltage_expression=f"{rail!r}*tanh(V(pole)/{rail!r})")
    if amplifier.output_resistance > 0:
        circuit.R("out", behind, "output", amplifier.output_resistance)
    return circuit


MODELS: dict[str, Callable[[Amplifier], SubCircuit]] = {"ideal": ideal, "macromodel": macromodel}


def _subcircuit() -> SubCircuit:
    return SubCircuit(NAME, "plus", "minus", "output", start=0.0)

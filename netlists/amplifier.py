"""Operational amplifiers as subcircuits with the pins (plus, minus, output) and a parameter ``start``.

``start`` is the output voltage at time 0 of a transient that uses initial conditions. A subcircuit of the user's
library does not take it: its array is precharged instead, see ``ElementTable.precharged``. Samples of a device differ
by further parameters: ``offset`` and ``bias`` add, in volts and amperes; ``gain`` and ``bandwidth`` multiply.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING

from netlists.noise import white_current
from netlists.spice import empty_subcircuit
from spu_circuit.hardware import Amplifier, Hardware
from spu_circuit.noise import BOLTZMANN, johnson_current_density

if TYPE_CHECKING:
    from PySpice.Spice.Netlist import Circuit, SubCircuit

NAME = "spu_amplifier"
ADDING = ("offset", "bias")
"""Parameters that add to a value of the amplifier; others multiply it."""
SUPPLIES = {"positive_supply": ("spu_positive", 1.0), "negative_supply": ("spu_negative", -1.0)}
"""Global nodes that feed the supply pins of all amplifiers, and their signs."""
FLOAT_RESISTANCE = 1e9
"""From a floating pin to ground, Ω: a matrix with a node that nothing leads from is singular."""
TRANSCONDUCTANCE = 1e-3
"""Input stage of the macromodel, S. Any value gives the same behaviour; 1 mS is an op-amp's order of magnitude."""
IDEAL_GAIN = 1e15
"""A settled array is off by about its condition number over this: 1e-9 at condition 1e6. ngspice needs a number."""


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
        return ("start", *varying_of(self.hardware.amplifier))

    def define(self, circuit: "Circuit", noise_hold: float | None = None) -> None:
        """Put the subcircuit into a circuit, with the library and the supplies that it needs.

        Args:
            noise_hold: seconds for which each value of the noise is held; None: no noise sources.
        """
        amplifier = self.hardware.amplifier
        circuit.subcircuit(MODELS[amplifier.model](self.hardware, noise_hold))
        if amplifier.library_text is None:
            return
        circuit.raw_spice += amplifier.library_text + "\n"
        if amplifier.supply is not None:
            circuit.raw_spice += f".global {' '.join(node for node, _ in SUPPLIES.values())}\n"
            for node, sign in SUPPLIES.values():
                circuit.V(node, node, circuit.gnd, raw_spice=f"DC {sign * amplifier.supply!r}")


def ideal(hardware: Hardware, noise_hold: float | None) -> "SubCircuit":
    """A voltage-controlled voltage source: V_out = A₀ (V_plus − V_minus), A₀ = 1e15."""
    circuit = _subcircuit(gain=1.0)
    circuit.VCVS("out", "output", circuit.gnd, "plus", "minus", voltage_gain=f"{{{IDEAL_GAIN!r}*gain}}")
    return circuit


def macromodel(hardware: Hardware, noise_hold: float | None) -> "SubCircuit":
    """One pole, offset, bias current, input noise, saturating output with series resistance.

    g_m into C_p with ``GBW = g_m / (2π C_p)`` and a noiseless load g_m / A₀; the output follows it as
    ``rail · tanh(v / rail)``, and no more than ``I_max · tanh(…)`` flows through its resistance. Without a
    gain-bandwidth product there is no capacitor, without a rail or current limit no saturation.
    """
    amplifier = hardware.amplifier
    bias = {} if amplifier.bias_current is None else {"bias": 0.0}
    circuit = _subcircuit(offset=0.0, gain=1.0, bandwidth=1.0, **bias)
    ground = circuit.gnd
    if bias:
        # The other input is at ground, where its own current makes no voltage.
        circuit.I("bias", "minus", ground, raw_spice=f"DC {{{amplifier.bias_current!r}+bias}}")
    circuit.V("offset", "shifted", "plus", raw_spice=f"DC {{{amplifier.offset!r}+offset}}")
    circuit.VCCS("input", ground, "pole", "shifted", "minus", transconductance=TRANSCONDUCTANCE)
    load = f"{{{TRANSCONDUCTANCE / amplifier.dc_gain!r}/gain}}"
    circuit.VCCS("load", "pole", ground, "pole", ground, transconductance=load)
    if amplifier.input_noise is not None and hardware.noise.thermal:
        _add_input_noise(circuit, amplifier.input_noise, hardware.temperature, noise_hold)
    rail = amplifier.rail
    if amplifier.gain_bandwidth is not None:
        start = "start" if rail is None else f"{rail!r}*atanh(start/{rail!r})"
        pole = f"{{{TRANSCONDUCTANCE / (2 * pi * amplifier.gain_bandwidth)!r}/bandwidth}}"
        circuit.C("pole", "pole", ground, pole, raw_spice=f"ic={{{start}}}")
    behind = "source" if amplifier.output_resistance > 0 else "output"
    wanted = "V(pole)" if rail is None else f"{rail!r}*tanh(V(pole)/{rail!r})"
    if amplifier.current_limit is not None:
        drop = amplifier.output_resistance * amplifier.current_limit
        circuit.B("out", behind, ground, voltage_expression=f"V(output)+{drop!r}*tanh(({wanted}-V(output))/{drop!r})")
    elif rail is not None:
        circuit.B("out", behind, ground, voltage_expression=wanted)
    else:
        circuit.VCVS("out", behind, ground, "pole", ground, voltage_gain=1.0)
    if amplifier.output_resistance > 0:
        circuit.R("out", behind, "output", amplifier.output_resistance)
    return circuit


def subckt(hardware: Hardware, noise_hold: float | None) -> "SubCircuit":
    """The user's own subcircuit with its supply pins joined to the supplies. Its noise is in small-signal analyses."""
    amplifier = hardware.amplifier
    circuit = _subcircuit(offset=0.0)
    circuit.V("offset", "shifted", "plus", raw_spice="DC {offset}")
    joined = {role: node for role, (node, _) in SUPPLIES.items()} | {"ground": circuit.gnd, "plus": "shifted"}
    # Small letters are how the library was searched: letters outside ASCII that match a name are in no deck.
    nodes = [joined.get(role, role) for role in amplifier.pins]
    for k, role in enumerate(amplifier.pins):
        if role == "float":
            nodes[k] = f"float{k}"
            circuit.R(nodes[k], nodes[k], circuit.gnd, FLOAT_RESISTANCE)
    circuit.X("library", str(amplifier.subcircuit).lower(), *nodes)
    return circuit


MODELS: dict[str, "Callable[[Hardware, float | None], SubCircuit]"] = {
    "ideal": ideal,
    "macromodel": macromodel,
    "subckt": subckt,
}


def _add_input_noise(circuit: "SubCircuit", density: float, temperature: float, noise_hold: float | None) -> None:
    """A resistor whose Johnson voltage is ``density`` (V/√Hz), on a node of its own, joins the input as a voltage.

    So every analysis that knows the noise of resistors knows it; transients get the resistor's noise current.
    """
    resistance = density**2 / (4 * BOLTZMANN * temperature)
    ground = circuit.gnd
    circuit.R("noise", "noise", ground, resistance)
    circuit.VCCS("noise", ground, "pole", "noise", ground, transconductance=TRANSCONDUCTANCE)
    if noise_hold:
        current = white_current(johnson_current_density(1 / resistance, temperature), noise_hold)
        circuit.I("noise", ground, "noise", raw_spice=current)


def varying_of(amplifier: Amplifier) -> tuple[str, ...]:
    """By which parameters samples of this amplifier differ."""
    if amplifier.model == "ideal":
        return ("gain",)
    if amplifier.model == "subckt":
        return ("offset",)
    bandwidth = () if amplifier.gain_bandwidth is None else ("bandwidth",)
    return ("offset", "gain", *bandwidth, *(() if amplifier.bias_current is None else ("bias",)))


def _subcircuit(**defaults: float) -> "SubCircuit":
    return empty_subcircuit(NAME, "plus", "minus", "output", start=0.0, **defaults)

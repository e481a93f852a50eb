"""A macromodel with numbers: one pole, offset, bias current, input noise, saturating output with series resistance.

g_m into C_p with ``GBW = g_m / (2π C_p)`` and a noiseless load g_m / A₀; the output follows it as
``rail · tanh(v / rail)``, and no more than ``I_max · tanh(…)`` flows through its resistance. Without a gain-bandwidth
product there is no capacitor, without a rail or current limit no saturation.
"""

from collections.abc import Mapping
from math import pi
from pathlib import Path

from spu_circuit.amplifiers.fields import AmplifierFields
from spu_circuit.amplifiers.model import AmplifierModel
from spu_circuit.amplifiers.noise import current_noise, noise_node

TRANSCONDUCTANCE = 1e-3
"""Of the input stage, S. Any value gives the same behaviour; 1 mS is an op-amp's order of magnitude."""


def _lines(amplifier: AmplifierFields, temperature: float | None, noise_hold: float | None) -> list[str]:
    lines = [
        f"Voffset shifted plus DC {{{amplifier.offset!r}+offset}}",
        f"Ginput 0 pole shifted minus {TRANSCONDUCTANCE!r}",
        f"Gload pole 0 pole 0 {{{TRANSCONDUCTANCE / amplifier.dc_gain!r}/gain}}",
    ]
    if amplifier.bias_current is not None:
        # The other input is at ground, where its own current makes no voltage.
        lines.insert(0, f"Ibias minus 0 DC {{{amplifier.bias_current!r}+bias}}")
    if amplifier.input_noise and temperature:
        lines += noise_node("noise", amplifier.input_noise, temperature, noise_hold)
        # Into the pole, so that it ends where the gain does.
        lines.append(f"Gnoise 0 pole noise 0 {TRANSCONDUCTANCE!r}")
    lines += current_noise(amplifier.input_current_noise, temperature, noise_hold)
    rail = amplifier.rail
    if amplifier.gain_bandwidth is not None:
        start = "start" if rail is None else f"{rail!r}*atanh(start/{rail!r})"
        pole = TRANSCONDUCTANCE / (2 * pi * amplifier.gain_bandwidth)
        lines.append(f"Cpole pole 0 {{{pole!r}/bandwidth}} ic={{{start}}}")
    behind = "source" if amplifier.output_resistance > 0 else "output"
    wanted = "V(pole)" if rail is None else f"{rail!r}*tanh(V(pole)/{rail!r})"
    if amplifier.current_limit is not None:
        drop = amplifier.output_resistance * amplifier.current_limit
        lines.append(f"Bout {behind} 0 v=V(output)+{drop!r}*tanh(({wanted}-V(output))/{drop!r})")
    elif rail is not None:
        lines.append(f"Bout {behind} 0 v={wanted}")
    else:
        lines.append(f"Eout {behind} 0 pole 0 1.0")
    if amplifier.output_resistance > 0:
        lines.append(f"Rout {behind} output {amplifier.output_resistance!r}")
    return lines


def _varying(amplifier: AmplifierFields) -> tuple[str, ...]:
    bandwidth = () if amplifier.gain_bandwidth is None else ("bandwidth",)
    return ("offset", "gain", *bandwidth, *(() if amplifier.bias_current is None else ("bias",)))


def _linear(amplifier: AmplifierFields) -> bool:
    return amplifier.rail is None and amplifier.current_limit is None


def _checked(amplifier: AmplifierFields, folder: Path) -> Mapping[str, str]:
    rail, supply = amplifier.rail, amplifier.supply
    if amplifier.current_limit is not None and amplifier.output_resistance == 0:
        raise ValueError("current_limit needs an output_resistance above 0, on which it acts; give both")
    if supply is not None and rail is not None and rail > supply:
        raise ValueError(f"rail {rail:g} V is above supply {supply:g} V; lower it")
    return {}


MACROMODEL = AmplifierModel(
    (
        "dc_gain",
        "gain_bandwidth",
        "offset",
        "output_resistance",
        "rail",
        "current_limit",
        "input_noise",
        "input_current_noise",
        "supply",
        "supply_rejection",
        "bias_current",
    ),
    _lines,
    _varying,
    _linear,
    _checked,
)

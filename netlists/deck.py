"""A circuit with its analysis as text that plain ``ngspice -b`` runs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from PySpice.Spice.BasicElement import Capacitor, Resistor
from PySpice.Spice.Netlist import Circuit

from netlists.netlist import Netlist, Probe


@dataclass(frozen=True)
class OperatingPoint:
    """The settled array."""

    def lines(self, netlist: Netlist) -> list[str]:
        return [*_saved("op", netlist.outputs), ".op"]


@dataclass(frozen=True)
class Transient:
    """From the initial charges to ``stop`` seconds, in steps of at most ``step`` seconds."""

    stop: float
    step: float
    seed: int

    def lines(self, netlist: Netlist) -> list[str]:
        start = "" if netlist.precharged else " uic"
        return [
            *(_precharge_switches(netlist.circuit) if netlist.precharged else ()),
            f".options seed={self.seed}",
            *_saved("tran", netlist.outputs),
            f".tran {self.step!r} {self.stop!r} 0 {self.step!r}{start}",
        ]


@dataclass(frozen=True)
class NoiseSpectrum:
    """Small-signal noise of ``probe`` from ``start`` to ``stop`` Hz: a node, or a pair whose difference is meant."""

    start: float
    stop: float
    points_per_decade: int
    probe: Probe

    def lines(self, netlist: Netlist) -> list[str]:
        probe = self.probe if isinstance(self.probe, str) else ",".join(self.probe)
        sweep = f"dec {self.points_per_decade} {self.start!r} {self.stop!r}"
        return [".print noise onoise_spectrum", f".noise v({probe}) {netlist.stimulus} {sweep}"]


PLAIN = str.maketrans(
    {
        **{"µ": "u", "\u03bc": "u", "Ω": "Ohm", "\u2126": "Ohm", "σ": "sigma", "τ": "tau", "λ": "lambda", "κ": "kappa"},
        **{"−": "-", "–": "-", "±": "+/-", "×": "x", "·": "*", "√": "sqrt", "∞": "inf", "°": "deg", "²": "^2"},
        **{"≤": "<=", "≥": ">=", "…": "...", "\\": "/"},  # two backslashes join a line to the next one
    }
)
"""What a deck has instead of the letters that names, units and numbers are written with."""
UNPRINTABLE = re.compile(r"[^ -~]")

PRECHARGE = 1e3
"""Conductance of a closed precharge switch, S: a milliampere through it is a microvolt."""

Analysis = OperatingPoint | Transient | NoiseSpectrum


def write_deck(netlist: Netlist, analysis: Analysis, temperature: float) -> str:
    """The deck, newline-terminated: title, notes, circuit, saved nodes, analysis. All values in SI, all digits.

    Args:
        temperature: kelvin.
    """
    celsius = repr(temperature - 273.15)
    return "\n".join(
        [
            f".title {netlist.circuit.title}",
            *map(comment, netlist.notes),
            *elements(netlist),
            f".options temp={celsius} tnom={celsius} reltol=1e-4",
            *analysis.lines(netlist),
            ".end",
            "",
        ]
    )


def comment(text: str) -> str:
    """One comment line of printable ASCII, without its end, whatever the text.

    Texts come from files that others wrote, and ngspice obeys a deck: a line that a text begins might be a command.
    Known letters are written out, every break of a line is a blank, any other character is a question mark.
    """
    return f"* {UNPRINTABLE.sub('?', ' '.join(text.split()).translate(PLAIN))}"


def elements(netlist: Netlist) -> list[str]:
    """One line per element, libraries and subcircuit definitions first."""
    return list(netlist.lines) or definitions(netlist.circuit) + instances(netlist.circuit)


def definitions(circuit: Circuit) -> list[str]:
    """The lines of libraries and subcircuits."""
    raw = circuit.raw_spice.rstrip("\n").split("\n") if circuit.raw_spice else []
    lines = [comment(line[1:]) if line.startswith("*") else line for line in raw]
    return lines + [line for subcircuit in circuit.subcircuits for line in str(subcircuit).splitlines()]


def instances(circuit: Circuit) -> list[str]:
    """One line per element outside subcircuits.

    The same text as PySpice's own, written directly for resistors, of which an array has thousands.
    """
    lines = []
    for element in circuit.elements:
        if type(element) is Resistor:
            first, second = element.pins
            lines.append(f"{element.name} {first.node.name} {second.node.name} {element.resistance!r}")
        else:
            lines.append(str(element))
    return lines


def _precharge_switches(circuit: Circuit) -> list[str]:
    """A switch beside every capacitor with an initial voltage, closed in the operating point and open from time 0."""
    lines = []
    for element in circuit.elements:
        if type(element) is Capacitor:
            a, b = (pin.node.name for pin in element.pins)
            held = f"{PRECHARGE!r}*(V({a},{b})-({float(element.initial_condition)!r}))"
            lines.append(f"Bprecharge_{element.name} {a} {b} i={{time > 0 ? 0 : {held}}}")
    return lines


def _saved(kind: str, probes: Sequence[Probe]) -> list[str]:
    nodes = [node for probe in probes for node in ((probe,) if isinstance(probe, str) else probe)]
    voltages = " ".join(f"v({node})" for node in nodes)
    return [f".save {voltages}", f".print {kind} {voltages}"]

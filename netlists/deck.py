"""A circuit with its analysis as text that plain ``ngspice -b`` runs, by way of the circuit that PySpice holds."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from netlists.capacitors import bent_lines
from netlists.crossbar import laid_out
from netlists.elements import Elements, ElementTable
from netlists.spice import empty_circuit
from spu_circuit.noise import white_current
from spu_circuit.quantity import shown

if TYPE_CHECKING:
    from PySpice.Spice.Netlist import Circuit

Probe = str | tuple[str, str]
"""A node, or a pair of nodes whose voltage difference is meant."""


@dataclass(frozen=True)
class Numerics:
    """How ngspice iterates and integrates.

    Args:
        method: of integration, "gear" or "trap"; None: ngspice's own, trapezoidal.
        reltol: relative tolerance.
        shunt: capacitance from every node to ground, F.
        search: further options, by which it looks for an operating point.
    """

    method: str | None = None
    reltol: float = 1e-4
    shunt: float = 0.0
    search: str = ""

    def __str__(self) -> str:
        shunt = f", {shown(self.shunt, 'F')} at every node" if self.shunt else ""
        return f"{self.method or 'trap'}, reltol {self.reltol:g}{shunt}" + (f", {self.search}" if self.search else "")

    @property
    def options(self) -> str:
        """As ``.options`` has them."""
        method = f" method={self.method}" if self.method else ""
        shunt = f" cshunt={self.shunt!r}" if self.shunt else ""
        return f"reltol={self.reltol:g}{method}{shunt}" + (f" {self.search}" if self.search else "")


@dataclass(frozen=True)
class OperatingPoint:
    """The settled array."""

    noise_hold = None

    def lines(self, table: ElementTable) -> list[str]:
        return [*_saved("op", table), ".op"]


@dataclass(frozen=True)
class Transient:
    """From the initial charges to ``stop`` seconds, in steps of at most ``step`` seconds.

    Args:
        noise_hold: seconds for which each value of the noise currents is held; None: no noise sources.
    """

    stop: float
    step: float
    seed: int
    noise_hold: float | None = None

    def lines(self, table: ElementTable) -> list[str]:
        start = "" if table.precharged else " uic"
        return [
            *(_precharge_switches(table) if table.precharged else ()),
            f".options seed={self.seed}",
            *_saved("tran", table),
            f".tran {self.step!r} {self.stop!r} 0 {self.step!r}{start}",
        ]


@dataclass(frozen=True)
class NoiseSpectrum:
    """Small-signal noise of ``probe`` from ``start`` to ``stop`` Hz: a node, or a pair whose difference is meant."""

    start: float
    stop: float
    points_per_decade: int
    probe: Probe

    noise_hold = None

    def lines(self, table: ElementTable) -> list[str]:
        probe = self.probe if isinstance(self.probe, str) else ",".join(self.probe)
        sweep = f"dec {self.points_per_decade} {self.start!r} {self.stop!r}"
        return [".print noise onoise_spectrum", f".noise v({probe}) {table.stimulus} {sweep}"]


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


DEFAULT = Numerics()


def write_deck(table: ElementTable, analysis: Analysis, temperature: float, numerics: Numerics = DEFAULT) -> str:
    """The deck, newline-terminated: title, notes, circuit, saved nodes, analysis. All values in SI, all digits.

    Args:
        temperature: kelvin.
    """
    celsius = repr(temperature - 273.15)
    return "\n".join(
        [
            f".title {table.title}",
            *map(comment, table.notes),
            *lines_of(circuit_of(table, analysis.noise_hold)),
            f".options temp={celsius} tnom={celsius} {numerics.options}",
            *analysis.lines(table),
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


def circuit_of(table: ElementTable, noise_hold: float | None = None) -> "Circuit":
    """The circuit that PySpice holds.

    Amplifiers are its subcircuits. The elements of the table, of which an array has thousands, are lines of its own
    raw text, since an object for each would take longer than ngspice takes to solve them.

    Args:
        noise_hold: seconds for which each value of the noise currents is held; None, or ``WHITE``: no noise sources,
            see ``AmplifierCircuit.define``.
    """
    circuit = empty_circuit(table.title)
    if table.amplifier is not None:
        table.amplifier.define(circuit, noise_hold)
    lines = [line for group in table.elements for part in laid_out(group) for line in _lines(part, table)]
    if noise_hold:
        for noise in table.noise:
            names = zip(noise.names, noise.nodes[0].names, noise.nodes[1].names, strict=True)
            lines += [
                f"{name} {first} {second} {white_current(density, noise_hold)}"
                for (name, first, second), density in zip(names, noise.density.tolist(), strict=True)
                if density > 0
            ]
    circuit.raw_spice += "\n".join([*lines, ""])
    return circuit


def lines_of(circuit: "Circuit") -> list[str]:
    """The statements of a circuit, those of subcircuits first."""
    raw = circuit.raw_spice.rstrip("\n").split("\n") if circuit.raw_spice else []
    lines = [comment(line[1:]) if line.startswith("*") else line for line in raw]
    own = [line for element in circuit.elements for line in str(element).splitlines()]
    inner = [line for subcircuit in circuit.subcircuits for line in str(subcircuit).splitlines() if line]
    return inner + own + lines


def _lines(group: Elements, table: ElementTable) -> list[str]:
    """One line per element; open resistors have none."""
    nodes = zip(*(nodes.names for nodes in group.nodes), strict=True)
    joined = map(" ".join, nodes)
    values = group.value.tolist()
    match group.kind:
        case "R":
            return [
                f"{name} {ends} {value!r}"
                for name, ends, value in zip(group.names, joined, values, strict=True)
                if value != np.inf
            ]
        case "C":
            starts = group.parameters["start"].tolist()
            lines = [
                f"{name} {ends} {value!r} ic={start!r}"
                for name, ends, value, start in zip(group.names, joined, values, starts, strict=True)
            ]
            return [*lines, *bent_lines(group)] if "linear" in group.parameters else lines
        case "V":
            return [
                f"{name} {ends} DC {value!r}" + (" AC 1" if name == table.stimulus else "")
                for name, ends, value in zip(group.names, joined, values, strict=True)
            ]
        case "X":
            assert table.amplifier is not None
            given = [
                [f"{key}={value!r}" for value in found.tolist()]
                for key, found in sorted(group.parameters.items())
                if key in table.amplifier.parameters
            ]
            texts = map(" ".join, zip(*given, strict=True)) if given else [""] * group.count
            return [
                f"{name} {ends} {table.amplifier.name} {text}".rstrip()
                for name, ends, text in zip(group.names, joined, texts, strict=True)
            ]
    return [f"{name} {ends} {value!r}" for name, ends, value in zip(group.names, joined, values, strict=True)]


def _precharge_switches(table: ElementTable) -> list[str]:
    """A switch beside every capacitor with an initial voltage, closed in the operating point and open from time 0."""
    lines = []
    for group in table.elements:
        if group.kind == "C":
            ends = zip(group.names, group.nodes[0].names, group.nodes[1].names, strict=True)
            for (name, a, b), start in zip(ends, group.parameters["start"].tolist(), strict=True):
                held = f"{PRECHARGE!r}*(V({a},{b})-({start!r}))"
                lines.append(f"Bprecharge_{name} {a} {b} i={{time > 0 ? 0 : {held}}}")
    return lines


def _saved(kind: str, table: ElementTable) -> list[str]:
    voltages = " ".join(f"v({node})" for nodes in table.outputs for node in nodes.names)
    return [f".save {voltages}", f".print {kind} {voltages}"]

"""SPICE arithmetic, of parameters and of behavioural sources, with its exact derivatives."""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spu_circuit.errors import InputError

Array = NDArray[np.float64]
Number = float | Array

CURRENT = ""
"""Second of a control pair whose first is a voltage source: its current is meant, from + to − through the source."""

NUMBER = re.compile(r"(?i)([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(meg|mil|[tgkmunpf])?[a-z]*")
SUFFIXES = {"t": 1e12, "g": 1e9, "meg": 1e6, "k": 1e3, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
MIL = 25.4e-6
"""A thousandth of an inch, which ngspice knows in plain values and not in formulas."""
PROBE = re.compile(r"(?i)\b(?:v\(\s*([^\s,()]+)\s*(?:,\s*([^\s,()]+)\s*)?\)|i\(\s*([^\s,()]+)\s*\))")
SCALED = re.compile(r"(?i)(?<![\w.])((?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(meg|[tgkmunpf])\b")

FUNCTIONS: dict[str, tuple[Callable[[Number], Number], Callable[[Number], Number]]] = {
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "atanh": (np.arctanh, lambda x: 1 / (1 - np.square(x))),
    "atan": (np.arctan, lambda x: 1 / (1 + np.square(x))),
    "exp": (np.exp, np.exp),
    "log": (np.log, lambda x: 1 / np.asarray(x)),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "sin": (np.sin, np.cos),
    "cos": (np.cos, lambda x: -np.sin(x)),
    "abs": (np.abs, np.sign),
}
CHOICES = {"min": 2, "max": 2, "limit": 3}
"""Functions that are one of their arguments, by their number: ``limit(x, low, high)``."""


def number(text: str) -> float:
    """A SPICE number with its scale: "4.7k" is 4700, "1meg" a million. Raises InputError where it is none."""
    found = NUMBER.fullmatch(text)
    if found is None:
        raise InputError(f"{text!r} is no number; write digits, with an exponent or one of {', '.join(SUFFIXES)}")
    suffix = (found[2] or "").lower()
    return float(found[1]) * (MIL if suffix == "mil" else SUFFIXES.get(suffix, 1.0))


@dataclass(frozen=True)
class Expression:
    """A formula of parameters, voltages and currents.

    Args:
        text: as SPICE writes it, without braces, e.g. ``13.5*tanh(V(pole)/13.5)``.
        parameters: values of the names in it.
    """

    text: str
    parameters: dict[str, float]

    @cached_property
    def controls(self) -> tuple[tuple[str, str], ...]:
        """The voltages in it as pairs of nodes, once each; V(a) is V(a, 0). I(V1) is the pair ("V1", CURRENT)."""
        return tuple(dict.fromkeys(_control(found) for found in PROBE.finditer(self.text)))

    @cached_property
    def _tree(self) -> ast.expr:
        names = {pair: f"control_{k}" for k, pair in enumerate(self.controls)}
        text = PROBE.sub(lambda found: names[_control(found)], self.text)
        text = SCALED.sub(lambda found: repr(float(found[1]) * SUFFIXES[found[2].lower()]), text)
        try:
            return ast.parse(text.replace("^", "**").strip(), mode="eval").body
        except SyntaxError:
            raise InputError(f"expression {self.text!r} is not understood; check its operators and brackets") from None

    def value(self, volts: Array | None = None) -> Number:
        """Its value.

        Args:
            volts: (controls, ...), volts or amperes of the pairs in ``controls``; None where there are none.
        """
        return self.linearised(np.zeros(0) if volts is None else volts)[0]

    def linearised(self, volts: Array) -> tuple[Number, Array]:
        """Value (...) and gradient (controls, ...) at these voltages (controls, ...), by forward differentiation.

        Raises:
            InputError: an operator, function or name is not known.
        """
        unit = np.eye(len(volts)).reshape(len(volts), len(volts), *[1] * (volts.ndim - 1))
        known: dict[str, tuple[Number, Array]] = {
            name.lower(): (value, np.zeros_like(volts)) for name, value in self.parameters.items()
        }
        known |= {f"control_{k}": (volts[k], unit[k] + np.zeros_like(volts)) for k in range(len(volts))}
        return self._evaluate(self._tree, known, np.zeros_like(volts))

    def _evaluate(self, node: ast.expr, known: dict[str, tuple[Number, Array]], flat: Array) -> tuple[Number, Array]:
        match node:
            case ast.Constant(value=int() | float() as constant):
                return float(constant), flat
            case ast.Name(id=name) if name.lower() in known:
                return known[name.lower()]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value, slope = self._evaluate(operand, known, flat)
                return -value, -slope
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._evaluate(operand, known, flat)
            case ast.BinOp(left=left, op=operator, right=right):
                (a, da), (b, db) = self._evaluate(left, known, flat), self._evaluate(right, known, flat)
                match operator:
                    case ast.Add():
                        return a + b, da + db
                    case ast.Sub():
                        return a - b, da - db
                    case ast.Mult():
                        return a * b, da * b + a * db
                    case ast.Div():
                        return a / b, (da - a / b * db) / b
                    case ast.Pow() if not np.any(db):
                        return a**b, b * a ** (b - 1) * da
            case ast.Call(func=ast.Name(id=name), args=[argument]) if name.lower() in FUNCTIONS:
                function, derivative = FUNCTIONS[name.lower()]
                value, slope = self._evaluate(argument, known, flat)
                return function(value), derivative(value) * slope
            case ast.Call(func=ast.Name(id=name), args=arguments) if CHOICES.get(name.lower()) == len(arguments):
                first, second, *third = (self._evaluate(argument, known, flat) for argument in arguments)
                if name.lower() == "min":
                    return _chosen(first, second, first[0] < second[0])
                larger = _chosen(first, second, first[0] > second[0])
                return _chosen(larger, third[0], larger[0] < third[0][0]) if third else larger
        raise InputError(
            f"expression {self.text!r}: {ast.unparse(node)!r} is not understood; "
            f"known are + - * / ^, V(node), I(source), {', '.join((*FUNCTIONS, *CHOICES))}"
        )


def _control(found: re.Match[str]) -> tuple[str, str]:
    return (found[3], CURRENT) if found[3] else (found[1], found[2] or "0")


def _chosen(
    one: tuple[Number, Array], other: tuple[Number, Array], first: bool | NDArray[np.bool_]
) -> tuple[Number, Array]:
    return np.where(first, one[0], other[0]), np.where(first, one[1], other[1])

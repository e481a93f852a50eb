"""SPICE arithmetic, of parameters and of behavioural sources, with its exact derivatives, for whole arrays at once."""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spu_circuit.errors import InputError
from spu_circuit.files import shortened

Array = NDArray[np.float64]
Number = float | Array
Slopes = dict[int, Number]
"""Derivatives by those controls that matter."""
Dual = tuple[Number, Slopes]
Compiled = Callable[[Sequence[Dual]], Dual]
"""Value and slopes of a part of a formula from those of the controls."""

CURRENT = ""
"""Second of a control pair whose first is a voltage source: its current is meant, from + to − through the source."""

NUMBER = re.compile(r"(?i)([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?)(meg|mil|[tgkmunpf])?[a-z]*")
SUFFIXES = {"t": 1e12, "g": 1e9, "meg": 1e6, "k": 1e3, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
DEEPEST = 200
"""Operations inside each other, a sum of so many terms among them: a few calls of Python each."""
MIL = 25.4e-6
"""A thousandth of an inch, which ngspice knows in plain values and not in formulas."""
PROBE = re.compile(r"(?i)\b(?:v\(\s*([^\s,()]+)\s*(?:,\s*([^\s,()]+)\s*)?\)|i\(\s*([^\s,()]+)\s*\))")
SCALED = re.compile(r"(?i)(?<![\w.])((?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?)(meg|[tgkmunpf])\b")

FUNCTIONS: dict[str, tuple[Callable[[Number], Number], Callable[[Number, Number], Number]]] = {
    "tanh": (np.tanh, lambda x, y: 1 - np.square(y)),
    "atanh": (np.arctanh, lambda x, y: 1 / (1 - np.square(x))),
    "atan": (np.arctan, lambda x, y: 1 / (1 + np.square(x))),
    "exp": (np.exp, lambda x, y: y),
    "log": (np.log, lambda x, y: 1 / np.asarray(x)),
    "sqrt": (np.sqrt, lambda x, y: 0.5 / y),
    "sin": (np.sin, lambda x, y: np.cos(x)),
    "cos": (np.cos, lambda x, y: -np.sin(x)),
    "abs": (np.abs, lambda x, y: np.sign(x)),
    "sgn": (np.sign, lambda x, y: np.zeros_like(x)),
}
"""Each with its derivative, which may use both the argument and the value."""
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
    parameters: Mapping[str, Number]

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
            tree = ast.parse(text.replace("^", "**").strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # Python gives up on nests in several ways
            raise InputError(
                f"expression {shortened(self.text)} is not understood; check its operators and brackets, or use ngspice"
            ) from None
        level: list[ast.AST] = [tree]
        for _ in range(DEEPEST):
            level = [inner for node in level for inner in ast.iter_child_nodes(node)]
            if not level:
                return tree
        raise InputError(
            f"expression {shortened(self.text)} has more than {DEEPEST} operations inside each other; name parts of it "
            "by parameters"
        )

    def value(self, volts: Sequence[Array] | Array | None = None) -> Number:
        """Its value, of the shape that parameters and voltages broadcast to.

        Args:
            volts: (controls, ...), volts or amperes of the pairs in ``controls``; None where there are none.
        """
        return self._formula([(own, {}) for own in (() if volts is None else volts)])[0]

    def linearised(self, volts: Sequence[Array] | Array) -> tuple[Number, list[Number]]:
        """Value (...) and derivatives by each control (...) at these voltages, by forward differentiation.

        Args:
            volts: of the controls, (controls, ...).

        Raises:
            InputError: an operator, function or name is not known.
        """
        value, slopes = self._formula([(own, {k: 1.0}) for k, own in enumerate(volts)])
        return value, [slopes.get(k, 0.0) for k in range(len(self.controls))]

    @cached_property
    def _formula(self) -> Compiled:
        """The formula as nested functions of its controls, since a circuit asks for it again and again."""
        names = {name.lower(): _float(value) for name, value in self.parameters.items()}
        return self._compiled(self._tree, names)

    def _compiled(self, node: ast.expr, names: Mapping[str, Number]) -> Compiled:
        match node:
            case ast.Constant(value=int() | float() as constant):
                return _constant(_float(constant))
            case ast.Name(id=name) if name in self._controlled:
                k = self._controlled[name]
                return lambda controls: controls[k]
            case ast.Name(id=name) if name.lower() in names:
                return _constant(names[name.lower()])
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _negated(self._compiled(operand, names))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._compiled(operand, names)
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in OPERATORS:
                apply, a, b = OPERATORS[type(sign)], self._compiled(left, names), self._compiled(right, names)
                return lambda controls: apply(a(controls), b(controls))
            case ast.Call(func=ast.Name(id=name), args=[argument]) if name.lower() in FUNCTIONS:
                return _applied(*FUNCTIONS[name.lower()], self._compiled(argument, names))
            case ast.Call(func=ast.Name(id=name), args=arguments) if CHOICES.get(name.lower()) == len(arguments):
                first, second, *third = (self._compiled(argument, names) for argument in arguments)
                if name.lower() == "min":
                    return _smaller(first, second)
                larger = _larger(first, second)
                return _smaller(larger, third[0]) if third else larger
        raise self._unknown(node)

    @cached_property
    def _controlled(self) -> dict[str, int]:
        return {f"control_{k}": k for k in range(len(self.controls))}

    def _unknown(self, node: ast.expr) -> InputError:
        return InputError(
            f"expression {shortened(self.text)}: {shortened(ast.unparse(node))} is not understood; "
            f"known are + - * / ^, V(node), I(source), {', '.join((*FUNCTIONS, *CHOICES))}; or use ngspice"
        )


def _float(value: Number) -> Number:
    """As NumPy's, whose arithmetic has infinities where Python's has exceptions and complex numbers.

    What is complex already is a parameter by which a derivative is taken, and stays so.
    """
    try:
        found: Any = np.asarray(value, dtype=np.complex128 if np.iscomplexobj(value) else np.float64)[()]
        return found
    except OverflowError:  # an integer of hundreds of digits
        return np.float64(np.inf)


def _control(found: re.Match[str]) -> tuple[str, str]:
    return (found[3], CURRENT) if found[3] else (found[1], found[2] or "0")


def _constant(value: Number) -> Compiled:
    dual: Dual = value, {}
    return lambda controls: dual


def _negated(inner: Compiled) -> Compiled:
    def negated(controls: Sequence[Dual]) -> Dual:
        value, slopes = inner(controls)
        return -value, _times(-1.0, slopes)

    return negated


def _applied(function: Callable[[Number], Number], derivative: Callable[..., Number], inner: Compiled) -> Compiled:
    def applied(controls: Sequence[Dual]) -> Dual:
        x, slopes = inner(controls)
        y = function(x)
        return y, _times(derivative(x, y), slopes) if slopes else {}

    return applied


def _smaller(one: Compiled, other: Compiled) -> Compiled:
    def smaller(controls: Sequence[Dual]) -> Dual:
        a, b = one(controls), other(controls)
        return _chosen(a, b, a[0] < b[0])

    return smaller


def _larger(one: Compiled, other: Compiled) -> Compiled:
    def larger(controls: Sequence[Dual]) -> Dual:
        a, b = one(controls), other(controls)
        return _chosen(a, b, a[0] > b[0])

    return larger


def _chosen(one: Dual, other: Dual, first: bool | NDArray[np.bool_]) -> Dual:
    slopes: Slopes = {k: np.where(first, one[1].get(k, 0.0), other[1].get(k, 0.0)) for k in {**one[1], **other[1]}}
    return np.where(first, one[0], other[0]), slopes


def _added(a: Dual, b: Dual) -> Dual:
    return a[0] + b[0], _sum(a[1], b[1])


def _subtracted(a: Dual, b: Dual) -> Dual:
    return a[0] - b[0], _sum(a[1], _times(-1.0, b[1]))


def _multiplied(a: Dual, b: Dual) -> Dual:
    return a[0] * b[0], _sum(_times(b[0], a[1]), _times(a[0], b[1]))


def _divided(a: Dual, b: Dual) -> Dual:
    value, slopes = a[0] / b[0], a[1]
    if b[1]:
        slopes = _sum(slopes, _times(-value, b[1]))
    return value, _times(1 / b[0], slopes) if slopes else {}


def _raised(a: Dual, b: Dual) -> Dual:
    value = a[0] ** b[0]
    slopes = _times(b[0] * a[0] ** (b[0] - 1), a[1]) if a[1] else {}
    return value, _sum(slopes, _times(value * np.log(a[0]), b[1])) if b[1] else slopes


OPERATORS: dict[type[ast.operator], Callable[[Dual, Dual], Dual]] = {
    **{ast.Add: _added, ast.Sub: _subtracted, ast.Mult: _multiplied, ast.Div: _divided, ast.Pow: _raised}
}


def _times(factor: Number, slopes: Slopes) -> Slopes:
    return {k: factor * slope for k, slope in slopes.items()}


def _sum(da: Slopes, db: Slopes) -> Slopes:
    found = dict(da)
    for k, slope in db.items():
        found[k] = found[k] + slope if k in found else slope
    return found

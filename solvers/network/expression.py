"""SPICE arithmetic, of parameters and of behavioural sources, with its exact derivatives, for whole arrays at once."""

import ast
import operator
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
    "sgn": (np.sign, np.zeros_like),
}
OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Number]] = {
    **{ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv},
    ast.Pow: operator.pow,
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
        return self._value({f"control_{k}": own for k, own in enumerate(() if volts is None else volts)})

    @cached_property
    def _value(self) -> Callable[[Mapping[str, Number]], Number]:
        """The formula as nested functions of its controls, since a circuit asks for it again and again."""
        return self._compiled(self._tree)

    def linearised(self, volts: Sequence[Array] | Array) -> tuple[Number, list[Number]]:
        """Value (...) and derivatives by each control (...) at these voltages, by forward differentiation.

        Args:
            volts: of the controls, (controls, ...).

        Raises:
            InputError: an operator, function or name is not known.
        """
        value, slopes = self._evaluate(self._tree, self._known(volts))
        return value, [slopes.get(k, 0.0) for k in range(len(self.controls))]

    def _known(self, volts: Sequence[Array] | Array) -> dict[str, tuple[Number, Slopes]]:
        known: dict[str, tuple[Number, Slopes]] = {
            name.lower(): (_float(value), {}) for name, value in self.parameters.items()
        }
        return known | {f"control_{k}": (own, {k: 1.0}) for k, own in enumerate(volts)}

    def _compiled(self, node: ast.expr) -> Callable[[Mapping[str, Number]], Number]:
        names = {name.lower(): value for name, value in self.parameters.items()}
        match node:
            case ast.Constant(value=int() | float() as constant):
                number = _float(constant)
                return lambda volts: number
            case ast.Name(id=name) if name in self._controlled:
                return lambda volts: volts[name]
            case ast.Name(id=name) if name.lower() in names:
                own = _float(names[name.lower()])
                return lambda volts: own
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                inner = self._compiled(operand)
                return lambda volts: -inner(volts)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._compiled(operand)
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in OPERATORS:
                apply, a, b = OPERATORS[type(sign)], self._compiled(left), self._compiled(right)
                return lambda volts: apply(a(volts), b(volts))
            case ast.Call(func=ast.Name(id=name), args=[argument]) if name.lower() in FUNCTIONS:
                function, inner = FUNCTIONS[name.lower()][0], self._compiled(argument)
                return lambda volts: function(inner(volts))
            case ast.Call(func=ast.Name(id=name), args=arguments) if CHOICES.get(name.lower()) == len(arguments):
                first, second, *third = (self._compiled(argument) for argument in arguments)
                if name.lower() == "min":
                    return lambda volts: np.minimum(first(volts), second(volts))
                if not third:
                    return lambda volts: np.maximum(first(volts), second(volts))
                return lambda volts: np.minimum(np.maximum(first(volts), second(volts)), third[0](volts))
        raise self._unknown(node)

    @cached_property
    def _controlled(self) -> frozenset[str]:
        return frozenset(f"control_{k}" for k in range(len(self.controls)))

    def _unknown(self, node: ast.expr) -> InputError:
        return InputError(
            f"expression {shortened(self.text)}: {shortened(ast.unparse(node))} is not understood; "
            f"known are + - * / ^, V(node), I(source), {', '.join((*FUNCTIONS, *CHOICES))}; or use ngspice"
        )

    def _evaluate(self, node: ast.expr, known: dict[str, tuple[Number, Slopes]]) -> tuple[Number, Slopes]:
        """Value, and derivatives by those controls that matter."""
        match node:
            case ast.Constant(value=int() | float() as constant):
                return _float(constant), {}
            case ast.Name(id=name) if name.lower() in known:
                return known[name.lower()]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value, own = self._evaluate(operand, known)
                return -value, {k: -slope for k, slope in own.items()}
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._evaluate(operand, known)
            case ast.BinOp(left=left, op=sign, right=right):
                (a, da), (b, db) = self._evaluate(left, known), self._evaluate(right, known)
                match sign:
                    case ast.Add():
                        return a + b, _sum(da, db, 1.0, 1.0)
                    case ast.Sub():
                        return a - b, _sum(da, db, 1.0, -1.0)
                    case ast.Mult():
                        return a * b, _sum(da, db, b, a)
                    case ast.Div():
                        return a / b, _sum(da, db, 1 / b, -a / b / b) if da or db else {}
                    case ast.Pow() if not db:
                        return a**b, {k: b * a ** (b - 1) * slope for k, slope in da.items()}
            case ast.Call(func=ast.Name(id=name), args=[argument]) if name.lower() in FUNCTIONS:
                function, derivative = FUNCTIONS[name.lower()]
                value, own = self._evaluate(argument, known)
                if not own:
                    return function(value), {}
                outer = derivative(value)
                return function(value), {k: outer * slope for k, slope in own.items()}
            case ast.Call(func=ast.Name(id=name), args=arguments) if CHOICES.get(name.lower()) == len(arguments):
                first, second, *third = (self._evaluate(argument, known) for argument in arguments)
                if name.lower() == "min":
                    return _chosen(first, second, first[0] < second[0])
                larger = _chosen(first, second, first[0] > second[0])
                return _chosen(larger, third[0], larger[0] < third[0][0]) if third else larger
        raise self._unknown(node)


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


def _sum(da: Slopes, db: Slopes, by_a: Number, by_b: Number) -> Slopes:
    """``by_a da + by_b db``."""
    found = {k: by_a * slope for k, slope in da.items()}
    for k, slope in db.items():
        found[k] = found[k] + by_b * slope if k in found else by_b * slope
    return found


def _chosen(
    one: tuple[Number, Slopes], other: tuple[Number, Slopes], first: bool | NDArray[np.bool_]
) -> tuple[Number, Slopes]:
    slopes: Slopes = {k: np.where(first, one[1].get(k, 0.0), other[1].get(k, 0.0)) for k in {**one[1], **other[1]}}
    return np.where(first, one[0], other[0]), slopes

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
LOGIC = re.compile(r"&&|\|\||!(?!=)")
WORDS = {"&&": " and ", "||": " or ", "!": " not "}
SCALED = re.compile(r"(?i)(?<![\w.])((?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?)(meg|[tgkmunpf])\b")

STEEPEST = 60.0
"""Of a junction's voltage, in n k T / q, beyond which its current is its tangent: 1e26 saturation currents."""
CUBIC = -3.0
"""The same, below which its reverse current falls as the cube of the voltage."""


def junction(x: Number) -> Number:
    """Current of a junction over its saturation current, of its voltage over n k T / q, as ngspice has it."""
    x = np.asarray(x)
    forward = np.exp(np.clip(x, CUBIC, STEEPEST)) * (1 + np.maximum(x - STEEPEST, 0.0))
    below = CUBIC / np.e / np.minimum(x, CUBIC)
    return np.where(x < CUBIC, -1 + below**3, forward - 1)


def _junction_slope(x: Number, y: Number) -> Number:
    x = np.asarray(x)
    below = CUBIC / np.e / np.minimum(x, CUBIC)
    return np.where(x < CUBIC, -3 * below**3 / np.minimum(x, CUBIC), np.exp(np.clip(x, CUBIC, STEEPEST)))


FUNCTIONS: dict[str, tuple[Callable[[Number], Number], Callable[[Number, Number], Number]]] = {
    "tanh": (np.tanh, lambda x, y: 1 - np.square(y)),
    "atanh": (np.arctanh, lambda x, y: 1 / (1 - np.square(x))),
    "atan": (np.arctan, lambda x, y: 1 / (1 + np.square(x))),
    "exp": (np.exp, lambda x, y: y),
    "log": (np.log, lambda x, y: 1 / np.asarray(x)),
    "ln": (np.log, lambda x, y: 1 / np.asarray(x)),
    "log10": (np.log10, lambda x, y: 1 / (np.asarray(x) * np.log(10))),
    "sinh": (np.sinh, lambda x, y: np.cosh(x)),
    "cosh": (np.cosh, lambda x, y: np.sinh(x)),
    "u": (lambda x: np.heaviside(x, 0.0), lambda x, y: np.zeros_like(x)),
    "floor": (np.floor, lambda x, y: np.zeros_like(x)),
    "junction": (junction, _junction_slope),
    "sqrt": (np.sqrt, lambda x, y: 0.5 / y),
    "sin": (np.sin, lambda x, y: np.cos(x)),
    "cos": (np.cos, lambda x, y: -np.sin(x)),
    "abs": (np.abs, lambda x, y: np.sign(x)),
    "sgn": (np.sign, lambda x, y: np.zeros_like(x)),
}
"""Each with its derivative, which may use both the argument and the value."""
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    **{ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Lt: operator.lt, ast.LtE: operator.le},
    **{ast.Eq: operator.eq, ast.NotEq: operator.ne},
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
        text: as SPICE writes it, without braces, e.g. ``13.5*tanh(V(pole)/13.5)``. Lines ``name=formula`` before it
            are parts, which those after them use.
        parameters: values of the names in it.
    """

    text: str
    parameters: Mapping[str, Number]

    @cached_property
    def controls(self) -> tuple[tuple[str, str], ...]:
        """The voltages in it as pairs of nodes, once each; V(a) is V(a, 0). I(V1) is the pair ("V1", CURRENT)."""
        return tuple(dict.fromkeys(_control(found) for found in PROBE.finditer(self.text)))

    def _tree(self, text: str) -> ast.expr:
        names = {pair: f"control_{k}" for k, pair in enumerate(self.controls)}
        text = PROBE.sub(lambda found: names[_control(found)], text)
        text = SCALED.sub(lambda found: repr(float(found[1]) * SUFFIXES[found[2].lower()]), text)
        try:
            text = LOGIC.sub(lambda found: WORDS[found[0]], text.replace("^", "**"))
            tree = ast.parse(text.strip(), mode="eval").body
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
        texts = [*self._parts.values(), self.text.rpartition("\n")[2]]
        *parts, whole = (self._compiled(self._tree(text), names) for text in texts)

        def formula(controls: Sequence[Dual]) -> Dual:
            known = list(controls)
            for part in parts:
                known.append(part(known))
            return whole(known)

        return formula if parts else whole

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
            case ast.Call(func=ast.Name(id="ternary_fcn"), args=[test, yes, no]):
                return _where(*(self._compiled(inner, names) for inner in (test, yes, no)))
            case ast.Compare(left=left, ops=[sign], comparators=[right]) if type(sign) in COMPARISONS:
                return _told(COMPARISONS[type(sign)], self._compiled(left, names), self._compiled(right, names))
            case ast.BoolOp(op=sign, values=[first, *others]):
                both = np.logical_and if isinstance(sign, ast.And) else np.logical_or
                whole = self._compiled(first, names)
                for inner in others:
                    whole = _told(both, whole, self._compiled(inner, names))
                return whole
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return _told(lambda a, b: np.logical_not(a), *[self._compiled(operand, names)] * 2)
            case ast.Call(func=ast.Name(id="pwl"), args=arguments):
                return self._compiled(self._kinks(arguments, names), names)
        raise self._unknown(node)

    def _kinks(self, arguments: list[ast.expr], names: Mapping[str, Number]) -> ast.expr:
        """A function of straight lines between points as a sum of those that begin at each of them."""
        if len(arguments) < 5 or len(arguments) % 2 == 0:
            raise InputError(f"expression {shortened(self.text)}: pwl has a control and two or more points")
        numbers = np.real([self._compiled(argument, names)(())[0] for argument in arguments[1:]])
        x, y = np.array(numbers[::2]), np.array(numbers[1::2])
        if not (np.diff(x) > 0).all():
            raise InputError(f"expression {shortened(self.text)}: the points of pwl do not rise")
        slopes = np.diff(y) / np.diff(x)
        said = f"({float(y[0])!r})+({float(slopes[0])!r})*(x-({float(x[0])!r}))"
        for at, change in zip(x[1:-1].tolist(), np.diff(slopes).tolist(), strict=True):
            said += f"+({change!r})*max(x-({at!r}),0)"
        found: ast.expr = _Replaced(arguments[0]).visit(ast.parse(said, mode="eval").body)
        return found

    @cached_property
    def _parts(self) -> dict[str, str]:
        return {name: text for name, _, text in (line.partition("=") for line in self.text.split("\n")[:-1])}

    @cached_property
    def _controlled(self) -> dict[str, int]:
        """Where what the formula is made of stands: controls, then parts."""
        return {name: k for k, name in enumerate([*(f"control_{k}" for k in range(len(self.controls))), *self._parts])}

    def _unknown(self, node: ast.expr) -> InputError:
        return InputError(
            f"expression {shortened(self.text)}: {shortened(ast.unparse(node))} is not understood; "
            f"known are + - * / ^, V(node), I(source), comparisons, pwl, ternary_fcn, "
            f"{', '.join((*FUNCTIONS, *CHOICES))}; or use ngspice"
        )


class _Replaced(ast.NodeTransformer):
    """Puts an expression in the place of x."""

    def __init__(self, argument: ast.expr) -> None:
        self._argument = argument

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._argument if node.id == "x" else node


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


def _where(test: Compiled, one: Compiled, other: Compiled) -> Compiled:
    def where(controls: Sequence[Dual]) -> Dual:
        return _chosen(one(controls), other(controls), np.asarray(test(controls)[0], dtype=bool))

    return where


def _told(compare: Callable[[Any, Any], Any], one: Compiled, other: Compiled) -> Compiled:
    """What is true or not has no slope."""

    def told(controls: Sequence[Dual]) -> Dual:
        return compare(one(controls)[0], other(controls)[0]), {}

    return told


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

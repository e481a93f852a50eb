"""PSpice's transfer functions of s as capacitors and behavioural sources."""

import ast
import re
from math import isfinite

from spu_circuit.polynomial import (
    Coefficient,
    Polynomial,
    absolute,
    plus,
    power,
    product,
    ratio,
    times,
    total,
    trimmed,
    word,
)
from spu_circuit.pspice_formula import TOKEN, Names, UntranslatableError, closed, formula, number

SOURCE = re.compile(
    r"(?i)(?P<name>[EG]\S*) (?P<plus>\S+) (?P<minus>\S+) LAPLACE *\{(?P<control>[^{}]*)\} *=? *(?P<law>[{(].*)"
)
MOST_POLES = 10
"""Of a transfer function: the coefficients of more do not have the digits."""
LONGEST = 300
"""Characters of a transfer function."""
CURE = "write a quotient of polynomials of s, no more zeros than poles, and a value at s=0"


def laplace(text: str, names: Names) -> list[str]:
    """The elements of ``E… LAPLACE {control} = {law}``.

    For H = d + Σ b_k p^k / (p^n + Σ a_k p^k) with p = s/ω, the states x_k, voltages on capacitors of 1/ω farads, have
    dx_k/dp = x_{k+1} and dx_n/dp = u - Σ a_k x_{k+1} (controllable canonical form); the output is Σ b_k x_{k+1} + d u.
    ω is the geometric mean of the poles, which keeps the coefficients near 1. Where parameters stand in the law its
    coefficients are formulas of them, since each call of a subcircuit has its own.

    Raises:
        UntranslatableError: the law is no such quotient.
    """
    found = SOURCE.fullmatch(text)
    law = "" if found is None else found["law"]
    if found is None or len(law) > LONGEST or closed(law, 0, *("{}" if law[0] == "{" else "()")) != len(law):
        raise UntranslatableError("LAPLACE is not understood; write E1 a b LAPLACE {V(c)} = {1/(1+1u*s)}")
    law = law[1:-1]
    above, below = (trimmed(part) for part in _quotient(_parsed(law), names))
    poles = len(below) - 1
    if not above or not below or len(above) > len(below) or poles > MOST_POLES or below[-1] == 0:
        raise UntranslatableError(f"LAPLACE of {law[:60]!r} cannot be built; {CURE}")
    rate = power(absolute(ratio(below[-1], below[0])), 1 / poles) if poles else 1.0
    # Of p's powers, the highest first: ω^k over that of the denominator's first.
    scale = [ratio(1.0, times(below[0], power(rate, k))) for k in range(poles + 1)]
    a = [times(one, other) for one, other in zip(below, scale, strict=True)]
    b = [times(one, other) for one, other in zip([0.0] * (len(below) - len(above)) + above, scale, strict=True)]
    numbers = [value for value in (*a, *b, rate) if isinstance(value, float)]
    if not rate or not all(map(isfinite, [*numbers, *([] if isinstance(rate, str) else [1 / rate])])):
        raise UntranslatableError(f"LAPLACE of {law[:60]!r} has coefficients beyond all numbers; {CURE}")
    direct = b[0]
    control = f"({formula(found['control'], names).strip()})"
    states = [f"{found['name']}_s{k + 1}" for k in range(poles)]
    feedback = _sum([times(-1.0, value) for value in a[:0:-1]], states)
    drives = [*(f"v({state})" for state in states[1:]), f"{control}{feedback}"]
    farads = ratio(1.0, rate)
    lines = [f"C{state} {state} 0 {_braced(farads)}" for state in states]
    lines += [f"B{state} 0 {state} i={{{drive}}}" for state, drive in zip(states, drives, strict=False)]
    kind = "v" if found["name"][0] in "eE" else "i"
    over = [plus(one, times(-1.0, times(direct, other))) for one, other in zip(b, a, strict=True)]
    output = _sum(over[:0:-1], states)
    return [*lines, f"B{found['name']} {found['plus']} {found['minus']} {kind}={{{word(direct)}*{control}{output}}}"]


def _sum(factors: Polynomial, states: list[str]) -> str:
    return "".join(f"+({word(factor)})*v({state})" for factor, state in zip(factors, states, strict=True))


def _braced(value: Coefficient) -> str:
    return f"{{{value}}}" if isinstance(value, str) else repr(float(value))


def _parsed(law: str) -> ast.expr:
    pieces = []
    for token in TOKEN.finditer(law.replace("^", "**").replace("{", "(").replace("}", ")")):
        value = number(token[0]) if token.lastgroup == "number" else None
        pieces.append(token[0] if value is None else repr(value))
    try:
        return ast.parse("".join(pieces).strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise UntranslatableError(f"LAPLACE of {law[:60]!r} is not understood; {CURE}") from None


def _quotient(node: ast.expr, names: Names) -> tuple[Polynomial, Polynomial]:
    """Numerator and denominator of a formula of s."""
    one: Polynomial = [1.0]
    words = [part.id.lower() for part in ast.walk(node) if isinstance(part, ast.Name)]
    called = [
        part.func.id.lower()
        for part in ast.walk(node)
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)
    ]
    if words and not {"v", "i"}.intersection(called) and names.parameters.union(called) - {"s"} >= set(words):
        return [f"({formula(ast.unparse(node), names)})"], one
    match node:
        case ast.Constant(value=float() | int() as value):
            return [float(value)], one
        case ast.Name(id="s" | "S"):
            return [1.0, 0.0], one
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=inner):
            above, below = _quotient(inner, names)
            return ([times(-1.0, value) for value in above] if isinstance(sign, ast.USub) else above), below
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=float() as times_itself)) if (
            times_itself in range(1, MOST_POLES + 1)
        ):
            above, below = _quotient(left, names)
            found: tuple[Polynomial, Polynomial] = one, one
            for _ in range(int(times_itself)):
                found = _product(found[0], above), _product(found[1], below)
            return found
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() as sign, right=right):
            (a, b), (c, d) = _quotient(left, names), _quotient(right, names)
            match sign:
                case ast.Mult():
                    return _product(a, c), _product(b, d)
                case ast.Div():
                    return _product(a, d), _product(b, c)
                case _:
                    c = c if isinstance(sign, ast.Add) else [times(-1.0, value) for value in c]
                    return total(_product(a, d), _product(c, b)), _product(b, d)
    raise UntranslatableError(f"LAPLACE knows no {ast.unparse(node)[:60]!r}; {CURE}")


def _product(one: Polynomial, other: Polynomial) -> Polynomial:
    if len(one) + len(other) > 2 * MOST_POLES + 1:
        raise UntranslatableError(f"LAPLACE has too high a power of s; {CURE}")
    return product(one, other)

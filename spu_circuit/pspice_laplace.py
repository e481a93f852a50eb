"""PSpice's transfer functions of s as capacitors and behavioural sources."""

import ast
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spu_circuit.pspice_formula import TOKEN, Names, UntranslatableError, formula, number

Polynomial = NDArray[np.floating[Any]]
"""Coefficients, the highest power first."""
SOURCE = re.compile(
    r"(?i)(?P<name>[EG]\S*) (?P<plus>\S+) (?P<minus>\S+) LAPLACE *\{(?P<control>[^{}]*)\} *=? *[{(](?P<law>[^{}]*)[})]"
)
MOST_POLES = 10
"""Of a transfer function: the coefficients of more do not have the digits."""
LONGEST = 300
"""Characters of a transfer function."""
CURE = "write a quotient of polynomials of s with numbers, no more zeros than poles, and a value at s=0"


def laplace(text: str, names: Names) -> list[str]:
    """The elements of ``E… LAPLACE {control} = {law}``.

    For H = d + Σ b_k p^k / (p^n + Σ a_k p^k) with p = s/ω, the states x_k, voltages on capacitors of 1/ω farads, have
    dx_k/dp = x_{k+1} and dx_n/dp = u - Σ a_k x_{k+1} (controllable canonical form); the output is Σ b_k x_{k+1} + d u.
    ω is the geometric mean of the poles, which keeps the coefficients near 1.

    Raises:
        UntranslatableError: the law is no such quotient.
    """
    found = SOURCE.fullmatch(text)
    if found is None or len(found["law"]) > LONGEST:
        raise UntranslatableError("LAPLACE is not understood; write E1 a b LAPLACE {V(c)} = {1/(1+1u*s)}")
    with np.errstate(all="ignore"):
        above, below = (np.trim_zeros(part, "f") for part in _quotient(_parsed(found["law"])))
    poles = len(below) - 1
    if not len(above) or not len(below) or len(above) > len(below) or poles > MOST_POLES or not below[-1]:
        raise UntranslatableError(f"LAPLACE of {found['law'][:60]!r} cannot be built; {CURE}")
    with np.errstate(all="ignore"):
        rate = float(abs(below[-1] / below[0]) ** (1 / poles)) if poles else 1.0
        scale = rate ** np.arange(poles, -1, -1.0) / (below[0] * np.float64(rate) ** poles)
        b = np.pad(above, (len(below) - len(above), 0)) * scale
        a = below * scale
    if not rate or not np.isfinite([*a, *b, 1 / rate]).all():
        raise UntranslatableError(f"LAPLACE of {found['law'][:60]!r} has coefficients beyond all numbers; {CURE}")
    direct = float(b[0])
    control = f"({formula(found['control'], names).strip()})"
    states = [f"{found['name']}_s{k + 1}" for k in range(poles)]
    feedback = _sum([-value for value in a[:0:-1]], states)
    drives = [*(f"v({state})" for state in states[1:]), f"{control}{feedback}"]
    lines = [f"C{state} {state} 0 {1 / rate!r}" for state in states]
    lines += [f"B{state} 0 {state} i={{{drive}}}" for state, drive in zip(states, drives, strict=False)]
    kind = "v" if found["name"][0] in "eE" else "i"
    output = _sum([*(b - direct * a)[:0:-1]], states)
    return [*lines, f"B{found['name']} {found['plus']} {found['minus']} {kind}={{{direct!r}*{control}{output}}}"]


def _sum(factors: list[float], states: list[str]) -> str:
    return "".join(f"+({float(factor)!r})*v({state})" for factor, state in zip(factors, states, strict=True))


def _parsed(law: str) -> ast.expr:
    pieces = []
    for token in TOKEN.finditer(law.replace("^", "**")):
        value = number(token[0]) if token.lastgroup == "number" else None
        pieces.append(token[0] if value is None else repr(value))
    try:
        return ast.parse("".join(pieces).strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise UntranslatableError(f"LAPLACE of {law[:60]!r} is not understood; {CURE}") from None


def _quotient(node: ast.expr) -> tuple[Polynomial, Polynomial]:
    """Numerator and denominator of a formula of s."""
    one = np.ones(1)
    match node:
        case ast.Constant(value=float() | int() as value):
            return np.array([float(value)]), one
        case ast.Name(id="s" | "S"):
            return np.array([1.0, 0.0]), one
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=inner):
            above, below = _quotient(inner)
            return (-above if isinstance(sign, ast.USub) else above), below
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=float() as power)) if power in range(
            1, MOST_POLES + 1
        ):
            above, below = _quotient(left)
            found: tuple[Polynomial, Polynomial] = one, one
            for _ in range(int(power)):
                found = _product(found[0], above), _product(found[1], below)
            return found
        case ast.BinOp(left=left, op=sign, right=right):
            (a, b), (c, d) = _quotient(left), _quotient(right)
            match sign:
                case ast.Add():
                    return np.polyadd(_product(a, d), _product(c, b)), _product(b, d)
                case ast.Sub():
                    return np.polysub(_product(a, d), _product(c, b)), _product(b, d)
                case ast.Mult():
                    return _product(a, c), _product(b, d)
                case ast.Div():
                    return _product(a, d), _product(b, c)
    raise UntranslatableError(f"LAPLACE knows no {ast.unparse(node)[:60]!r}; {CURE}")


def _product(one: Polynomial, other: Polynomial) -> Polynomial:
    found = np.polymul(one, other)
    if len(found) > 2 * MOST_POLES:
        raise UntranslatableError(f"LAPLACE has too high a power of s; {CURE}")
    return found

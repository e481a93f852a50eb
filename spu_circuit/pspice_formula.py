"""Formulas of PSpice in ngspice's own words."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

SAME = frozenset(
    {"abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "ddt", "exp", "floor", "ln"}
    | {"log", "log10", "max", "min", "nint", "pwl", "sgn", "sin", "sinh", "sqrt", "tan", "tanh", "ternary_fcn", "u"}
    | {"uramp"}
)
"""Functions that PSpice and ngspice know by the same name, and ngspice's own that PSpice has not."""
PREDEFINED = {"temp": "temper", "vt": "(8.617333262e-05*(temper+273.15))", "gmin": "1e-12"}
"""What PSpice knows unless a library defines it: °C, k T / q in volts, and siemens."""
TOKEN = re.compile(
    r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[a-zA-Z]*)|(?P<name>[A-Za-z_][\w.$]*)|(?P<power>\*\*)|"
    r"(?P<logic>&+|\|+)|(?P<blank>\s+)|(?P<other>.)"
)
NUMBER = re.compile(r"(?i)([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(meg|mil|[tgkmunpf])?[a-z]*")
SCALES = {"t": 1e12, "g": 1e9, "meg": 1e6, "k": 1e3, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
SCALES |= {"mil": 25.4e-6}
LONGEST = 10_000
"""Characters of a part of a formula."""
DEEPEST = 50
"""Brackets inside each other, in a statement."""
POSITIVE = re.compile(r"(?i)(?:abs|exp|sqrt)\(")
CONTROL = re.compile(r"(?i)\b[vi]\(")


class UntranslatableError(ValueError):
    """What has no words of the same meaning in ngspice. Says why, and the cure."""


@dataclass(frozen=True)
class Names:
    """What a library defines itself, in small letters."""

    parameters: frozenset[str]
    functions: frozenset[str]


def number(text: str) -> float | None:
    """A SPICE number with its scale, 4700 of "4.7k"; None where it is a name or a formula."""
    found = NUMBER.fullmatch(text.strip())
    return None if found is None else float(found[1]) * SCALES.get((found[2] or "").lower(), 1.0)


def check_depth(text: str) -> None:
    """Raises UntranslatableError where more brackets stand inside each other than anybody writes."""
    depth = 0
    for character in text:
        depth += (character in "({") - (character in ")}")
        if depth > DEEPEST:
            raise UntranslatableError(f"more than {DEEPEST} brackets stand inside each other; divide the formula")


def closed(text: str, at: int, left: str = "(", right: str = ")") -> int:
    """Behind the bracket that closes the one at ``at``."""
    depth = 0
    for k in range(at, len(text)):
        depth += (text[k] == left) - (text[k] == right)
        if not depth:
            return k + 1
    raise UntranslatableError(f"{left!r} of {text[at : at + 20]!r} is not closed; add {right!r}")


def formula(text: str, names: Names) -> str:
    pieces: list[str] = []
    at = 0
    while at < len(text):
        token = TOKEN.match(text, at)
        assert token is not None
        if token.lastgroup == "power":
            while pieces and pieces[-1].isspace():
                pieces.pop()
            if not pieces:
                raise UntranslatableError("'**' has nothing before it; correct the formula")
            base = pieces.pop()
            exponent, at = _operand(text, token.end(), names)
            pieces.append(_short(_power(base, exponent)))
        elif token.lastgroup == "other" and token[0] == "^":
            raise UntranslatableError("'^' is a power to some and exclusive or to PSpice; write ** or PWR(x, y)")
        elif token.lastgroup == "logic":
            pieces.append(token[0] if len(token[0]) > 1 else 2 * token[0])
            at = token.end()
        elif token[0] == "~":
            pieces.append("!")
            at = token.end()
        else:
            piece, at = _operand(text, at, names)
            pieces.append(_short(piece))
    return "".join(pieces)


def _short(piece: str) -> str:
    """The piece, unless formulas inside each other, which double where an argument is said twice, grow too long."""
    if len(piece) > LONGEST:
        raise UntranslatableError(f"a formula has more than {LONGEST} characters in ngspice's words; divide it")
    return piece


def _operand(text: str, at: int, names: Names) -> tuple[str, int]:
    """What stands there, translated: a number, name, call, bracket with all in it, or one character; and its end."""
    token = TOKEN.match(text, at)
    while token is not None and at > 1 and token.lastgroup == "blank" and text[at - 2 : at] == "**":
        token = TOKEN.match(text, token.end())
    if token is None:
        raise UntranslatableError("'**' has nothing after it; correct the formula")
    if token[0] in "+-" and text[: token.start()].rstrip().endswith("**"):
        inner, end = _operand(text, token.end(), names)
        return token[0] + inner, end
    if token[0] in "({":
        end = closed(text, token.start(), *("()" if token[0] == "(" else "{}"))
        return token[0] + formula(text[token.end() : end - 1], names) + text[end - 1], end
    if token.lastgroup != "name":
        return token[0], token.end()
    name, behind = token[0].lower(), len(text[token.end() :]) - len(text[token.end() :].lstrip())
    begin = token.end() + behind
    if text[begin : begin + 1] != "(":
        return (PREDEFINED[name] if name in PREDEFINED and name not in names.parameters else token[0]), token.end()
    end = closed(text, begin)
    inside = text[begin + 1 : end - 1]
    if name in ("v", "i"):
        return f"{token[0]}({inside})", end
    arguments = [formula(argument, names).strip() for argument in _split(inside)]
    if name in TRANSLATIONS and name not in names.functions:
        return TRANSLATIONS[name](name, arguments), end
    if name not in SAME and name not in names.functions:
        known = ", ".join(sorted({*SAME, *TRANSLATIONS}))
        raise UntranslatableError(f"function {name!r} is not known; known are {known}, and what .func defines")
    return f"{token[0]}({','.join(arguments)})", end


def _split(text: str) -> list[str]:
    """At the commas outside brackets."""
    found, depth, start = [], 0, 0
    for k, character in enumerate(text):
        depth += (character in "({") - (character in ")}")
        if character == "," and not depth:
            found.append(text[start:k])
            start = k + 1
    return [*found, text[start:]]


def _power(base: str, exponent: str) -> str:
    """``base ** exponent``, of which ngspice takes ``|base|``: the sign is put back where the exponent is odd."""
    value = number(exponent.strip("()"))
    if value is None:
        if CONTROL.search(base) and not POSITIVE.match(base):
            raise UntranslatableError(
                f"ngspice takes the absolute value of {base[:40]!r} before a power; write a number for its exponent"
            )
    elif value % 2 == 1 and number(base) is None and not POSITIVE.match(base):
        return f"(sgn({base})*abs({base})**{exponent})"
    return f"{base}**{exponent}"


def _arguments(name: str, arguments: Sequence[str], count: int) -> Sequence[str]:
    if len(arguments) != count or not all(arguments):
        raise UntranslatableError(f"{name.upper()} has {len(arguments)} arguments; PSpice's has {count}")
    return arguments


def _limit(name: str, arguments: Sequence[str]) -> str:
    x, low, high = _arguments(name, arguments, 3)
    ends = number(low), number(high)
    if None in ends:
        return f"min(max({x},min({low},{high})),max({low},{high}))"
    low, high = (low, high) if ends[0] <= ends[1] else (high, low)  # type: ignore[operator]
    return f"min(max({x},{low}),{high})"


def _choice(name: str, arguments: Sequence[str]) -> str:
    return f"ternary_fcn({','.join(_arguments(name, arguments, 3))})"


def _table(name: str, arguments: Sequence[str]) -> str:
    """Constant beyond its ends, where ngspice's ``pwl`` goes on."""
    if len(arguments) < 5 or len(arguments) % 2 == 0:
        raise UntranslatableError(f"{name.upper()} has a value and two or more points; write TABLE(x, x1, y1, x2, y2)")
    x, points = arguments[0], arguments[1:]
    places = [number(point) for point in points[::2]]
    if any(b is None or a is None or not a < b for a, b in pairwise(places)):
        raise UntranslatableError(f"{name.upper()} has points at no rising numbers; write TABLE(x, x1, y1, x2, y2)")
    return f"pwl(min(max({x},{points[0]}),{points[-2]}),{','.join(points)})"


def _signed(name: str, arguments: Sequence[str]) -> str:
    x, y = _arguments(name, arguments, 2)
    return f"(sgn({x})*abs({x})**({y}))"


TRANSLATIONS: dict[str, Callable[[str, Sequence[str]], str]] = {
    "limit": _limit,
    "if": _choice,
    "table": _table,
    "pwrs": _signed,
    "pwr": lambda name, arguments: "abs({})**({})".format(*_arguments(name, arguments, 2)),
    "pow": lambda name, arguments: _power(f"({_arguments(name, arguments, 2)[0]})", f"({arguments[1]})"),
    "int": lambda name, arguments: "(sgn({0})*floor(abs({0})))".format(*_arguments(name, arguments, 1)),
    "stp": lambda name, arguments: "u({})".format(*_arguments(name, arguments, 1)),
    "arctan": lambda name, arguments: "atan({})".format(*_arguments(name, arguments, 1)),
}
"""Functions that ngspice has not, or means otherwise."""

"""Polynomials whose coefficients are numbers, or formulas of parameters that another program evaluates."""

Coefficient = float | str
"""A number, or a formula in ngspice's words."""
Polynomial = list[Coefficient]
"""Coefficients, the highest power first; empty: 0."""


def word(value: Coefficient) -> str:
    """As it stands in a formula."""
    return value if isinstance(value, str) else repr(float(value))


def plus(one: Coefficient, other: Coefficient) -> Coefficient:
    if isinstance(one, str) or isinstance(other, str):
        return other if one == 0 else one if other == 0 else f"({word(one)}+{word(other)})"
    return one + other


def times(one: Coefficient, other: Coefficient) -> Coefficient:
    if isinstance(one, str) or isinstance(other, str):
        if one == 0 or other == 0:
            return 0.0
        return other if one == 1 else one if other == 1 else f"({word(one)}*{word(other)})"
    return one * other


def ratio(one: Coefficient, other: Coefficient) -> Coefficient:
    """Infinite beside a zero."""
    if isinstance(one, str) or isinstance(other, str):
        return one if other == 1 else f"({word(one)}/{word(other)})"
    return one / other if other else float("inf")


def absolute(value: Coefficient) -> Coefficient:
    return f"abs({value})" if isinstance(value, str) else abs(value)


def power(value: Coefficient, exponent: float) -> Coefficient:
    """Of what is not below 0."""
    if isinstance(value, str):
        return 1.0 if exponent == 0 else value if exponent == 1 else f"({value}**{exponent!r})"
    try:
        return float(value**exponent)
    except OverflowError:
        return float("inf")


def trimmed(polynomial: Polynomial) -> Polynomial:
    """Without zeros before its highest power."""
    first = next((k for k, value in enumerate(polynomial) if value != 0), len(polynomial))
    return polynomial[first:]


def total(one: Polynomial, other: Polynomial) -> Polynomial:
    if len(one) < len(other):
        one, other = other, one
    over = len(one) - len(other)
    return one[:over] + [plus(a, b) for a, b in zip(one[over:], other, strict=True)]


def product(one: Polynomial, other: Polynomial) -> Polynomial:
    found: Polynomial = [0.0] * (len(one) + len(other) - 1)
    for j, a in enumerate(one):
        for k, b in enumerate(other):
            found[j + k] = plus(found[j + k], times(a, b))
    return found

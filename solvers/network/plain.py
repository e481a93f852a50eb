"""Elements in the words of plain ones: polynomials, tables, inductors, silent resistors, semiconductors."""

import re
from collections.abc import Callable, Mapping
from itertools import combinations_with_replacement

import numpy as np

from solvers.network.devices import KINDS, Model, semiconductor
from solvers.network.expression import Number
from solvers.network.parts import Part
from spu_circuit.errors import InputError

WORD = re.compile(r"(?:\{[^}]*\}|'[^']*'|[^\s{}'])+")
"""What stands between blanks, where braces and quotes hold a formula together."""
POLYNOMIAL = re.compile(r"(?i)(?P<head>[EFGH]\S* \S+ \S+) poly *\( *(?P<count>\d+) *\)(?P<rest>.*)")
PAIR = re.compile(
    r"(?i)(?P<head>[EG]\S* \S+ \S+) *\( *(?P<plus>[^\s,()]+)[\s,]+(?P<minus>[^\s,()]+) *\) *(?P<gain>\S+)"
)
"""A linear source whose controls stand in brackets, as those of polynomials do."""
TABLE = re.compile(r"(?i)(?P<head>[EG]\S* \S+ \S+) table *(?P<control>\{[^{}]*\}) *=? *(?P<points>.*)")
POINT = re.compile(r"\(([^\s,()]+)[\s,]+([^\s,()]+)\)")
TOKEN = re.compile(r"\{[^}]*\}|'[^']*'|[^\s(),]+")
MOST_TERMS = 1000
"""Of a polynomial."""
GYRATION = 1e-3
"""Siemens of the gyrator that makes an inductor of a capacitor: C = L G²."""

WIRE = 1e-9
"""Henries up to which an inductor is a wire: 6 mΩ at 1 MHz, and modes of 1e12 1/s that rounding would take."""

FASTEST, LEAST = 1e11, 1e-9
"""Rate, 1/s, and least conductance, S, of the noiseless resistance beside an inductor. Without it the current of one
behind a current source is no state, and the equations of the others have no solution. The rate is that of what stands
before a capacitance below 0, too."""

Value = Callable[[str], Number]


def plain_parts(line: str, models: Mapping[str, Model], value: Value, path: str) -> list[Part]:
    """The elements that a line means.

    Args:
        models: by name, in small letters.
        value: of a number or formula, which knows ``temper``, °C.
        path: of the subcircuits around it, for errors.

    Raises:
        InputError: what it says is not understood.
    """
    letter, name = line[0].upper(), path + line.split()[0]

    def number(text: str) -> float:
        found = value(text)
        if np.ndim(found):
            raise InputError(f"{name}: {text} differs between samples ({line!r}); use ngspice")
        return float(found)

    if letter in KINDS:
        return semiconductor(line, models, number, number("temper"), name)
    if letter == "L":
        return _inductor(line, number, name)
    if letter in "RC":
        text = _passive(line, models, number)
        return _capacitor(text, value) if letter == "C" else [Part(text)]
    if found := POLYNOMIAL.fullmatch(" ".join(line.split())):
        return [Part(_polynomial(found, number, name))]
    if found := PAIR.fullmatch(" ".join(line.split())):
        return [Part(" ".join(found.groups()))]
    if found := TABLE.fullmatch(" ".join(line.split())):
        return [Part(_table(found, name))]
    return [Part(line)]


def _passive(line: str, models: Mapping[str, Model], number: Callable[[str], float]) -> str:
    """A resistor or capacitor without its model, which says nothing of its value; silent resistors, and those below
    0 Ω, are conductances."""
    words = WORD.findall(line)
    named = [word for word in words[3:5] if word.lower() in models and len(words) > 4]
    kept = [word for word in words if word not in named[:1]]
    value = kept[3] if len(kept) > 3 else ""
    if line[0] in "rR" and ("noisy=0" in line.lower().split() or (value.startswith("-") and number(value) < 0)):
        name, first, second = kept[:3]
        return f"G{name} {first} {second} {first} {second} {1 / number(value)!r}"
    return " ".join(kept)


def _capacitor(line: str, value: Value) -> list[Part]:
    """One below 0 F takes minus the current of one above, at its voltage behind a noiseless resistance. Beside that of
    the circuit around it, which alone would make it grow, the latter is large: the modes of both are beyond all others.
    """
    own, first, second, *rest = WORD.findall(line)
    farads = value(rest[0]) if rest else 0.0
    if np.ndim(farads) or not farads < 0:
        return [Part(line)]
    siemens = -float(farads) * FASTEST
    return [
        Part(f"E{own}#v {own}#v 0 {first} {second} 1"),
        Part(f"G{own}#r {own}#v {own}#n {own}#v {own}#n {siemens!r}"),
        Part(" ".join([f"C{own}#c {own}#n 0 {-float(farads)!r}", *rest[1:]])),
        Part(f"G{own}#i {first} {second} {own}#v {own}#n {-siemens!r}"),
    ]


def _inductor(line: str, number: Callable[[str], float], name: str) -> list[Part]:
    """``C dx/dt = G v`` on a node of its own, and the current ``G x``."""
    words = [word for word in WORD.findall(line) if not word.lower().startswith("ic=")]
    if len(words) != 4:
        raise InputError(f"{name}: not a single constant value ({line!r}); the network engine knows no other")
    own, first, second, henries = words
    if number(henries) <= WIRE:
        return [Part(f"V{own}#v {first} {second} DC 0")]
    damping = max(1 / (number(henries) * FASTEST), LEAST)
    return [
        Part(f"G{own}#r {first} {second} {first} {second} {damping!r}"),
        Part(f"C{own}#c {own}#i 0 {number(henries) * GYRATION**2!r}"),
        Part(f"G{own}#v 0 {own}#i {first} {second} {GYRATION!r}"),
        Part(f"G{own}#i {first} {second} {own}#i 0 {GYRATION!r}"),
    ]


def _polynomial(found: re.Match[str], number: Callable[[str], float], name: str) -> str:
    """SPICE2's polynomial: a constant, then the products of its controls by degree. One number alone is linear."""
    head, count = found["head"], int(found["count"])
    kind, tokens = head[0].upper(), TOKEN.findall(found["rest"])
    wide = 2 if kind in "EG" else 1
    controls = [tokens[k * wide : (k + 1) * wide] for k in range(count)]
    texts = tokens[wide * count :]
    if not count or not texts or any(len(control) < wide for control in controls) or len(texts) > MOST_TERMS:
        raise InputError(f"{name}: POLY({count}) has {len(tokens)} words; it takes its controls, then coefficients")
    coefficients = [number(text) for text in texts]
    if count == len(coefficients) == 1:
        coefficients.insert(0, 0.0)
    products: list[tuple[int, ...]] = []
    degree = 0
    while len(products) < len(coefficients):
        products += combinations_with_replacement(range(count), degree)
        degree += 1
    terms = [(value, product) for value, product in zip(coefficients, products, strict=False) if value]
    if len(terms) == 1 and len(terms[0][1]) == 1:
        value, (control,) = terms[0]
        return f"{head} {' '.join(controls[control])} {value!r}"
    letter = "v" if kind in "EG" else "i"
    said = [
        "*".join([f"({value!r})", *(f"{letter}({','.join(controls[control])})" for control in product)])
        for value, product in terms
    ]
    return f"B{head} {'v' if kind in 'EH' else 'i'}={{{'+'.join(said) or '0'}}}"


def _table(found: re.Match[str], name: str) -> str:
    """Constant beyond its ends."""
    points = POINT.findall(found["points"])
    if len(points) < 2 or POINT.sub("", found["points"]).strip():
        raise InputError(f"{name}: TABLE has two or more points; write TABLE {{V(a)}} = (x1,y1) (x2,y2)")
    control = f"min(max({found['control'].strip('{}')},{points[0][0]}),{points[-1][0]})"
    said = ",".join(text for point in points for text in point)
    return f"{found['head']} value={{pwl({control},{said})}}"

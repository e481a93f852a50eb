"""Semiconductors as resistors, behavioural sources and capacitors: the equations of ngspice's level 1 models.

Sources: Antognetti, Massobrio, Semiconductor Device Modeling with SPICE (1993), chapters 1-3, with what ngspice adds: a
conductance ``GMIN`` beside every junction, and a reverse current that falls as the cube of the voltage. Models hold at
the temperature of the deck, so coefficients of temperature change nothing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, log, log1p
from typing import NamedTuple

from spu_circuit.errors import InputError
from spu_circuit.noise import BOLTZMANN

CHARGE = 1.602176634e-19
"""C: exact, it defines the ampere (SI, 2019)."""
KELVIN = 273.15
GMIN = 1e-12
"""S, beside every junction, as in ngspice."""
SMALLEST = 1e-18
"""F: of a junction's capacitance. A model without capacitance at a voltage would have a mode of any speed."""

MODEL = re.compile(r"(?i)\.model\s+(?P<name>\S+)\s+(?P<kind>[a-z]+)\s*(?P<rest>.*)")
VALUE = re.compile(r"(?i)([a-z]\w*)\s*=\s*(\{[^}]*\}|'[^']*'|[^\s(),]+)")
WITHOUT_EFFECT = frozenset(
    {"eg", "xti", "xtb", "kf", "af", "trs", "trs1", "trs2", "tbv", "tbv1", "tbv2", "tcv", "cta", "ctp", "tikf", "tm1"}
    | {"tm2", "ttt1", "ttt2", "trb1", "trb2", "tre1", "tre2", "trc1", "trc2", "vtotc", "betatce", "tcv", "ptf"}
)
"""Coefficients of temperature, which is that of the model; of flicker noise, of which no white noise has a part; and of
the phase beyond a transistor's own bandwidth."""


NONE_AT_ZERO = frozenset({"irb", "rbm", "itf", "xtf", "vtf", "isr", "ikf", "alpha", "vk"})
"""Effects that are not known here, and that a model does not have where it gives them as 0."""


class Junction(NamedTuple):
    """Where a current rises as that of a junction does. Args: ``wide``: n k T / q, V; ``begins``: breakdown, V."""

    wide: float
    begins: float = 0.0


class Part(NamedTuple):
    """A line that needs no model.

    Args:
        junction: of a behavioural source; None: it is none.
        capacitance: formula of a capacitor's farads by its own voltage; "": constant.
    """

    line: str
    junction: Junction | None = None
    capacitance: str = ""


@dataclass(frozen=True)
class Model:
    """A ``.model`` line: its name and kind in small letters, and values as they stand."""

    name: str
    kind: str
    line: str
    values: Mapping[str, str] = field(default_factory=dict)


def model_of(line: str) -> Model:
    """Raises InputError where it is no model."""
    found = MODEL.fullmatch(line.strip())
    if found is None:
        raise InputError(f"{line!r} is no model; write .model NAME KIND(PARAMETER=VALUE …)")
    values = {key.lower(): value for key, value in VALUE.findall(found["rest"])}
    return Model(found["name"].lower(), found["kind"].lower(), line, values)


@dataclass(frozen=True)
class Kind:
    """A kind of semiconductor.

    Args:
        terminals: that a line names.
        more: terminals that it may name behind them.
        models: kinds of models, and the sign of the voltages that they conduct at.
        defaults: of their parameters.
        also: other names of these.
        parts: makes the elements of name, terminals, sign, parameters, area and k T / q.
    """

    terminals: int
    models: Mapping[str, int]
    defaults: Mapping[str, float]
    parts: "Callable[[str, Sequence[str], int, Mapping[str, float], float, float], list[Part]]"
    also: Mapping[str, str] = field(default_factory=dict)
    more: int = 0


def semiconductor(
    line: str, models: Mapping[str, Model], value: Callable[[str], float], celsius: float, name: str
) -> list[Part]:
    """The elements of a diode, a bipolar transistor or a junction field-effect transistor.

    Args:
        models: by name.
        value: of a number or formula.
        celsius: temperature.
        name: of the element with its path, for errors.

    Raises:
        InputError: no such model, or one with a parameter whose effect is not known here.
    """
    words = line.split()
    kind = KINDS[words[0][0].upper()]
    places = range(1 + kind.terminals, 2 + kind.terminals + kind.more)
    place = next((k for k in places if k < len(words) and words[k].lower() in models), None)
    if place is None:
        raise InputError(f"{name}: no model of a semiconductor ({line!r}); define it in the library, or use ngspice")
    model, rest = models[words[place].lower()], [word for word in words[place + 1 :] if word.lower() != "off"]
    if model.kind not in kind.models:
        raise InputError(
            f"{name}: model {model.name!r} is of kind {model.kind}; {words[0][0].upper()} takes "
            f"{' or '.join(kind.models)}; use ngspice"
        )
    rest = [word.partition("=")[2] if word.lower().startswith("area=") else word for word in rest]
    rest = [word for word in rest if not word.lower().startswith("ic=")]
    if len(rest) > 1 or any("=" in word for word in rest):
        raise InputError(f"{name}: behind its model only an area is known here ({line!r}); use ngspice")
    area = value(rest[0]) if rest else 1.0
    given = _given(model, kind, value, name)
    return kind.parts(words[0], words[1:place], kind.models[model.kind], given, area, _thermal(celsius))


def _thermal(celsius: float) -> float:
    return BOLTZMANN * (celsius + KELVIN) / CHARGE


def _given(model: Model, kind: Kind, value: Callable[[str], float], name: str) -> dict[str, float]:
    found = dict(kind.defaults)
    for key, text in model.values.items():
        key = kind.also.get(key, key)
        if key in found:
            found[key] = float(value(text))
        elif key in NONE_AT_ZERO and float(value(text)) == 0:
            continue
        elif key not in WITHOUT_EFFECT and not (key == "level" and float(value(text)) == 1):
            raise InputError(
                f"{name}: {key}={text} of model {model.name!r} is not known here ({model.line[:120]!r}); use ngspice"
            )
    return found


def _text(value: float) -> str:
    """A number in a formula."""
    return repr(float(value))


def _diode(
    name: str, nodes: Sequence[str], sign: int, given: Mapping[str, float], area: float, thermal: float
) -> list[Part]:
    anode, cathode = nodes
    parts, (inner,) = _behind(name, {"rs": anode}, given, area)
    wide, saturation = given["n"] * thermal, given["is"] * area
    volts = f"v({inner},{cathode})"
    current = f"{_junction(saturation, volts, wide)}+{GMIN}*{volts}"
    parts.append(_source(f"{name}#d", (inner, cathode), current, Junction(wide)))
    if given["bv"] < inf:
        begins = _breakdown(given["bv"], given["ibv"] * area, saturation, wide)
        current = f"{_text(saturation)}*junction(max(v({cathode},{inner})-{_text(begins)},0)/{_text(wide)})"
        parts.append(_source(f"{name}#z", (cathode, inner), current, Junction(wide, begins)))
    charge = {"zero": given["cjo"] * area, "potential": given["vj"], "grading": given["m"], "forward": given["fc"]}
    return parts + _capacitor(name, (inner, cathode), charge, given["tt"] * saturation, wide)


def _breakdown(volts: float, current: float, saturation: float, wide: float) -> float:
    """Where the exponential of a reverse breakdown begins that passes ``current`` at ``volts``, as ngspice has it."""
    if current < saturation * volts / wide:
        return volts
    begins = volts - wide * log1p(current / saturation)
    for _ in range(25):
        begins = volts - wide * log(current / saturation + 1 - begins / wide)
    return begins


def _bipolar(
    name: str, nodes: Sequence[str], sign: int, given: Mapping[str, float], area: float, thermal: float
) -> list[Part]:
    substrate = nodes[3] if len(nodes) > 3 else "0"
    parts, (c, b, e) = _behind(name, {"rc": nodes[0], "rb": nodes[1], "re": nodes[2]}, given, area)

    def ends(first: str, second: str) -> tuple[str, str]:
        return (first, second) if sign > 0 else (second, first)

    forward, reverse = given["nf"] * thermal, given["nr"] * thermal
    saturation = given["is"] * area
    be, bc = (f"v({','.join(ends(b, end))})" for end in (e, c))
    # ngspice counts the area twice in the collector's junction, where its own area is not given.
    ahead, back = _junction(saturation, be, forward), _junction(saturation * area, bc, reverse)
    base = f"{ahead}/{_text(given['bf'])}+{GMIN}*{be}"
    if given["ise"]:
        base += f"+{_junction(given['ise'] * area, be, given['ne'] * thermal)}"
    collector = f"{back}/{_text(given['br'])}+{GMIN}*{bc}"
    if given["isc"]:
        collector += f"+{_junction(given['isc'] * area, bc, given['nc'] * thermal)}"
    transport = f"({ahead}-{back})"
    if min(given["vaf"], given["var"]) < inf:
        transport += f"*(1-{bc}*{_text(1 / given['vaf'])}-{be}*{_text(1 / given['var'])})"
    if min(given["ikf"], given["ikr"]) < inf:
        high = f"{ahead}*{_text(1 / given['ikf'] / area)}+{back}*{_text(1 / given['ikr'] / area)}"
        transport += f"*2/(1+sqrt(max(1+4*({high}),0)))"
    smallest = min(forward, reverse)
    parts += [
        _source(f"{name}#be", ends(b, e), base, Junction(forward)),
        _source(f"{name}#bc", ends(b, c), collector, Junction(reverse)),
        _source(f"{name}#ce", ends(c, e), transport, Junction(smallest)),
    ]
    for tag, end, wide, transit in (("e", e, forward, "tf"), ("c", c, reverse, "tr")):
        charge = {
            "zero": given[f"cj{tag}"] * area,
            "potential": given[f"vj{tag}"],
            "grading": given[f"mj{tag}"],
            "forward": given["fc"],
        }
        parts += _capacitor(f"{name}#{tag}", ends(b, end), charge, given[transit] * saturation, wide)
    charge = {"zero": given["cjs"] * area, "potential": given["vjs"], "grading": given["mjs"], "forward": 0.0}
    return parts + _capacitor(f"{name}#s", ends(substrate, c), charge, 0.0, forward)


def _junction_fet(
    name: str, nodes: Sequence[str], sign: int, given: Mapping[str, float], area: float, thermal: float
) -> list[Part]:
    parts, (d, s) = _behind(name, {"rd": nodes[0], "rs": nodes[2]}, given, area)
    g = nodes[1]

    def ends(first: str, second: str) -> tuple[str, str]:
        return (first, second) if sign > 0 else (second, first)

    # Shichman and Hodges: β (1 + λ |V_ds|) (u² − w²), with u and w what gate to source and to drain are above V_to.
    gs, gd, ds = (f"v({','.join(ends(*pair))})" for pair in ((g, s), (g, d), (d, s)))
    u, w = (f"max({volts}-({_text(given['vto'])}),0)" for volts in (gs, gd))
    slope = f"{_text(given['beta'] * area)}*(1+{_text(given['lambda'])}*abs({ds}))"
    channel = f"{slope}*({u}*{u}-{w}*{w})"
    parts.append(_source(f"{name}#ds", ends(d, s), channel, None))
    saturation = given["is"] * area
    for tag, end, volts in (("s", s, gs), ("d", d, gd)):
        current = f"{_junction(saturation, volts, thermal)}+{GMIN}*{volts}"
        parts.append(_source(f"{name}#g{tag}", ends(g, end), current, Junction(thermal)))
        charge = {
            "zero": given[f"cg{tag}"] * area,
            "potential": given["pb"],
            "grading": 0.5,
            "forward": given["fc"],
        }
        parts += _capacitor(f"{name}#{tag}", ends(g, end), charge, 0.0, thermal)
    return parts


def _behind(
    name: str, ohmic: Mapping[str, str], given: Mapping[str, float], area: float
) -> tuple[list[Part], list[str]]:
    """Resistances in front of terminals, and the nodes behind them."""
    parts, nodes = [], []
    for key, node in ohmic.items():
        if given[key]:
            parts.append(Part(f"R{name}#{key} {node} {name}#{key} {_text(given[key] / area)}"))
            node = f"{name}#{key}"
        nodes.append(node)
    return parts, nodes


def _junction(saturation: float, volts: str, wide: float) -> str:
    return f"{_text(saturation)}*junction({volts}/{_text(wide)})"


def _source(name: str, ends: tuple[str, str], current: str, junction: Junction | None) -> Part:
    return Part(f"B{name} {' '.join(ends)} i={{{current}}}", junction)


def _capacitor(
    name: str, ends: tuple[str, str], charge: Mapping[str, float], transit: float, wide: float
) -> list[Part]:
    """The capacitance of a junction: of its depletion layer, linear beyond ``forward``; and of charges in transit."""
    zero = charge["zero"]
    if not zero and not transit:
        return []
    volts, formula = f"v({','.join(ends)})", _text(SMALLEST)
    if zero:
        potential, grading = charge["potential"], charge["grading"]
        corner = charge["forward"] * potential
        formula += (
            f"+{_text(zero)}*(1-min({volts},{_text(corner)})/{_text(potential)})**{_text(-grading)}"
            f"*(1+{_text(grading / (potential - corner))}*max({volts}-{_text(corner)},0))"
        )
    if transit:
        formula += f"+{_text(transit / wide)}*exp(min({volts}/{_text(wide)},60))"
    return [Part(f"C{name}#c {' '.join(ends)} {_text(max(zero, SMALLEST))}", capacitance=formula)]


KINDS = {
    "D": Kind(
        2,
        {"d": 1},
        {"is": 1e-14, "n": 1.0, "rs": 0.0, "bv": inf, "ibv": 1e-3, "tt": 0.0}
        | {"cjo": 0.0, "vj": 1.0, "m": 0.5, "fc": 0.5},
        _diode,
        {"cj0": "cjo", "pb": "vj", "mj": "m", "js": "is"},
    ),
    "Q": Kind(
        3,
        {"npn": 1, "pnp": -1},
        {"is": 1e-16, "bf": 100.0, "nf": 1.0, "vaf": inf, "ikf": inf, "ise": 0.0, "ne": 1.5}
        | {"br": 1.0, "nr": 1.0, "var": inf, "ikr": inf, "isc": 0.0, "nc": 2.0, "rb": 0.0, "re": 0.0, "rc": 0.0}
        | {"cje": 0.0, "vje": 0.75, "mje": 0.33, "tf": 0.0, "cjc": 0.0, "vjc": 0.75, "mjc": 0.33, "tr": 0.0}
        | {"cjs": 0.0, "vjs": 0.75, "mjs": 0.0, "fc": 0.5},
        _bipolar,
        {"va": "vaf", "vb": "var", "ik": "ikf", "pe": "vje", "me": "mje", "pc": "vjc", "mc": "mjc"}
        | {"ccs": "cjs", "ps": "vjs", "ms": "mjs"},
        more=1,
    ),
    "J": Kind(
        3,
        {"njf": 1, "pjf": -1},
        {"vto": -2.0, "beta": 1e-4, "lambda": 0.0, "is": 1e-14, "rd": 0.0, "rs": 0.0}
        | {"cgs": 0.0, "cgd": 0.0, "pb": 1.0, "fc": 0.5},
        _junction_fet,
    ),
}
"""First letter of an element → its kind."""

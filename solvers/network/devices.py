"""Semiconductors as resistors, behavioural sources and capacitors: the equations of ngspice's models.

Sources: Antognetti, Massobrio, Semiconductor Device Modeling with SPICE (1993), chapters 1-3, with what ngspice adds: a
conductance ``GMIN`` beside every junction, and a reverse current that falls as the cube of the voltage. Models hold at
the temperature of the deck, so coefficients of temperature change nothing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf, log, log1p

from solvers.network.mosfets import LEVELS
from solvers.network.parts import (
    CHARGE,
    GMIN,
    Charge,
    Junction,
    Kind,
    Part,
    behind,
    between,
    capacitor,
    depletion,
    junction_current,
    number_text,
    source,
)
from spu_circuit.errors import InputError
from spu_circuit.noise import BOLTZMANN

KELVIN = 273.15

IDEAL, AT_ONCE = 1e-17, 1e-11
"""F, s: a diode of no more capacitance and transit time has no charge. Vendors' ideal diodes, 1 aF behind 1 mΩ, would
have modes of 1e21/s, beside which rounding hides those of an amplifier."""
MODEL = re.compile(r"(?i)\.model\s+(?P<name>\S+)\s+(?P<kind>[a-z]+)\s*(?P<rest>.*)")
VALUE = re.compile(r"(?i)([a-z]\w*)\s*=\s*(\{[^}]*\}|'[^']*'|[^\s(),]+)")
WITHOUT_EFFECT = frozenset(
    {"eg", "xti", "xtb", "kf", "af", "trs", "trs1", "trs2", "tbv", "tbv1", "tbv2", "tcv", "cta", "ctp", "tikf", "tm1"}
    | {"tm2", "ttt1", "ttt2", "trb1", "trb2", "tre1", "tre2", "trc1", "trc2", "vtotc", "betatce", "tcv", "ptf"}
)
"""Coefficients of temperature, which is that of the model; of flicker noise, of which no white noise has a part; and of
the phase beyond a transistor's own bandwidth."""


NONE_AT_ZERO = frozenset(
    {"irb", "rbm", "itf", "xtf", "vtf", "isr", "ikf", "alpha", "vk", "gamma", "nsub", "nfs", "vmax", "xj", "delta"}
)
"""Effects that are not known here, and that a model does not have where it gives them as 0."""


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


def semiconductor(
    line: str, models: Mapping[str, Model], value: Callable[[str], float], celsius: float, name: str
) -> list[Part]:
    """The elements of a diode, a bipolar transistor, or a junction or MOS field-effect transistor.

    Args:
        models: by name.
        value: of a number or formula.
        celsius: temperature.
        name: of the element with its path, for errors.

    Raises:
        InputError: no such model, or one with a parameter whose effect is not known here.
    """
    words = re.sub(r"\s*=\s*", "=", line).split()
    letter = words[0][0].upper()
    levels = KINDS[letter]
    kind = levels[1]
    places = range(1 + kind.terminals, 2 + kind.terminals + kind.more)
    place = next((k for k in places if k < len(words) and words[k].lower() in models), None)
    if place is None:
        raise InputError(f"{name}: no model of a semiconductor ({line!r}); define it in the library, or use ngspice")
    model = models[words[place].lower()]
    if model.kind not in kind.models:
        raise InputError(
            f"{name}: model {model.name!r} is of kind {model.kind}; {letter} takes "
            f"{' or '.join(kind.models)}; use ngspice"
        )
    level = float(value(model.values.get("level", "1")))
    kind = levels.get(int(level), kind)
    known = WITHOUT_EFFECT | kind.without | ({"level"} if level in levels else set())
    given = {**kind.defaults, **kind.sizes}
    for key, text in model.values.items():
        key = kind.also.get(key, key)
        if key in given:
            given[key] = float(value(text))
        elif key not in known and not (key in NONE_AT_ZERO and float(value(text)) == 0):
            raise InputError(
                f"{name}: {key}={text} of model {model.name!r} is not known here ({model.line[:120]!r}); use ngspice"
            )
    sizes = {key: given.pop(key) for key in kind.sizes}
    rest = [word for word in words[place + 1 :] if word.lower() != "off" and not word.lower().startswith("ic=")]
    if len(sizes) == len(rest) == 1 and "=" not in rest[0]:
        rest = [f"{next(iter(sizes))}={rest[0]}"]
    for word in rest:
        key, _, text = word.partition("=")
        if not text or key.lower() not in sizes:
            raise InputError(f"{name}: known behind its model: {', '.join(sizes)} ({line!r}); use ngspice")
        sizes[key.lower()] = float(value(text))
    thermal = BOLTZMANN * (celsius + KELVIN) / CHARGE
    found = kind.parts(words[0], words[1:place], kind.models[model.kind], given, sizes, thermal)
    # What joins a node to itself does nothing: such as the capacitance from a bulk to the source that it is tied to.
    return [part for part in found if len(set(part.line.lower().split()[1:3])) == 2]


def _diode(
    name: str, nodes: Sequence[str], sign: int, given: Mapping[str, float], sizes: Mapping[str, float], thermal: float
) -> list[Part]:
    (anode, cathode), area = nodes, sizes["area"]
    parts, (inner,) = behind(name, {"rs": (anode, given["rs"] / area)})
    wide, saturation = given["n"] * thermal, given["is"] * area
    volts = f"v({inner},{cathode})"
    current = f"{junction_current(saturation, volts, wide)}+{GMIN}*{volts}"
    parts.append(source(f"{name}#d", (inner, cathode), current, Junction(wide)))
    if given["bv"] < inf:
        begins = _breakdown(given["bv"], given["ibv"] * area, saturation, wide)
        current = (
            f"{number_text(saturation)}*junction(max(v({cathode},{inner})-{number_text(begins)},0)/{number_text(wide)})"
        )
        parts.append(source(f"{name}#z", (cathode, inner), current, Junction(wide, begins)))
    if given["cjo"] * area <= IDEAL and given["tt"] <= AT_ONCE:
        return parts
    charge = Charge(given["cjo"] * area, given["vj"], given["m"], given["fc"])
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
    name: str, nodes: Sequence[str], sign: int, given: Mapping[str, float], sizes: Mapping[str, float], thermal: float
) -> list[Part]:
    substrate, area = nodes[3] if len(nodes) > 3 else "0", sizes["area"]
    ohmic = {key: (node, given[key] / area) for key, node in zip(("rc", "rb", "re"), nodes, strict=False)}
    parts, (c, b, e) = behind(name, ohmic)
    ends = partial(between, sign)
    forward, reverse = given["nf"] * thermal, given["nr"] * thermal
    saturation = given["is"] * area
    be, bc = (f"v({','.join(ends(b, end))})" for end in (e, c))
    # ngspice counts the area twice in the collector's junction, where its own area is not given.
    ahead, back = junction_current(saturation, be, forward), junction_current(saturation * area, bc, reverse)
    base = f"{ahead}/{number_text(given['bf'])}+{GMIN}*{be}"
    if given["ise"]:
        base += f"+{junction_current(given['ise'] * area, be, given['ne'] * thermal)}"
    collector = f"{back}/{number_text(given['br'])}+{GMIN}*{bc}"
    if given["isc"]:
        collector += f"+{junction_current(given['isc'] * area, bc, given['nc'] * thermal)}"
    transport = f"({ahead}-{back})"
    if min(given["vaf"], given["var"]) < inf:
        transport += f"*(1-{bc}*{number_text(1 / given['vaf'])}-{be}*{number_text(1 / given['var'])})"
    if min(given["ikf"], given["ikr"]) < inf:
        high = f"{ahead}*{number_text(1 / given['ikf'] / area)}+{back}*{number_text(1 / given['ikr'] / area)}"
        transport += f"*2/(1+sqrt(max(1+4*({high}),0)))"
    smallest = min(forward, reverse)
    parts += [
        source(f"{name}#be", ends(b, e), base, Junction(forward)),
        source(f"{name}#bc", ends(b, c), collector, Junction(reverse)),
        source(f"{name}#ce", ends(c, e), transport, Junction(smallest)),
    ]
    for tag, end, wide, transit in (("e", e, forward, "tf"), ("c", c, reverse, "tr")):
        charge = Charge(given[f"cj{tag}"] * area, given[f"vj{tag}"], given[f"mj{tag}"], given["fc"])
        parts += _capacitor(f"{name}#{tag}", ends(b, end), charge, given[transit] * saturation, wide)
    charge = Charge(given["cjs"] * area, given["vjs"], given["mjs"], 0.0)
    return parts + _capacitor(f"{name}#s", ends(substrate, c), charge, 0.0, forward)


def _junction_fet(
    name: str, nodes: Sequence[str], sign: int, given: Mapping[str, float], sizes: Mapping[str, float], thermal: float
) -> list[Part]:
    g, area = nodes[1], sizes["area"]
    parts, (d, s) = behind(name, {"rd": (nodes[0], given["rd"] / area), "rs": (nodes[2], given["rs"] / area)})
    ends = partial(between, sign)
    # Shichman and Hodges: β (1 + λ |V_ds|) (u² − w²), with u and w what gate to source and to drain are above V_to.
    gs, gd, ds = (f"v({','.join(ends(*pair))})" for pair in ((g, s), (g, d), (d, s)))
    u, w = (f"max({volts}-({number_text(given['vto'])}),0)" for volts in (gs, gd))
    slope = f"{number_text(given['beta'] * area)}*(1+{number_text(given['lambda'])}*abs({ds}))"
    channel = f"{slope}*({u}*{u}-{w}*{w})"
    parts.append(source(f"{name}#ds", ends(d, s), channel, None))
    saturation = given["is"] * area
    for tag, end, volts in (("s", s, gs), ("d", d, gd)):
        current = f"{junction_current(saturation, volts, thermal)}+{GMIN}*{volts}"
        parts.append(source(f"{name}#g{tag}", ends(g, end), current, Junction(thermal)))
        charge = Charge(given[f"cg{tag}"] * area, given["pb"], 0.5, given["fc"])
        parts += _capacitor(f"{name}#{tag}", ends(g, end), charge, 0.0, thermal)
    return parts


def _capacitor(name: str, ends: tuple[str, str], charge: Charge, transit: float, wide: float) -> list[Part]:
    """The capacitance of a junction: of its depletion layer, and of charges in transit."""
    volts, formula = f"v({','.join(ends)})", []
    if charge.zero:
        formula.append(depletion(volts, charge))
    if transit:
        formula.append(f"{number_text(transit / wide)}*exp(min({volts}/{number_text(wide)},60))")
    return [capacitor(name, ends, charge.zero, "+".join(formula))] if formula else []


KINDS: Mapping[str, Mapping[int, Kind]] = {
    "D": {
        1: Kind(
            2,
            {"d": 1},
            {"is": 1e-14, "n": 1.0, "rs": 0.0, "bv": inf, "ibv": 1e-3, "tt": 0.0}
            | {"cjo": 0.0, "vj": 1.0, "m": 0.5, "fc": 0.5},
            _diode,
            {"cj0": "cjo", "pb": "vj", "mj": "m", "js": "is"},
        )
    },
    "Q": {
        1: Kind(
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
        )
    },
    "J": {
        1: Kind(
            3,
            {"njf": 1, "pjf": -1},
            {"vto": -2.0, "beta": 1e-4, "lambda": 0.0, "is": 1e-14, "rd": 0.0, "rs": 0.0}
            | {"cgs": 0.0, "cgd": 0.0, "pb": 1.0, "fc": 0.5},
            _junction_fet,
        )
    },
    "M": LEVELS,
}
"""First letter of an element → its kind by the level of its model."""

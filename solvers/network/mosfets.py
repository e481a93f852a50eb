"""MOSFETs of levels 1 to 3: the channel's current, Meyer's capacitances, and the junctions of the bulk.

Sources: Antognetti, Massobrio, Semiconductor Device Modeling with SPICE (1993), chapter 4, with what ngspice's models
have in their place. Voltages count from the end of the channel that acts as the source. Level 2 is known where nothing
but the gate bends its channel. The reverse current of the bulk falls as that of a diode, where ngspice's level 1 has a
step of 5 % of its saturation current.
"""

from collections.abc import Callable, Mapping, Sequence
from math import exp, isnan, log, nan, pi, sqrt

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
    source,
)
from spu_circuit.errors import InputError
from spu_circuit.noise import BOLTZMANN

VACUUM = 8.854214871e-12
"""F/m, as ngspice has it."""
OXIDE, SILICON = 3.9 * VACUUM, 11.7 * VACUUM
INTRINSIC = 1.45e16
"""Carriers of silicon at 300 K, 1/m³."""
SOFTEST = 0.025
"""V: the saturation voltage of Meyer's capacitances, at least."""
SHORTEST = 0.25e-6
"""m: what level 2 leaves of a channel, at least."""
TINY = 1e-40
"""m² below the root of a channel's shortening, which has no slope at 0."""

Given = Mapping[str, float]
Law = Callable[[Given], list[str]]
"""Formulas of a channel, each of those before it, from the parameters of ``_derived``. Known are ``drain``, ``gate``
and ``bulk``, V; they say ``threshold`` and ``saturation``, V, and ``current``, A."""
Carriers = Callable[[float], float]
"""Of silicon, 1/m³, by k T / q."""


def _derived(name: str, given: Given, sizes: Given, sign: int, thermal: float, carriers: float) -> Given:
    """Parameters with those that others decide on.

    Args:
        thermal: k T / q, V.
        carriers: of silicon, 1/m³.

    Raises:
        InputError: no channel is left, or its threshold is not told.
    """
    length = sizes["l"] - 2 * given["ld"] + given.get("xl", 0.0)
    width = sizes["w"] - 2 * given.get("wd", 0.0) + given.get("xw", 0.0)
    if length <= 0 or width <= 0:
        raise InputError(f"{name}: a channel of {length:g} m by {width:g} m; L and W must be above 2 LD and 2 WD")
    oxide = 0.0 if isnan(given["tox"]) or not given["tox"] else OXIDE / given["tox"]
    doping = 1e6 * given.get("nsub", 0.0) * bool(oxide)
    if doping and (doping <= carriers or isnan(given["vto"])):
        raise InputError(
            f"{name}: NSUB={doping / 1e6:g} is known here with VTO, and above {carriers / 1e6:.3g}; use ngspice"
        )
    phi, gamma, mobility = given["phi"], given.get("gamma", 0.0), given["kp"]
    if isnan(phi):
        phi = max(0.1, 2 * thermal * log(doping / carriers)) if doping else 0.6
    if isnan(gamma):
        gamma = sqrt(2 * SILICON * CHARGE * doping) / oxide if doping else 0.0
    if isnan(mobility):
        mobility = given["uo"] * 1e-4 * oxide if oxide else 2e-5
    threshold = 0.0 if isnan(given["vto"]) else sign * given["vto"]
    return {
        **given,
        "length": length,
        "width": width,
        "oxide": oxide,
        "phi": phi,
        "gamma": gamma,
        "flat": threshold - gamma * sqrt(phi),
        "beta": mobility * sizes["m"] * width / length,
        "depth": sqrt(2 * SILICON / CHARGE / doping) if doping else 0.0,
    }


def _level1(given: Given) -> list[str]:
    """Shichman and Hodges: β (1 + λ v_ds) (v_gs − v_th − v/2) v, with v the lesser of v_ds and v_gs − v_th."""
    phi = given["phi"]
    return [
        f"root=ternary_fcn(bulk<=0,sqrt(max({phi}-bulk,{phi / 4})),max({sqrt(phi)}-bulk*{0.5 / sqrt(phi)},0))",
        f"threshold={given['flat']}+{given['gamma']}*root",
        "saturation=max(gate-threshold,0)",
        "across=min(drain,saturation)",
        f"current={given['beta']}*(1+{given['lambda']}*drain)*(saturation-across/2)*across",
    ]


def _level2(given: Given) -> list[str]:
    """Level 1 with a channel that is shorter, L (1 − λ v_ds)."""
    return [
        f"threshold={given['flat']}",
        "saturation=max(gate-threshold,0)",
        "across=min(drain,saturation)",
        f"left=max(1-{given['lambda']}*drain,{min(SHORTEST / given['length'], 1.0)})",
        f"current={given['beta']}/left*(saturation-across/2)*across",
    ]


def _level3(given: Given) -> list[str]:
    """Dang's semi-empirical law: short, narrow and fast channels, without weak inversion (NFS)."""
    phi, length, depth = given["phi"], given["length"], given["depth"]
    narrow = given["delta"] * pi * SILICON / 2 / given["oxide"] / given["width"]
    feedback = given["eta"] * 8.15e-22 / given["oxide"] / length**3
    forward = f"{sqrt(phi)}/(1+max(bulk,0)*{0.5 / phi})"
    lines = [f"root=ternary_fcn(bulk<=0,sqrt(max({phi}-bulk,{phi / 4})),{forward})", "short=1"]
    if given["xj"] and depth:
        junction, under = given["xj"], given["ld"] / given["xj"]
        lines[1:] = [
            f"wide=root*{depth / junction}",
            "edge=wide/(1+wide)",
            f"arc=0.0631353+0.8013292*wide-0.01110777*wide*wide+{under}",
            f"short=1-{junction / length}*(arc*sqrt(1-edge*edge)-{under})",
        ]
    lines += [
        f"body={given['gamma']}*short/(4*root)+{narrow}",
        f"threshold={given['flat']}-{feedback}*drain+{given['gamma']}*short*root+{narrow}*root*root",
        "above=max(gate-threshold,0)",
        f"slower=1+{given['theta']}*above",
    ]
    fast, modulation = given["vmax"] > 0, given["kappa"] * depth**2
    if fast:
        lines += [
            "wanted=above/(1+body)",
            f"critical={length * given['vmax'] / given['uo'] / 1e-4}*slower",
            # The difference of two large numbers where velocity hardly saturates, without losing its digits.
            "saturation=2*wanted*critical/(wanted+critical+sqrt(wanted*wanted+critical*critical))",
            "across=min(drain,saturation)",
            "kept=1/(1+across/critical)",
        ]
    else:
        lines += ["saturation=above/(1+body)", "across=min(drain,saturation)", "kept=1"]
    lines.append(f"long={given['beta']}/slower*(above-0.5*(1+body)*across)*across*kept")
    if not modulation:
        return [*lines, "current=long"]
    beyond = "max(drain-saturation,0)"
    if fast:
        lines += [
            "steep=max(long*(1-kept)/critical,1e-12)",
            f"field={0.5 * given['kappa'] * depth**2 / length}*long/steep",
            f"less=sqrt(field*field+max({modulation}*{beyond},{TINY}))-field",
        ]
    else:
        lines += [
            f"linear=(drain/max(saturation,{TINY}))**4*sqrt(max({modulation / 8}*saturation,{TINY}))",
            f"less=ternary_fcn(drain<=saturation,linear,sqrt(max({modulation}*(drain-0.875*saturation),{TINY})))",
        ]
    half = length / 2
    return [
        *lines,
        f"gone=ternary_fcn(less>{half},{length}-{length * half / 2}/max(less,{half}),less)",
        f"current=long/(1-gone*{1 / length})",
    ]


def _mosfet(law: Law, carriers: Carriers) -> Callable[..., list[Part]]:
    """What makes the parts of a level. Args: see ``_derived``."""

    def parts(name: str, nodes: Sequence[str], sign: int, given: Given, sizes: Given, thermal: float) -> list[Part]:
        own, many = _derived(name, given, sizes, sign, thermal, carriers(thermal)), sizes["m"]
        ohmic = {
            key: (node, (given["rsh"] * sizes[f"n{key}"] if isnan(given[key]) else given[key]) / many)
            for key, node in (("rd", nodes[0]), ("rs", nodes[2]))
        }
        found, (d, s) = behind(name, ohmic)
        g, b = nodes[1], nodes[3]
        gs, gd, ds, bs, bd = (
            f"v({','.join(between(sign, *pair))})" for pair in ((g, s), (g, d), (d, s), (b, s), (b, d))
        )
        channel = [
            f"turned=ternary_fcn({ds}>=0,1,-1)",
            f"drain=turned*{ds}",
            f"gate=ternary_fcn({ds}>=0,{gs},{gd})",
            f"bulk=ternary_fcn({ds}>=0,{bs},{bd})",
            *law(own),
        ]
        found.append(source(f"{name}#ds", between(sign, d, s), _said(channel, "turned*current"), None))
        for tag, end, nominal, formula in _gate(own, many, s, d, b):
            found.append(capacitor(f"{name}#g{tag}", between(sign, g, end), nominal, _said(channel, formula)))
        for tag, end, volts in (("d", d, bd), ("s", s, bs)):
            found += _bulk(f"{name}#b{tag}", between(sign, b, end), volts, tag, own, sizes, thermal)
        return found

    return parts


def _gate(own: Given, many: float, s: str, d: str, b: str) -> list[tuple[str, str, float, str]]:
    """Meyer's capacitances (RCA Review 32:42, 1971), and overlaps: tag, other end, about how large, and formula."""
    phi, oxide = own["phi"], own["oxide"] * own["width"] * own["length"] * many
    ends = [
        f"span=max(saturation,{SOFTEST})",
        "used=min(drain,span)",
        f"share={oxide * 2 / 3}*min(max(2*(gate-threshold)/{phi}+1,0),1)",
        "near=share*(1-((span-used)/(2*span-used))**2)",
        "far=share*(1-(span/(2*span-used))**2)",
    ]
    bulk = f"{oxide}*min(max((threshold-gate)/{phi},0),1)"
    found = [
        ("s", s, own["cgso"] * own["width"] * many, _said(ends, "ternary_fcn(turned>0,near,far)")),
        ("d", d, own["cgdo"] * own["width"] * many, _said(ends, "ternary_fcn(turned>0,far,near)")),
        ("b", b, own["cgbo"] * own["length"] * many, bulk),
    ]
    return [(tag, end, oxide / 2 + lap, f"{formula}+{lap}") for tag, end, lap, formula in found if oxide + lap]


def _bulk(
    name: str, ends: tuple[str, str], volts: str, tag: str, own: Given, sizes: Given, thermal: float
) -> list[Part]:
    """The junction from the bulk to one end of the channel: its current, and what its bottom and its sides hold."""
    many = sizes["m"]
    dense = own["js"] * sizes["ad"] * sizes["as"] > 0
    saturation = (own["js"] * sizes[f"a{tag}"] if dense else own["is"]) * many
    current = f"{junction_current(saturation, volts, thermal)}+{GMIN}*{volts}"
    bottom = own["cj"] * sizes[f"a{tag}"] if isnan(own[f"cb{tag}"]) else own[f"cb{tag}"]
    layers = [
        Charge(zero * many, own["pb"], grading, own["fc"])
        for zero, grading in ((bottom, own["mj"]), (own["cjsw"] * sizes[f"p{tag}"], own["mjsw"]))
        if zero
    ]
    found = [source(name, ends, current, Junction(thermal))]
    if layers:
        formula = "+".join(depletion(volts, layer) for layer in layers)
        found.append(capacitor(name, ends, sum(layer.zero for layer in layers), formula))
    return found


def _said(definitions: list[str], result: str) -> str:
    return "\n".join([*definitions, result])


def _level(law: Law, own: dict[str, float], ignored: str, carriers: Carriers = lambda thermal: INTRINSIC) -> Kind:
    """A level. Args: ``own``: defaults beside the common ones; ``ignored``: parameters of others, which do nothing."""
    return Kind(
        4,
        {"nmos": 1, "pmos": -1},
        {"vto": nan, "kp": nan, "phi": nan, "uo": 600.0, "ld": 0.0, "rd": nan, "rs": nan, "rsh": 0.0, "is": 1e-14}
        | {"js": 0.0, "cbd": nan, "cbs": nan, "cj": 0.0, "cjsw": 0.0, "pb": 0.8, "mj": 0.5, "mjsw": 0.33, "fc": 0.5}
        | {"cgso": 0.0, "cgdo": 0.0, "cgbo": 0.0, "tox": 1e-7}
        | own,
        _mosfet(law, carriers),
        {"vt0": "vto", "u0": "uo"},
        sizes={"l": 1e-4, "w": 1e-4, "ad": 0.0, "as": 0.0, "pd": 0.0, "ps": 0.0, "nrd": 1.0, "nrs": 1.0, "m": 1.0},
        without=frozenset(f"tpg nss nlev gdsnoi rg rb rds n pbsw jssw xqc utra neff ucrit {ignored}".split()),
    )


def _following(thermal: float) -> float:
    """Carriers that follow the temperature, as those of level 3 do, 1/m³."""
    kelvin = thermal * CHARGE / BOLTZMANN
    gap = 1.16 - 7.02e-4 * kelvin**2 / (kelvin + 1108)
    warmer = kelvin / 300
    return INTRINSIC * warmer**1.5 * exp(gap / 2 * (1 / 300 - 1 / kelvin) * CHARGE / BOLTZMANN)


LEVELS = {
    1: _level(
        _level1,
        {"lambda": 0.0, "gamma": nan, "nsub": 0.0, "tox": nan, "mjsw": 0.5},
        "uexp vmax theta eta kappa delta xj nfs wd xl xw",
    ),
    2: _level(_level2, {"lambda": 0.0}, "theta eta kappa wd xl xw"),
    3: _level(
        _level3,
        {"gamma": nan, "nsub": 0.0, "delta": 0.0, "eta": 0.0, "theta": 0.0, "vmax": 0.0, "kappa": 0.2, "xj": 0.0}
        | {"xl": 0.0, "wd": 0.0, "xw": 0.0},
        "lambda uexp",
        _following,
    ),
}
"""The equations of an element M by the level of its model. What ngspice's own levels ignore does nothing here either:
``RG`` and ``RB`` of PSpice among them."""

"""A subcircuit of the user's own SPICE library. Sources at its input stand for the noise of its parts.

The library is read when the description is made, and what the device uses of it is kept in ``library_text``, so that a
stored description needs no other file. Its circuit does not take ``start``: an array of it is precharged instead, see
``ElementTable.precharged``.
"""

from collections.abc import Mapping
from math import pi
from pathlib import Path

from spu_circuit.amplifiers.fields import AmplifierFields
from spu_circuit.amplifiers.model import AmplifierModel
from spu_circuit.amplifiers.noise import current_noise, noise_node, resistance_of
from spu_circuit.library import find_library, lines_of, read_library, used_part
from spu_circuit.noise import WHITE

SUPPLIES = {"positive_supply": ("spu_positive", 1.0), "negative_supply": ("spu_negative", -1.0)}
"""Global nodes that feed the supply pins of all amplifiers, and their signs."""
FLOAT_RESISTANCE = 1e9
"""From a floating pin to ground, Ω: a matrix with a node that nothing leads from is singular."""
NOISE_BANDWIDTH = 1e9
"""Hz, up to which the noise voltage is white: beyond the amplifier's gain, and no white noise goes past every capacitor
through the one between its inputs."""
ONCE = ("plus", "minus", "output")
"""Roles that one pin has; others may have none or several, such as a shutdown pin at a supply."""


def _lines(amplifier: AmplifierFields, temperature: float | None, noise_hold: float | None) -> list[str]:
    """The subcircuit with its supply pins joined to the supplies."""
    lines, plus = ["Voffset shifted plus DC {offset}"], "shifted"
    if noise_hold is not None:
        lines += current_noise(amplifier.input_current_noise, temperature, noise_hold)
        if amplifier.input_noise and temperature:
            lines += noise_node("noise", amplifier.input_noise, temperature, noise_hold)
            if noise_hold == WHITE:
                ohms = resistance_of(amplifier.input_noise, temperature)
                lines.append(f"Cnoise noise 0 {1 / (2 * pi * NOISE_BANDWIDTH * ohms)!r}")
            lines.append(f"Enoise noisy {plus} noise 0 1.0")
            plus = "noisy"
    joined = {role: node for role, (node, _) in SUPPLIES.items()} | {"ground": "0", "plus": plus}
    nodes = [joined.get(role, role) for role in amplifier.pins]
    for k, role in enumerate(amplifier.pins):
        if role == "float":
            nodes[k] = f"float{k}"
            lines.append(f"R{nodes[k]} {nodes[k]} 0 {FLOAT_RESISTANCE!r}")
    # Small letters are how the library was searched: letters outside ASCII that match a name are in no deck.
    return [*lines, f"Xlibrary {' '.join(nodes)} {str(amplifier.subcircuit).lower()}"]


def _completed(amplifier: AmplifierFields, folder: Path) -> Mapping[str, str]:
    """The text of the subcircuit and of what it needs, with its pins checked."""
    for name in ("library", "subcircuit", "pins"):
        if not getattr(amplifier, name):
            raise ValueError(f"a subckt amplifier needs {name}; add it")
    assert amplifier.library is not None
    assert amplifier.subcircuit is not None
    for role in ONCE:
        if (count := amplifier.pins.count(role)) != 1:
            raise ValueError(
                f"pins name {role!r} {'twice' if count > 1 else 'nowhere'}; list each pin of the .subckt line once"
            )
    supplied = {"positive_supply", "negative_supply"} & set(amplifier.pins)
    if supplied and amplifier.supply is None:
        raise ValueError(f"pins have a {min(supplied)}, so supply is needed; add it, like supply = '15 V'")
    if not supplied and amplifier.supply is not None:
        raise ValueError("pins have no supply, so supply feeds nothing; name the supply pins, or leave it out")
    if amplifier.library_text is None:
        lines = read_library(find_library(amplifier.library, folder))
    else:
        lines = lines_of(amplifier.library_text, amplifier.library)
    text, pins = used_part(lines, amplifier.subcircuit)
    if len(pins) != len(amplifier.pins):
        raise ValueError(
            f"pins names {len(amplifier.pins)} roles, but {amplifier.subcircuit!r} of library {amplifier.library} has "
            f"{len(pins)} pins ({' '.join(pins)}); name one role for each, in this order"
        )
    return {"library_text": text}


SUBCKT = AmplifierModel(
    (
        "library",
        "subcircuit",
        "pins",
        "supply",
        "rail",
        "output_resistance",
        "current_limit",
        "input_noise",
        "input_current_noise",
        "library_text",
    ),
    _lines,
    varying=lambda amplifier: ("offset",),
    linear=lambda amplifier: False,
    completed=_completed,
)

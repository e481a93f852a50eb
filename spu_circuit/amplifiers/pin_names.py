"""What vendors call the pins of an operational amplifier."""

from collections.abc import Mapping, Sequence

from spu_circuit.amplifiers.fields import Role

WORDS: Mapping[Role, str] = {
    "plus": "+ in+ +in inp vin+ vinp vip vp ninv",
    "minus": "- in- -in inn inm vin- vinn vinm vim vm inv",
    "positive_supply": "v+ +v vcc vdd vs+ +vs vcc+ vdd+ vccp vpos",
    "negative_supply": "v- -v vee vss vs- -vs vcc- vdd- vccn vneg",
    "output": "out vout vo output",
}
"""In small letters."""
ROLES = {word: role for role, words in WORDS.items() for word in words.split()}


def named_roles(names: Sequence[str]) -> tuple[Role, ...] | None:
    """Roles of pins by their names, such as ``-IN +IN V- V+ OUT``; None where a name says nothing, or two the same."""
    roles = tuple(ROLES[name.lower()] for name in names if name.lower() in ROLES)
    whole = len(roles) == len(names) == len(set(roles)) and {"plus", "minus", "output"} <= set(roles)
    return roles if whole else None

"""Decks without noise for other simulators than ours: ngspice's text, statement by statement, by a table of rules.

Decks of every dialect are ASCII, begin with their title as a comment, have PARAMS: before parameters, and have neither
TRRANDOM nor ternaries. What differs is in ``DIALECTS``. Sources: LTspice's help (B, E, G, R, .options, .tran), Xyce
Reference Guide 7 (Expressions; .DC, .OPTIONS, .PRINT), ngspice 39 manual.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from spu_circuit.errors import InputError, did_you_mean
from spu_circuit.files import shortened
from spu_circuit.pspice_formula import TOKEN, closed

ASSIGNED = re.compile(r"([A-Za-z_]\w*)\s*=")
CALL = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\s*(?=\()")
BEHAVIOURAL = re.compile(r"(?i)(?P<head>B\S+ \S+ \S+ )(?P<kind>[iv])=\{(?P<law>.*)\}$")
SWITCHED = re.compile(r"(?i)(?P<head>B\S+ \S+ \S+ i=)\{time > 0 \? 0 : (?P<law>.*)\}$")
TABLE = re.compile(r"(?i)(?P<head>[EG]\S+ \S+ \S+ )TABLE *\{(?P<control>[^{}]*)\} *=? *(?P<points>\(.*\))$")
OPTION = re.compile(r"(\w+)=(\S+)")
PRECHARGE = "spu_precharge"
"""Node at 1 V in the operating point, and at 0 V soon after."""
EARLY = 1e-6
"""Of a transient, in which the precharge ends."""


@dataclass(frozen=True)
class Deck:
    """What a rule may know of the whole deck.

    Args:
        parameters: names, in small letters, that .subckt and .param define.
        stimulus: name and value of the first input.
        stop: end of the transient, s; 0: there is none.
    """

    parameters: frozenset[str]
    stimulus: tuple[str, str]
    stop: float


class Rule(NamedTuple):
    """What is said of it, and what it makes of a statement: several, or none."""

    says: str
    apply: Callable[[str, Deck], Sequence[str]]


@dataclass(frozen=True)
class Dialect:
    """How a simulator writes.

    Args:
        rules: in their order, after those that all have.
        functions: ngspice's names and the dialect's, where they differ.
        signs: likewise.
    """

    rules: tuple[Rule, ...] = ()
    functions: dict[str, str] = field(default_factory=dict)
    signs: dict[str, str] = field(default_factory=dict)


def portable(deck: str, dialect: str) -> str:
    """A deck of ``write_deck`` in another dialect.

    Raises:
        InputError: there is no such dialect, or the deck has noise sources or a library's ternaries, which other
            simulators do not know.
    """
    chosen = check_dialect(dialect)
    if "TRRANDOM" in deck:
        raise InputError(f"dialect {dialect!r}: the deck has noise sources, which are ngspice's alone; leave noise out")
    statements = deck.splitlines()
    about = _about(statements)
    for rule in (*COMMON, *chosen.rules):
        statements = [made for statement in statements for made in rule.apply(statement, about)]
    if conditional := next((line for line in statements if "?" in line and not line.startswith("*")), None):
        raise InputError(
            f"dialect {dialect!r}: {shortened(conditional)} has a '?', which the others do not know; write IF(a, b, c)"
        )
    if chosen.functions or chosen.signs:
        statements = [_renamed(statement, chosen) for statement in statements]
    return "\n".join([*statements, ""])


def check_dialect(name: str) -> Dialect:
    """Raises InputError where there is none of the name."""
    if name not in DIALECTS:
        raise InputError(f"dialect: no {name!r}; {did_you_mean(name, DIALECTS, 'dialects')}")
    return DIALECTS[name]


def _about(statements: Sequence[str]) -> Deck:
    parameters: set[str] = set()
    stimulus, stop = ("", ""), 0.0
    for statement in statements:
        words = statement.split()
        if words and words[0].lower() in (".subckt", ".param"):
            parameters.update(name.lower() for name in ASSIGNED.findall(statement))
        elif statement.endswith(" AC 1"):
            stimulus = words[0], words[4]
        elif words and words[0] == ".tran":
            stop = float(words[2])
    return Deck(frozenset(parameters), stimulus, stop)


def _title(statement: str, deck: Deck) -> Sequence[str]:
    # The first line of a deck is its title to all of them; as a comment it is one wherever it stands.
    return [f"* {statement.removeprefix('.title ')}" if statement.startswith(".title ") else statement]


def _parameters(statement: str, deck: Deck) -> Sequence[str]:
    words = statement.split()
    if not statement.lower().startswith((".subckt ", "x")) or any(word.lower() == "params:" for word in words):
        return [statement.replace(" params:", " PARAMS:")]
    first = next((k for k, word in enumerate(words) if "=" in word), None)
    return [statement if first is None else " ".join([*words[:first], "PARAMS:", *words[first:]])]


def _seed(statement: str, deck: Deck) -> Sequence[str]:
    return [] if statement.startswith(".options seed=") else [statement]


def _precharge(statement: str, deck: Deck) -> Sequence[str]:
    if statement.startswith(".tran"):
        words = statement.split()
        if words[-1] == "uic":
            return [statement]
        return [f"Vspu_precharge {PRECHARGE} 0 PWL(0 1 {EARLY * deck.stop!r} 0)", statement]
    found = SWITCHED.match(statement)
    return [statement if found is None else f"{found['head']}{{V({PRECHARGE})*({found['law']})}}"]


COMMON = (
    Rule("the first line is the title, a comment", _title),
    Rule("PARAMS: stands before the parameters of subcircuits and of their instances", _parameters),
    Rule("no seed: nothing is random", _seed),
    Rule("no ternary: precharge switches follow a source that falls from 1 V to 0 V", _precharge),
)


def _options(make: Callable[[dict[str, str]], Sequence[str]]) -> Callable[[str, Deck], Sequence[str]]:
    def apply(statement: str, deck: Deck) -> Sequence[str]:
        return make(dict(OPTION.findall(statement))) if statement.startswith(".options temp=") else [statement]

    return apply


def _ltspice_options(given: dict[str, str]) -> Sequence[str]:
    method = f" method={given['method']}" if "method" in given else ""
    return [f".temp {given['temp']}", f".options tnom={given['tnom']} reltol={given['reltol']}{method}"]


def _xyce_options(given: dict[str, str]) -> Sequence[str]:
    method = f" method={given['method']}" if "method" in given else ""
    return [
        f".options device temp={given['temp']} tnom={given['tnom']}",
        f".options timeint reltol={given['reltol']}{method}",
    ]


def _without(begin: str) -> Callable[[str, Deck], Sequence[str]]:
    return lambda statement, deck: [] if statement.startswith(begin) else [statement]


def _unbraced(statement: str, deck: Deck) -> Sequence[str]:
    found = BEHAVIOURAL.match(statement)
    if found is None:
        return [statement]
    pieces = []
    law, at = found["law"], 0
    while at < len(law):
        token = TOKEN.match(law, at)
        assert token is not None
        text, at = token[0], token.end()
        if token.lastgroup == "name" and text.lower() in ("v", "i") and law[at : at + 1] == "(":
            end = closed(law, at)
            text, at = law[token.start() : end], end
        elif token.lastgroup == "name" and text.lower() in deck.parameters and law[at : at + 1] != "(":
            text = f"{{{text}}}"
        pieces.append(text)
    return [f"{found['head']}{found['kind'].upper()}={''.join(pieces)}"]


def _table_function(statement: str, deck: Deck) -> Sequence[str]:
    found = TABLE.match(statement)
    if found is None:
        return [statement]
    numbers = ",".join(re.findall(r"[^\s(),]+", found["points"]))
    return [f"{found['head']}value={{table({found['control']},{numbers})}}"]


def _silent(word: str) -> Callable[[str, Deck], Sequence[str]]:
    return lambda statement, deck: [re.sub(r" noisy=0$", word, statement) if statement[:1] in "Rr" else statement]


def _coefficients(statement: str, deck: Deck) -> Sequence[str]:
    return [re.sub(r"(?i) tc1=(\S+) tc2=(\S+)", r" tc=\1,\2", statement) if statement[:1] in "Rr" else statement]


def _plain_resistor(statement: str, deck: Deck) -> Sequence[str]:
    words = statement.split()
    if statement[:1] not in "Rr" or len(words) < 5 or not words[3][0].isalpha() or "=" in words[3]:
        return [statement]
    return [" ".join([*words[:3], *words[4:]])]


def _swept(statement: str, deck: Deck) -> Sequence[str]:
    name, value = deck.stimulus
    if statement == ".op":
        return [f".dc {name} {value} {value} 1"]
    return [statement.replace(".print op ", ".print dc ") if statement.startswith(".print op ") else statement]


def _renamed(statement: str, dialect: Dialect) -> str:
    # PWL of a source is no function.
    if statement.startswith(("*", ".options", ".print", ".save", ".model")) or statement[0] in "VvIi":
        return statement
    for sign, theirs in dialect.signs.items():
        statement = statement.replace(sign, theirs)
    return CALL.sub(lambda call: dialect.functions.get(call[1].lower(), call[1]), statement)


DIALECTS = {
    "ngspice": Dialect(),
    "ltspice": Dialect(
        (
            Rule("the temperature is a statement of its own", _options(_ltspice_options)),
            Rule("no .print: what is saved can be plotted", _without(".print ")),
            Rule("laws of B sources stand without braces, parameters in them with braces", _unbraced),
            Rule("TABLE of sources is the function table()", _table_function),
            Rule("noisy=0 of resistors is noiseless", _silent(" noiseless")),
            Rule("temperature coefficients are one pair", _coefficients),
            Rule("resistors have no models, whose coefficients do nothing at tnom", _plain_resistor),
        ),
        {"ternary_fcn": "if", "pwl": "table"},
        {"&&": "&", "||": "|"},
    ),
    "xyce": Dialect(
        (
            Rule("options belong to packages", _options(_xyce_options)),
            Rule("no .save: what is printed is kept", _without(".save ")),
            Rule("an operating point is a sweep of one point", _swept),
            Rule("noisy=0 of resistors is left out: nothing is noisy", _silent("")),
        ),
        {"ternary_fcn": "IF", "pwl": "TABLE", "ln": "LOG", "u": "STP"},
    ),
}
"""Name → its rules. Laws of B sources keep their braces in ngspice and Xyce."""

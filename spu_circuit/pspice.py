"""PSpice's language in ngspice's own words, so that a deck means the same in whatever mode ngspice runs.

ngspice's PSpice mode is not used: ngspice 39 there extrapolates ``TABLE(...)``, takes ``x**3`` as ``|x|**3``, bends
``exp`` and fails at ``INT``, and a deck would mean something else where the mode is forgotten. What has no words of the
same meaning is refused by line. A translated text is its own translation.
"""

import re
from collections.abc import Callable, Sequence
from math import log

from spu_circuit.pspice_formula import (
    SAME,
    TRANSLATIONS,
    Names,
    UntranslatableError,
    check_depth,
    closed,
    formula,
    number,
)
from spu_circuit.pspice_laplace import laplace
from spu_circuit.spice_line import Line

ASSIGNED = re.compile(r"([A-Za-z_][\w.$]*)\s*=")
DEFINED = re.compile(r"(?i)\.func\s+([\w.$]+)\s*\(([^)]*)\)")
FORMULA_AFTER = {"E": re.compile(r"(?i)\bvalue\b\s*=?"), "B": re.compile(r"(?i)\b[vi]\s*=")}
FORMULA_AFTER["G"] = FORMULA_AFTER["E"]
UNTRANSLATED = re.compile(r"(?i)\b(freq|chebyshev)\b\s*(?=[={(])")
TRANSFER = re.compile(r"(?i)[eg]\S* \S+ \S+ laplace\b")
SWITCHES = {
    "vswitch": ("S", {"ron": 1.0, "roff": 1e6, "von": 1.0, "voff": 0.0}),
    "iswitch": ("W", {"ron": 1.0, "roff": 1e6, "ion": 1e-3, "ioff": 0.0}),
}
"""PSpice's smooth switches: the letter of the elements, and the parameters with their defaults."""
PASSIVES = {"res": "r", "cap": "c", "ind": "l", "r": "r", "c": "c", "l": "l"}
"""Types of models of passive parts, and the factor of the value that PSpice's have."""
BEHIND_SCALE = re.compile(r"(?i)(?<![\w.$])((?:\d+\.?\d*|\.\d+)(?:meg|[tgkmunpf]))e[-+]\d+(?=[\s(){},]|$)")
"""An exponent behind a scale, which PSpice does not read: 2.3ME-3 is 0.0023."""
MODEL = re.compile(r"(?i)\.model\s+(?P<name>\S+)\s+(?P<type>[^\s(]+)\s*\(?(?P<rest>.*?)\)?\s*$")
VALUE = r"(?:\{[^}]*\}|[^\s(){},]+)"
OWN_TEMPERATURE = re.compile(rf"(?i)\b(t_abs|t_rel_local|t_rel_global)=({VALUE})")
ABSOLUTE_ZERO = -273.15


def translated(lines: Sequence[Line], optional: Callable[[Line], bool]) -> list[Line]:
    """The statements of a library in ngspice's own words.

    Args:
        lines: with all ``.subckt`` lines around those inside.
        optional: whether a line is left out, rather than refused, where it cannot be translated.

    Raises:
        InputError: a statement means something that ngspice cannot say: names file, line and cure.
    """
    names = _names(lines)
    scopes = _scopes(lines)
    models = {
        (scope, found["name"].lower()): found
        for line, scope in zip(lines, scopes, strict=True)
        if (found := MODEL.match(line.text))
    }
    kept = []
    for line, scope in zip(lines, scopes, strict=True):
        try:
            texts = [line.text] if line.is_comment else _statements(line.text, scope, models, names)
        except UntranslatableError as error:
            if optional(line):
                continue
            raise line.refused(str(error)) from None
        kept += [line._replace(text=one) for one in texts if one]
    return kept


def _names(lines: Sequence[Line]) -> Names:
    parameters: set[str] = set()
    functions: set[str] = set()
    for line in lines:
        if line.word in (".param", ".subckt"):
            parameters.update(name.lower() for name in ASSIGNED.findall(line.text))
        elif found := DEFINED.match(line.text):
            functions.add(found[1].lower())
            parameters.update(name.strip().lower() for name in found[2].split(","))
    return Names(frozenset(parameters), frozenset(functions))


def _scopes(lines: Sequence[Line]) -> list[tuple[int, ...]]:
    """In which subcircuits each line stands, by the positions of their heads, the outermost first."""
    found: list[tuple[int, ...]] = []
    within: tuple[int, ...] = ()
    for k, line in enumerate(lines):
        within = (*within, k) if line.word == ".subckt" else within
        found.append(within)
        within = within[:-1] if line.word == ".ends" else within
    return found


def _statements(
    text: str, scope: tuple[int, ...], models: dict[tuple[tuple[int, ...], str], re.Match[str]], names: Names
) -> list[str]:
    """What one statement becomes."""
    check_depth(text)
    text = BEHIND_SCALE.sub(r"\1", text)
    return laplace(text, names) if TRANSFER.match(text) else [_statement(text, scope, models, names)]


def _statement(
    text: str, scope: tuple[int, ...], models: dict[tuple[tuple[int, ...], str], re.Match[str]], names: Names
) -> str:
    """One statement translated; empty where nothing of it is left."""
    if found := UNTRANSLATED.search(text):
        raise UntranslatableError(
            f"{found[1].upper()} has no counterpart in ngspice; write the transfer function with resistors, capacitors "
            "and controlled sources"
        )
    letter = text[0].upper()
    if text.lower().startswith((".param", ".func")):
        head, _, rest = text.partition(" ")
        if (found := DEFINED.match(text)) and found[1].lower() in {*SAME, *TRANSLATIONS, "v", "i"}:
            raise UntranslatableError(f"function {found[1]!r} has the name of one that is built in; rename it")
        return f"{head} {formula(rest, names)}".rstrip()
    if letter == ".":
        return _in_braces(_model(text) if text.lower().startswith(".model") else text, names)
    if letter == "D":
        # ngspice 39 takes the model for a third node where an area without its name follows.
        text = re.sub(rf"^(\S+ \S+ \S+ \S+) (?!off\b|\w+=)({VALUE})(?= |$)", r"\1 area=\2", text, flags=re.IGNORECASE)
    if letter in "SWR":
        around = [scope[:k] for k in range(len(scope), -1, -1)]
        chain = [(outer, name.lower()) for name in _model_words(letter, text) for outer in around]
        model = next((models[key] for key in chain if key in models), None)
        if letter == "R":
            text = _resistor(text, model)
        elif model is not None and model["type"].lower() in SWITCHES:
            return _switch(text, model)
    return _in_braces(text, names)


def _model_words(letter: str, text: str) -> list[str]:
    """Words of an element that may be its model's name: a resistor's stands before or behind its value."""
    words = text.split()
    return words[3:5] if letter == "R" else words[-1:]


def _in_braces(text: str, names: Names) -> str:
    """A statement with its formulas translated: in braces or quotes, or all that follows ``VALUE=`` or ``v=``."""
    after = FORMULA_AFTER.get(text[:1].upper())
    start = after.search(text) if after else None
    if start:
        return text[: start.end()] + formula(text[start.end() :], names)
    found, at = [], 0
    while at < len(text):
        end = at + 1
        if text[at] == "{":
            end = closed(text, at, "{", "}")
            found.append("{" + formula(text[at + 1 : end - 1], names) + "}")
        elif text[at] == "'" and (other := text.find("'", at + 1)) > 0:
            end = other + 1
            found.append("'" + formula(text[at + 1 : other], names) + "'")
        else:
            found.append(text[at])
        at = end
    return "".join(found)


def _model(text: str) -> str:
    """A model without what PSpice alone knows; empty where its elements say all of it."""
    found = MODEL.match(text)
    if found is None:
        return text
    kind = found["type"].lower()
    if kind.startswith("ako:"):
        raise UntranslatableError("AKO: takes another model's values, which ngspice does not; write them out")
    if kind in SWITCHES:
        _switch_values(found)
        return ""
    for key, value in OWN_TEMPERATURE.findall(text):
        if kind not in ("res", "r") or key.lower() != "t_abs" or number(value) != ABSOLUTE_ZERO:
            raise UntranslatableError(
                f"{key.upper()} gives parts a temperature of their own, which ngspice does not; delete it "
                "(T_ABS=-273.15 of resistors is known: they have no noise)"
            )
    text = re.sub(r"(?i)\bt_measured=", "tnom=", OWN_TEMPERATURE.sub("", text))
    if kind in PASSIVES:
        factor = re.compile(rf"(?i)(?<=[\s(]){PASSIVES[kind]}=({VALUE})")
        if any(number(value) != 1 for value in factor.findall(text)):
            raise UntranslatableError("a model multiplies the values of its parts, which ngspice does not; write 1")
        text = factor.sub("", text)
    return " ".join(text.split())


def _resistor(text: str, model: re.Match[str] | None) -> str:
    """Without noise where its model is at absolute zero, or LTspice's ``noiseless`` stands behind it."""
    silent = model is not None and OWN_TEMPERATURE.search(model["rest"])
    text = re.sub(r"(?i)\btc=([^\s,]+),([^\s,]+)", r"tc1=\1 tc2=\2", text)
    plain = re.sub(r"(?i)\s+noiseless\b", "", text)
    return f"{plain} noisy=0" if silent or plain != text else text


def _switch_values(model: re.Match[str]) -> dict[str, float]:
    _, values = SWITCHES[model["type"].lower()]
    values = dict(values)
    for key, text in re.findall(rf"([A-Za-z_]\w*)=({VALUE})", model["rest"]):
        value = number(text)
        if key.lower() not in values or value is None:
            raise UntranslatableError(
                f"{model['type'].upper()} has {key}={text}; it takes numbers for {', '.join(values).upper()}"
            )
        values[key.lower()] = value
    on, off = (values[key] for key in values if key.endswith(("von", "ion", "off")) and not key.startswith("r"))
    if min(values["ron"], values["roff"]) <= 0 or on == off:
        raise UntranslatableError(f"{model['type'].upper()} has no resistance above 0, or no range between on and off")
    return values


def _switch(text: str, model: re.Match[str]) -> str:
    """A switch whose resistance goes smoothly from one value to the other (PSpice Reference Guide, VSWITCH).

    R = exp(L_m + L_r (3 x/2 − 2 x³)), x the control's way between off and on, −1/2 … 1/2, L_m the logarithm of the
    geometric mean of both resistances and L_r that of their ratio.
    """
    letter, _ = SWITCHES[model["type"].lower()]
    words = text.split()
    if len(words) != (6 if letter == "S" else 5) or words[0][0].upper() != letter:
        raise UntranslatableError(f"{words[0]} does not fit its model {model['name']}; check its nodes")
    control = f"v({words[3]},{words[4]})" if letter == "S" else f"i({words[3]})"
    ron, roff, on, off = _switch_values(model).values()
    x = f"min(max(({control}-({(on + off) / 2!r}))/({on - off!r}),-0.5),0.5)"
    mean, ratio = log(ron * roff) / 2, log(ron / roff)
    conductance = f"exp(-({mean!r})-({ratio!r})*{x}*(1.5-2*{x}*{x}))"
    return f"B{words[0]}_switch {words[1]} {words[2]} i={{v({words[1]},{words[2]})*{conductance}}}"


def mentioned(lines: Sequence[Line]) -> frozenset[str]:
    """All words of statements, in small letters: what they may refer to."""
    return frozenset(word for line in lines if not line.is_comment for word in _words(line.text))


def defined_names(line: Line) -> frozenset[str]:
    """What a ``.model``, ``.param`` or ``.func`` defines, in small letters."""
    if line.word == ".param":
        return frozenset(name.lower() for name in ASSIGNED.findall(line.text))
    words = line.text.split("(")[0].split()
    return frozenset() if line.is_comment or len(words) < 2 else frozenset([words[1].lower()])


def _words(text: str) -> list[str]:
    return re.split(r"[\s(){},='*/+:]+", text.lower())

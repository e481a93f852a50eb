"""The subcircuits of a library: what each holds and calls, and which of its statements have no place in a deck."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from spu_circuit.spice_line import Line

STATEMENTS = (".subckt", ".ends", ".model", ".param", ".func")
INCLUDES = (".include", ".inc")
SECTIONS = (".lib", ".endl")
SECTION = re.compile(r"(?i)\.lib \w+")
"""Around parts of a library that other files name: their marks are left out."""
GROUNDS = ("0", "gnd", "$g_dgnd", "$g_gnd")
"""Nodes that optional pins lead to when nothing is joined to them."""
ELEMENTS = "RCLKVIEFGHBDQJMZSWTX"
"""First letters of elements that only compute. XSPICE's A reads files, N and U load or translate code."""
COMMANDS = ("shell", "system", "codemodel", "exec", "source")
DEEPEST = 50
"""How many files, or subcircuits, may stand inside each other: more than any library needs."""
RESERVED = "spu_"
"""How names begin that the simulator adds to a deck."""

ENDLESS = "subcircuit {!r} does not end; add .ends"
CLOSES_NOTHING = ".ends closes no .subckt of this name; delete it, or correct the name"
FROM_FILE = re.compile(r"(?i)\bfile\s*=")
OWN_NAME = re.compile(rf"(?i)(?<!\w){RESERVED}\w*")


@dataclass
class Definition:
    """A subcircuit.

    Args:
        head: its ``.subckt`` line.
        pins: its nodes in order, the optional ones last.
        defaults: where the optional ones lead when a call does not name them.
        outer: the subcircuit in which it is defined; None: none.
        lines: all from head to ``.ends``, with those of the subcircuits defined in it.
        elements: of its own, instances among them.
        inner: subcircuits defined in it, by their names in small letters.
        heading: faults outside subcircuits before it, behind the one before; of the last those behind it, too.
        again: other definitions of the same name.
    """

    head: Line
    pins: list[str]
    defaults: list[str]
    outer: "Definition | None" = None
    lines: list[Line] = field(default_factory=list)
    elements: list[Line] = field(default_factory=list)
    inner: dict[str, "Definition"] = field(default_factory=dict)
    heading: list[Line] = field(default_factory=list)
    again: list["Definition"] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.head.text.split()[1]

    @property
    def says(self) -> list[str]:
        """Its statements, in small letters, without the name behind ``.ends``."""
        return [".ends" if x.word == ".ends" else x.text.lower() for x in self.lines if not x.is_comment]

    def checked(self) -> None:
        """Raises InputError for a fault of its head, or between it and the definition before, or another of its name.

        An ``.ends`` of this name that is missing, or text without an asterisk, may hide what belongs to it. Faults
        elsewhere in a library of hundreds of parts do not matter.
        """
        for line in (self.head, *self.heading):
            line.checked()
        if other := next((one for one in self.again if one.says != self.says), None):
            raise other.head.refused(f"subcircuit {other.name!r} is defined twice; delete one")

    def called(self, name: str, library: dict[str, "Definition"]) -> "Definition | None":
        """The subcircuit that a name means in this one: its own, or the nearest around it."""
        scope: Definition | None = self
        while scope is not None and name not in scope.inner:
            scope = scope.outer
        return library.get(name) if scope is None else scope.inner[name]


def sections(lines: Sequence[Line]) -> tuple[list[Line], dict[str, Definition]]:
    """What stands outside subcircuits, and the subcircuits by their names in small letters."""
    common: list[Line] = []
    models: dict[str, Line] = {}
    definitions: dict[str, Definition] = {}
    heading: list[Line] = []
    endless = _endless(lines)
    inside: Definition | None = None
    last: Definition | None = None
    section: Line | None = None
    begun = False
    for k, read in enumerate(lines):
        if inside and inside.head.fault == ENDLESS.format(inside.name) and read.word == ".subckt":
            inside = None
        if read.is_comment and not inside:
            if read.fault:
                heading.append(read)
            elif not begun:
                common.append(read)
            continue
        begun = True
        line = read if read.is_comment else read._replace(fault=read.fault or _fault(read))
        if inside:
            inside = _inside(inside, line)
            continue
        words = line.text.split()
        if line.word == ".subckt":
            inside = last = _begun(line, None, definitions)
            if k in endless:
                inside.head = inside.lines[0] = inside.head._replace(fault=ENDLESS.format(inside.name))
            inside.heading, heading = heading, []
        elif line.word == ".lib" and len(words) == 2 and section is None:
            section = line
        elif line.word == ".endl" and section is not None:
            section = None
        elif line.word not in (".model", ".param", ".func"):
            outside = f"{words[0]!r} stands outside any .subckt, so it is no part of a model; delete the line"
            if line.word in (".end", ".lib", *INCLUDES):
                line.checked()  # what is used may be in there, or not be read at all
            if line.word == ".ends":
                line = line._replace(fault=line.fault or CLOSES_NOTHING)
            elif read.fault or not (line.word.startswith(".") or line.word in COMMANDS):
                line = read._replace(fault=read.fault or outside)
            heading.append(line)
        elif line.word == ".model" and len(words) > 1 and (same := models.setdefault(words[1].lower(), line)) != line:
            if same.text.lower() != line.text.lower():
                common.append(line._replace(fault=f"model {words[1]!r} is defined twice; delete one"))
        else:
            common.append(line)
    if section is not None:
        section.checked()
    if last is not None:
        last.heading += heading
    return common, definitions


def _endless(lines: Sequence[Line]) -> set[int]:
    """Positions of the ``.subckt`` that no ``.ends`` closes: it closes the nearest before it that is open."""
    begun: list[int] = []
    for k, line in enumerate(lines):
        if line.word == ".subckt":
            begun.append(k)
        elif line.word == ".ends" and begun:
            begun.pop()
    return set(begun)


def _inside(definition: Definition, line: Line) -> Definition | None:
    """Put a line into a subcircuit; returns the one that the next line stands in."""
    if line.word == ".subckt":
        return _begun(line, definition, definition.inner)
    if line.word in SECTIONS:
        line = line._replace(fault=f"{line.word} stands inside subcircuit {definition.name!r}; delete it")
    if line.word == ".ends":
        words = line.text.split()
        if len(words) > 1 and words[1].lower() != definition.name.lower():
            line = line._replace(fault=CLOSES_NOTHING)
        _add(definition, line)
        return definition.outer
    if not line.is_comment and not line.word.startswith("."):
        definition.elements.append(line)
    _add(definition, line)
    return definition


def _add(definition: Definition | None, line: Line) -> None:
    """Into a subcircuit, and those around it."""
    while definition is not None:
        definition.lines.append(line)
        definition = definition.outer


def _begun(line: Line, outer: Definition | None, beside: dict[str, Definition]) -> Definition:
    words = line.text.split()
    if len(words) < 3:
        words = [*words, "(none)"]
        fault = line.fault or "a subcircuit has a name and pins; write .subckt NAME PIN ..."
        line = line._replace(text=" ".join(words), fault=fault)
    name, pins, defaults = words[1].lower(), _plain(words[2:]), []
    optional = [word.lower() for word in words].index("optional:") if "optional:" in line.text.lower().split() else 0
    if optional:
        ends = next((k for k, word in enumerate(words) if word.lower() in ("params:", "text:")), len(words))
        given = [word.partition("=") for word in words[optional + 1 : ends]]
        pins, defaults = [*pins, *(pin for pin, _, _ in given)], [node for _, _, node in given]
        line = line._replace(text=" ".join([*words[:2], *pins, *words[ends:]]))
    definition = Definition(line, pins, defaults, outer)
    if name in beside:
        beside[name].again.append(definition)
    else:
        beside[name] = definition
    _add(definition, line)
    return definition


def _fault(line: Line) -> str:
    """Why a statement has no place in a library; empty: it has one."""
    word = line.word
    if word in (*INCLUDES, ".lib") and not (word == ".lib" and SECTION.fullmatch(line.text)):
        return f"{word} is not followed here; copy the models in, or .include a file of the same folder"
    if word.startswith("."):
        if word not in (*STATEMENTS, *SECTIONS):
            return (
                f"{word} has no place in a library, where it could run a command or change your analysis; "
                f"delete the line (kept are {', '.join(STATEMENTS)} and .include)"
            )
        if word == ".model" and len(line.text.split()) < 3:
            return "a model has a name and a type; write .model NAME TYPE(...)"
    elif word in COMMANDS:
        return f"{word!r} is a command; delete the line"
    elif word[0].upper() not in ELEMENTS:
        letters = " ".join(ELEMENTS)
        return f"element {word!r} could read files or load code; models are made of {letters}: take a PSpice model"
    if FROM_FILE.search(line.text):
        return "a value is read from a file; write it into the library"
    if found := OWN_NAME.search(line.text):
        return f"{found[0]!r} begins like the simulator's own names; rename it"
    return ""


def follow(
    definition: Definition,
    library: dict[str, Definition],
    within: tuple[int, ...],
    used: dict[int, Definition],
    completed: dict[Line, Line],
) -> None:
    """Add a subcircuit and all that it calls to ``used``, and calls with their optional nodes to ``completed``."""
    used[id(definition)] = definition
    definition.checked()
    for line in definition.elements:
        line.checked()
        if line.word[0] != "x":
            continue
        words = line.text.split()
        nodes = _plain(words[1:])
        called = definition.called(nodes[-1].lower(), library) if nodes else None
        if called is None:
            raise line.refused(
                f"there is no subcircuit {nodes[-1] if nodes else ''!r}; add its definition, or .include its file"
            )
        inner = called.name.lower()
        if id(called) in (*within, id(definition)):
            raise line.refused(f"subcircuit {inner!r} contains itself; break the cycle")
        if len(within) + 1 == DEEPEST:
            raise line.refused(f"subcircuit {inner!r} would stand inside {DEEPEST} others; flatten them")
        missing = len(called.pins) - (len(nodes) - 1)
        if not 0 <= missing <= len(called.defaults):
            raise line.refused(
                f"subcircuit {inner!r} has {len(called.pins)} pins, and {len(nodes) - 1} nodes here; make them agree"
            )
        if missing:
            ends = called.defaults[-missing:]
            if strange := [node for node in ends if node.lower() not in GROUNDS]:
                raise line.refused(f"the optional pin's node {strange[0]!r} is a supply of PSpice's; name a node")
            at = len(nodes)
            text = " ".join([*words[:at], *("0" for _ in ends), *words[at:]])
            completed[line] = line._replace(text=text)
        if id(called) not in used:
            follow(called, library, (*within, id(definition)), used, completed)
    for own in definition.inner.values():
        if id(own) not in used:
            follow(own, library, (*within, id(definition)), used, completed)


def count_elements(definition: Definition, library: dict[str, Definition], known: dict[int, int]) -> int:
    """How many elements a subcircuit has when all in it are put in their places. None contains itself."""
    if id(definition) not in known:
        calls = [_plain(line.text.split()[1:])[-1] for line in definition.elements if line.word[0] == "x"]
        inner = [definition.called(name.lower(), library) for name in calls]
        known[id(definition)] = len(definition.elements) + sum(
            count_elements(called, library, known) for called in inner if called is not None
        )
    return known[id(definition)]


def _plain(words: list[str]) -> list[str]:
    """The words before the parameters."""
    ends = (
        k for k, word in enumerate(words) if "=" in word or word.lower().startswith(("params:", "optional:", "text:"))
    )
    return words[: next(ends, len(words))]

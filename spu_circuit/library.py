"""SPICE library files: what a device uses of one, checked, since somebody else wrote it and ngspice obeys it.

A library defines; it does not analyse and does not command. Subcircuits, models, parameters and functions are kept, and
everything else is refused by file and line.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from spu_circuit.errors import InputError
from spu_circuit.files import cut, is_file, read_file, shortened

STATEMENTS = (".subckt", ".ends", ".model", ".param", ".func")
INCLUDES = (".include", ".inc")
ELEMENTS = "RCLKVIEFGHBDQJMZSWTX"
"""First letters of elements that only compute. XSPICE's A reads files, N and U load or translate code."""
COMMANDS = ("shell", "system", "codemodel", "exec", "source")
DEEPEST = 50
"""How many files, or subcircuits, may stand inside each other: more than any library needs."""
MOST_FILES, MOST_LINES = 1000, 100_000
"""Of a library, with those that it includes, counted each time: more than any vendor's has."""
MOST_ELEMENTS = 10_000
"""Elements of an amplifier, those of the subcircuits in it counted each time."""
LONGEST = 10_000
"""Characters of a statement, continued lines joined."""
RESERVED = "spu_"
"""How names begin that the simulator adds to a deck."""

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
FORBIDDEN = re.compile(r"[`\\]|[^ -~]")
UNITS = str.maketrans({"µ": "u", "\u03bc": "u", "Ω": "Ohm", "\u2126": "Ohm"})
"""Letters outside ASCII that values are written with, and what ngspice reads as the same."""
COMMENT = re.compile(r";.*|//.*|(?:^|(?<=[\s,]))\$.*")
"""What ngspice takes for the rest of a line's comment."""
SPICE = re.compile(rb"(?im)^[ \t]*\.(subckt|inc(lude)?)\b")
FROM_FILE = re.compile(r"(?i)\bfile\s*=")
OWN_NAME = re.compile(rf"(?i)(?<!\w){RESERVED}\w*")


class Line(NamedTuple):
    """A statement, continued lines joined, or a comment, which begins with ``*``."""

    file: str
    number: int
    text: str

    @property
    def word(self) -> str:
        return self.text.split()[0].lower()

    def refused(self, message: str) -> InputError:
        return InputError(f"library {cut(self.file)}, line {self.number}: {cut(message, 500)}")


@dataclass
class _Read:
    """How much of a library was read."""

    files: int = 0
    lines: int = 0


class Definition(NamedTuple):
    """A subcircuit: its ``.subckt`` line, pins, and all lines from there to ``.ends``."""

    head: Line
    pins: list[str]
    lines: list[Line]


def find_library(name: str, folder: Path) -> Path:
    """The file of a library: a path, relative to ``folder`` or absolute, or one that comes with the package.

    Raises:
        InputError: there is no such file; names those that come with the package.
    """
    shipped = Path(str(files("netlists").joinpath("library")))  # data, not code: no layer is crossed
    for path in (folder / name, shipped / name if Path(name).name == name else None):
        if path is not None and is_file(path):
            return path
    names = ", ".join(sorted(path.name for path in shipped.glob("*.lib")))
    raise InputError(f"library: no file {shortened(folder / name)}; give its path, or one that comes with it: {names}")


def read_library(path: Path) -> list[Line]:
    """The lines of a file, with those of the files that it includes in their places.

    Raises:
        InputError: a file cannot be read, lies outside the folder of the first, or includes itself; there are too many
            lines; or the first is no SPICE library. What it says instead is not quoted: it could be any file.
    """
    if not SPICE.search(read_file(path, "library")):
        raise InputError(
            f"library {cut(path.name)}: no line of it begins with .subckt or .include; give a SPICE library"
        )
    return list(_read(path, path.resolve().parent, (), _Read()))


def used_part(lines: Sequence[Line], subcircuit: str) -> tuple[str, list[str]]:
    """What a subcircuit needs of a library, as text that ngspice reads, and the names of its pins.

    Kept are the comments at the top, the models, parameters and functions that stand outside subcircuits, the
    subcircuit and those that it calls.

    Raises:
        InputError: a line that has no place in a library; no such subcircuit; one that is called but not defined, or
            calls itself; or more elements than an amplifier has. Names file, line and cure.
    """
    common, definitions = _sections(lines)
    name = subcircuit.lower()
    if name not in definitions:
        near = get_close_matches(name, definitions, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(definitions) or 'none'}"
        where = lines[0].file if lines else "(empty)"
        raise InputError(f"library {where}: no subcircuit {subcircuit!r}; {hint}")
    used: set[str] = set()
    _follow(name, definitions, (), used)
    if (elements := _elements(name, definitions, {})) > MOST_ELEMENTS:
        raise definitions[name].head.refused(
            f"subcircuit {subcircuit!r} has {elements} elements with those inside it, and an amplifier at most "
            f"{MOST_ELEMENTS}; take a simpler model"
        )
    kept = [*common, *(line for key, found in definitions.items() if key in used for line in found.lines)]
    return "\n".join(line.text for line in kept), definitions[name].pins


def lines_of(text: str, name: str) -> list[Line]:
    """The comments and statements of a text that includes no files; ``name`` is what errors call it."""
    found: list[Line] = []
    parts: list[list[str]] = []
    """Of each of ``found``: joined at the end, or a statement of many lines would take the square of their time."""
    last: int | None = None
    for number, raw in enumerate(text.split("\n"), start=1):
        here = Line(name, number, raw.strip())
        if number > MOST_LINES:
            raise here.refused(f"a library has at most {MOST_LINES} lines; keep those of the models that you use")
        if here.text.startswith("*#"):
            raise here.refused("'*#' begins a command to ngspice; delete the line")
        if here.text.startswith("*"):
            # Whatever Python or ngspice takes for the end of a line becomes a blank.
            plain = " ".join(UNPRINTABLE.sub(" ", here.text.lstrip("*#")).split())
            found.append(here)
            parts.append([f"* {plain}"])
            continue
        code = " ".join(COMMENT.sub("", raw).split()).translate(UNITS)
        if not code:
            continue
        if character := FORBIDDEN.search(code):
            raise here.refused(f"the character {character[0]!r} could hide a command; delete it, or write it in ASCII")
        code = re.sub(r"\s*=\s*", "=", code)
        if not code.startswith("+"):
            last = len(found)
            found.append(here)
            parts.append([code])
        elif last is None:
            raise here.refused("'+' continues a statement, and there is none before it; delete it")
        else:
            parts[last].append(code[1:].strip())
    lines = [line._replace(text=" ".join(own)) for line, own in zip(found, parts, strict=True)]
    for line in lines:
        if len(line.text) > LONGEST:
            raise line.refused(f"a statement of {len(line.text)} characters; it has at most {LONGEST}: shorten it")
    return lines


def _read(path: Path, folder: Path, within: tuple[Path, ...], so_far: _Read) -> Iterator[Line]:
    data = read_file(path, "library")
    so_far.files += 1
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # as many vendors' files are
    within = (*within, path.resolve())
    for line in lines_of(text, path.name):
        so_far.lines += 1
        if so_far.files > MOST_FILES or so_far.lines > MOST_LINES:
            raise line.refused(
                f"with all that it includes the library has more than {MOST_FILES} files or {MOST_LINES} lines; "
                "include less"
            )
        if line.word not in INCLUDES:
            yield line
            continue
        wanted = line.text[len(line.word) :].strip().strip("\"'")
        try:
            target = (path.parent / wanted).resolve()
            found = target.is_file()
        except (OSError, RuntimeError, ValueError):  # a name too long; links that go round
            raise line.refused(f"{wanted!r} cannot be followed to a file; name one of the library's folder") from None
        if not wanted or Path(wanted).is_absolute() or ".." in Path(wanted).parts or not target.is_relative_to(folder):
            raise line.refused(f"{wanted!r} leads out of the library's folder; copy the file into it")
        if not found:
            raise line.refused(f"there is no file {wanted!r}; put it into {str(path.parent)!r}")
        if target in within:
            raise line.refused(f"{wanted!r} includes itself; break the cycle")
        if len(within) == DEEPEST:
            raise line.refused(f"{wanted!r} would stand inside {DEEPEST} files; put them side by side")
        yield from _read(target, folder, within, so_far)


def _sections(lines: Sequence[Line]) -> tuple[list[Line], dict[str, Definition]]:
    """What stands outside subcircuits, and the subcircuits by their names in small letters."""
    common: list[Line] = []
    definitions: dict[str, Definition] = {}
    inside: Definition | None = None
    begun = False
    for line in lines:
        if line.text.startswith("*"):
            if inside:
                inside.lines.append(line)
            elif not begun:
                common.append(line)
            continue
        begun = True
        _refuse_commands(line)
        words = line.text.split()
        if line.word == ".subckt":
            if inside:
                raise line.refused(f"a subcircuit inside {_name(inside)!r}; close that with .ends, or move this out")
            if len(words) < 3:
                raise line.refused("a subcircuit has a name and pins; write .subckt NAME PIN ...")
            name = words[1].lower()
            if name in definitions:
                raise line.refused(f"subcircuit {words[1]!r} is defined twice; delete one")
            inside = definitions[name] = Definition(line, _plain(words[2:]), [line])
        elif line.word == ".ends":
            if inside is None or (len(words) > 1 and words[1].lower() != _name(inside).lower()):
                raise line.refused(".ends closes no .subckt of this name; delete it, or correct the name")
            inside.lines.append(line)
            inside = None
        elif inside:
            inside.lines.append(line)
        elif line.word.startswith("."):
            common.append(line)
        else:
            raise line.refused(f"{words[0]!r} stands outside any .subckt, so it is no part of a model; delete the line")
    if inside:
        raise inside.head.refused(f"subcircuit {_name(inside)!r} does not end; add .ends")
    return common, definitions


def _refuse_commands(line: Line) -> None:
    word = line.word
    if word in (*INCLUDES, ".lib"):
        raise line.refused(f"{word} is not followed here; copy the models in, or .include a file of the same folder")
    if word.startswith("."):
        if word not in STATEMENTS:
            raise line.refused(
                f"{word} has no place in a library, where it could run a command or change your analysis; "
                f"delete the line (kept are {', '.join(STATEMENTS)} and .include)"
            )
        if word == ".model" and len(line.text.split()) < 3:
            raise line.refused("a model has a name and a type; write .model NAME TYPE(...)")
    elif word in COMMANDS:
        raise line.refused(f"{word!r} is a command; delete the line")
    elif word[0].upper() not in ELEMENTS:
        raise line.refused(f"element {word!r} could read files or load code; models are made of {' '.join(ELEMENTS)}")
    if FROM_FILE.search(line.text):
        raise line.refused("a value is read from a file; write it into the library")
    if found := OWN_NAME.search(line.text):
        raise line.refused(f"{found[0]!r} begins like the simulator's own names; rename it")


def _follow(name: str, definitions: dict[str, Definition], within: tuple[str, ...], used: set[str]) -> None:
    """Add a subcircuit and all that it calls to ``used``."""
    used.add(name)
    for line in definitions[name].lines:
        if line.word[0] != "x":
            continue
        called = _plain(line.text.split()[1:])[-1:]
        if not called or called[0].lower() not in definitions:
            shown = called[0] if called else ""
            raise line.refused(f"there is no subcircuit {shown!r}; add its definition, or .include its file")
        inner = called[0].lower()
        if inner in (*within, name):
            raise line.refused(f"subcircuit {inner!r} contains itself; break the cycle")
        if len(within) + 1 == DEEPEST:
            raise line.refused(f"subcircuit {inner!r} would stand inside {DEEPEST} others; flatten them")
        if inner not in used:
            _follow(inner, definitions, (*within, name), used)


def _elements(name: str, definitions: dict[str, Definition], known: dict[str, int]) -> int:
    """How many elements a subcircuit has when all in it are put in their places. None contains itself."""
    if name not in known:
        own = [line for line in definitions[name].lines if line.word[0] not in "*."]
        inner = [_plain(line.text.split()[1:])[-1].lower() for line in own if line.word[0] == "x"]
        known[name] = len(own) + sum(_elements(called, definitions, known) for called in inner)
    return known[name]


def _plain(words: list[str]) -> list[str]:
    """The words before the parameters."""
    ends = (k for k, word in enumerate(words) if "=" in word or word.lower() in ("params:", "optional:", "text:"))
    return words[: next(ends, len(words))]


def _name(definition: Definition) -> str:
    return definition.head.text.split()[1]

"""SPICE library files: what a device uses of one, checked, since somebody else wrote it and ngspice obeys it.

A library defines; it does not analyse and does not command. Subcircuits, models, parameters and functions are kept, and
everything else is refused by file and line.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from spu_circuit.definitions import DEEPEST, INCLUDES, Definition, count_elements, follow, sections
from spu_circuit.errors import InputError, did_you_mean
from spu_circuit.files import cut, is_file, read_file, shortened
from spu_circuit.pspice import defined_names, mentioned, translated
from spu_circuit.spice_line import Line

MOST_FILES, MOST_LINES = 1000, 100_000
"""Of a library, with those that it includes, counted each time: more than any vendor's has."""
MOST_ELEMENTS = 10_000
"""Elements of an amplifier, those of the subcircuits in it counted each time."""
LONGEST = 10_000
"""Characters of a statement, continued lines joined."""
PADDING = "\x1a\0 \t\r\n"
"""What old editors leave behind the last line."""
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
FORBIDDEN = re.compile(r"[`\\]|[^ -~]")
UNITS = str.maketrans({"µ": "u", "\u03bc": "u", "Ω": "Ohm", "\u2126": "Ohm"})
"""Letters outside ASCII that values are written with, and what ngspice reads as the same."""
COMMENT = re.compile(r";.*|//.*|(?:^|(?<=[\s,]))\$.*")
"""What ngspice takes for the rest of a line's comment."""
JOINED = re.compile(r"(?i)^(\.ends[^*]*)\*.*")
"""An end with the next file's first comment behind it: files joined without a line end between them."""
SPICE = re.compile(rb"(?i)(?:\A(?:\xef\xbb\xbf)?|[\r\n])[ \t]*\.(subckt|inc(lude)?)\b")


@dataclass
class _Read:
    """How much of a library was read."""

    files: int = 0
    lines: int = 0


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
    subcircuit and those that it calls, all in ngspice's own words. What is not used may have faults.

    Raises:
        InputError: a line that has no place in a library, or no counterpart in ngspice; no such subcircuit; one that
            is called but not defined, or calls itself; or more elements than an amplifier has. Names file, line and
            cure.
    """
    common, definitions = sections(lines)
    name = subcircuit.lower()
    if name not in definitions:
        where = lines[0].file if lines else "(empty)"
        raise InputError(f"library {where}: no subcircuit {subcircuit!r}; {did_you_mean(name, definitions)}")
    wanted = definitions[name]
    completed: dict[Line, Line] = {}
    followed: dict[int, Definition] = {}
    follow(wanted, definitions, (), followed, completed)
    if (elements := count_elements(wanted, definitions, {})) > MOST_ELEMENTS:
        raise wanted.head.refused(
            f"subcircuit {subcircuit!r} has {elements} elements with those inside it, and an amplifier at most "
            f"{MOST_ELEMENTS}; take a simpler model"
        )
    used = [
        line.checked() for definition in definitions.values() if id(definition) in followed for line in definition.lines
    ]
    words = mentioned(used).union(*(mentioned([line]) - defined_names(line) for line in common))

    def unused(line: Line) -> bool:
        return line in common and words.isdisjoint(defined_names(line))

    kept = [line.checked() for line in common if not (line.fault and unused(line))]
    said = translated([*kept, *(completed.get(line, line) for line in used)], unused)
    if long := next((line for line in said if len(line.text) > LONGEST), None):
        raise long.refused(
            f"in ngspice's words it has {len(long.text)} characters; it has at most {LONGEST}: shorten it"
        )
    return "\n".join(line.text for line in said), wanted.pins


def lines_of(text: str, name: str) -> list[Line]:
    """The comments and statements of a text that includes no files; ``name`` is what errors call it."""
    found: list[Line] = []
    parts: list[list[str]] = []
    """Of each of ``found``: joined at the end, or a statement of many lines would take the square of their time."""
    last: int | None = None
    for number, raw in enumerate(text.rstrip(PADDING).split("\n"), start=1):
        here = Line(name, number, raw.strip())
        if number > MOST_LINES:
            raise here.refused(f"a library has at most {MOST_LINES} lines; keep those of the models that you use")
        if here.is_comment:
            # Whatever Python or ngspice takes for the end of a line becomes a blank.
            plain = " ".join(UNPRINTABLE.sub(" ", here.text.lstrip("*#")).split())
            fault = "'*#' begins a command to ngspice; delete the line" if here.text.startswith("*#") else ""
            found.append(here._replace(fault=fault))
            parts.append([f"* {plain}"])
            continue
        code = JOINED.sub(r"\1", " ".join(COMMENT.sub("", raw).split())).translate(UNITS).strip()
        if not code:
            continue
        if not code.startswith("+"):
            last = len(found)
            found.append(here)
            parts.append([code])
        elif last is None:
            raise here.refused("'+' continues a statement, and there is none before it; delete it")
        else:
            parts[last].append(code[1:].strip())
        if (character := FORBIDDEN.search(code)) and not found[last].fault:
            fault = f"the character {character[0]!r} could hide a command; delete it, or write it in ASCII"
            found[last] = found[last]._replace(fault=fault, number=number)
    lines = [
        line._replace(text=own[0] if line.is_comment else re.sub(r"\s*=\s*", "=", " ".join(filter(None, own))))
        for line, own in zip(found, parts, strict=True)
    ]
    for k, line in enumerate(lines):
        if len(line.text) > LONGEST:
            fault = f"a statement of {len(line.text)} characters; it has at most {LONGEST}: shorten it"
            lines[k] = line._replace(fault=line.fault or fault)
    statements = [k for k, line in enumerate(lines) if not line.is_comment]
    if statements and lines[statements[-1]].text.lower() == ".end":
        del lines[statements[-1]]
    return lines


def _read(path: Path, folder: Path, within: tuple[Path, ...], so_far: _Read) -> Iterator[Line]:
    data = read_file(path, "library")
    so_far.files += 1
    try:
        text = data.decode("utf-8-sig")  # some begin with the mark of their encoding
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # as many vendors' files are
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as those of old Macintoshes
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
            yield line._replace(fault=f"{wanted!r} cannot be followed to a file; name one of the library's folder")
            continue
        if not wanted or Path(wanted).is_absolute() or ".." in Path(wanted).parts or not target.is_relative_to(folder):
            yield line._replace(fault=f"{wanted!r} leads out of the library's folder; copy the file into it")
            continue
        if not found:
            yield line._replace(fault=f"there is no file {wanted!r}; put it into {str(path.parent)!r}")
            continue
        if target in within:
            raise line.refused(f"{wanted!r} includes itself; break the cycle")
        if len(within) == DEEPEST:
            raise line.refused(f"{wanted!r} would stand inside {DEEPEST} files; put them side by side")
        yield from _read(target, folder, within, so_far)

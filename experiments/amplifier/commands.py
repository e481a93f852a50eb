"""The command that measures an operational amplifier of a SPICE library."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from rich.table import Column, Table

from experiments.amplifier.array import IDEAL, Settling, settling, table
from experiments.amplifier.bench import Bench
from experiments.amplifier.limits import limits
from experiments.amplifier.measure import QUANTITIES, measured
from experiments.shared.files import make_folder, write
from experiments.shared.plain_json import json_text
from solvers.pins import check
from spu_circuit.amplifier import Amplifier
from spu_circuit.amplifiers.fields import Role
from spu_circuit.amplifiers.pin_names import named_roles
from spu_circuit.description import Description
from spu_circuit.documents import from_document, from_toml
from spu_circuit.errors import InputError, SimulationError, did_you_mean
from spu_circuit.files import cut
from spu_circuit.hardware import Hardware, load_hardware, presets
from spu_circuit.library import find_library, read_library, used_part
from spu_circuit.quantity import parse_quantity, shown

console = Console(markup=False, highlight=False)

USUAL: dict[int, tuple[Role, ...]] = {
    3: ("plus", "minus", "output"),
    5: ("plus", "minus", "positive_supply", "negative_supply", "output"),
}
"""By the number of pins, the order in which vendors have them."""


def amplifier(
    file: Annotated[Path, typer.Argument(help="SPICE library, or one that comes with the package: opamp.lib.")],
    subcircuit: Annotated[str, typer.Argument(help="Name of the amplifier in it.")],
    pins: Annotated[
        str | None,
        typer.Option(
            "--pins",
            help=f"Roles of its pins in order, each one of {', '.join(get_args(Role))}. Default: what "
            f"they are called, else of five {', '.join(USUAL[5])}.",
        ),
    ] = None,
    supply: Annotated[str, typer.Option("--supply", help="± this voltage at the supply pins.")] = "15 V",
    hardware: Annotated[
        str,
        typer.Option("--hardware", help=f"Board for the settling of a cell: {', '.join(presets())}, or a TOML file."),
    ] = "bench",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, SI units.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Folder for amplifier.json, and amplifier.toml with the library that it names."),
    ] = None,
) -> None:
    """Measure an op-amp of a SPICE library: gain, bandwidth, slew, offset, limits, noise; and the table to paste.

    In ngspice, what a designer checks first: a follower, the gain and its phase, slew rates, offset, bias, limits and
    resistance of the output, noise, supply current, and how long a cell of a board takes to settle. What the model does
    not define is said so.
    """
    file = find_library(str(file), Path())
    part = _amplifier(file, subcircuit, pins, supply)
    board = load_hardware(hardware)
    if board.topology == "passive":
        raise InputError(f"hardware {board.name!r} has no amplifiers; take one that has, such as bench")
    pinned = check(part)
    if not pinned.follows:
        cure = (
            f"it does with --pins {','.join(pinned.better)}" if pinned.better else "check their order, and the supply"
        )
        raise InputError(f"pins: as they are ({' '.join(part.pins)}) {pinned.why}; {cure}")
    if output is not None:
        make_folder(output)
    bench = Bench(part)
    found = measured(bench)
    try:
        part = limits(bench)
    except SimulationError as error:
        print(f"warning: no limits of the output: {error}; give rail and current_limit yourself", file=sys.stderr)
    board = board.model_copy(update={"amplifier": part})
    cell: Settling | str
    try:
        cell = settling(board)
    except SimulationError as error:
        cell = str(error)
    where = str(file.resolve())
    # What is to be pasted is read as a user's file would be, and must give the same amplifier.
    pasted = from_toml(Pasted, table(part, "amplifier", where).encode(), "the table to paste")
    if pasted.amplifier != part:
        raise SimulationError("the table to paste does not give the same amplifier; please report it")
    if output is not None:
        _write(output, part, found, cell)
    if as_json:
        print(json_text(_as_json(part, found, cell, where)))
        return
    _print(part, found, cell, board)
    console.print("\n# For a config; in a hardware description the table is [amplifier].")
    console.print(table(part, "hardware.amplifier", where), soft_wrap=True)
    if output is not None:
        console.print(f"wrote {output}")


def _amplifier(file: Path, subcircuit: str, pins: str | None, supply: str) -> Amplifier:
    lines = read_library(file)
    _, names = used_part(lines, subcircuit)
    roles = tuple(pins.replace(",", " ").split()) if pins is not None else named_roles(names) or USUAL.get(len(names))
    if roles is None:
        raise InputError(
            f"pins: {subcircuit!r} has {len(names)} pins ({' '.join(names)}); name a role for each with --pins, one of "
            f"{', '.join(get_args(Role))}"
        )
    for role in roles:
        if role not in get_args(Role):
            raise InputError(f"pins: no {role!r}; {did_you_mean(role, get_args(Role), 'roles')}")
    try:
        volts = parse_quantity(supply, "V")
    except ValueError as error:
        raise InputError(f"supply: {error}") from None
    supplied = any(role.endswith("_supply") for role in roles)
    document = {"model": "subckt", "library": str(file.resolve()), "subcircuit": subcircuit, "pins": list(roles)}
    if supplied:
        document["supply"] = shown(volts, "V", 12)
    return from_document(Amplifier, document, f"amplifier {cut(file.name)}")


class Pasted(Description):
    """A file with the table alone."""

    amplifier: Amplifier


def _write(folder: Path, part: Amplifier, found: dict[str, float | str | None], cell: Settling | str) -> None:
    """Files that need no other: what is used of the library stands in it, in ngspice's words."""
    assert part.library_text is not None
    library = folder.resolve() / "amplifier.lib"
    write(library, part.library_text + "\n")
    write(folder / "amplifier.toml", table(part, "hardware.amplifier", str(library)))
    write(folder / "amplifier.json", json_text(_as_json(part, found, cell, library.name), indent=2) + "\n")


def _as_json(part: Amplifier, found: dict[str, Any], cell: Settling | str, library: str) -> dict[str, Any]:
    return {
        "subcircuit": part.subcircuit,
        "pins": list(part.pins),
        "supply": part.supply,
        "measured": {key: value for key, value in found.items() if not isinstance(value, str)},
        "failed": {key: value for key, value in found.items() if isinstance(value, str)},
        "cell": asdict(cell) if isinstance(cell, Settling) else {"failed": cell},
        "amplifier": part.model_dump(exclude={"library_text", "library"}, exclude_defaults=True) | {"library": library},
    }


def _print(part: Amplifier, found: dict[str, float | str | None], cell: Settling | str, board: Hardware) -> None:
    rows = Table(Column("quantity", no_wrap=True), Column("measured", overflow="fold"), box=None)
    for key, quantity in QUANTITIES.items():
        rows.add_row(quantity.name, quantity.text(found[key]))
    if isinstance(cell, Settling):
        times = f"{shown(cell.time_constants)} τ (ideal amplifiers: {shown(IDEAL)} τ)"
        text = f"{shown(cell.seconds, 's')}, {times}, then off by {shown(cell.error, '%')}"
        if cell.note:
            print(f"warning: {cell.note}", file=sys.stderr)
    else:
        text = cell
    rows.add_row(f"one cell of {board.name} settles to 0.1 %", text)
    supply = "" if part.supply is None else f" at ±{shown(part.supply, 'V')}"
    console.print(f"{part.subcircuit}{supply}, {shown(300.15 - 273.15, '°C')}: a follower follows")
    console.print(rows)

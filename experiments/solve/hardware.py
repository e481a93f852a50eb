"""The commands that show hardware descriptions."""

from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Column, Table

from spu_circuit.amplifier import Amplifier
from spu_circuit.description import Description
from spu_circuit.hardware import Hardware, load_hardware, presets
from spu_circuit.quantity import shown, unit_of
from spu_circuit.variation import KINDS, Variation

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Show the hardware descriptions that come with the package."
)
console = Console(markup=False)  # descriptions are other people's texts


@app.command("list")
def hardware_list() -> None:
    """Name the presets."""
    table = Table("preset", "description", box=None)
    for name in presets():
        table.add_row(name, load_hardware(name).description)
    console.print(table)


@app.command("show")
def hardware_show(
    name: Annotated[str, typer.Argument(help="Preset or TOML file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, SI units.")] = False,
) -> None:
    """Show every value of a hardware description with its meaning."""
    hardware = load_hardware(name)
    if as_json:
        print(hardware.model_dump_json())
        return
    table = Table(Column("field", no_wrap=True), Column("value", overflow="fold"), "meaning", box=None)
    for field, value, meaning in _described(hardware):
        table.add_row(field, value, meaning)
    console.print(table)


def _described(hardware: Hardware) -> list[tuple[str, str, str]]:
    """Field, value and meaning of everything; of the variation only what varies, or what could."""
    rows = []
    for name, field in type(hardware).model_fields.items():
        value = getattr(hardware, name)
        if name == "variation" and value == Variation():
            rows.append((name, "none", f"{field.description}: spread of {', '.join(KINDS)}, temperature"))
        else:
            rows += _leaves(name, value, field, "", name == "variation")
    return rows


def _leaves(path: str, value: Any, field: FieldInfo, whole: str, only_given: bool) -> list[tuple[str, str, str]]:
    """Rows of a field. Args: ``whole``: the meaning of what it is a part of, for one that has none of its own."""
    meaning = field.description or whole
    if not isinstance(value, Description):
        return [(path, _text(value, unit_of(field.annotation, field.metadata)), meaning)]
    rows = []
    in_library = set()
    if isinstance(value, Amplifier) and value.library_text is not None:
        in_library = type(value).model_fields.keys() - {"model", *value.kind.takes}
    for name, part in type(value).model_fields.items():
        inner = getattr(value, name)
        if name == "library_text":
            continue
        if name in in_library:
            inner = "in the library"
        if not only_given or inner != part.get_default(call_default_factory=True):
            rows += _leaves(f"{path}.{name}", inner, part, meaning, only_given)
    return rows


def _text(value: Any, unit: str) -> str:
    if isinstance(value, float):
        return shown(value, unit, 6)
    if isinstance(value, tuple):
        return ", ".join(_text(one, unit) for one in value) or "none"
    # Nothing that a terminal obeys.
    return "none" if value is None else "".join(letter if letter.isprintable() else " " for letter in str(value))

"""The commands that show hardware descriptions."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from spu_circuit.description import Description
from spu_circuit.hardware import AMPLIFIER_FIELDS, Amplifier, Hardware, load_hardware, presets
from spu_circuit.variation import KINDS, Variation

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Show the hardware descriptions that come with the package."
)
console = Console()


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
    """Show every value of a hardware description, in SI units, with its meaning."""
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
            rows += _leaves(name, value, field.description or "", name == "variation")
    return rows


def _leaves(path: str, value: Any, meaning: str, only_given: bool) -> list[tuple[str, str, str]]:
    if not isinstance(value, Description):
        return [(path, _text(value), meaning)]
    rows = []
    library = isinstance(value, Amplifier) and value.model == "subckt"
    for name, field in type(value).model_fields.items():
        inner = getattr(value, name)
        if name == "library_text":
            continue
        if library and name not in AMPLIFIER_FIELDS["subckt"].split() and name != "model":
            inner = "in the library"
        if not only_given or inner != field.get_default(call_default_factory=True):
            rows += _leaves(f"{path}.{name}", inner, field.description or "", only_given)
    return rows


def _text(value: Any) -> str:
    if isinstance(value, str) and "\n" in value:
        return f"{len(value.splitlines())} lines, see --json"
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)

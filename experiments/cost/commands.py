"""The command that tells what a training step costs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from experiments.shared.plain_json import json_text
from spu_circuit.errors import InputError
from spu_circuit.quantity import shown

console = Console()
LARGEST = 2**31
"""Bytes that the curvature factor and the array may take together."""


def cost(
    cells: Annotated[int, typer.Option("--cells", min=1, help="K, rows of the curvature factor: b samples × draws.")],
    parameters: Annotated[int, typer.Option("--parameters", min=1, help="N, of the model.")],
    samples: Annotated[int, typer.Option("--samples", min=1, help="b, of a batch.")] = 64,
    hardware: Annotated[
        list[str] | None, typer.Option("--hardware", help="Preset or TOML file; may be repeated.")
    ] = None,
    time: Annotated[float, typer.Option("--time", help="How long the array relaxes, in units of τ.")] = 6.0,
    machine: Annotated[str, typer.Option("--machine", help="What does the digital work: gpu or cpu.")] = "gpu",
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder for cost.csv and the figure of time and energy by cells.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, SI units.")] = False,
) -> None:
    """Time and energy of a training step: digital work, transfer, writing, converting, relaxing; beside CPU and GPU.

    Times and energies are those of the hardware description's table 'costs', each with its source. What it does not
    say is not counted as zero: the energy is then unknown.
    """
    from experiments.cost.ledger import digital, ledger
    from experiments.cost.machines import MACHINES
    from optim.cost import Work
    from solvers.solution import check_time
    from spu_circuit.hardware import load_hardware

    check_time(time)
    if machine not in MACHINES:
        raise InputError(f"machine: no {machine!r}; machines are {', '.join(MACHINES)}")
    if 8 * (cells * parameters + 4 * cells**2) > LARGEST:
        raise InputError(
            f"cells, parameters: {cells} × {parameters} numbers of 8 bytes are "
            f"{8 * cells * parameters / 2**30:.3g} GiB, above {LARGEST / 2**30:g} GiB; lower one of them"
        )
    work = Work(parameters, samples, cells)
    chosen = [load_hardware(name) for name in hardware or ["paper", "bench", "rram", "factored"]]
    ledgers = [ledger(each, work, time, MACHINES[machine]) for each in chosen]
    others = digital(work, list(MACHINES.values()))
    if output is not None:
        from experiments.cost.figure import write_study

        write_study(chosen, work, time, MACHINES[machine], output)
    if as_json:
        found = {one.hardware: [vars(item) for item in [*one.items, one.together]] for one in ledgers}
        alone = [{"machine": where, **vars(item)} for where, item in others]
        print(json_text({"devices": found, "digital": alone}))
        return
    for one in ledgers:
        table = _table(one.hardware)
        for item in [*one.items, one.together]:
            table.add_row(item.name, shown(item.seconds, "s", 3), _joules(item.joules))
        console.print(table)
        if one.together.missing:
            console.print(f"energy: {one.together.missing}", style="dim", highlight=False, markup=False)
        console.print(f"kT ln 2 for each bit that is read: {shown(one.bound, 'J', 3)}\n", highlight=False)
    table = _table("without a device")
    for where, item in others:
        table.add_row(f"{item.name} ({where})", shown(item.seconds, "s", 3), _joules(item.joules))
    console.print(table)
    for each in MACHINES.values():
        console.print(
            f"{each.name}: {each.source}; a tenth of that rate is assumed", style="dim", highlight=False, markup=False
        )
    if output is not None:
        console.print(f"wrote {output / 'cost.csv'} and {output / 'cost.png'}", highlight=False)


def _table(title: str) -> Table:
    return Table(Column(title), Column("time", justify="right"), Column("energy", justify="right"), box=None)


def _joules(value: float | None) -> str:
    return "not known" if value is None else shown(value, "J", 3)

"""The command that tells what a training step costs: of the optimizers of a config, or of a step of given sizes."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from experiments.shared.plain_json import json_text
from spu_circuit.errors import InputError

console = Console()
SAMPLES, TIME, ITERATIONS = 64, 6.0, 200
PARAMETERS = 7334
"""Of the paper's network for Fashion-MNIST."""


def cost(
    config: Annotated[
        Path | None, typer.Argument(help="Training config, TOML file or shipped name; none: give the sizes of a step.")
    ] = None,
    cells: Annotated[
        int | None, typer.Option("--cells", min=1, help="K, rows of the curvature factor: b samples × draws.")
    ] = None,
    parameters: Annotated[
        int | None, typer.Option("--parameters", min=1, help=f"N, of the model. Default: {PARAMETERS:,}.")
    ] = None,
    samples: Annotated[int | None, typer.Option("--samples", min=1, help=f"b, of a batch. Default: {SAMPLES}.")] = None,
    outputs: Annotated[
        int | None, typer.Option("--outputs", min=1, help="d_z, of the model for a sample. Default: K / b, rounded up.")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option("--iterations", min=1, help=f"c, of conjugate gradients. Default: {ITERATIONS}.")
    ] = None,
    hardware: Annotated[
        list[str] | None, typer.Option("--hardware", help="Preset or TOML file; may be repeated.")
    ] = None,
    time: Annotated[
        float | None,
        typer.Option("--time", help=f"How long the array relaxes, in τ. Default: the config's, else {TIME:g}."),
    ] = None,
    machine: Annotated[str, typer.Option("--machine", help="What does the digital work: gpu or cpu.")] = "gpu",
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Folder for the tables as CSV and the figure of time and energy."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, SI units.")] = False,
) -> None:
    """Time and energy of a training step: digital work, transfer, writing, converting, relaxing; beside CPU and GPU.

    Times and energies are those of the hardware description's table 'costs', each with its source. What it does not
    say is not counted as zero: the sum is then unknown. The paper's Table 1 at these sizes stands beside it.
    """
    from experiments.cost.machines import MACHINES
    from solvers.solution import check_time

    if time is not None:
        check_time(time)
    if machine not in MACHINES:
        raise InputError(f"machine: no {machine!r}; machines are {', '.join(MACHINES)}")
    sizes = {
        "cells": cells,
        "parameters": parameters,
        "samples": samples,
        "outputs": outputs,
        "iterations": iterations,
        "hardware": hardware,
    }
    given = {name: value for name, value in sizes.items() if value is not None}
    if config is not None:
        if given:
            name = next(iter(given))
            raise InputError(f"{name}: a config says it for each optimizer; leave --{name} out, or the config")
        _of_config(config, time, machine, output, as_json)
        return
    if cells is None:
        raise InputError("cells: give --cells, the size of the array, or a training config")
    _of_sizes(given, TIME if time is None else time, machine, output, as_json)


def _of_sizes(given: dict[str, Any], time: float, machine: str, output: Path | None, as_json: bool) -> None:
    from experiments.cost import tables
    from experiments.cost.ledger import digital, ledger
    from experiments.cost.machines import MACHINES
    from optim.asymptotics import Sizes, evaluated
    from optim.cost import Work
    from spu_circuit.hardware import load_hardware

    cells, samples = given["cells"], given.get("samples", SAMPLES)
    work = Work(given.get("parameters", PARAMETERS), samples, cells, given.get("iterations", ITERATIONS))
    chosen = [load_hardware(name) for name in given.get("hardware", ["paper", "bench", "rram", "factored"])]
    ledgers = [ledger(each, work, time, MACHINES[machine]) for each in chosen]
    others = digital(work, list(MACHINES.values()))
    sizes = Sizes(work, given.get("outputs", -(-cells // samples)), time)
    if output is not None:
        from experiments.cost.figure import write_study

        write_study(chosen, work, time, MACHINES[machine], output)
        tables.write_orders(output, [sizes])
    if as_json:
        devices = {one.hardware: [vars(item) for item in [*one.items, one.together]] for one in ledgers}
        alone = [{"machine": where, **vars(item)} for where, item in others]
        orders = [asdict(row) for row in evaluated(sizes)]
        print(json_text({"devices": devices, "digital": alone, "table_1": orders}))
        return
    for one in ledgers:
        tables.print_ledger(console, one.hardware, one)
    tables.print_digital(console, "without a device", others)
    tables.print_orders(console, sizes)
    if output is not None:
        console.print(
            f"wrote {output / 'cost.csv'}, {output / tables.ORDERS} and {output / 'cost.png'}", highlight=False
        )


def _of_config(config: Path, time: float | None, machine: str, output: Path | None, as_json: bool) -> None:
    from experiments.cost import tables
    from experiments.cost.machines import MACHINES
    from experiments.shared.extras import require
    from optim.asymptotics import evaluated

    require("train", "the cost of a config")
    from experiments.training import planned

    found = planned.planned(config, time)
    sizes = planned.tabled(found)
    if output is not None:
        planned.write(output, found, machine)
    if as_json:
        steps = {each.title: {where: [vars(i) for i in each.items(where)] for where in MACHINES} for each in found}
        orders = [{"sizes": asdict(each), "rows": [asdict(row) for row in evaluated(each)]} for each in sizes]
        print(json_text({"optimizers": steps, "table_1": orders}))
        return
    for each in found:
        if each.analog:
            tables.print_ledger(console, each.title, each.ledgers[machine])
    alone = [each for each in found if not each.analog]
    digital = [(MACHINES[where].name, own.together) for each in alone for where, own in each.ledgers.items()]
    tables.print_digital(console, "without a device", digital)
    for one in sizes:
        tables.print_orders(console, one)
    if output is not None:
        console.print(
            f"wrote {output / planned.LEDGER}, {output / tables.ORDERS} and {output / 'cost.png'}", highlight=False
        )

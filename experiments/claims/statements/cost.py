"""From which size on a step on a device takes less than one on a graphics processor, by the ledger."""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from matplotlib.figure import Figure

from experiments.claims.claim import Claim, Row, Rows
from experiments.claims.figures import curves
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.cost.ledger import DAMPING
from experiments.cost.machines import MACHINES, SHARE
from experiments.shared.figures import FigureEntry
from experiments.shared.systems import ggn_system
from optim.cost import Work, device_step, digital_step, total
from solvers.ideal import IdealLaw
from solvers.spu import Spu
from spu_circuit.errors import MappingError
from spu_circuit.hardware import load_hardware

SHORT = {"NGD, Woodbury": "Woodbury", "NGD, conjugate gradients": "conjugate gradients"}
MEASURES = {"time": "seconds", "energy": "joules"}
TENTH = MACHINES["gpu"]
BOUND = 0.99
"""Of a ratio: what is nearer to 1 is a draw."""
USUAL, PEAK = "a tenth of its peak", "its peak"
GPUS = {
    USUAL: TENTH,
    PEAK: replace(TENTH, rate=TENTH.rate / SHARE, efficiency=TENTH.efficiency / SHARE),
}
"""The processor by the rate that it reaches: what small batches reach, and the most it ever does."""


@dataclass(frozen=True)
class Protocol:
    """Steps by cells K and parameters N, b = K samples with one drawn label each.

    Args:
        dual, factored: presets by mapping. A factored array is programmed with B, so its sizes are smaller.
        time: of a relaxation, τ.
        iterations: of conjugate gradients.
    """

    dual: tuple[str, ...] = ("paper", "bench", "rram")
    factored: tuple[str, ...] = ("factored",)
    cells: tuple[int, ...] = (16, 64, 256, 1024)
    parameters: tuple[int, ...] = (10_000, 1_000_000)
    factored_cells: tuple[int, ...] = (16, 64)
    factored_parameters: tuple[int, ...] = (1_000, 4_000)
    time: float = 50.0
    iterations: int = 200


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    for name in protocol.dual:
        for cells in protocol.cells:
            found += _beside(name, cells, protocol.parameters, protocol)
    for name in protocol.factored:
        for cells in protocol.factored_cells:
            for parameters in protocol.factored_parameters:
                found += _beside(name, cells, (parameters,), protocol)
    return found


def _beside(name: str, cells: int, sizes: tuple[int, ...], protocol: Protocol) -> Rows:
    """Steps of one array: the dual one is the same for every number of parameters."""
    hardware = load_hardware(name)
    factored = name in protocol.factored
    system = ggn_system(cells, sizes[0] if factored else 2 * cells, DAMPING)
    found: list[Row] = []
    try:
        device = Spu(hardware, IdealLaw()).solve(system if factored else system.dual()).device
    except MappingError as error:
        device, refused = None, str(error)
    for parameters, (rate, machine), rival in product(sizes, GPUS.items(), SHORT):
        work = Work(parameters, cells, cells, protocol.iterations)
        other = digital_step(rival, work, machine)
        row: dict[str, Any] = {"device": name, "rival": rival, "gpu_at": rate, "cells": cells, "parameters": parameters}
        row |= {"rival_seconds": other.seconds, "rival_joules": other.joules}
        if device is None:
            found.append(row | {"seconds": None, "joules": None, "missing": refused})
        else:
            step = total(device_step(device, protocol.time, work, machine))
            found.append(row | {"seconds": step.seconds, "joules": step.joules, "missing": step.missing})
    return found


def _conditions(rows: Rows) -> list[Condition]:
    return _compared(rows, USUAL)


def _compared(rows: Rows, rate: str) -> list[Condition]:
    """Ratios to the rivals on a processor that reaches this rate."""
    found = []
    for row in rows:
        for measure, field in MEASURES.items():
            if row["gpu_at"] != rate or (row[field] is None and "costs." in row["missing"]):
                continue  # nobody knows the energy
            value = float("nan") if row[field] is None else row[field] / row[f"rival_{field}"]
            group = f"{measure}, {row['device']} beside {SHORT[row['rival']]}"
            point = f"K = {row['cells']}, N = {row['parameters']:,}"
            found.append(Condition(group, point, (value,), BOUND, "below", exact=True))
    return found


def _finding(rows: Rows) -> str:
    told = []
    for group, own in _by_group(_compared(rows, USUAL)).items():
        values = [condition.values[0] for condition in own if not condition.failed]
        told.append(f"{group} {min(values):.2g} to {max(values):.2g}" if values else f"{group} refused")
    unknown = sorted({row["device"] for row in rows if row["joules"] is None and "costs." in row["missing"]})
    most = max(row["cells"] for row in rows)
    saved = (most**3 / 3 + 2 * most**2) / TENTH.rate
    more = f" The energy of {', '.join(unknown)} is not known." if unknown else ""
    held = {rate: sum(condition.values[0] < BOUND for condition in _compared(rows, rate)) for rate in GPUS}
    return (
        f"Ratios: {'; '.join(told)}. The dual mapping saves K³/3 + 2K² operations beside Woodbury: {1e6 * saved:.3g} "
        f"µs at K = {most}. With a GPU at its peak {held[PEAK]} conditions hold in the place of {held[USUAL]}.{more}"
    )


def _by_group(conditions: list[Condition]) -> dict[str, list[Condition]]:
    found: dict[str, list[Condition]] = {}
    for condition in conditions:
        found.setdefault(condition.group, []).append(condition)
    return found


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    shown = [
        {**row, "case": f"{row['device']}, N = {row['parameters']:,}", "ratio": row["seconds"] / row["rival_seconds"]}
        for row in rows
        if row["seconds"] is not None and SHORT[row["rival"]] == "Woodbury" and row["gpu_at"] == USUAL
    ]
    return curves(
        *(shown, "case", "cells", "ratio", 1.0),
        xlabel="cells K",
        ylabel="time of a step ÷ that of Woodbury on a GPU",
        xscale="log",
        yscale="log",
    )


CLAIM = Claim(
    name="cost",
    statement="A step of TNGD takes less time, and less energy, than one of NGD with Woodbury or conjugate gradients "
    "on a graphics processor.",
    source="arXiv 2405.13817, table 1 and runtime figure; energy is not treated there",
    method="The ledger of `spu-circuit cost`: digital work, transfer, writing, converting and 50 τ of relaxing, with a "
    "GPU at a tenth of its peak rate, and at its peak. One row of B for each sample; 200 iterations of "
    "conjugate gradients.",
    rule="The ratio to the rival with a GPU at a tenth of its peak is below "
    f"{BOUND:g}, for each device, size and rival; it is computed, so there is no interval, but nobody knows its parts "
    "to a percent. Where a description does not say an energy there is no condition.",
    full=Protocol(),
    quick=Protocol(cells=(16, 64), factored_cells=(16,), factored_parameters=(1_000,)),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry("cost", "Time of a step beside Woodbury", "Dashed: as long as on the GPU.", _draw),
)

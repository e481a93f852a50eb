"""Whether op-amps can do what the paper's design point asks of them."""

from dataclasses import dataclass
from itertools import product
from math import inf

import numpy as np
from matplotlib.figure import Figure
from scipy.linalg import expm

from experiments.claims.claim import FRESH, Claim, Row, Rows, column, grouped
from experiments.claims.figures import curves
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.devices import CIRCUIT, NO_SOLUTION, distance
from experiments.shared.figures import FigureEntry
from experiments.shared.systems import spd_system
from netlists.ledger import output_currents
from solvers.solution import Solution
from solvers.spu import Spu
from spu_circuit.hardware import Hardware, load_hardware

CURRENT = 20e-3
"""A, that general-purpose op-amps are specified to drive; short-circuit currents are two to three times that."""
ERROR = 0.01
"""Of a state, beside the law of ideal amplifiers."""


@dataclass(frozen=True)
class Protocol:
    """Systems by size, on 1 kΩ and 1 nF.

    Args:
        ranges: of the voltages, V; the paper gives none.
        bandwidths: gain-bandwidth products of the op-amps, Hz.
        settled_cells: of the systems whose settling is simulated.
        gain: at zero frequency.
        times: at which the state is compared with its law, τ.
    """

    seeds: tuple[int, ...]
    cells: tuple[int, ...] = (8, 16, 32, 64, 128)
    ranges: tuple[float, ...] = (1.0, 10.0)
    bandwidths: tuple[float, ...] = (3e6, 10e6, 50e6, 200e6, 1e9)
    settled_cells: tuple[int, ...] = (8, 32)
    condition: float = 10.0
    gain: float = 200e3
    times: tuple[float, ...] = (1.0, 5.0, 50.0)


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    paper = load_hardware("paper")
    wide = paper.dac.model_copy(update={"full_scale": max(protocol.ranges)})  # so that the ADC decides
    for seed in protocol.seeds:
        for cells in protocol.cells:
            for volts in protocol.ranges:
                adc = paper.adc.model_copy(update={"full_scale": volts})
                hardware = paper.model_copy(update={"adc": adc, "dac": wide})
                row = {"question": "current", "range_v": volts, "cells": cells, "bandwidth_hz": None, "time_tau": None}
                solution, refused = _solved(hardware, protocol, cells, seed, inf)
                if solution is None:
                    found.append({**row, "seed": seed, "current_a": None, "error": None, "refused": refused})
                    continue
                assert solution.device is not None
                device = solution.device
                current = float(output_currents(device, device.at_rest()[None]).max())
                found.append({**row, "seed": seed, "current_a": current, "error": None, "refused": ""})
        for cells, bandwidth, time in product(protocol.settled_cells, protocol.bandwidths, protocol.times):
            found.append(_settled(protocol, cells, bandwidth, time, seed))
    return found


def _settled(protocol: Protocol, cells: int, bandwidth: float, time: float, seed: int) -> Row:
    """A transient through op-amps of finite bandwidth beside the law of ideal ones."""
    paper = load_hardware("paper")
    amplifier = load_hardware("rram").amplifier.model_copy(
        update={"dc_gain": protocol.gain, "gain_bandwidth": bandwidth, "rail": None}
    )
    quiet = paper.noise.model_copy(update={"thermal": False})
    hardware = paper.model_copy(update={"amplifier": amplifier, "noise": quiet})
    row = {"question": "settling", "range_v": 1.0, "cells": cells, "bandwidth_hz": bandwidth, "time_tau": time}
    solution, refused = _solved(hardware, protocol, cells, seed, time)
    error = None
    if solution is not None:
        system = spd_system(cells, protocol.condition, seed)
        exact = np.linalg.solve(system.A, system.b)
        error = distance(solution.value, exact - expm(-system.A * time) @ exact)
    return {**row, "seed": seed, "current_a": None, "error": error, "refused": refused}


def _solved(hardware: Hardware, protocol: Protocol, cells: int, seed: int, time: float) -> tuple[Solution | None, str]:
    """At rest, or after a time, where the device can."""
    try:
        return Spu(hardware, CIRCUIT).solve(spd_system(cells, protocol.condition, seed), time), ""
    except NO_SOLUTION as error:
        return None, str(error)


def _conditions(rows: Rows) -> list[Condition]:
    parts = grouped(rows, "question")
    currents = grouped(parts["current",], "range_v", "cells").items()
    settled = grouped(parts["settling",], "cells", "time_tau", "bandwidth_hz").items()
    return [
        Condition(f"current, range ± {volts:g} V", f"{cells} cells", column(own, "current_a"), CURRENT, "below")
        for (volts, cells), own in currents
    ] + [
        Condition(f"state of {cells} cells at {time:g} τ", f"{band / 1e6:g} MHz", column(own, "error"), ERROR, "below")
        for (cells, time, band), own in settled
    ]


def _finding(rows: Rows) -> str:
    parts = grouped(rows, "question")
    told = []
    for (volts, cells), own in grouped(parts["current",], "range_v", "cells").items():
        found = [value for value in column(own, "current_a") if np.isfinite(value)]
        told.append(f"{cells} cells at ± {volts:g} V {1e3 * np.mean(found):.2g} mA" if found else f"{cells} refused")
    settling = []
    for (cells, time, band), own in grouped(parts["settling",], "cells", "time_tau", "bandwidth_hz").items():
        found = [value for value in column(own, "error") if np.isfinite(value)]
        error = f"{100 * float(np.mean(found)):.2g} %" if len(found) == len(own) else "no solution"
        settling.append(f"{cells} cells at {time:g} τ with {band / 1e6:g} MHz {error}")
    return f"Largest output current, means: {', '.join(told)}. Error beside the law: {', '.join(settling)}."


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    shown = [{**row, "range": f"± {row['range_v']:g} V"} for row in rows if row["question"] == "current"]
    return curves(
        *(shown, "range", "cells", "current_a", CURRENT),
        xlabel="cells",
        ylabel="largest output current (A)",
        xscale="log",
        yscale="log",
    )


CLAIM = Claim(
    name="buildable",
    statement="The design point of 1 kΩ, 1 nF and τ = 1 µs can be built with op-amps of the catalogue.",
    source="arXiv 2405.13817, timing model; whether op-amps can do it is not treated there",
    method="Random systems of condition 10. Currents by Ohm's law at rest, voltages ranged to at least half of the "
    "ADC's range. Transients through op-amps of finite bandwidth and a gain of 200,000, no noise.",
    rule=f"The largest output current is below {1e3 * CURRENT:g} mA in the mean over seeds, for each size and range; "
    f"the state is within {100 * ERROR:g} % of the law of ideal amplifiers, for each "
    "size, time and bandwidth. Where nothing settles it fails.",
    full=Protocol(FRESH[:8]),
    quick=Protocol(tuple(range(3)), cells=(8, 32), bandwidths=(3e6, 200e6), settled_cells=(8,)),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry(
        "buildable", "Output current by size", "Means over seeds with 95 % intervals; dashed: 20 mA.", _draw
    ),
)

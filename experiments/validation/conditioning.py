"""How exactly a device solves, against the condition number, and which of its imperfections sets the limit.

A system is solved as a user would, through ``Spu`` with auto-ranging, to the settled state; the error is the root mean
square of one reading, ``√(‖x̄ − x‖² + tr Σ) / ‖x‖`` with the stationary noise Σ of the programmed resistors. Then the
same systems are solved again with one imperfection switched off, for each in turn: what the squared error loses was its
share. And once more with all but one switched off: what each would leave if it were alone.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import hypot, isnan, nan, sqrt
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from experiments.validation.setups import random_system
from solvers.engine import Engine
from solvers.ideal import law_of
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.errors import SpuError
from spu_circuit.hardware import Hardware, ResistorArray, load_hardware
from spu_circuit.problem import LinearSystem

CELLS = 6
EVERY_CONDITION = (1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6)
FEW_CONDITIONS = (1.0, 1e1, 1e2, 1e6)
HARDWARE: tuple[tuple[str, str], ...] = (
    ("active", "ideal"),
    ("active", "paper"),
    ("active", "bench"),
    ("active", "rram"),
    ("passive", "passive"),
    ("factored", "factored"),
)
"""Topology and preset."""
NEGLIGIBLE = 1e-9
"""Smallest conductance, over the largest, where it is switched off: nothing that a double could tell is lost."""
NOTABLE = 0.05
"""Share of the squared error from which an imperfection is named."""
EXACT = "rounding and amplifier gain 1e15"


def _amplifier(**fields: float | None) -> Callable[[Hardware], Hardware]:
    def switch(hardware: Hardware) -> Hardware:
        if hardware.topology == "passive" or hardware.amplifier.is_ideal:
            return hardware
        return hardware.model_copy(update={"amplifier": hardware.amplifier.model_copy(update=fields)})

    return switch


def _floor_is_a_step(array: ResistorArray) -> bool:
    """The smallest conductance is but one more of evenly spaced levels, so that nothing but their rounding is lost."""
    grid = array.grid
    return (
        grid is not None and len(grid) > 1 and bool(array.G_min - array.off_conductance <= 1.01 * (grid[1] - grid[0]))
    )


def _continuous_resistors(hardware: Hardware) -> Hardware:
    array = hardware.array
    update: dict[str, object] = {"bits": None, "levels": None}
    if _floor_is_a_step(array) and array.off_conductance < array.G_min:
        update["G_min"] = NEGLIGIBLE * array.G_max
    return hardware.model_copy(update={"array": array.model_copy(update=update)})


def _no_smallest_conductance(hardware: Hardware) -> Hardware:
    """The same levels, and far finer ones (1 % apart) from the smallest down to nothing."""
    array, grid = hardware.array, hardware.array.grid
    lowest = NEGLIGIBLE * array.G_max
    if _floor_is_a_step(array) or array.G_min - array.off_conductance <= lowest:
        return hardware
    update: dict[str, object] = {"G_min": lowest}
    if grid is not None:
        below = np.geomspace(lowest, array.G_min, round(np.log(array.G_min / lowest) / 0.01))
        update |= {"bits": None, "levels": (*below[:-1].tolist(), *grid.tolist())}
    return hardware.model_copy(update={"array": array.model_copy(update=update)})


def _continuous(converter: str) -> Callable[[Hardware], Hardware]:
    def switch(hardware: Hardware) -> Hardware:
        return hardware.model_copy(update={converter: getattr(hardware, converter).model_copy(update={"bits": None})})

    return switch


def _no_input_current(hardware: Hardware) -> Hardware:
    """Passive cells only: DACs as much stronger as their resistors are larger, so that these take no diagonal."""
    if hardware.topology != "passive":
        return hardware
    cell = hardware.cell.model_copy(update={"input_resistance": 1e6 * hardware.cell.input_resistance})
    dac = hardware.dac.model_copy(update={"full_scale": 1e6 * hardware.dac.full_scale})
    return hardware.model_copy(update={"cell": cell, "dac": dac})


def _no_noise(hardware: Hardware) -> Hardware:
    quiet = hardware.noise.model_copy(update={"thermal": False, "injected": 0.0})
    return hardware.model_copy(update={"noise": quiet})


IMPERFECTIONS: dict[str, Callable[[Hardware], Hardware]] = {
    "resistor levels": _continuous_resistors,
    "smallest conductance": _no_smallest_conductance,
    "amplifier gain": _amplifier(dc_gain=1e12),
    "amplifier offset": _amplifier(offset=0.0),
    "output stage": _amplifier(output_resistance=0.0, current_limit=None),
    "input resistors": _no_input_current,
    "DAC codes": _continuous("dac"),
    "ADC codes": _continuous("adc"),
    "noise": _no_noise,
}
"""What is switched off, one at a time."""


@dataclass(frozen=True)
class Point:
    """Systems of one condition number on one kind of hardware.

    Args:
        imperfections: all; all but this one ("without"); none but this one ("only").
        which: the imperfection; empty where all are on.
        cells: of each system.
        systems, failed: how many were tried, and how many the hardware could not hold.
        error: median over the others; nan where more than half failed.
        noise: of that, the noise alone, median.
        message: why the first failed.
    """

    topology: str
    preset: str
    condition: float
    imperfections: Literal["all", "without", "only"]
    which: str
    cells: int
    systems: int
    failed: int = 0
    error: float = nan
    noise: float = nan
    message: str = ""


@dataclass(frozen=True)
class Finding:
    """A kind of hardware at one condition number: its error, and what sets it, in words."""

    topology: str
    preset: str
    condition: float
    error: float
    reason: str
    message: str = ""


def study(conditions: tuple[float, ...], systems: int, workers: int | None = None) -> Iterator[list[Point]]:
    """For each kind of hardware and condition number, with everything on and with each imperfection off."""
    wanted = [(topology, preset, condition) for topology, preset in HARDWARE for condition in conditions]
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        yield from pool.map(lambda key: points(key[0], key[1], key[2], systems), wanted)


def points(topology: str, preset: str, condition: float, systems: int) -> list[Point]:
    """One kind of hardware at one condition number, each of its imperfections off, and alone."""
    hardware = load_hardware(preset).model_copy(update={"topology": topology})
    drawn = [random_system(topology, CELLS, condition, seed) for seed in range(systems)]
    present = {name: switch for name, switch in IMPERFECTIONS.items() if switch(hardware) != hardware}
    found = [_point(Point(topology, preset, condition, "all", "", CELLS, systems), hardware, drawn)]
    for name, switch in present.items():
        key = Point(topology, preset, condition, "without", name, CELLS, systems)
        found.append(_point(key, switch(hardware), drawn))
    for name in present:
        alone = hardware
        for other, switch in present.items():
            alone = alone if other == name else switch(alone)
        found.append(_point(Point(topology, preset, condition, "only", name, CELLS, systems), alone, drawn))
    return found


def findings(found: list[Point]) -> list[Finding]:
    """What sets each error: the imperfection without which it falls most, two where one alone is not half of it.

    Errors of two imperfections can cancel, so that neither's absence helps; then those that alone are as large.
    """
    keys = list(dict.fromkeys((p.topology, p.preset, p.condition) for p in found))
    return [_finding([p for p in found if (p.topology, p.preset, p.condition) == key]) for key in keys]


def _finding(mine: list[Point]) -> Finding:
    whole = next(point for point in mine if point.imperfections == "all")
    without = {p.which: p.error for p in mine if p.imperfections == "without" and not isnan(p.error)}
    key = whole.topology, whole.preset, whole.condition
    if isnan(whole.error):
        cure = f"; it could without {' or without '.join(without)}" if without else ""
        return Finding(*key, nan, f"cannot be programmed{cure}", whole.message)
    shares = {name: 1 - (error / whole.error) ** 2 for name, error in without.items()}
    largest = sorted((name for name in shares if shares[name] >= NOTABLE), key=lambda name: -shares[name])
    if not without:
        reason = EXACT
    elif not largest:
        alone = [p.which for p in mine if p.imperfections == "only" and p.error >= whole.error / 2]
        reason = f"{' and '.join(alone)}, either alone as large" if len(alone) > 1 else "several together, none alone"
    else:
        reason = ", then ".join(largest[: 1 if shares[largest[0]] >= 0.5 else 2])
    if whole.failed:
        reason += f" ({whole.failed} of {whole.systems} cannot be programmed)"
    return Finding(*key, whole.error, reason, whole.message)


def _point(key: Point, hardware: Hardware, systems: list[LinearSystem]) -> Point:
    errors, noises, message = [], [], ""
    for system in systems:
        try:
            error, noise = _solve(hardware, system)
        except SpuError as failure:
            message = message or " ".join(str(failure).split())
            continue
        errors.append(hypot(error, noise))
        noises.append(noise)
    found = replace(key, failed=len(systems) - len(errors), message=message)
    if 2 * found.failed > len(systems):
        return found
    return replace(found, error=float(np.median(errors)), noise=float(np.median(noises)))


def _solve(hardware: Hardware, system: LinearSystem) -> tuple[float, float]:
    """Relative error of the mean, and the noise of a reading over the size of the solution."""
    # Amplifiers with rails need the whole circuit wherever ranging drives them into saturation.
    engine: Engine = Network() if hardware.amplifier.rail is None else Ngspice()
    spu = Spu(hardware, engine)
    solution = spu.solve(system)
    exact = np.linalg.solve(system.A, system.b)
    size = float(np.linalg.norm(exact))
    scale = solution.statistics.volts_per_unit
    assert scale is not None
    device = spu.program(system, scale)
    law = law_of(device)
    noise = 0.0
    if law.diffusion.any():
        variances = law.stationary_covariance().diagonal() + device.array.direct_noise(device.hardware)
        noise = sqrt(float((variances * device.unknowns_per_volt**2).sum())) / size
    return float(np.linalg.norm(solution.value - exact)) / size, noise

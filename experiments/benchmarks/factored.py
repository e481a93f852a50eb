"""The paper's cascade in the exact network engine at the size of a small model, and how its cost grows."""

from itertools import product
from math import inf
from statistics import median

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.measure import Figure, at_most, seconds
from experiments.benchmarks.network import SPREAD, sampled, varied
from experiments.shared.systems import ggn_system
from netlists.board import Board
from netlists.device import Device, batch_of, load, program_array
from solvers.network import Network
from solvers.network.programmed import PreparedNetwork
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.hardware import Hardware, load_hardware
from spu_circuit.problem import GgnSystem
from spu_circuit.sampling import Samples

Array = NDArray[np.float64]

DAMPING = 0.3
TIME = 5.0
"""Of every solve here, in τ."""
VOLTS_PER_UNIT = 0.002
"""No DAC code is clipped at this scale."""


def single(rows: int = 64, cells: int = 2000) -> list[Figure]:
    """Operating point and mean of one sample, from its parts to volts, and the first solve of the structure."""
    system, device = _device(rows, cells)
    hardware = device.hardware
    first = seconds(lambda: Spu(hardware, Network()).solve(system))
    prepared = Network().prepare(Board(hardware, device.circuit))
    samples = sampled(prepared.board, range(1))
    _solve(prepared, device, samples)
    known = median(seconds(lambda: _solve(prepared, device, samples)) for _ in range(9))
    errors = []
    for volts, time in zip(_solve(prepared, device, None), (inf, TIME), strict=True):
        exact = Sde().solve(system, time).value
        errors.append(float(np.linalg.norm(volts / VOLTS_PER_UNIT - exact) / np.linalg.norm(exact)))
    resistors = sum(int(np.isfinite(g.value).sum()) for g in prepared.board.table.elements if g.kind == "R")
    name = f"factored array, K = {rows}, N = {cells:,}"
    note = (
        f"a sample with {SPREAD:.0%} parts, {resistors:,} resistors: from its parts to operating point and mean at "
        f"t = {TIME:g}τ; structure prepared before; median of 9"
    )
    return [
        at_most(f"network, {name}", known, "s", 0.5, note),
        at_most(
            f"first solve, {name}", first, "s", 1, "fresh Spu: programming, table, structure, operating point; once"
        ),
        at_most(f"its error against the low-rank closed form, {name}", max(errors), "relative", 1e-6, "exact parts"),
    ]


def growth(cells: tuple[int, ...] = (500, 1000, 2000, 4000), rows: tuple[int, ...] = (8, 16, 32)) -> list[Figure]:
    """Exponents of N and K in the time of an operating point and a mean: one fit over all sizes."""
    sizes, times = list(product(cells, rows)), []
    for n, k in sizes:
        _, device = _device(k, n)
        prepared = Network().prepare(Board(device.hardware, device.circuit))
        samples = sampled(prepared.board, range(1))
        _solve(prepared, device, samples)
        each = [seconds(lambda p=prepared, d=device, s=samples: _solve(p, d, s)) for _ in range(5)]  # type: ignore[misc]
        times.append(median(each))
    design = np.column_stack([np.log(sizes), np.ones(len(sizes))])
    found, squares, *_ = np.linalg.lstsq(design, np.log(times))
    scatter = float(squares[0]) / (len(sizes) - design.shape[1])
    errors = np.sqrt(scatter * np.linalg.inv(design.T @ design).diagonal())
    ends = f"{1e3 * times[0]:.1f} ms at {sizes[0]}, {1e3 * times[-1]:.1f} ms at {sizes[-1]}"
    note = f"{{:.2f}} standard error of log t = a + p log N + q log K over {len(sizes)} sizes; (N, K): {ends}"
    return [
        Figure(f"network, factored array: time ∝ {name} to the power", float(power), "", note=note.format(error))
        for name, power, error in zip("NK", found, errors, strict=False)
    ]


def _hardware() -> Hardware:
    """Continuous resistors and ideal amplifiers, so that the closed form is the truth."""
    return varied(load_hardware("ideal").model_copy(update={"topology": "factored"}))


def _device(rows: int, cells: int) -> tuple[GgnSystem, Device]:
    hardware, system = _hardware(), ggn_system(rows, cells, DAMPING)
    return system, load(program_array(system, hardware), system.b, hardware, VOLTS_PER_UNIT)


def _solve(prepared: PreparedNetwork, device: Device, samples: Samples | None) -> tuple[Array, Array]:
    """Operating point and mean, (n,) each, V."""
    one, seed = batch_of(device), np.zeros(1, dtype=int)
    programmed = prepared.program(one.array, samples)
    times = np.full(1, inf), TIME * one.time_constant
    settled, moved = (programmed.read(one, time, seed).volts[0] for time in times)
    return settled, moved

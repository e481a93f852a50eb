"""The paper's cascade in the exact network engine at the size of a small model, and how its cost grows."""

from itertools import product
from statistics import median

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.measure import Figure, at_most, seconds
from experiments.benchmarks.systems import ggn_system
from solvers.network import NetworkEquations, read_device
from solvers.sde import Sde
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import GgnSystem
from spu_circuit.program import Device, load, program_array

Array = NDArray[np.float64]

DAMPING = 0.3
TIME = 5.0
"""Of every solve here, in τ."""
VOLTS_PER_UNIT = 0.002
"""No DAC code is clipped at this scale."""
SPREAD = 0.01
"""Relative standard deviation of resistors and capacitors of the copy that is solved."""


def single(rows: int = 64, cells: int = 2000) -> list[Figure]:
    """Operating point and mean of one copy, from element values to volts."""
    system, device = _device(rows, cells)
    equations: list[NetworkEquations] = []

    def read() -> None:
        equations[:] = [read_device(device)]
        assert equations[0].bordered  # plans the elimination

    anew = seconds(read)
    analysis = equations[0].analysis
    values = _mismatched(equations[0])
    known = median(seconds(lambda: _solve(equations[0], values, device)) for _ in range(9))
    settled, relaxed = _solve(equations[0], analysis.circuit.values, device)
    errors = []
    for volts, time in ((settled, np.inf), (relaxed, TIME)):
        exact = Sde().solve(system, time).value
        errors.append(float(np.linalg.norm(volts / VOLTS_PER_UNIT - exact) / np.linalg.norm(exact)))
    resistors = len(analysis.circuit.positions("R"))
    name = f"factored array, K = {rows}, N = {cells:,}"
    note = (
        f"a copy with {SPREAD:.0%} parts, {resistors:,} resistors: from element values to operating point and mean at "
        f"t = {TIME:g}τ; structure read before; median of 9"
    )
    return [
        at_most(f"network, {name}", known, "s", 0.5, note),
        Figure("the same, circuit built and read anew", anew, "s", note="PySpice circuit, its text, plan; once"),
        at_most(f"its error against the low-rank closed form, {name}", max(errors), "relative", 1e-6, "exact parts"),
    ]


def growth(cells: tuple[int, ...] = (500, 1000, 2000, 4000), rows: tuple[int, ...] = (8, 16, 32)) -> list[Figure]:
    """Exponents of N and K in the time of an operating point and a mean: one fit over all sizes."""
    sizes, times = list(product(cells, rows)), []
    for n, k in sizes:
        _, device = _device(k, n)
        equations = read_device(device)
        assert equations.bordered
        values = _mismatched(equations)
        _solve(equations, values, device)
        each = [seconds(lambda e=equations, v=values, d=device: _solve(e, v, d)) for _ in range(5)]  # type: ignore[misc]
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


def _device(rows: int, cells: int) -> tuple[GgnSystem, Device]:
    """Continuous resistors and ideal amplifiers, so that the closed form is the truth."""
    hardware = load_hardware("ideal").model_copy(update={"topology": "factored"})
    system = ggn_system(rows, cells, DAMPING)
    return system, load(program_array(system, hardware), system.b, hardware, VOLTS_PER_UNIT)


def _solve(equations: NetworkEquations, values: Array, device: Device) -> tuple[Array, Array]:
    space = equations.analysis.bordered(values)
    return space.operating_point(), space.trajectory(np.array([TIME * device.time_constant]))[0]


def _mismatched(equations: NetworkEquations) -> Array:
    circuit, rng = equations.analysis.circuit, np.random.default_rng(0)
    values = circuit.values.copy()
    for kind in ("R", "C"):
        where = circuit.positions(kind)
        values[where] *= np.exp(SPREAD * rng.standard_normal(len(where)))
    return values

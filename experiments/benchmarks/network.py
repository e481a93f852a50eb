"""The exact network engine: batches of draws beside ngspice, one large solve, and how the cost grows."""

import tracemalloc
from dataclasses import replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.measure import Figure, at_least, at_most, seconds
from experiments.benchmarks.systems import spd_system
from solvers.network import NetworkEquations, moments_of_draws, read_device
from solvers.ngspice import Ngspice
from solvers.ornstein_uhlenbeck import law_of
from spu_circuit.hardware import Noise, load_hardware
from spu_circuit.program import Device, load, program_array

Array = NDArray[np.float64]

TIME = 5.0
"""Of every solve here, in τ."""
SPREAD = 0.01
"""Relative standard deviation of resistors and capacitors between draws."""


def draws(cells: int = 64, count: int = 1000) -> list[Figure]:
    """Mean and covariance of many copies of a thermally noisy array, beside their means alone in ngspice."""
    device, equations = _array(cells)
    values = _values(equations, count)
    at = TIME * device.time_constant
    quiet = device.hardware.model_copy(update={"noise": Noise(thermal=False)})
    alone = replace(device, hardware=quiet)
    law, engine = law_of(alone), Ngspice()
    theirs, ours = [], []
    for _ in range(5):
        theirs.append(seconds(lambda: engine.simulate(alone, law, at, 0)))
        ours.append(seconds(lambda: moments_of_draws(equations, values, at)))
    ratio = median(count * a / b for a, b in zip(theirs, ours, strict=True))
    tracemalloc.start()
    moments_of_draws(equations, values, at)
    peak = tracemalloc.get_traced_memory()[1] / 2**30
    tracemalloc.stop()
    mean = moments_of_draws(equations, equations.analysis.circuit.values[None], at)[0][0]
    error = np.linalg.norm(mean - engine.simulate(alone, law, at, 0).volts) / np.linalg.norm(mean)
    name = f"{count:,} draws of {cells} cells"
    note = f"{median(theirs):.2f} s a draw against {median(ours):.2f} s for all, median of 5 pairs, at t = {TIME:g}τ"
    return [
        at_least(f"ngspice, means only / network, means and covariances, {name}", ratio, "×", 300, note),
        at_most(f"memory of network, {name}", peak, "GiB", 2, "peak of what NumPy and Python allocate"),
        at_most(f"mean of network against ngspice, {cells} cells", float(error), "relative", 1e-3, "the drawn circuit"),
    ]


def single(cells: int = 128) -> list[Figure]:
    """One mean at one time, from element values to volts, and with the circuit still to be read."""
    device, equations = _array(cells)
    values, at = equations.analysis.circuit.values[None], TIME * device.time_constant
    moments_of_draws(equations, values, at, covariance=False)
    known = median(seconds(lambda: moments_of_draws(equations, values, at, covariance=False)) for _ in range(9))
    whole = median(
        seconds(lambda: moments_of_draws(read_device(device), values, at, covariance=False)) for _ in range(3)
    )
    note = "from element values, structure read before; median of 9"
    return [
        at_most(f"network mean at t = {TIME:g}τ, {cells} cells", known * 1e3, "ms", 10, note),
        Figure(f"the same, circuit built and read anew, {cells} cells", whole * 1e3, "ms", note="median of 3"),
    ]


def growth(sizes: tuple[int, ...] = (16, 32, 64, 128), count: int = 128) -> list[Figure]:
    """How the time of a mean and covariance grows with the number of cells N: the exponent of a power law."""
    times = []
    for cells in sizes:
        device, equations = _array(cells)
        values, at = _values(equations, count), TIME * device.time_constant
        moments_of_draws(equations, values, at)
        times.append(median(seconds(lambda e=equations, v=values, t=at: moments_of_draws(e, v, t)) for _ in range(3)))  # type: ignore[misc]
    (exponent, _), uncertainty = np.polyfit(np.log(sizes), np.log(times), 1, cov=True)
    each = ", ".join(f"{cells}: {1e3 * t / count:.2f} ms" for cells, t in zip(sizes, times, strict=True))
    note = f"standard error {np.sqrt(uncertainty[0, 0]):.2f} of the fit; a draw takes {each}"
    return [Figure("network, mean and covariance: time ∝ N to the power", float(exponent), "", note=note)]


def _array(cells: int) -> tuple[Device, NetworkEquations]:
    hardware, system = load_hardware("paper"), spd_system(cells, 8)
    device = load(program_array(system, hardware), system.b, hardware, 1.0)
    return device, read_device(device)


def _values(equations: NetworkEquations, count: int) -> Array:
    """Element values of draws whose resistors and capacitors differ."""
    circuit, rng = equations.analysis.circuit, np.random.default_rng(0)
    values = np.tile(circuit.values, (count, 1))
    for kind in ("R", "C"):
        where = circuit.positions(kind)
        values[:, where] *= np.exp(SPREAD * rng.standard_normal((count, len(where))))
    return values

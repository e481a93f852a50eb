"""The exact network engine: batches of Monte Carlo samples beside ngspice, one large solve, and how the cost grows."""

import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import median

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from experiments.benchmarks.measure import Figure, at_least, at_most, seconds
from experiments.shared.systems import spd_system
from netlists.board import Board
from netlists.device import Device, batch_of, load, program_array
from solvers.ideal import law_of
from solvers.moments import moments
from solvers.network import Network
from solvers.network.programmed import PreparedNetwork
from solvers.ngspice import Ngspice
from spu_circuit.hardware import Hardware, Noise, load_hardware
from spu_circuit.sampling import Samples, Sampling, draw
from spu_circuit.spread import RelativeSpread
from spu_circuit.variation import ArrayVariation, RelativeVariation, Variation

Array = NDArray[np.float64]

TIME = 5.0
"""Of every solve here, in τ."""
SPREAD = 0.01
"""Relative standard deviation of resistors and capacitors between samples."""
BLOCK = 16
"""Samples whose law is formed together."""
THREADS = 2


def draws(cells: int = 64, count: int = 1000) -> list[Figure]:
    """Mean and covariance of many samples of a thermally noisy array, beside their means alone in ngspice."""
    device, prepared = _array(cells)
    blocks = _blocks(prepared, count)
    at = TIME * float(device.time_constant)
    quiet = device.hardware.model_copy(update={"noise": Noise(thermal=False)})
    alone = replace(device, hardware=quiet)
    law, engine = law_of(alone), Ngspice()
    theirs, ours = [], []
    for _ in range(5):
        theirs.append(seconds(lambda: engine.simulate(alone, law, at, 0)))
        ours.append(seconds(lambda: _moments(prepared, device, blocks, at)))
    ratio = median(count * a / b for a, b in zip(theirs, ours, strict=True))
    tracemalloc.start()
    _moments(prepared, device, blocks, at)
    peak = tracemalloc.get_traced_memory()[1] / 2**30
    tracemalloc.stop()
    mean = _moments(prepared, device, [None], at)[0][0]
    error = np.linalg.norm(mean - engine.simulate(alone, law, at, 0).volts) / np.linalg.norm(mean)
    name = f"{count:,} samples of {cells} cells"
    note = f"{median(theirs):.2f} s a sample against {median(ours):.2f} s for all, median of 5 pairs, at t = {TIME:g}τ"
    return [
        at_least(f"ngspice, means only / network, means and covariances, {name}", ratio, "×", 300, note),
        at_most(f"memory of network, {name}", peak, "GiB", 2, "peak of what NumPy and Python allocate"),
        at_most(
            f"mean of network against ngspice, {cells} cells", float(error), "relative", 1e-3, "the nominal circuit"
        ),
    ]


def single(cells: int = 128) -> list[Figure]:
    """One mean at one time, from the programmed array to volts, and with the structure still to be prepared."""
    device, prepared = _array(cells)
    quiet = device.hardware.model_copy(update={"noise": Noise(thermal=False)})
    device = replace(device, hardware=quiet)
    prepared = Network().prepare(Board(quiet, device.circuit))
    known = _median(lambda: _mean(prepared, device), 9)
    whole = _median(lambda: _mean(Network().prepare(Board(quiet, device.circuit)), device), 3)
    note = "from the programmed array, structure prepared before; median of 9"
    return [
        at_most(f"network mean at t = {TIME:g}τ, {cells} cells", known * 1e3, "ms", 10, note),
        Figure(f"the same, table and structure made anew, {cells} cells", whole * 1e3, "ms", note="median of 3"),
    ]


def growth(sizes: tuple[int, ...] = (16, 32, 64, 128), count: int = 128) -> list[Figure]:
    """How the time of a mean and covariance grows with the number of cells N: the exponent of a power law."""
    times = []
    for cells in sizes:
        device, prepared = _array(cells)
        blocks, at = _blocks(prepared, count), TIME * float(device.time_constant)
        times.append(_median(lambda p=prepared, d=device, b=blocks, t=at: _moments(p, d, b, t), 3))  # type: ignore[misc]
    (exponent, _), uncertainty = np.polyfit(np.log(sizes), np.log(times), 1, cov=True)
    each = ", ".join(f"{cells}: {1e3 * t / count:.2f} ms" for cells, t in zip(sizes, times, strict=True))
    note = f"standard error {np.sqrt(uncertainty[0, 0]):.2f} of the fit; a sample takes {each}"
    return [Figure("network, mean and covariance: time ∝ N to the power", float(exponent), "", note=note)]


def varied(hardware: Hardware) -> Hardware:
    """The hardware whose resistors and capacitors differ by ``SPREAD`` from sample to sample."""
    local = RelativeSpread(tolerance=SPREAD, meaning="sigma")
    kinds = ["input_resistor", "inverter_resistor", "capacitor"]
    kinds += ["summing_resistor"] * (hardware.topology == "factored")
    parts = {kind: RelativeVariation(local=local) for kind in kinds}
    variation = Variation(array_resistor=ArrayVariation(local=local)).model_copy(update=parts)
    return hardware.model_copy(update={"variation": variation})


def sampled(board: Board, numbers: range) -> Samples:
    """Monte Carlo samples of a board, random and independent."""
    return draw(board.hardware.variation, board.hardware.temperature, board.places, numbers, Sampling(0))


def _array(cells: int) -> tuple[Device, PreparedNetwork]:
    hardware, system = varied(load_hardware("paper")), spd_system(cells, 8)
    device = load(program_array(system, hardware), system.b, hardware, 1.0)
    return device, Network().prepare(Board(hardware, device.circuit))


def _blocks(prepared: PreparedNetwork, count: int) -> list[Samples]:
    return [sampled(prepared.board, range(k, min(k + BLOCK, count))) for k in range(0, count, BLOCK)]


def _moments(
    prepared: PreparedNetwork, device: Device, blocks: Sequence[Samples | None], time: float
) -> tuple[Array, Array]:
    """Means (samples, n) and covariances (samples, n, n) of the outputs at a time, V and V²."""
    one = batch_of(device)

    def block(samples: Samples | None) -> tuple[Array, Array]:
        programmed = prepared.program(one.array, samples)
        law = programmed.law(one)
        mean, covariance = moments(law.drift, law.input_rate, law.diffusion, programmed.start(one), time)
        assert covariance is not None
        seen = law.output @ covariance @ law.output.transpose(0, 2, 1)
        return (law.output @ mean[:, :, None])[:, :, 0] + law.offset, seen

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(block, blocks))
    means, covariances = zip(*found, strict=True)
    return np.concatenate(means), np.concatenate(covariances)


def _mean(prepared: PreparedNetwork, device: Device) -> Array:
    one = batch_of(device)
    with threadpool_limits(1, user_api="blas"):
        return prepared.program(one.array).read(one, TIME * one.time_constant, np.zeros(1, dtype=int)).volts


def _median(work: Callable[[], object], runs: int) -> float:
    work()
    return median(seconds(work) for _ in range(runs))

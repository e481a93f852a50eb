"""Boards: how long a design takes, a yield near 1 − 10⁻⁶, and what each part of a board adds to its error."""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter

from experiments.benchmarks.measure import Figure, at_most, paired, seconds
from experiments.sweeps.analyses import sets_of
from experiments.sweeps.bench import Bench, benches
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.statistics import Yield, yield_of
from netlists.device import batch_of
from solvers.sensitivity import Contributions, adjoint_of, contributions_of
from spu_circuit.documents import from_document

SPREAD = {"local": {"tolerance": "1 %", "meaning": "sigma"}}
"""Of every resistor of a board, for itself."""
RESISTORS = {kind: SPREAD for kind in ("array_resistor", "input_resistor", "inverter_resistor")}
COPIES = 8192
LIMIT = "5.3 %"
"""Of the relative error of 64 cells of the preset paper, which some copy in a million breaks."""


def design() -> list[Figure]:
    """The shipped design of a board of 16 cells, by the command: search, proof, repeats in ngspice and page."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "experiments.cli", "design", "board", "--output", str(Path(folder, "board"))]
        began = perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took = perf_counter() - began
    return [at_most("design of a board of 16 cells", took, "s", 120, "the shipped config board by the command")]


def rare() -> list[Figure]:
    """A yield near 1 − 10⁻⁶ of 64 cells, from the sweep's description to its interval, in one process."""
    asked, found = _sweep("paper", "high sigma", COPIES, {"relative_error": {"max": LIMIT}}), []
    took = seconds(lambda: found.append(_yield(asked)))
    low, high = (1e6 * (1 - end) for end in reversed(found[0].interval))
    middle = 1e6 * (1 - found[0].share)
    name = f"yield near 1 − 10⁻⁶ of {asked.workload.size} cells with 1 % resistors"
    note = f"{middle:.2f} ppm fail ({low:.2f} to {high:.2f}), by {COPIES:,} copies, one process"
    return [
        at_most(name, took, "s", 60, note),
        at_most(f"width of its 95 % interval, {name}", 100 * (high - low) / middle, "% of it", 50, note),
    ]


def contributions() -> list[Figure]:
    """What each resistor adds to the mean square of the error of a board, beside one solve of the same board."""
    (bench,) = benches(_sweep("bench", "monte carlo", 1, {}), "network")
    parts = sum(len(own) for own in _contributions(bench).local.values())
    shares, alone, ratio = paired(partial(_contributions, bench), partial(bench.spu.solve, bench.system), runs=25)
    note = f"{1e3 * shares:.1f} ms against {1e3 * alone:.1f} ms, median of 25 pairs"
    name = f"contributions of all {parts:,} parts of {bench.device.cells} bench cells / one solve"
    return [at_most(name, ratio, "×", 3, note)]


def _sweep(preset: str, kind: str, samples: int, limits: dict[str, object]) -> Sweep:
    document = {
        "name": "board",
        "hardware": {"base": preset, "variation": RESISTORS},
        "workload": {"kind": "random", "size": 64, "condition": 10},
        "analysis": {"kind": kind, "samples": samples},
        "limits": limits,
    }
    return from_document(Sweep, document, "benchmark")


def _yield(asked: Sweep) -> Yield:
    (copies,) = sets_of(asked).values()
    return yield_of(asked, copies, evaluate(asked, copies, range(copies.samples), asked.engine))


def _contributions(bench: Bench) -> Contributions:
    device = batch_of(bench.device)
    adjoint = adjoint_of(bench.prepared.program(device.array), device)
    return contributions_of(adjoint, bench.board, device, bench.exact, None)

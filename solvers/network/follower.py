"""Where a library's amplifier rests: its inner voltages as ngspice finds them, from which Newton's method is near."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from netlists.amplifier_bench import bench_deck, instance
from netlists.deck import Numerics
from solvers.network.structure import Structure
from solvers.ngspice_attempts import searches
from solvers.ngspice_process import NgspiceConvergenceError, run_deck
from spu_circuit.amplifier import Amplifier
from spu_circuit.errors import SimulationError

Array = NDArray[np.float64]

TIMEOUT = 30.0
"""Seconds that ngspice has; it takes 0.02."""
NAME = "a"


@lru_cache(maxsize=64)
def inner_volts(amplifier: Amplifier, kelvin: float) -> dict[str, float]:
    """Node of the amplifier's subcircuit → volts in a follower at 0 V; empty where ngspice finds none."""
    lines = [instance(NAME, "0", "out", "out"), "Rload out 0 10000.0"]
    for numerics in searches(Numerics()):
        try:
            plot = run_deck(bench_deck(amplifier, lines, ".op", ["all"], numerics, kelvin), TIMEOUT)[0]
            break
        except NgspiceConvergenceError:
            continue
        except SimulationError:
            return {}
    else:
        return {}
    start = f"x{NAME}."
    nodes = {name.removeprefix("v(").removesuffix(")").lower(): value for name, value in plot.items()}
    return {node[len(start) :]: float(value[0]) for node, value in nodes.items() if node.startswith(start)}


def resting(structure: Structure, kelvin: float) -> dict[int, Array]:
    """Voltages of the families of a structure's inner nodes, (1, n, 1), with every amplifier as in a follower."""
    amplifier = structure.table.amplifier
    if amplifier is None or amplifier.hardware.amplifier.library_text is None:
        return {}
    inner = inner_volts(amplifier.hardware.amplifier, kelvin)
    found = {g.nodes[0][0]: g.value[None, :, None] for g in structure.sources if g.kind == "V" and g.nodes[1][0] < 0}
    for number, family in enumerate(structure.families):
        value = inner.get(family.partition(".")[2].lower())
        if value is not None:
            found[number] = np.full((1, structure.sizes[number], 1), value)
    return found

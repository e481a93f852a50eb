"""All combinations of the extremes of kinds of parts, each kind as a whole."""

import numpy as np
from numpy.typing import NDArray

from experiments.sweeps.analyses.extremes import answer, tables_by, with_extremes
from experiments.sweeps.analyses.kind import AnalysisKind
from experiments.sweeps.bench import Bench
from experiments.sweeps.config import Sweep
from experiments.sweeps.samples import SampleSet
from spu_circuit.errors import InputError
from spu_circuit.sampling import Samples, bounded, corners

Array = NDArray[np.float64]

KIND = "corners"
MOST = 12
"""Kinds that move."""


def sets(sweep: Sweep) -> dict[str, SampleSet]:
    moved = with_extremes(sweep.device().variation, KIND)
    if len(moved) > MOST:
        raise InputError(
            f"analysis.kind 'corners': {len(moved)} kinds of parts vary, which is {2 ** len(moved)} corners; "
            f"let at most {MOST} vary, or take 'worst case'"
        )
    return {KIND: SampleSet(1 + 2 ** len(moved), None)}


def signs_of(kinds: int, numbers: range) -> Array:
    """Corners by number, (samples, kinds): 0 is nominal, then all combinations of −1 and 1, the last kind fastest."""
    bits = (np.array(numbers)[:, None] - 1) >> np.arange(kinds)[::-1] & 1
    return np.where(np.array(numbers)[:, None] == 0, 0.0, 2.0 * bits - 1.0)


def draw(sweep: Sweep, copies: SampleSet, bench: Bench, numbers: range) -> Samples:
    hardware, parts = bench.device.hardware, bench.board.places
    kinds = with_extremes(hardware.variation, KIND)
    signs = signs_of(len(kinds), numbers)
    extremes = {
        purpose: signs[:, kinds.index(purpose.split()[0]), None]
        for purpose in bounded(hardware.variation, parts)
        if not purpose.endswith("gradient")
    }
    return corners(hardware.variation, hardware.temperature, parts, extremes)


def name_of(sweep: Sweep, sample: int) -> str:
    """A corner in words, such as "capacitor +, array_resistor −"."""
    kinds = with_extremes(sweep.device().variation, KIND)
    signs = signs_of(len(kinds), range(sample, sample + 1))[0]
    return ", ".join(f"{kind} {'+' if sign > 0 else '−'}" for kind, sign in zip(kinds, signs, strict=True))


CORNERS = AnalysisKind((), sets, draw, tables_by(name_of), title="Bounds", answer=answer)

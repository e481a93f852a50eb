"""Noisy transients of arrays with the macromodels of tests/amplifiers: how many converge, and to the same voltages."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from experiments.amplifier.bench import Bench
from experiments.amplifier.limits import limits
from experiments.benchmarks.measure import Figure, at_least, at_most
from experiments.shared.systems import spd_system
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.amplifier import Amplifier
from spu_circuit.errors import SpuError
from spu_circuit.hardware import Hardware, load_hardware
from spu_circuit.problem import LinearSystem

CELLS, TIME, SEEDS = 2, 4.0, 6
COARSE, FINE = 1e-4, 1e-6
SAME = 1e-3
"""Of the voltages' norm."""


@dataclass(frozen=True)
class Case:
    """One part and seed.

    Args:
        difference: of the last voltages between both tolerances, relative; None: one of the two was refused.
        refusal: the line that says why; "" where there is none.
        retried: at either tolerance with other settings.
    """

    part: str
    difference: float | None
    refusal: str = ""
    retried: bool = False

    @property
    def agrees(self) -> bool:
        return self.difference is not None and self.difference <= SAME


def transients() -> list[Figure]:
    """All macromodels, six seeds each, at two tolerances."""
    cases = list(_cases())
    agreeing = sum(case.agrees for case in cases)
    refused = [case for case in cases if case.refusal]
    wrong = [case for case in cases if not (case.agrees or case.refusal)]
    parts = len({case.part for case in cases})
    where = f"{CELLS} bench cells, t = {TIME:g}τ with its noise, {parts} macromodels × {SEEDS} seeds"
    retried = Counter(case.part for case in cases if case.retried)
    largest = max((case.difference for case in cases if case.agrees and case.difference is not None), default=0.0)
    tried = ", ".join(f"{part} {count}" for part, count in retried.items()) or "none"
    why = "; ".join({case.part: f"{case.part}: {case.refusal[:200]}" for case in refused}.values())
    unlike = ", ".join(sorted({case.part for case in wrong})) or "none"
    return [
        at_least(
            f"vendor transients that agree within {SAME:g} between reltol {COARSE:g} and {FINE:g}, {where}",
            100 * agreeing / len(cases),
            "%",
            95,
            f"{agreeing} of {len(cases)}, largest difference {largest:.1g}; by other settings: {tried}",
        ),
        Figure(f"vendor transients that are refused with a line that says why, {where}", len(refused), "", note=why),
        at_most(f"vendor transients that disagree and say nothing, {where}", len(wrong), "", 0, f"parts: {unlike}"),
    ]


def _cases() -> Iterator[Case]:
    # The corpus is the tests' own; benchmarks run in a checkout.
    from tests.amplifiers.styles import facts_of_all

    system = spd_system(CELLS, 8)
    for facts in facts_of_all().values():
        part = Amplifier(
            model="subckt", library=str(facts.file), subcircuit=facts.subcircuit, pins=facts.pins, supply=facts.supply
        )
        board = load_hardware("bench").model_copy(update={"amplifier": limits(Bench(part))})
        for seed in range(SEEDS):
            yield _case(facts.name, board, system, seed)


def _case(name: str, board: Hardware, system: LinearSystem, seed: int) -> Case:
    volts, retries = [], 0
    for reltol in (COARSE, FINE):
        try:
            solution = Spu(board, Ngspice(reltol=reltol)).solve(system, TIME, seed=seed)
        except SpuError as error:
            return Case(name, None, str(error))
        assert solution.waveform is not None
        volts.append(solution.waveform.volts[-1])
        retries += solution.statistics.retries
    difference = float(np.linalg.norm(volts[0] - volts[1]) / np.linalg.norm(volts[1]))
    return Case(name, difference, retried=retries > 0)

"""A device that keeps its matrix while right-hand sides change."""

from dataclasses import dataclass, field
from math import inf

import numpy as np
import pytest

from experiments.shared.systems import dominant_system, ggn_system, spd_system
from netlists.ledger import parts
from solvers.digital import Digital
from solvers.held import child_seeds, hold, together
from solvers.network import Network
from solvers.network.structure import Structure
from solvers.sde import Sde
from solvers.solution import statistics_arrays
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import GgnSystem, GgnSystems, LinearSystems
from spu_circuit.several import Several

SYSTEMS = [spd_system(5, 8, seed) for seed in range(3)]
STACK = LinearSystems(np.stack([s.A for s in SYSTEMS]), np.stack([s.b for s in SYSTEMS]))
GGN = [ggn_system(3, 5, 0.4, seed) for seed in range(3)]
GGN_STACK = GgnSystems(np.stack([s.B for s in GGN]), np.full(3, 0.4), np.stack([s.gradient for s in GGN]))
B = np.random.default_rng(3).normal(size=(3, 5)) * [[1e-6], [1.0], [1e3]]
STATES = np.linspace(-1, 1, 15).reshape(3, 5)
QUIET = Network(linearise=True, readout_bandwidth=1e7)


@dataclass(frozen=True)
class CountingNetwork(Network):
    """Counts how often a board's resistors are set."""

    programs: list = field(default_factory=list, compare=False)

    def prepare(self, board):
        prepared, counted = super().prepare(board), self.programs

        class Counted:
            def program(self, array, samples=None):
                counted.append(1)
                return prepared.program(array, samples)

        return Counted()


@pytest.mark.parametrize("systems", [STACK, GGN_STACK, Several(tuple(SYSTEMS))], ids=["matrix", "factor", "several"])
@pytest.mark.parametrize(
    "solver", [Spu(load_hardware("bench"), QUIET), Sde(0.1), Digital()], ids=["device", "sde", "digital"]
)
def test_a_held_matrix_solves_as_one_that_is_programmed_anew(solver, systems):
    """Residuals of all sizes: each is ranged for itself."""
    time = 2.0 if solver.analog else inf
    states = STATES if solver.analog else None
    held = hold(solver, systems, [1, 2, 3])
    for shift in (1.0, -3.0):
        found = held.solve(shift * B, time, states, [1, 2, 3])
        anew = [
            solver.solve(systems[k].facing(shift * B[k]), time, None if states is None else states[k], k + 1).value
            for k in range(3)
        ]
        # The same operations, up to the order in which a BLAS adds them for another number of systems.
        np.testing.assert_allclose(found.values, anew, rtol=1e-9, atol=1e-9 * np.abs(anew).max())


def test_right_hand_sides_program_and_factorise_nothing(monkeypatch):
    engine = CountingNetwork()
    held = Spu(load_hardware("bench"), engine).hold(STACK)
    held.solve(B)
    factorised = []
    monkeypatch.setattr(Structure, "factors", lambda *given: factorised.append(given))
    for scale in (1e-9, 1.0, 1e9):
        found = held.solve(scale * B)
        assert found.statistics.programs.tolist() == [0, 0, 0]
    assert (len(engine.programs), held.programs, factorised) == (1, 1, [])


def test_words_are_counted_for_each_range_and_for_charges(bench):
    spu = Spu(bench, QUIET)
    plain = spu.solve(SYSTEMS[0]).statistics
    ranges = 1 + plain.range_changes
    assert (plain.solves, plain.programs) == (1, 1)
    assert (plain.dac_words, plain.adc_words) == (5 * ranges, 5 * ranges)
    charged = spu.solve(SYSTEMS[0], 2.0, STATES[0]).statistics
    assert charged.dac_words == 10 * (1 + charged.range_changes)


@pytest.mark.parametrize("name", ["bench", "passive", "factored"])
def test_words_are_those_of_the_ledger(name):
    """A DAC for each voltage that its circuit needs, an ADC for each cell."""
    system = dominant_system(5, 4) if name == "passive" else GGN[0]
    solution = Spu(load_hardware(name), Network()).solve(system)
    rounds = 1 + solution.statistics.range_changes
    assert solution.statistics.dac_words == parts(solution.device)["dac"] * rounds
    assert solution.statistics.adc_words == 5 * rounds


def test_what_is_not_asked_takes_nothing_and_does_no_harm(bench):
    held = Spu(bench, Network()).hold(STACK)
    asked = np.array([True, False, True])
    found = held.solve(np.where(asked[:, None], B, np.nan), asked=asked)
    assert not found.values[1].any()
    assert found.statistics.solves.tolist() == [1, 0, 1]
    np.testing.assert_allclose(found.values[asked], held.solve(B).values[asked], rtol=1e-12)


def test_a_system_with_a_hessian_is_held_on_three_arrays():
    plain = ggn_system(4, 6, 0.5)
    root = np.random.default_rng(5).normal(size=(4, 3))
    system = GgnSystem(plain.B, 0.5, plain.gradient, root @ root.T)
    spu = Spu(load_hardware("factored"), Network())
    b = np.linspace(-1, 1, 6)
    found = spu.hold([system]).solve(b[None]).values[0]
    np.testing.assert_array_equal(found, spu.solve(GgnSystem(plain.B, 0.5, b, root @ root.T)).value)


def test_statistics_of_solves_add_up_or_keep_the_worst():
    first = statistics_arrays(np.zeros(2), solves=1, saturated_nodes=np.array([2, 0]), settled_fraction=1.0)
    second = statistics_arrays(np.zeros(2), solves=1, saturated_nodes=1, settled_fraction=0.5)
    both = together(first, second, np.array([True, False]))
    assert both.solves.tolist() == [2, 1]
    assert both.saturated_nodes.tolist() == [2, 0]
    assert both.settled_fraction.tolist() == [0.5, 1.0]


def test_seeds_of_uses_differ_and_repeat():
    seeds = {seed for k in range(5) for seed in child_seeds([0, 1], k)}
    assert len(seeds) == 10
    assert child_seeds([0, 1], 3)[1] == child_seeds([1], 3)[0]


def test_systems_of_several_sizes_are_refused():
    with pytest.raises(InputError, match="systems have 2, 3 unknowns; a batch has systems of one size"):
        Several((spd_system(2, 2), spd_system(3, 2)))

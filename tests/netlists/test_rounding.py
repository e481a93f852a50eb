"""Levels that are drawn: unbiased, symmetric, by the seed alone."""

import numpy as np
import pytest

from experiments.shared.systems import dominant_system, ggn_system, spd_system
from netlists.device import program_array
from netlists.levels import Stochastic, nearest_level
from solvers.ideal import IdealLaw
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import LinearSystems

PAPER, BENCH, RRAM, IDEAL = (load_hardware(name).array for name in ("paper", "bench", "rram", "ideal"))


@pytest.mark.parametrize("resistors", [BENCH, RRAM], ids=["even resistance", "even conductance"])
def test_the_mean_of_drawn_levels_is_the_conductance(resistors):
    """Of a Bernoulli choice between two levels; 5 standard errors, a false alarm in 10⁶ for each of 40 targets."""
    draws = 20_000
    targets = np.random.default_rng(0).uniform(resistors.G_min, resistors.G_max, 40)
    drawn = Stochastic([[1]])(np.repeat(targets[:, None], draws, axis=1), resistors)
    levels = np.union1d(resistors.grid, [resistors.off_conductance])
    place = np.searchsorted(levels, targets, side="right") - 1
    below, above = levels[place], levels[place + 1]
    assert ((drawn == below[:, None]) | (drawn == above[:, None])).all()
    deviation = np.sqrt((targets - below) * (above - targets) / draws)
    assert (np.abs(drawn.mean(axis=1) - targets) < 5 * deviation).all()


def test_a_level_stays_and_what_lies_beyond_goes_to_the_last():
    levels = np.concatenate([RRAM.grid, [2 * RRAM.G_max, 0.0]])
    expected = np.clip(levels, RRAM.G_min, RRAM.G_max)
    for seed in range(20):
        np.testing.assert_array_equal(Stochastic([[seed]])(levels, RRAM), expected)


def test_a_continuous_resistor_is_drawn_only_below_its_smallest_conductance():
    resistors = IDEAL.model_copy(update={"G_min": 1e-4})
    targets = np.array([2e-4, 9e-4, 2e-3])
    np.testing.assert_array_equal(Stochastic([[0]])(targets, resistors), nearest_level(targets, resistors))
    small = Stochastic([[0]])(np.full(10_000, 3e-5), resistors)
    assert set(small) == {0.0, 1e-4}
    assert small.mean() == pytest.approx(3e-5, abs=5 * 1e-4 * np.sqrt(0.3 * 0.7 / 10_000))


@pytest.mark.parametrize("name", ["bench", "rram", "passive", "factored"])
def test_every_topology_programs_drawn_levels(name):
    hardware = load_hardware(name)
    system = {"passive": dominant_system(5, 4), "factored": ggn_system(3, 5, 0.5)}.get(name, spd_system(5, 2))
    one, same, other = (program_array(system, hardware, Stochastic([[seed]])) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.matrix, same.matrix)
    assert not np.array_equal(one.matrix, other.matrix)
    np.testing.assert_allclose(one.matrix, one.matrix.swapaxes(0, 1), rtol=1e-12)  # of a product, to rounding
    assert one.definite
    means = np.mean([program_array(system, hardware, Stochastic([[seed]])).matrix for seed in range(400)], axis=0)
    wanted = one.scaling[:, None] * system.primal().A * one.scaling
    nearest = program_array(system, hardware).matrix
    if name in ("bench", "rram"):  # of a product of two drawn factors, and of clipped leaks, the mean is another
        assert np.abs(means - wanted).max() < 0.5 * np.abs(nearest - wanted).max()


def test_a_batch_is_drawn_as_its_systems_are():
    systems = [spd_system(5, 2, seed) for seed in range(3)]
    stack = LinearSystems(np.stack([s.A for s in systems]), np.stack([s.b for s in systems]))
    spu = Spu(load_hardware("rram"), IdealLaw(), rounding="stochastic")
    together = spu.solve_batch(stack, seeds=[4, 5, 6]).values
    for k, system in enumerate(systems):
        np.testing.assert_array_equal(spu.solve(system, seed=4 + k).value, together[k])
    assert not np.array_equal(spu.solve(systems[0], seed=5).value, together[0])


def test_unknown_rounding_lists_the_known_ones():
    with pytest.raises(InputError, match="rounding: no 'random'; roundings are nearest, stochastic"):
        Spu(load_hardware("rram"), IdealLaw(), rounding="random")

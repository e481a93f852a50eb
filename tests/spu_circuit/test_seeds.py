"""Seeds: which are taken, and which are refused before anything is drawn."""

import numpy as np
import pytest

from experiments.shared.systems import spd_system
from solvers.ideal import IdealLaw
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.hardware import Converter, load_hardware
from spu_circuit.problem import LinearSystems
from spu_circuit.sampling import Sampling
from spu_circuit.seeds import check_seed

WRONG = [(-1, "-1"), (2**64, "18446744073709551616"), (10**5000, "a number of 16610 bits")]


@pytest.mark.parametrize(("seed", "shown"), WRONG, ids=["negative", "65 bits", "5001 digits"])
def test_seeds_that_no_generator_takes_are_refused(seed, shown):
    words = rf"is {shown}; give one from 0 to 18446744073709551615$"
    with pytest.raises(InputError, match=f"^seed {words}"):
        check_seed(seed)
    with pytest.raises(InputError, match=f"^seed {words}"):
        Sampling(seed)
    with pytest.raises(InputError, match=rf"^streams\.capacitor {words}"):
        Sampling(0, streams={"capacitor": seed})
    system = spd_system(2, 2)
    batch = LinearSystems(system.A[None], system.b[None])
    hardware = load_hardware("bench")
    for solver in (Sde(0.1), *(Spu(hardware, engine) for engine in (Network(linearise=True), Ngspice(), IdealLaw()))):
        with pytest.raises(InputError, match=f"^seed {words}"):
            solver.solve(system, 1.0, seed=seed)
        with pytest.raises(InputError, match=f"^seed {words}"):
            solver.solve_batch(batch, 1.0, seeds=[seed])


def test_a_seed_is_a_whole_number():
    with pytest.raises(InputError, match=r"^seed is 1\.5; give a whole number$"):
        check_seed(1.5)


def test_the_largest_seed_draws_other_numbers_than_the_next():
    """Beside a small one in a batch too, where they could be rounded to floats."""
    system, last = spd_system(2, 2), 2**64 - 1
    hardware = load_hardware("bench").model_copy(update={"adc": Converter(full_scale=10.0)})
    spu = Spu(hardware, IdealLaw(points=2))
    batch = LinearSystems(np.stack([system.A] * 3), np.stack([system.b] * 3))
    values = spu.solve_batch(batch, 1.0, seeds=[0, last, last - 1]).values
    for value, seed in zip(values, (0, last, last - 1), strict=True):
        np.testing.assert_array_equal(value, spu.solve(system, 1.0, seed=seed).value)
    assert len(np.unique(values[:, 0])) == 3

"""Which parts a board has, and what they are in a sample."""

import numpy as np

from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.hardware import Hardware
from spu_circuit.problem import LinearSystem
from spu_circuit.sampling import Sample, Sampling
from spu_circuit.variation import Variation


def test_a_sample_is_the_same_board_whatever_it_solved_before(ideal: Hardware) -> None:
    spread = {"array_resistor": {"local": {"tolerance": 0.05, "meaning": "sigma"}}}
    hardware = ideal.model_copy(update={"variation": Variation.model_validate(spread)})
    systems = [LinearSystem(np.diag([2.0, 1.0]), np.ones(2)), LinearSystem(np.array([[2, -1], [-1, 1.5]]), np.ones(2))]
    for design in ("plain", "sobol"):
        sample = Sample(Sampling(1, design), 0)
        alone = [Spu(hardware, Network(), sample=sample).solve(system).value for system in systems]
        assert not np.allclose(alone[0], [0.5, 1.0], rtol=1e-3)
        used = Spu(hardware, Network(), sample=sample)
        np.testing.assert_array_equal([used.solve(system).value for system in systems], alone)
        np.testing.assert_array_equal(used.solve_batch(systems).values, alone)
        inside = [Spu(hardware, Ngspice(), sample=sample).solve(system).value for system in systems]
        np.testing.assert_allclose(inside, alone, rtol=1e-4)  # two of the ADC's steps

"""Digital solves with a device's errors, against the circuit that has the same and ideal amplifiers."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse.linalg import cg

from experiments.shared.systems import spd_system
from netlists.device import stacked
from solvers.arithmetic import Arithmetic, conjugate_gradients
from solvers.network import Network, state_space
from solvers.spu import Spu
from spu_circuit.errors import InputError, MappingError
from spu_circuit.hardware import changed_hardware
from spu_circuit.problem import LinearSystem, LinearSystems
from spu_circuit.sampling import Sample, Sampling
from tests.cases import CASES, board_of

ERRORS = {
    "array": {"bits": 6},
    "dac": {"bits": 8},
    "adc": {"bits": 9},
    "variation": {
        "array_resistor": {"local": {"tolerance": "5 %", "meaning": "sigma"}, "stuck_open": 0.003},
        "dac_offset": {"local": {"tolerance": "20 mV", "meaning": "sigma"}},
        "adc_gain": {"local": {"tolerance": "1 %", "meaning": "sigma"}},
    },
}


def test_a_factorised_solve_has_the_errors_of_the_circuit_with_ideal_amplifiers():
    hardware = changed_hardware("ideal", ERRORS)
    system = spd_system(12, 4.0, seed=3)
    for number in (None, 1, 2):
        sample = None if number is None else Sample(Sampling(0), number)
        values = [Spu(hardware, engine, sample=sample).solve(system).value for engine in (Arithmetic(), Network())]
        # The same codes of the ADC; its steps are 1e-3 of the largest value.
        np.testing.assert_allclose(values[0], values[1], rtol=1e-9, atol=1e-12)
        assert np.linalg.norm(values[0] - np.linalg.solve(system.A, system.b)) > 1e-3 * np.linalg.norm(values[0])


@pytest.mark.parametrize("wires", ["0 Ω", "30 Ω"])
def test_offsets_and_wires_do_what_they_do_to_a_circuit_whose_amplifiers_are_ideal_otherwise(wires):
    spread = {"tolerance": "1 mV", "meaning": "sigma"}
    amplifier = {"model": "macromodel", "dc_gain": 1e9, "output_resistance": "0 Ω", "offset": "2 mV"}
    offset = {"amplifier": amplifier, "variation": {"amplifier_offset": {"local": spread}}}
    hardware = changed_hardware("ideal", offset | {"array": {"wire_resistance": wires}})
    system = spd_system(8, 4.0, seed=3)
    exact = np.linalg.solve(system.A, system.b)
    for number in (None, 1):
        sample = None if number is None else Sample(Sampling(0), number)
        values = [Spu(hardware, engine, sample=sample).solve(system).value for engine in (Arithmetic(), Network())]
        # The gain leaves 1e-8. Behind wires offsets also drive each other, by 3 % of 3 % of a voltage.
        near = 1e-7 if wires == "0 Ω" else 1e-3
        assert np.linalg.norm(values[0] - values[1]) < near * np.linalg.norm(exact)
        assert np.linalg.norm(values[0] - exact) > 10 * near * np.linalg.norm(exact)


@pytest.mark.parametrize("wires", [0.0, 2.0])
def test_noise_has_the_covariance_of_a_settled_circuit_whose_amplifiers_are_ideal_otherwise(wires):
    (case,) = (case for case in CASES if case.name == "noisy")
    noise = case.hardware.noise.model_copy(update={"injected": 1e-6})
    array = case.hardware.array.model_copy(update={"wire_resistance": wires})
    device = case.changed(noise=noise, array=array).device()
    programmed = Arithmetic().prepare(board_of(device)).program(stacked([device.array]), None)
    expected = state_space(device).stationary_covariance()
    # Ideal amplifiers have a gain of 1e9. Wires, which make M unsymmetric, leave 1 % here.
    near = (1e-6 if wires == 0 else 0.02) * expected.diagonal().max()
    np.testing.assert_allclose(programmed.covariance[0], expected, atol=near)


def test_samples_of_a_batch_are_each_its_own():
    spu = Spu(changed_hardware("ideal", ERRORS), Arithmetic(5))
    systems = [spd_system(8, 4.0, seed=seed) for seed in range(2)]
    samples = [Sample(Sampling(seed), 1) for seed in range(2)]
    batch = LinearSystems(np.stack([one.A for one in systems]), np.stack([one.b for one in systems]))
    for system, sample, value in zip(systems, samples, spu.of_samples(samples).solve_batch(batch).values, strict=True):
        np.testing.assert_array_equal(replace(spu, sample=sample).solve(system).value, value)


@pytest.mark.parametrize("iterations", [1, 3, 10])
def test_iterations_are_those_of_scipy(iterations):
    systems = [spd_system(20, 30.0, seed=seed) for seed in range(3)]
    A, b = np.stack([one.A for one in systems]), np.stack([one.b for one in systems])
    expected = [cg(one.A, one.b, rtol=0.0, maxiter=iterations)[0] for one in systems]
    np.testing.assert_allclose(conjugate_gradients(A, b, iterations), expected, rtol=1e-7, atol=1e-9)  # rounding


def test_iterations_end_where_the_matrix_is_not_positive_along_their_direction():
    A, b = np.diag([1.0, -3.0])[None], np.array([[2.0, 1.0]])
    np.testing.assert_allclose(conjugate_gradients(A, b, 1), 5 / 1 * b)  # bᵀb / bᵀAb, still positive
    np.testing.assert_array_equal(conjugate_gradients(A, b[:, ::-1], 5), np.zeros((1, 2)))


def test_injected_noise_has_the_stationary_covariance_of_the_cells():
    hardware = changed_hardware("ideal", {"noise": {"injected": "10 mV"}})
    A = np.array([[2.0, 0.8], [0.8, 1.0]])
    spu, system, draws = Spu(hardware, Arithmetic()), LinearSystem(A, np.array([1.0, -1.0])), 4000
    batch = LinearSystems(np.repeat(A[None], draws, axis=0), np.repeat(system.b[None], draws, axis=0))
    found = spu.solve_batch(batch, seeds=range(draws))
    expected = float(found.statistics.injected_noise[0]) * np.linalg.inv(A)
    # Standard errors of (co)variances of 4,000 draws are at most √(2 / 4000) = 2.2 % of the largest: five of them.
    np.testing.assert_allclose(np.cov(found.values.T), expected, atol=0.11 * expected.max())


def test_a_sample_that_would_not_settle_is_refused_where_it_is_factorised():
    hardware = changed_hardware("ideal", {"variation": {"array_resistor": {"stuck_open": 0.2}}})
    system = LinearSystem(np.eye(3) + 0.3, np.ones(3))
    refused = 0
    for number in range(30):
        sample = Sample(Sampling(1), number)
        try:
            Spu(hardware, Arithmetic(), sample=sample).solve(system)
        except MappingError:
            refused += 1
        assert np.isfinite(Spu(hardware, Arithmetic(3), sample=sample).solve(system).value).all()
    assert 0 < refused < 30


def test_other_topologies_and_finite_times_are_refused():
    system = spd_system(4, 2.0, seed=0)
    with pytest.raises(InputError, match="errors of an active topology, not of a passive one"):
        Spu(changed_hardware("passive", {}), Arithmetic()).solve(LinearSystem(np.eye(4), np.ones(4)))
    with pytest.raises(InputError, match="a digital solve knows no time"):
        Spu(changed_hardware("ideal", {}), Arithmetic()).solve(system, 3.0)

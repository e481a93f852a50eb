"""Resistors and capacitors alone: dominance, fluctuation-dissipation, and the circuit in ngspice."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.constants import Boltzmann
from scipy.stats import chi2

from netlists.device import load, program_array
from netlists.topologies.passive import dominance_scaling, program_passive
from solvers.ideal import IdealLaw, law_of
from solvers.network import Network, state_space
from solvers.ngspice import Ngspice
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.errors import MappingError
from spu_circuit.hardware import Converter, Noise, load_hardware
from spu_circuit.problem import LinearSystem

PASSIVE = load_hardware("passive")
CONTINUOUS = PASSIVE.model_copy(
    update={
        "array": PASSIVE.array.model_copy(update={"bits": None, "G_min": 1e-12}),
        "dac": Converter(full_scale=10.0),
        "adc": Converter(full_scale=1.0),
        "noise": Noise(thermal=False),
    }
)


def dominant_system(size, seed=0, slack=0.3):
    """Couplings of both signs, diagonal larger than their sum."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(size, size))
    A = A + A.T
    np.fill_diagonal(A, 0)
    np.fill_diagonal(A, np.abs(A).sum(axis=1) + slack * np.abs(A).max())
    return LinearSystem(A, rng.normal(size=size))


def test_continuous_resistors_hold_the_matrix_exactly():
    A = dominant_system(6).A
    np.testing.assert_allclose(program_passive(A, CONTINUOUS).matrix, A, rtol=1e-10)


def test_leaks_make_up_for_what_rounding_does_to_the_diagonal():
    """Each diagonal is within half a level although a row's couplings together are further off."""
    coarse = PASSIVE.model_copy(update={"array": PASSIVE.array.model_copy(update={"bits": 7, "G_min": 1e-3 / 127})})
    A = dominant_system(12).A
    array = program_passive(A, coarse)
    step = 1e-3 / 127 / array.siemens_per_unit
    assert np.abs(array.matrix - A).diagonal().max() <= step / 2 + 1e-12
    assert np.abs(array.matrix - A).max() <= step / 2 + 1e-12


@given(st.integers(2, 7), st.integers(0, 10_000))
def test_scaling_makes_an_h_matrix_dominant(size, seed):
    rng = np.random.default_rng(seed)
    hidden = np.exp(rng.normal(size=size))
    A = dominant_system(size, seed).A / np.outer(hidden, hidden)
    d = dominance_scaling(A)
    scaled = d[:, None] * A * d
    assert (d > 0).all()
    assert (2 * scaled.diagonal() > np.abs(scaled).sum(axis=1)).all()


def test_rows_that_no_scaling_saves_are_named_with_the_damping_that_does():
    A = np.array([[1.0, 0.9, 0.9], [0.9, 1.0, 0.9], [0.9, 0.9, 1.0]])
    with pytest.raises(MappingError, match=r"row 0, 1, 2 and no scaling.*damping by 0\.8, or use an active") as caught:
        program_passive(A, PASSIVE)
    damping = float(str(caught.value).split("damping by ")[1].split(",")[0])
    program_passive(A + 1.1 * damping * np.eye(3), PASSIVE)


def test_input_resistors_that_take_too_much_are_named():
    heavy = PASSIVE.model_copy(update={"cell": PASSIVE.cell.model_copy(update={"input_resistance": 500.0})})
    with pytest.raises(MappingError, match=r"couplings and input resistor .* take more than the diagonal has"):
        program_passive(dominant_system(5).A, heavy)


@pytest.mark.parametrize("engine", [Network(), Ngspice(), IdealLaw()])
def test_cells_that_only_rounding_joins_to_ground_are_refused(engine):
    """Leaks rounded to nothing, and input resistors of 10^20 Ω: the couplings alone are singular."""
    floating = PASSIVE.model_copy(update={"cell": PASSIVE.cell.model_copy(update={"input_resistance": 1e20})})
    system = LinearSystem([[1.0, -1 + 1e-9], [-1 + 1e-9, 1.0]], [1.0, 0.0])
    with pytest.raises(MappingError, match=r"cannot hold this matrix: it leaves no leaks, .* raise the damping,"):
        Spu(floating, engine).solve(system)


@pytest.mark.parametrize("time", [0.5, 2.0, inf])
@pytest.mark.parametrize("hide", [False, True], ids=["dominant", "scaled"])
def test_circuit_solves_as_the_closed_form_says(time, hide):
    """ngspice's step control leaves 1e-5. With scaling the array relaxes in y = x / d, so only the end is compared."""
    system = dominant_system(6)
    if hide:
        d = np.geomspace(1, 20, 6)
        system = LinearSystem(system.A * np.outer(d, d), system.b)
        time = inf
    solution = Spu(CONTINUOUS, Ngspice()).solve(system, time)
    expected = Sde().solve(system, time).value
    assert np.linalg.norm(solution.value - expected) < 1e-4 * np.linalg.norm(expected)


def test_initial_state_is_put_on_both_capacitors():
    system, start = dominant_system(4), np.array([0.5, -0.2, 0.1, 0.3])
    solution = Spu(CONTINUOUS, Ngspice()).solve(system, 0.2, start)
    expected = Sde().solve(system, 0.2, start).value
    assert np.linalg.norm(solution.value - expected) < 1e-4 * np.linalg.norm(expected)


def test_every_cell_has_two_kt_over_c_whatever_the_matrix():
    """Fluctuation-dissipation; .noise over ten decades leaves 2e-4, the Lyapunov solution rounding."""
    system = dominant_system(5)
    device = load(program_array(system, PASSIVE), system.b, PASSIVE, 0.1)
    expected = 2 * Boltzmann * PASSIVE.temperature / PASSIVE.cell.capacitance
    law = law_of(device)
    np.testing.assert_allclose(law.stationary_covariance(), expected * np.eye(5), rtol=1e-9, atol=1e-9 * expected)
    np.testing.assert_allclose(Ngspice().noise_variance(device, law), expected, rtol=1e-3)


def test_noise_of_a_single_picofarad_cell_is_the_known_voltage():
    """√(2kT/C) = 91.03 µV at 1 pF and 27 °C."""
    cell = PASSIVE.cell.model_copy(update={"capacitance": 1e-12})
    hardware = PASSIVE.model_copy(update={"cell": cell})
    device = load(program_array(LinearSystem(np.eye(1), np.ones(1)), hardware), np.ones(1), hardware, 0.1)
    assert np.sqrt(law_of(device).stationary_covariance()[0, 0]) == pytest.approx(91.03e-6, rel=1e-4)


def test_injected_noise_alone_encodes_the_inverse():
    hardware = CONTINUOUS.model_copy(update={"noise": Noise(thermal=False, injected="1 mV")})
    system = dominant_system(4)
    device = load(program_array(system, hardware), system.b, hardware, 0.1)
    np.testing.assert_allclose(law_of(device).stationary_covariance(), 1e-6 * np.linalg.inv(system.A), rtol=1e-8)


@pytest.mark.parametrize("injected", [0.0, 1e-6])
def test_transient_noise_is_correlated_as_the_discretised_law_says(injected):
    """4 cells, 300 samples, whitened jointly: chi-square, false alarms 1 in 10⁴; samples 3 slowest times apart."""
    hardware = PASSIVE.model_copy(update={"noise": Noise(injected=injected)})
    device = load(program_array(dominant_system(4), hardware), np.zeros(4), hardware, 1.0)
    law = law_of(device)
    apart = 3 / float(law.rates.min())
    hold = apart / round(apart * float(law.rates.max()) / 0.4)
    engine, found = Ngspice(points=10, noise_hold=hold * float(law.rates.max())), []
    for seed in range(12):
        wave = engine.simulate(device, law, 26 * apart, seed).waveform
        near = np.searchsorted(wave.seconds, apart * np.arange(2, 27) * (1 - 1e-9))
        found.append(wave.volts[near])
    white = np.linalg.solve(np.linalg.cholesky(law.held_covariance(hold)), np.concatenate(found).T)
    low, high = chi2.ppf([5e-5, 1 - 5e-5], white.size)
    assert low < (white**2).sum() < high


@pytest.mark.parametrize("injected", [0.0, 2e-6])
def test_network_engine_reads_the_passive_circuit_too(injected):
    """Element by element it finds the closed form: operating point, mean and covariance, to rounding."""
    hardware = PASSIVE.model_copy(update={"noise": Noise(injected=injected)})
    device = load(program_array(dominant_system(5), hardware), np.ones(5), hardware, 0.01, np.linspace(-1, 1, 5))
    law, space = law_of(device), state_space(device)
    times = np.array([0.3, 2.0]) * device.time_constant
    np.testing.assert_allclose(space.operating_point(), law.fixed_point(), rtol=1e-9)
    np.testing.assert_allclose(space.trajectory(times), law.mean(times, device.initial_volts), rtol=1e-9, atol=1e-15)
    scale = law.covariance(times[1]).max()
    np.testing.assert_allclose(space.covariance(times[1]), law.covariance(times[1]), rtol=1e-9, atol=1e-9 * scale)
    solution = Spu(hardware, Network()).solve(dominant_system(5))
    exact = np.linalg.solve(dominant_system(5).A, dominant_system(5).b)
    assert np.linalg.norm(solution.value - exact) < 2e-3 * np.linalg.norm(exact)  # sixteen bits

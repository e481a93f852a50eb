from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.shared.systems import spd_system
from netlists.device import largest_scale, load, program_array
from netlists.topologies.active import program_active
from solvers.ideal import IdealLaw, law_of
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.errors import MappingError
from spu_circuit.hardware import ResistorArray, load_hardware
from spu_circuit.problem import LinearSystem, LinearSystems


@settings(max_examples=50)
@given(st.sampled_from(["paper", "bench"]), st.integers(2, 8), st.floats(1.0, 30.0), st.integers(0, 1000))
def test_every_resistor_sits_on_a_level_and_none_nearer_exists(name, size, condition, seed):
    hardware = load_hardware(name)
    A = spd_system(size, condition, seed).A
    try:
        array = program_active(A, hardware)
    except MappingError:
        return
    levels = np.append(hardware.array.grid, hardware.array.off_conductance)
    target = array.siemens_per_unit * np.abs(A)
    programmed = array.direct + array.inverted
    assert np.isin(programmed, levels).all()
    nearest = np.abs(target[..., None] - levels).min(axis=-1)
    # Relative rounding of the product g_u |A|.
    np.testing.assert_allclose(np.abs(programmed - target), nearest, atol=1e-12 * hardware.array.G_max)
    assert (np.sign(array.matrix) * np.sign(A) >= 0).all()


def test_largest_entry_uses_the_whole_range():
    for name in ("paper", "bench", "rram"):
        hardware = load_hardware(name)
        array = program_array(spd_system(6, 4), hardware)
        assert max(array.direct.max(), array.inverted.max()) == pytest.approx(hardware.array.G_max)


def test_unused_resistors_of_a_pair_cancel():
    rram = load_hardware("rram")
    A = np.array([[2.0, -1.0], [-1.0, 2.0]])
    array = program_active(A, rram)
    assert array.inverted[0, 0] == pytest.approx(0.5e-6)
    assert array.direct[0, 1] == pytest.approx(0.5e-6)
    # Seven steps of 34.5 µS / 7 from off: 2 is exact, 1 falls half way between 3 and 4 steps.
    assert array.matrix[0, 0] == pytest.approx(2)
    assert abs(array.matrix[0, 1] + 1) == pytest.approx(1 / 7)


def test_lost_entries_are_counted():
    bench = load_hardware("bench")  # range 32 : 1, so that 1/100 rounds to off
    array = program_active(np.array([[1.0, 0.01], [0.01, 1.0]]), bench)
    assert array.lost_entries == 2
    assert array.matrix[0, 1] == 0


def test_a_lost_diagonal_is_an_error_that_counts_and_cures():
    with pytest.raises(MappingError, match=r"1 of 4 entries \(1 on the diagonal\) are lost .* add a damping above"):
        program_active(np.diag([1.0, 0.001]), load_hardware("bench"))


def _of_low_rank(seed):
    """A singular matrix of few values. Its Cholesky factor exists for some, by rounding."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 90))
    root = rng.integers(-3, 4, size=(size, int(rng.integers(1, size)))) * rng.choice([1, 1, 1 / 7, 0.1])
    return root @ root.T * rng.choice([1, 1 / 3, 5e-6])


@pytest.mark.parametrize("seed", [*range(40), 108, 330, 339, 535, 588])
def test_a_matrix_that_is_singular_to_rounding_is_refused_and_slightly_damped_is_not(seed):
    ideal, A = load_hardware("ideal"), _of_low_rank(seed)
    with pytest.raises(MappingError, match=r"cannot hold this matrix.* not positive definite .* add a damping above"):
        program_active(A, ideal)
    # A condition of 10^10, which double precision has room for.
    program_active(A + 1e-10 * np.abs(A).max() * len(A) * np.eye(len(A)), ideal)


@pytest.mark.parametrize("engine", [Network(), Ngspice(), IdealLaw()])
def test_rows_that_levels_make_equal_are_refused_in_every_engine(engine):
    """64 cells, each two of which differ by less than a step of the eight levels; scaled and damped they are held."""
    rng = np.random.default_rng(0)
    features = rng.random((32, 200))
    twice = np.repeat(features, 2, axis=0) + 1e-3 * rng.random((64, 200))
    A = twice @ twice.T / 200 + 1e-4 * np.eye(64)
    system = LinearSystem(A, rng.normal(size=64))
    with pytest.raises(MappingError, match=r"^hardware 'rram' cannot hold this matrix.*set scaling = 'jacobi', or"):
        Spu(load_hardware("rram"), engine).solve(system)
    scaled = load_hardware("rram").model_copy(update={"scaling": "jacobi"})
    with pytest.raises(MappingError, match=r"cannot hold this matrix.* add a damping above [\d.]+, or take") as caught:
        Spu(scaled, engine).solve(system)
    assert "jacobi" not in str(caught.value)
    batch = LinearSystems(np.stack([np.eye(64), A]), np.ones((2, 64)))
    with pytest.raises(MappingError, match="cannot hold this matrix"):
        Spu(load_hardware("rram"), engine).solve_batch(batch)


def test_continuous_resistors_hold_any_value_between_their_limits():
    ideal = load_hardware("ideal")
    A = spd_system(5, 100).A
    np.testing.assert_allclose(program_active(A, ideal).matrix, A, rtol=1e-12)


def test_dac_holds_the_negative_right_hand_side_and_reports_clipping():
    paper = load_hardware("paper")
    system = spd_system(4, 2)
    array = program_array(system, paper)
    scale = largest_scale(array, system.b, paper)
    device = load(array, system.b, paper, scale)
    assert device.clipped_codes == 0
    assert np.abs(device.dac_volts).max() == pytest.approx(paper.dac.full_scale - paper.dac.lsb)
    # Exact up to half an LSB: fixed point of the ideal law is the solution of the programmed matrix.
    x = np.linalg.solve(device.drift, device.input_rate) / scale
    np.testing.assert_allclose(
        array.matrix @ x, system.b, atol=paper.dac.lsb / scale / 2 / array.siemens_per_unit / 1e3
    )
    assert load(array, system.b, paper, 4 * scale).clipped_codes > 0


def test_explicit_levels_are_used_as_given():
    hardware = load_hardware("paper").model_copy(
        update={"array": ResistorArray(G_min=1e-4, G_max=1e-3, levels=(1e-3, 1e-4, 4e-4))}
    )
    array = program_active(np.array([[1.0, 0.38], [0.38, 1.0]]), hardware)
    assert array.direct.tolist() == [[1e-3, 4e-4], [4e-4, 1e-3]]


def test_jacobi_scaling_solves_the_same_and_loses_less():
    """A matrix whose rows differ a hundredfold in size: 32 : 1 of conductance cannot hold it as it is."""
    system = spd_system(8, 3)
    rows = np.geomspace(1, 10, 8)
    system = LinearSystem(system.A * np.outer(rows, rows), system.b)
    exact = np.linalg.solve(system.A, system.b)
    scaled = {name: load_hardware(name).model_copy(update={"scaling": "jacobi"}) for name in ("ideal", "bench")}
    for time in (inf, 200.0):
        solution = Spu(scaled["ideal"], IdealLaw()).solve(system, time)
        np.testing.assert_allclose(solution.value, exact, rtol=1e-6)
    np.testing.assert_allclose(np.diag(program_array(system, scaled["ideal"]).matrix), 1)
    with pytest.raises(MappingError, match=r"set scaling = 'jacobi'"):
        program_array(system, load_hardware("bench"))
    assert np.linalg.norm(Spu(scaled["bench"], IdealLaw()).solve(system).value - exact) < 0.1 * np.linalg.norm(exact)


def test_jacobi_scaling_carries_noise_and_initial_state():
    """The standard error is that of x, not of the scaled unknowns, and x starts where it is told to."""
    system = spd_system(3, 4)
    hardware = load_hardware("paper").model_copy(update={"scaling": "jacobi"})
    solution = Spu(hardware, IdealLaw()).solve(system, 5.0)
    device = Spu(hardware, IdealLaw()).program(system, solution.statistics.volts_per_unit)
    covariance = law_of(device).covariance(solution.statistics.analog_seconds)
    expected = np.sqrt(covariance.diagonal() / system.A.diagonal()) / solution.statistics.volts_per_unit
    np.testing.assert_allclose(solution.standard_error, expected, rtol=1e-9)
    start = np.array([0.3, -0.1, 0.2])
    early = Spu(hardware, IdealLaw()).solve(system, 1e-6, start)
    np.testing.assert_allclose(early.value, start, atol=1e-3)  # 16 bits, and some 10 µV of noise

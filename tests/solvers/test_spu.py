import pickle
import subprocess
import sys
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np
import pytest

import solvers.network.programmed
from experiments.shared.systems import ggn_system, spd_system
from netlists.device import voltage_limits
from solvers.boards import RANGES
from solvers.engine import Reading
from solvers.engines import engine_named
from solvers.ideal import IdealLaw, law_of
from solvers.network import Network
from solvers.network.structure import Structure
from solvers.ngspice import Ngspice
from solvers.programmable import KEPT
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.errors import InputError, MappingError, SimulationError
from spu_circuit.hardware import Converter, Noise, changed_hardware, load_hardware
from spu_circuit.problem import LinearSystem, LinearSystems
from spu_circuit.sampling import Sample, Sampling


@dataclass(frozen=True)
class Pretended:
    """An engine whose single device reads what ``volts`` makes of it, and was at ``peak`` on the way."""

    name: str = "pretended"
    points: int = 0
    bytes_per_resistor: float = 0.0

    def prepare(self, board):
        return self

    def program(self, array, samples):
        return self

    def read(self, device, seconds, seeds, limits=None):
        volts = self.volts(device[0])
        return Reading(volts[None], ("",), self.peak(volts)[None])

    def peak(self, volts):
        return np.abs(volts)


@dataclass(frozen=True)
class Counting(Pretended):
    """Records the voltage scales that are tried; its nodes read ``gain`` times the ideal voltages."""

    gain: float = 1.0
    scales: list = field(default_factory=list)

    def volts(self, device):
        self.scales.append(float(device.volts_per_unit))
        return self.gain * law_of(device).fixed_point()


def test_ideal_device_with_ideal_engine_is_the_ideal_sde(ideal):
    system = spd_system(6, 30)
    for time in (0.3, 4.0, inf):
        value = Spu(ideal, IdealLaw()).solve(system, time).value
        np.testing.assert_allclose(value, Sde().solve(system, time).value, rtol=1e-9)


def test_saturation_halves_the_scale_until_all_nodes_fit(ideal):
    """At once as often as the voltages say, and no more often: twice the last scale would not fit."""
    engine = Counting(gain=20.0)
    solution = Spu(ideal, engine).solve(spd_system(4, 2))
    halvings = -np.log2(np.array(engine.scales[1:]) / engine.scales[:-1])
    np.testing.assert_array_equal(halvings, np.round(halvings))
    assert (halvings >= 1).all()
    assert solution.statistics.saturated_nodes == 0
    assert solution.statistics.range_changes == len(engine.scales) - 1 > 0
    largest = np.abs(solution.value).max() * engine.scales[-1]
    assert largest <= ideal.adc.full_scale < 2 * largest


def test_ranging_a_linear_device_factorises_nothing_again_and_draws_noise_once(monkeypatch):
    """Of two scales that it is read at, the first under-uses the ADC."""
    lengths, drawn = [], []
    stepping, sampled = Structure.stepping, solvers.network.programmed.sampled
    monkeypatch.setattr(
        Structure,
        "stepping",
        lambda self, blocks, shares, batch: (
            lengths.append(shares["C"].tobytes()) or stepping(self, blocks, shares, batch)
        ),
    )
    monkeypatch.setattr("solvers.network.programmed.sampled", lambda *args: drawn.append(args) or sampled(*args))
    solution = Spu(load_hardware("paper"), Network()).solve(spd_system(8, 30, 10), 0.3)
    assert solution.statistics.range_changes == 1
    assert len(drawn) == 1
    assert len(set(lengths)) == len(lengths) > 0


@dataclass(frozen=True)
class Saturated(Counting):
    """Its nodes read half as much again as their limit, whatever the scale."""

    def volts(self, device):
        self.scales.append(float(device.volts_per_unit))
        return np.full(device.cells, 1.5 * device.hardware.adc.full_scale)


def test_saturation_at_every_scale_is_reported_not_hidden(ideal):
    engine = Saturated()
    statistics = Spu(ideal, engine).solve(spd_system(4, 2)).statistics
    assert len(engine.scales) == RANGES + 1
    assert statistics.saturated_nodes == 4


def test_a_device_that_no_scale_fits_is_read_although_others_of_its_batch_fit(bench):
    """Offsets of 50 mV, magnified a hundred times, stay beyond a rail of 1.2 V at every scale."""
    amplifier = bench.amplifier.model_copy(update={"rail": 1.2, "offset": 0.05})
    spu = Spu(bench.model_copy(update={"amplifier": amplifier}), Network())
    systems = [spd_system(6, 1.5, 0), spd_system(6, 100, 0)]
    alone = [spu.solve(system) for system in systems]
    assert [solution.statistics.range_changes == RANGES for solution in alone] == [False, True]
    stack = LinearSystems(np.stack([system.A for system in systems]), np.stack([system.b for system in systems]))
    # The codes of the ADC are the same.
    np.testing.assert_array_equal(spu.settle(stack)[0], [solution.value for solution in alone])


def test_under_used_adc_raises_the_scale_unless_the_dac_is_full():
    paper = load_hardware("paper")
    system = spd_system(4, 2)
    engine = Counting(gain=0.02)
    Spu(paper, engine).solve(system)
    assert engine.scales[-1] > engine.scales[0]
    full = paper.model_copy(update={"dac": Converter(bits=16, full_scale=1e-3)})
    engine = Counting(gain=0.02)
    assert Spu(full, engine).solve(system).statistics.clipped_codes == 0
    assert len(engine.scales) == 1


@pytest.mark.parametrize("preset", ["paper", "bench"])
def test_the_first_scale_of_well_conditioned_systems_fits_and_does_not_depend_on_the_batch(preset):
    """Read once, and above half of the range unless the DAC is full."""
    spu = Spu(load_hardware(preset), Network())
    systems = [spd_system(24, 10, seed) for seed in range(6)]
    stack = LinearSystems(np.stack([system.A for system in systems]), np.stack([system.b for system in systems]))
    found = spu.solve_batch(stack).statistics
    assert (found.range_changes == 0).all()
    alone = [spu.ranged(system) for system in systems]
    np.testing.assert_array_equal(found.volts_per_unit, [float(device.volts_per_unit) for device in alone])
    for device in alone:
        used = np.abs(device.at_rest()).max() / voltage_limits(device.array, spu.hardware).min()
        full = np.abs(device.dac_volts).max() / spu.hardware.dac.full_scale
        assert full > 0.99 or 0.5 < used < 1


def test_the_guess_of_the_scale_ends_where_nothing_is_left(ideal):
    """At once, or after one step, its quotients are 0 / 0."""
    nothing = LinearSystem(np.eye(2), np.zeros(2))
    assert Spu(ideal, IdealLaw()).solve(nothing).statistics.volts_per_unit == 1
    one = LinearSystem(np.diag([2.0, 3.0]), np.array([1.0, 0.0]))
    np.testing.assert_allclose(Spu(ideal, IdealLaw()).solve(one).value, [0.5, 0], atol=1e-9)


def test_adc_quantization_bounds_the_error(ideal):
    """Half an LSB of ±1 V with 6 bits, 1/64 V."""
    hardware = ideal.model_copy(update={"adc": Converter(bits=6, full_scale=1.0)})
    system = spd_system(5, 3)
    solution = Spu(hardware, IdealLaw()).solve(system)
    apart = np.abs(solution.value - np.linalg.solve(system.A, system.b)) * solution.statistics.volts_per_unit
    assert 1e-4 < apart.max() <= 1 / 64 + 1e-9


def test_time_zero_gives_the_initial_state_exactly(bench):
    system, start = spd_system(3, 2), np.array([0.1, -0.2, 1 / 3])
    for engine in (Ngspice(), IdealLaw()):
        np.testing.assert_array_equal(Spu(bench, engine).solve(system, 0.0, start).value, start)


def test_zero_right_hand_side_has_solution_zero(ideal):
    solution = Spu(ideal, Ngspice()).solve(LinearSystem(np.eye(2), np.zeros(2)))
    np.testing.assert_allclose(solution.value, 0, atol=1e-15)


def test_settled_fraction_grows_with_time(ideal):
    fractions = [Spu(ideal, IdealLaw()).solve(spd_system(10, 50), t).statistics.settled_fraction for t in (0.1, 8, 60)]
    assert fractions[0] < 0.5
    assert sorted(fractions) == fractions
    assert fractions[-1] == 1


def test_analog_seconds_are_time_times_c_over_g(bench):
    solution = Spu(bench, IdealLaw()).solve(spd_system(3, 2), 5.0)
    statistics = solution.statistics
    assert statistics.analog_seconds == pytest.approx(5 * bench.cell.capacitance / statistics.siemens_per_unit)


def test_primal_curvature_system_is_solved_as_its_matrix(ideal):
    system = ggn_system(3, 6, 0.5)
    value = Spu(ideal, Ngspice()).solve(system).value
    np.testing.assert_allclose(value, np.linalg.solve(system.primal().A, system.gradient), rtol=1e-5)


def test_a_device_that_has_solved_can_be_pickled_and_solves_alike(bench):
    spu, system = Spu(bench, Network()), spd_system(3, 2)
    value = spu.solve(system).value
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(spu)).solve(system).value, value)


@pytest.mark.parametrize(
    ("base", "wires", "kind", "tolerance"),
    [("bench", "0 Ω", "amplifier_offset", "3 mV"), ("ideal", "1 Ω", "array_resistor", "5 %")],
)
def test_samples_of_a_batch_are_solved_as_each_alone(base, wires, kind, tolerance):
    variation = {kind: {"local": {"tolerance": tolerance, "meaning": "sigma"}}}
    spu = Spu(changed_hardware(base, {"array": {"wire_resistance": wires}, "variation": variation}), Network())
    samples = [Sample(Sampling(seed), number) for seed, number in ((0, 1), (0, 2), (7, 1))]
    systems = [spd_system(6, 5.0, seed=seed) for seed in range(3)]
    batch = LinearSystems(np.stack([one.A for one in systems]), np.stack([one.b for one in systems]))
    found = spu.of_samples(samples).solve_batch(batch)
    for system, sample, value in zip(systems, samples, found.values, strict=True):
        np.testing.assert_array_equal(replace(spu, sample=sample).solve(system).value, value)
    assert not np.array_equal(spu.solve_batch(batch).values, found.values)
    with pytest.raises(InputError, match="3 samples for 2 systems; give one each"):
        spu.of_samples(samples).solve_batch(systems[:2])


@pytest.mark.parametrize("base", ["ideal", "bench"])
def test_a_sample_that_makes_a_definite_matrix_indefinite_cannot_hold_it(base):
    """So that training raises the damping, as where the levels do it. Amplifiers with rails end at these."""
    hardware = changed_hardware(base, {"variation": {"array_resistor": {"stuck_open": 0.2}}})
    system = LinearSystem(np.diag([1.0, 1.0, 1.0]) + 0.3, np.ones(3))
    spu = Spu(hardware, Network())
    spu.solve(system)
    stuck = [number for number in range(30) if _refused(replace(spu, sample=Sample(Sampling(1), number)), system)]
    assert stuck


def _refused(spu, system):
    try:
        spu.solve(system)
    except MappingError as error:
        return "with the parts of this sample; add a damping" in str(error)
    return False


def test_a_device_with_another_engine_prepares_for_itself(ideal):
    system = spd_system(3, 2)
    spu = Spu(ideal, Network())
    spu.solve(system)
    other = replace(spu, engine=Counting(gain=2.0)).solve(system)
    np.testing.assert_allclose(other.value, 2 * np.linalg.solve(system.A, system.b), rtol=1e-2)  # levels and codes


def test_structures_of_many_sizes_are_forgotten(ideal):
    spu = Spu(ideal, Network())
    for n in range(1, KEPT + 4):
        spu.solve(spd_system(n, 2))
    assert len(spu._prepared) == KEPT


def test_unknown_engine_lists_the_known_ones():
    with pytest.raises(InputError, match=r"no 'spice'; did you mean 'ngspice'\? engines are network, ngspice, sde"):
        engine_named("spice")


def test_saturation_on_the_way_counts_although_the_end_is_in_range(ideal):
    """The ADC samples once, but an amplifier that clipped before has lost its way."""

    @dataclass(frozen=True)
    class Overshooting(Pretended):
        def volts(self, device):
            return 0.1 * np.ones(device.cells)

        def peak(self, volts):
            return 5 * np.ones(len(volts))

    assert Spu(ideal, Overshooting()).solve(spd_system(3, 2), 1.0).statistics.saturated_nodes == 3


def test_a_scale_that_saturated_is_not_tried_again(ideal):
    """Halved once, the peak is a tenth of the range: raising it would saturate again, for ever."""

    @dataclass(frozen=True)
    class Snapping(Pretended):
        scales: list = field(default_factory=list)

        def volts(self, device):
            self.scales.append(float(device.volts_per_unit))
            return np.full(device.cells, 2.0 if len(self.scales) == 1 else 0.1)

    engine = Snapping()
    assert Spu(ideal, engine).solve(spd_system(3, 2)).statistics.range_changes == 1
    assert len(engine.scales) == 2


@pytest.mark.parametrize(("away", "share"), [(0.009, 1.0), (0.011, 0.0)])
def test_settled_means_within_one_percent_of_the_largest_voltage(ideal, away, share):
    @dataclass(frozen=True)
    class Away(Pretended):
        def volts(self, device):
            final = law_of(device).fixed_point()
            return final + away * np.abs(final).max()

    assert Spu(ideal, Away()).solve(spd_system(3, 2)).statistics.settled_fraction == share


@pytest.mark.parametrize("engine", [Network(linearise=True), Ngspice(points=10), IdealLaw(points=10)])
@pytest.mark.parametrize("name", ["paper", "passive", "factored"])
def test_inputs_below_half_a_dac_code_are_counted(name, engine):
    """The same in every engine, for right-hand sides and initial states, alone and in batches."""
    hardware = load_hardware(name)
    hardware = hardware.model_copy(update={"dac": Converter(bits=8, full_scale=1.0), "noise": Noise(thermal=False)})
    spu, A = Spu(hardware, engine), np.diag([1.0, 1.0, 1.0, 1.0])
    b, state = np.array([1.0, 1e-3, -1e-9, 0.0]), np.array([0.0, 0.5, 1e-9, 0.5])
    assert spu.solve(LinearSystem(A, b)).statistics.lost_inputs == 2
    assert spu.solve(LinearSystem(A, np.ones(4))).statistics.lost_inputs == 0
    assert spu.solve(LinearSystem(A, b), 1.0, state).statistics.lost_inputs == 3
    batch = LinearSystems(np.stack([A, A]), np.stack([b, np.ones(4)]))
    assert spu.solve_batch(batch).statistics.lost_inputs.tolist() == [2, 0]


def test_a_converter_without_codes_loses_nothing():
    system = LinearSystem(np.eye(2), [1.0, 1e-30])
    assert Spu(load_hardware("ideal"), IdealLaw()).solve(system).statistics.lost_inputs == 0


def test_equations_that_break_down_are_an_error_of_the_simulation(ideal):
    """In the solve, and in the covariance that is computed later."""

    class Breaking(Pretended):
        def volts(self, device):
            raise np.linalg.LinAlgError("Singular matrix")

    class Noisy(Pretended):
        def read(self, device, seconds, seeds, limits=None):
            volts = device.dac_volts
            return Reading(volts, ("",), np.abs(volts), None, (lambda: np.linalg.inv(np.zeros((2, 2))),))

    system, words = (
        spd_system(2, 2),
        r"^the device's equations cannot be solved \(Singular matrix\); raise the damping",
    )
    with pytest.raises(SimulationError, match=words):
        Spu(ideal, Breaking()).solve(system)
    solution = Spu(ideal, Noisy()).solve(system)
    for asked in (solution.variance, solution.covariance):
        with pytest.raises(SimulationError, match=words):
            asked()


def test_a_fresh_process_limits_every_blas_that_a_solve_uses():
    """SciPy's own loads when it is first used, and what is not loaded keeps all its threads."""
    script = """
from threadpoolctl import ThreadpoolController
from solvers.algebra import _libraries
limited = {library.filepath for library in _libraries().lib_controllers}
import scipy.linalg.lapack
assert limited == {library.filepath for library in ThreadpoolController().lib_controllers}
"""
    subprocess.run([sys.executable, "-c", script], check=True)

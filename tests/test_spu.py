from dataclasses import dataclass, field
from math import inf

import numpy as np
import pytest

from experiments.benchmarks.systems import ggn_system, spd_system
from solvers.engine import IdealLaw, Reading
from solvers.ngspice import Ngspice
from solvers.sde import Sde
from solvers.solution import Waveform
from solvers.spu import RANGES, Spu, engine_named
from spu_circuit.errors import InputError
from spu_circuit.hardware import Converter, load_hardware
from spu_circuit.problem import LinearSystem


@dataclass(frozen=True)
class Counting:
    """Records the voltage scales that are tried; its nodes read ``gain`` times the ideal voltages."""

    gain: float = 1.0
    scales: list = field(default_factory=list)
    name: str = "counting"

    def simulate(self, device, law, seconds, seed):
        self.scales.append(device.volts_per_unit)
        return Reading(self.gain * law.fixed_point())


def test_ideal_device_with_ideal_engine_is_the_ideal_sde(ideal):
    system = spd_system(6, 30)
    for time in (0.3, 4.0, inf):
        value = Spu(ideal, IdealLaw()).solve(system, time).value
        np.testing.assert_allclose(value, Sde().solve(system, time).value, rtol=1e-9)


def test_saturation_halves_the_scale_until_all_nodes_fit(ideal):
    engine = Counting(gain=20.0)
    solution = Spu(ideal, engine).solve(spd_system(4, 2))
    np.testing.assert_allclose(np.array(engine.scales[1:]) / engine.scales[:-1], 0.5)
    assert solution.statistics.saturated_nodes == 0
    assert solution.statistics.range_changes == len(engine.scales) - 1 > 0


def test_saturation_at_every_scale_is_reported_not_hidden(ideal):
    engine = Counting(gain=1e9)
    statistics = Spu(ideal, engine).solve(spd_system(4, 2)).statistics
    assert len(engine.scales) == RANGES + 1
    assert statistics.saturated_nodes == 4


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


def test_unknown_engine_lists_the_known_ones():
    with pytest.raises(InputError, match="no 'spice'; engines are network, ngspice, sde"):
        engine_named("spice")


def test_saturation_on_the_way_counts_although_the_end_is_in_range(ideal):
    """The ADC samples once, but an amplifier that clipped before has lost its way."""

    @dataclass(frozen=True)
    class Overshooting:
        name: str = "overshooting"

        def simulate(self, device, law, seconds, seed):
            end = 0.1 * np.ones(device.cells)
            return Reading(end, Waveform(np.array([0.0, seconds]), np.stack([5 * np.ones(device.cells), end])))

    assert Spu(ideal, Overshooting()).solve(spd_system(3, 2), 1.0).statistics.saturated_nodes == 3


def test_a_scale_that_saturated_is_not_tried_again(ideal):
    """Halved once, the peak is a tenth of the range: raising it would saturate again, for ever."""

    @dataclass(frozen=True)
    class Snapping:
        scales: list = field(default_factory=list)
        name: str = "snapping"

        def simulate(self, device, law, seconds, seed):
            self.scales.append(device.volts_per_unit)
            return Reading(np.full(device.cells, 2.0 if len(self.scales) == 1 else 0.1))

    engine = Snapping()
    assert Spu(ideal, engine).solve(spd_system(3, 2)).statistics.range_changes == 1
    assert len(engine.scales) == 2


@pytest.mark.parametrize(("away", "share"), [(0.009, 1.0), (0.011, 0.0)])
def test_settled_means_within_one_percent_of_the_largest_voltage(ideal, away, share):
    @dataclass(frozen=True)
    class Away:
        name: str = "away"

        def simulate(self, device, law, seconds, seed):
            final = law.fixed_point()
            return Reading(final + away * np.abs(final).max())

    assert Spu(ideal, Away()).solve(spd_system(3, 2)).statistics.settled_fraction == share

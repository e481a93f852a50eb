"""The circuit in ngspice against closed forms and the ideal law."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from scipy.constants import Boltzmann
from scipy.stats import chi2

from experiments.shared.systems import spd_system
from netlists.device import load, program_array
from solvers.ideal import law_of
from solvers.network import state_space
from solvers.ngspice import Ngspice
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.amplifier import Amplifier
from spu_circuit.errors import InputError
from spu_circuit.hardware import Noise, load_hardware
from spu_circuit.problem import LinearSystem


def relative(value, reference):
    return np.linalg.norm(value - reference) / np.linalg.norm(reference)


@pytest.mark.parametrize("size", [4, 16, 64])
@pytest.mark.parametrize("condition", [2, 100])
def test_operating_point_of_ideal_hardware_is_the_solution(ideal, size, condition):
    """Amplifier gain 1e15 leaves 1e-13, and ngspice's solver rounding; 1e-4 is what the project promises."""
    system = spd_system(size, condition)
    solution = Spu(ideal, Ngspice()).solve(system)
    assert relative(solution.value, np.linalg.solve(system.A, system.b)) < 1e-9
    assert solution.statistics.saturated_nodes == 0
    assert solution.statistics.analog_seconds == inf
    assert solution.standard_error is None


@pytest.mark.parametrize("size", [4, 16])
@pytest.mark.parametrize("time", [0.5, 2.0, 10.0])
def test_transient_mean_is_the_closed_form(ideal, size, time):
    """ngspice's step control at reltol 1e-4 leaves 1e-5; 1e-3 is what the project promises."""
    system = spd_system(size, 100)
    start = np.linspace(-1, 1, size)
    for state in (None, start):
        solution = Spu(ideal, Ngspice()).solve(system, time, state)
        assert relative(solution.value, Sde().solve(system, time, state).value) < 1e-4


def bench_array(hardware, size=8):
    """A programmed array and its law, at a fixed voltage scale."""
    system = spd_system(size, 8)
    device = load(program_array(system, hardware), system.b, hardware, 1.0)
    return device, law_of(device)


def test_small_signal_noise_is_the_lyapunov_solution(noisy):
    """No sampling error on either side; the band and 40 points a decade leave 1e-4."""
    device, law = bench_array(noisy)
    covariance = law.stationary_covariance()
    variances = Ngspice().noise_variance(device, law)
    np.testing.assert_allclose(variances, covariance.diagonal(), rtol=1e-3)
    difference = Ngspice().noise_variance(device, law, [("v0", "v1")])[0]
    expected = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert difference == pytest.approx(expected, rel=1e-3)


def test_one_cell_has_kt_over_c_in_ngspice():
    """One resistor to its own output, one from the DAC: (kT/C)(1 + G_in/G)."""
    hardware = load_hardware("paper")
    device = load(program_array(LinearSystem(np.eye(1), np.ones(1)), hardware), np.ones(1), hardware, 1.0)
    variance = Ngspice().noise_variance(device, law_of(device))[0]
    assert variance == pytest.approx(2 * Boltzmann * hardware.temperature / hardware.cell.capacitance, rel=1e-3)


def test_noise_of_cells_that_no_resistor_joins():
    """Where ngspice's own integral is NaN, from rounding in what joins them; the Lyapunov solution is to be found."""
    hardware = load_hardware("rram")
    device = load(program_array(spd_system(8, 2, 1), hardware), np.ones(8), hardware, 0.1)
    exact = state_space(device).stationary_covariance().diagonal()
    np.testing.assert_allclose(Ngspice().noise_variance(device, law_of(device)), exact, rtol=1e-4)


def noise_samples(device, law, hold, runs, apart, per_run):
    """Noise voltages sampled ``apart`` from each other, in transients of several seeds, without the mean."""
    engine = Ngspice(points=10, noise_hold=hold * float(law.rates.max()))
    seconds = apart * per_run
    found = []
    for seed in range(runs):
        reading = engine.simulate(device, law, seconds, seed)
        wave = reading.waveform
        times = apart * np.arange(1, per_run + 1)
        near = np.searchsorted(wave.seconds, times * (1 - 1e-9))
        assert np.abs(wave.seconds[near] - times).max() < 1e-6 * apart  # noise changes are breakpoints of ngspice
        found.append(wave.volts[near] - law.mean(times, device.initial_volts))
    return np.concatenate(found)


@pytest.mark.parametrize("injected", [0.0, 20e-6])
def test_transient_noise_follows_the_discretised_law(noisy, injected):
    """Stationary covariance of 8 cells, jointly: whitened samples are chi-square; false alarms 1 in 10⁴.

    The array rests at 0 V, so that numerical errors of the mean do not count. Samples are three slowest time constants
    apart, which correlates neighbours by e⁻³ = 5 % and widens the chi-square's spread by (1 + e⁻⁶) at most; the first
    of a run starts sharp and is left out.
    """
    hardware = noisy.model_copy(update={"noise": Noise(thermal=True, injected=injected)})
    device, _ = bench_array(hardware)
    device = replace(device, dac_volts=np.zeros(8))
    law = law_of(device)
    slowest, fastest = float(law.rates.min()), float(law.rates.max())
    apart = 3 / slowest
    hold = apart / round(apart * fastest / 0.4)
    samples = noise_samples(device, law, hold, runs=12, apart=apart, per_run=26)
    samples = samples.reshape(12, 26, 8)[:, 1:].reshape(-1, 8)
    expected = law.held_covariance(hold)
    white = np.linalg.solve(np.linalg.cholesky(expected), samples.T)
    low, high = chi2.ppf([5e-5, 1 - 5e-5], white.size)
    assert low < (white**2).sum() < high
    # Each cell on its own, in standard errors of a variance from n samples: √(2/n); 3 as promised, 4 for 8 cells.
    deviations = ((samples**2).mean(axis=0) / expected.diagonal() - 1) / np.sqrt(2 / len(samples))
    assert np.abs(deviations).max() < 4
    assert np.sqrt((deviations**2).mean()) < 2


def test_same_seed_gives_the_same_volts_bit_for_bit(noisy):
    spu, system = Spu(noisy, Ngspice()), spd_system(5, 5)
    first, again, other = (spu.solve(system, 2.0, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.waveform.volts, again.waveform.volts)
    np.testing.assert_array_equal(first.value, again.value)
    assert np.abs(first.waveform.volts[-1] - other.waveform.volts[-1]).max() > 0


def test_standard_error_is_the_spread_over_seeds(noisy):
    """With noise well above the ADC's step; the ratio of variances of 40 draws × 4 cells is chi-square."""
    hardware = noisy.model_copy(update={"noise": Noise(injected="50 mV")})
    spu, system, draws = Spu(hardware, Ngspice(points=10, noise_hold=0.2)), spd_system(4, 4), 40
    solutions = [spu.solve(system, 3.0, seed=k) for k in range(draws)]
    values = np.array([s.value for s in solutions])
    root = np.linalg.cholesky(solutions[0].covariance())
    white = np.linalg.solve(root, (values - values.mean(axis=0)).T)
    low, high = chi2.ppf([5e-5, 1 - 5e-5], 4 * (draws - 1))
    assert low < (white**2).sum() < high


def one_cell(**amplifier):
    return load_hardware("ideal").model_copy(update={"amplifier": Amplifier(model="macromodel", **amplifier)})


def test_finite_gain_shrinks_the_solution_by_the_noise_gain():
    """G V (1 + (1 + ΣG_in/G)/A₀) = I: with two equal resistors V = V₀ / (1 + 2/A₀)."""
    system = LinearSystem(np.eye(1), np.ones(1))
    value = Spu(one_cell(dc_gain=100.0), Ngspice()).solve(system).value[0]
    assert value == pytest.approx(1 / (1 + 2 / 100), rel=1e-6)


def test_offset_adds_its_noise_gain_times_itself():
    """With the input at V_in = −V_u and equal resistors, V = V_u + V_os (1 + G_in/G)."""
    system = LinearSystem(np.eye(1), np.ones(1))
    solution = Spu(one_cell(offset="1 mV"), Ngspice()).solve(system)
    scale = solution.statistics.volts_per_unit
    assert (solution.value[0] - 1) * scale == pytest.approx(2e-3, rel=1e-5)


def test_gain_bandwidth_delays_the_integrator():
    """An integrator with one pole: V lags by about 1/(2π GBW) (1 + τ-free gain); 10 MHz against 1 µs is percent."""
    system = LinearSystem(np.eye(1), np.ones(1))
    fast = Spu(one_cell(), Ngspice()).solve(system, 1.0).value[0]
    slow = Spu(one_cell(gain_bandwidth="10 MHz"), Ngspice()).solve(system, 1.0).value[0]
    assert fast == pytest.approx(1 - np.exp(-1), rel=1e-4)
    # Laplace: poles of s²/ω + s (1 + 2/(ωτ)) + 1/τ with ω = 2π GBW, τ = 1 µs, and no other constants.
    omega, tau = 2 * np.pi * 10e6, 1e-6
    roots = np.roots([1 / omega, 1 + 2 / (omega * tau), 1 / tau])
    residues = [1 / tau / (r * (2 * r / omega + 1 + 2 / (omega * tau))) for r in roots]
    expected = 1 + sum(c * np.exp(r * tau) for c, r in zip(residues, roots, strict=True))
    assert slow == pytest.approx(expected, rel=1e-3)
    assert slow < fast * 0.995


def test_rails_saturate_and_auto_ranging_finds_a_scale_that_fits():
    """x = 1 at the first guess would need 0.5 V of ±1 V ADC; rails of 0.4 V do not allow it."""
    hardware = one_cell(rail="0.4 V")
    solution = Spu(hardware, Ngspice()).solve(spd_system(6, 100))
    peak = np.abs(solution.value).max() * solution.statistics.volts_per_unit
    assert solution.statistics.saturated_nodes == 0
    assert peak <= 0.36
    exact = np.linalg.solve(spd_system(6, 100).A, spd_system(6, 100).b)
    assert relative(solution.value, exact) < 1e-3


def test_injected_noise_is_refused_by_the_small_signal_analysis(noisy):
    hardware = noisy.model_copy(update={"noise": Noise(injected=1e-3)})
    device, law = bench_array(hardware)
    with pytest.raises(InputError, match="injected must be 0"):
        Ngspice().noise_variance(device, law)


def test_macromodel_starts_from_the_initial_state_at_once(noisy):
    """Both amplifiers of a cell begin at their voltages: no jump at any time.

    GBW of 1 GHz against 10 µs leaves a part in 10⁴ per amplifier; with a cold integrator or inverting stage the first
    rows would be off by the whole voltage.
    """
    amplifier = Amplifier(model="macromodel", dc_gain=1e6, gain_bandwidth="1 GHz", rail="100 V")
    hardware = noisy.model_copy(update={"amplifier": amplifier, "noise": Noise(thermal=False)})
    system, start = spd_system(4, 3), np.array([1.0, -0.7, 0.4, 0.9])
    device = load(program_array(system, hardware), system.b, hardware, 2.0, start)
    law = law_of(device)
    wave = Ngspice().simulate(device, law, 0.5 * device.time_constant, 0).waveform
    ideal = law.mean(wave.seconds, device.initial_volts)
    np.testing.assert_array_equal(wave.volts[0], device.initial_volts)
    assert np.abs(wave.volts - ideal).max() < 2e-3


def test_output_resistance_lowers_what_the_rail_leaves():
    """V (1 + R_out G) ≤ rail with G what the output drives; the ADC's range is four times that."""
    ones = np.ones((8, 8))
    system = LinearSystem(0.5 * np.eye(8) + 0.5 * ones, np.random.default_rng(0).normal(size=8))
    bench = load_hardware("bench")
    solution = Spu(bench, Ngspice()).solve(system)
    conductance = 1.6e-3 * (1 + 7 * 0.5) + 1e-4
    peak = np.abs(solution.value).max() * solution.statistics.volts_per_unit
    assert peak <= 0.9 * 13.5 / (1 + 125 * conductance) * (1 + 1e-3) < 10
    assert solution.statistics.saturated_nodes == 0
    # 1 % rounding of the levels, condition 9, 3 mV of offset against volts.
    assert relative(solution.value, np.linalg.solve(system.A, system.b)) < 0.05


def test_output_resistance_is_inside_the_loop():
    """Settled, with one cell: loop gain A₀ / ((1 + 2)(1 + R_out 2G)) of the loaded amplifier divides the error.

    The integrator's output drives its own feedback and the inverting stage, which has the same amplifier.
    """
    system = LinearSystem(np.eye(1), np.ones(1))
    hardware = one_cell(dc_gain=1000.0, output_resistance=500.0)
    value = Spu(hardware, Ngspice()).solve(system).value[0]
    # KCL at virtual ground g and output v, G = 1 mS everywhere: v + v_in − 2 g = 0 and
    # A₀(−g) − v = R (v − g) G + s (v − h); of the inverting stage at h and n: v + n − 2 h = 0 and
    # A₀(−h) − n = s (n − h), with s = R / R_inv.
    s = 500.0 / hardware.cell.inverter_resistance
    matrix = np.array(
        [
            [1.0, -2.0, 0.0, 0.0],
            [-(1 + 0.5 + s), -1000.0 + 0.5, s, 0.0],
            [1.0, 0.0, -2.0, 1.0],
            [0.0, 0.0, -1000.0 + s, -(1 + s)],
        ]
    )
    v = np.linalg.solve(matrix, np.array([1.0, 0.0, 0.0, 0.0]))[0]
    assert value == pytest.approx(v, rel=1e-5)


def test_standard_error_is_the_spread_over_seeds_with_noisy_amplifiers(bench):
    """100 independent transients of the bench, whose amplifiers' noise is held like all noise; chi-square in the
    whitened voltages, 2 cells × 100 runs, false alarms 1 in 10⁴ on each side."""
    system = LinearSystem(np.array([[2.0, -1.0], [-1.0, 2.0]]), np.array([1.0, 0.0]))
    hardware = bench.model_copy(update={"adc": bench.adc.model_copy(update={"bits": None})})
    solutions = [Spu(hardware, Ngspice(points=20)).solve(system, 8.0, seed=seed) for seed in range(100)]
    values = np.array([solution.value for solution in solutions])
    centred = values - values.mean(axis=0)
    whitened = np.linalg.solve(np.linalg.cholesky(solutions[0].covariance()), centred.T)
    low, high = chi2.ppf([1e-4, 1 - 1e-4], 2 * 99)
    assert low < (whitened**2).sum() < high

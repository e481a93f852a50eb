"""The exact network engine against closed forms and ngspice."""

import re
from dataclasses import replace
from math import inf

import numpy as np
import pytest

from experiments.shared.systems import spd_system
from netlists.deck import NoiseSpectrum, write_deck
from netlists.device import load, program_array
from netlists.topologies.active import ActiveArray
from solvers.ideal import law_of
from solvers.network import Network, state_space
from solvers.ngspice import Ngspice
from solvers.ngspice_process import run_deck
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.amplifier import Amplifier
from spu_circuit.errors import InputError
from spu_circuit.hardware import Noise, load_hardware
from spu_circuit.problem import LinearSystem
from tests.cases import quiet, read_one, relative, volts_of


def device_of(hardware, size=6, condition=8):
    system = spd_system(size, condition)
    return load(program_array(system, hardware), system.b, hardware, 0.5, np.linspace(-1, 1, size))


def active_array(siemens, matrix):
    return ActiveArray(
        siemens * np.maximum(matrix, 0),
        siemens * np.maximum(-matrix, 0),
        np.float64(siemens),
        np.ones(len(matrix)),
        np.intp(0),
    )


# Against the ideal law


@pytest.mark.parametrize("time", [0.3, 2.0, 8.0])
def test_ideal_hardware_is_the_ideal_law(noisy, time):
    """Amplifier gain 1e15 times a noise gain of about 10 leaves 1e-14; 1e-10 is asked, where rounding ends."""
    device = device_of(noisy, 12)
    law, space = law_of(device), state_space(device)
    seconds = time * device.time_constant
    start = law.mean(np.array([seconds]), device.initial_volts)
    assert relative(space.mean(np.array([seconds])), start) < 1e-10
    assert relative(space.covariance(seconds), law.covariance(seconds)) < 1e-10
    assert relative(space.stationary_covariance(), law.stationary_covariance()) < 1e-10
    assert relative(space.operating_point(), law.fixed_point()) < 1e-10


def test_what_separates_ideal_hardware_from_the_ideal_law_is_its_gain(noisy):
    """A thousand times the gain leaves a thousandth."""
    apart = []
    for gain in (1e6, 1e9):
        amplifier = Amplifier(model="macromodel", dc_gain=gain)
        device = device_of(noisy.model_copy(update={"amplifier": amplifier}), 12)
        apart.append(relative(state_space(device).operating_point(), law_of(device).fixed_point()))
    assert 1e-6 < apart[0] < 1e-4
    assert apart[0] / apart[1] == pytest.approx(1000, rel=1e-3)


def test_injected_noise_alone_has_covariance_kappa_times_the_inverse(noisy):
    hardware = noisy.model_copy(update={"noise": Noise(thermal=False, injected="1 mV")})
    device = device_of(hardware)
    covariance = state_space(device).stationary_covariance()
    assert relative(covariance, 1e-6 * np.linalg.inv(device.array.matrix)) < 1e-10


def test_facade_with_ideal_hardware_is_the_ideal_sde(ideal):
    """The same 1e-10 as above, through programming, ranging and readout, none of which rounds on ideal hardware.

    By implicit steps, where no waveform is wanted, 1.5e-10 of what a mode has to go is left, and at 0.7 τ the slowest
    has six times as far to go as it came: 1e-9.
    """
    system = spd_system(8, 50)
    for time in (0.7, 5.0, inf):
        expected = Sde().solve(system, time).value
        assert relative(Spu(ideal, Network(points=100)).solve(system, time).value, expected) < 1e-10
        assert relative(Spu(ideal, Network()).solve(system, time).value, expected) < 1e-9


# Against ngspice


@pytest.mark.parametrize("preset", ["ideal", "paper", "rram", "bench"])
@pytest.mark.parametrize("size", [3, 16])
def test_operating_point_is_that_of_ngspice(preset, size):
    """1e-6 for linear circuits as asked; linearised ones solve the same tanh by Newton, which ngspice ends at 1e-6."""
    device = device_of(load_hardware(preset), size)
    found = volts_of(Network(linearise=True), device, inf)
    assert relative(found, volts_of(Ngspice(), device, inf)) < 1e-6


@pytest.mark.parametrize("time", [0.2, 1.0, 4.0])
def test_transient_mean_is_that_of_ngspice(ideal, time):
    """ngspice's step control at reltol 1e-4 leaves 1e-5; 1e-3 is asked."""
    device = device_of(ideal, 8)
    seconds = time * float(device.time_constant)
    found = read_one(Network(points=100), device, seconds)
    assert relative(found.volts[0], volts_of(Ngspice(points=1000), device, seconds)) < 1e-3
    (waveform,) = found.waveforms
    assert waveform.volts.shape == (101, 8)
    # The waveform steps where ``mean`` starts over at every time: rounding, gathered over 100 steps.
    direct = state_space(device).mean(waveform.seconds)
    np.testing.assert_allclose(waveform.volts, direct, atol=1e-11)
    # Without points only the end is wanted, by implicit steps: 1.5e-10 of what is left of a mode.
    assert relative(volts_of(Network(), device, seconds), waveform.volts[-1]) < 1e-9


@pytest.mark.parametrize("time", [0.5, 3.0])
def test_linearised_transient_of_slow_amplifiers_is_that_of_ngspice(time):
    """Bench amplifiers stay below a tenth of their rails here, where tanh departs from its tangent by 1e-4."""
    hardware = quiet(load_hardware("bench"))
    device = device_of(hardware, 4)
    seconds = time * float(device.time_constant)
    found = volts_of(Network(linearise=True), device, seconds)
    assert relative(found, volts_of(Ngspice(points=2000), device, seconds)) < 1e-3


@pytest.mark.parametrize("preset", ["noisy", "rram"])
def test_stationary_variance_is_that_of_the_small_signal_analysis(preset, noisy):
    """Neither side samples; ngspice's band and its 40 points a decade leave 1e-4, as for the closed form."""
    device = device_of(noisy if preset == "noisy" else load_hardware(preset), 5)
    space = state_space(device)
    assert np.allclose(
        space.stationary_covariance().diagonal(), Ngspice().noise_variance(device, law_of(device)), rtol=1e-3
    )


def test_noise_density_of_bench_amplifiers_is_that_of_ngspice():
    """Point by point, white part included, 1e-5: ngspice linearises about an operating point of relative error 1e-6."""
    device = device_of(load_hardware("bench"), 3)
    deck = write_deck(device.circuit, NoiseSpectrum(10.0, 1e9, 40, "v1"), device.hardware.temperature)
    plot = run_deck(deck, 60.0)[0]
    density = state_space(device).noise_density(plot["frequency"])[:, 1]
    np.testing.assert_allclose(density, plot["onoise_spectrum"] ** 2, rtol=1e-5)


def test_white_noise_past_the_capacitors_needs_a_readout_bandwidth():
    """R_out lets noise through to the output; its density times the bandwidth is what the readout adds."""
    device = device_of(load_hardware("bench"), 3)
    with pytest.raises(InputError, match=r"V/√Hz goes straight to 'v0'.*readout_bandwidth"):
        state_space(device).stationary_covariance()
    few, many = (
        state_space(device, Network(linearise=True, readout_bandwidth=band)).stationary_covariance()
        for band in (1e8, 3e8)
    )
    density = state_space(device).noise_density(np.array([1e12]))[0]
    np.testing.assert_allclose((many - few).diagonal(), density * 2e8, rtol=1e-6)
    with pytest.raises(InputError, match=r"noise goes straight to the outputs.*readout_bandwidth"):
        volts_of(Network(linearise=True), device, float(device.time_constant))


def test_same_seed_gives_the_same_volts_bit_for_bit(noisy):
    spu, system = Spu(noisy, Network(points=100)), spd_system(5, 5)
    first, again, other = (spu.solve(system, 2.0, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.waveform.volts, again.waveform.volts)
    assert np.abs(first.waveform.volts[-1] - other.waveform.volts[-1]).max() > 0


def test_transients_of_bench_hardware_are_refused_unless_linearised(bench):
    """Operating points are exact, so they are not."""
    device = device_of(bench, 2)
    with pytest.raises(InputError, match=r"Xv.Bout is not linear .*linearise = true"):
        volts_of(Network(), device, 1e-6)
    assert np.isfinite(volts_of(Network(), device, inf)).all()


def test_an_unstable_array_names_its_mode_and_the_damping_that_cures_it(noisy):
    """Eigenvalues 1.5 and −0.5: λ above 0.5 cures it. With gain 1e15 the growth is known to 1e-14."""
    A = np.array([[0.5, 1.0], [1.0, 0.5]])
    g = noisy.array.G_max

    def device(damping):
        matrix = A + damping * np.eye(2)
        return load(active_array(g, matrix), np.array([1.0, 0.5]), noisy, 0.5)

    growing = device(0.0)
    rate = 0.5 / growing.time_constant
    growth = re.escape(f"grows at {rate:.3g} 1/s; add a damping λ above 0.5 ")
    with pytest.raises(InputError, match=rf"unstable.*mostly C\d, {growth}"):
        volts_of(Network(), growing, 3 * float(growing.time_constant))
    cured = device(0.51)
    assert np.isfinite(volts_of(Network(), cured, inf)).all()


def test_slow_amplifiers_that_make_the_array_unstable_are_blamed():
    """An array that rotates more than it decays has no phase to spare for an amplifier's pole."""
    amplifier = Amplifier(model="macromodel", dc_gain=1e5, gain_bandwidth="1 MHz")
    hardware = load_hardware("paper").model_copy(update={"amplifier": amplifier})
    g = hardware.array.G_max
    array = active_array(g, np.array([[0.1, 1.0], [-1.0, 0.1]]))
    device = load(array, np.ones(2), hardware, 0.5)
    with pytest.raises(InputError, match=r"unstable.*amplifiers are too slow.*gain_bandwidth"):
        volts_of(Network(), device, 3 * float(device.time_constant))


def test_saturated_amplifiers_read_their_rails_so_that_ranging_can_halve():
    """5 V wanted of 0.4 V rails: ngspice's own operating point, where the slope of tanh underflows to 0."""
    amplifier = Amplifier(model="macromodel", rail="0.4 V")
    hardware = load_hardware("ideal").model_copy(update={"amplifier": amplifier})
    device = replace(
        load(program_array(LinearSystem(np.eye(1), np.ones(1)), hardware), np.ones(1), hardware, 0.9),
        dac_volts=np.array([-5.0]),
    )
    found = volts_of(Network(linearise=True), device, inf)
    assert found[0] == pytest.approx(0.4, rel=1e-6)


@pytest.mark.parametrize("seed", [0, 3, 6])
def test_arrays_that_saturate_on_the_way_are_ranged_as_in_ngspice(seed):
    """Condition 100 drives several bench amplifiers to their rails at once, where Newton's method alone cycles."""
    spu, reference = Spu(load_hardware("bench"), Network(linearise=True)), Spu(load_hardware("bench"), Ngspice())
    system = spd_system(8, 100, seed)
    found, expected = spu.solve(system), reference.solve(system)
    assert found.statistics.range_changes == expected.statistics.range_changes > 0
    assert found.statistics.volts_per_unit == expected.statistics.volts_per_unit
    assert relative(found.value, expected.value) < 1e-4  # a code of the ADC may round the other way

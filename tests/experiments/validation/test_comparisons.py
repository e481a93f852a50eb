"""Comparisons fail where an engine is wrong by a little more than their bound."""

from dataclasses import dataclass, replace

import pytest

from experiments.validation.comparisons import noise_spectrum, operating_point, stationary_variance, transient_mean
from experiments.validation.evidence import COVARIANCE
from experiments.validation.sampled import noisy_transient
from experiments.validation.setups import SETUPS, Setup
from experiments.validation.subject import Subject
from solvers.ngspice import Ngspice


@dataclass(frozen=True)
class Wrong(Ngspice):
    """ngspice whose numbers are a factor off."""

    factor: float = 1.0

    def simulate(self, *arguments):
        run = super().simulate(*arguments)
        wave = run.waveform
        wave = None if wave is None else replace(wave, volts=self.factor * wave.volts)
        return replace(run, volts=self.factor * run.volts, waveform=wave)

    def noise_density(self, device, band, points_per_decade, probe):
        frequencies, densities = super().noise_density(device, band, points_per_decade, probe)
        return frequencies, self.factor**2 * densities


@pytest.mark.parametrize(
    ("comparison", "factor"),
    [(operating_point, 2e-6), (transient_mean, 2e-3), (stationary_variance, 1e-3), (noise_spectrum, 1e-5)],
)
def test_each_comparison_fails_just_beyond_its_bound(comparison, factor):
    """Twice the bound off (a variance is, with volts off by the bound); right volts pass."""
    setup = Setup("active", "paper", 3, 4, (1.0,))
    assert all(check.holds for check in comparison(Subject(setup)).checks)
    spice = Wrong(factor=1 + factor)
    assert not any(check.holds for check in comparison(Subject(setup, spice)).checks)


def test_noise_a_tenth_too_strong_fails_with_the_samples_that_are_used():
    setup = next(setup for setup in SETUPS if setup.samples == 300 and setup.preset == "paper")
    (check,) = noisy_transient(Subject(setup, Wrong(factor=1.1))).checks
    assert check.agreement == COVARIANCE
    assert check.unit == "standard errors"
    assert not check.holds

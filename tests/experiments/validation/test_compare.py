"""The engines side by side: verdicts, how they fail, and the files of a run."""

import csv
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.validation import compare as validation
from experiments.validation.compare import (
    AGREEMENTS,
    COVARIANCE,
    ROTATION,
    Case,
    Subject,
    compare,
    compared,
    mismatch,
    noise_spectrum,
    noisy_transient,
    operating_point,
    rotation_is_van_loan,
    solution_is_the_inverse,
    stationary_variance,
    transient_mean,
    worst,
)
from experiments.validation.covariance_test import SampledLaw, joint_bound, joint_deviation, largest_deviation
from solvers.ngspice import Ngspice
from spu_circuit.errors import SimulationError

FEW = (
    Case("ideal", 4, 1e4, (0.5,), closed=solution_is_the_inverse),
    Case("ideal", 2, 2, (0.5,), injected=1e-3, alter=ROTATION, closed=rotation_is_van_loan),
    Case("paper", 4, 5, (1.0,), alter=mismatch(0.2), samples=200),
    Case("bench", 3, 5, (0.5,)),
    Case("rram", 3, 2, (0.5,)),
    Case("passive", 4, 8, (1.0,), samples=200),
)


def test_the_engines_agree_whatever_the_number_of_workers():
    alone, together = ([check for o in compared(FEW, n) for check in o.checks] for n in (1, 3))
    assert [check for check in alone if not check.holds] == []
    assert alone == together
    assert list(worst(alone)) == list(AGREEMENTS)


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
    case = Case("paper", 3, 4, (1.0,))
    assert all(check.holds for check in comparison(Subject(case)).checks)
    spice = Wrong(factor=1 + factor)
    assert not any(check.holds for check in comparison(Subject(case, spice)).checks)


def test_noise_a_tenth_too_strong_fails_with_the_samples_that_are_used():
    case = next(case for case in validation.CASES if case.samples == 300 and case.preset == "paper")
    (check,) = noisy_transient(Subject(case, Wrong(factor=1.1))).checks
    assert check.agreement == COVARIANCE
    assert check.unit == "standard errors"
    assert not check.holds


def sampled_law():
    """Four states seen as three correlated voltages, neighbours correlated by up to e⁻³."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4))
    rates = np.array([1.0, 1.5, 3.0, 8.0])
    diffusion = root @ root.T
    covariance = diffusion / (rates[:, None] + rates)
    return SampledLaw(np.diag(np.exp(-3 * rates)), covariance, rng.normal(size=(3, 4)))


def draw(law, runs, intervals, rng):
    kick = np.linalg.cholesky(law.covariance - law.transition @ law.covariance @ law.transition.T)
    state = rng.standard_normal((runs, 4)) @ np.linalg.cholesky(law.covariance).T
    seen = []
    for _ in range(intervals):
        seen.append(state @ law.output.T)
        state = state @ law.transition.T + rng.standard_normal((runs, 4)) @ kick.T
    return np.stack(seen, axis=1)


def test_right_samples_raise_a_false_alarm_as_seldom_as_stated():
    """1000 sets at 0.25 %: Poisson of mean 2.5, and the bound's own rank adds 30 %; above 11 in 1 of 10⁴."""
    law, rng = sampled_law(), np.random.default_rng(1)
    bound = joint_bound(law, 4, 25, rng)
    alarms = sum(largest_deviation(draw(law, 4, 25, rng), law) > bound for _ in range(1000))
    assert alarms <= 11


@pytest.mark.parametrize("wrong", ["strength", "entry", "cell"])
def test_wrong_laws_are_caught(wrong):
    """400 samples: 15 % in all variances is 3.7 σ of a trace; 0.3 of a correlation 6 σ; half of a variance 7 σ."""
    law, rng = sampled_law(), np.random.default_rng(2)
    samples = draw(law, 16, 25, rng)
    size = np.sqrt(law.voltages.diagonal())
    assert joint_deviation(samples, law, rng).deviation < joint_deviation(samples, law, rng).bound
    if wrong == "strength":
        samples = 1.1 * samples
    elif wrong == "cell":
        samples = samples * [1.0, 1.0, np.sqrt(1.5)]
    else:
        samples = samples + 0.3 * samples[:, :, [1, 0, 2]] * size / size[[1, 0, 2]] * [1, 0, 0]
    found = joint_deviation(samples, law, rng)
    assert found.deviation > found.bound


def test_an_engine_that_fails_is_a_verdict_that_fails(monkeypatch):
    def fail(*arguments):
        raise SimulationError("ngspice did not converge; damp more")

    monkeypatch.setattr(Ngspice, "simulate", fail)
    checks = compare(Case("ideal", 2, 2)).checks
    first = checks[0]
    assert not first.holds
    assert "did not converge" in first.reason
    assert any(check.holds for check in checks)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("experiments.validation.commands.CASES", (Case("paper", 2, 2, (1.0,), samples=50),))
    monkeypatch.setattr("experiments.validation.commands.FEW_CONDITIONS", (1.0, 100.0))
    monkeypatch.setattr("experiments.validation.conditioning.SETUPS", (("active", "ideal"), ("active", "rram")))


def test_a_run_writes_tables_figures_and_a_page_that_needs_no_network(quick, tmp_path):
    run = CliRunner().invoke(app, ["validate", "--output", str(tmp_path / "out")])
    assert run.exit_code == 0, run.output
    assert "checks hold." in run.output
    with (tmp_path / "out" / "validation.csv").open() as file:
        rows = list(csv.DictReader(file))
    wanted = "case quantity engines difference bound reason agreement unit holds"
    assert list(rows[0]) == wanted.split()
    assert {row["holds"] for row in rows} == {"True"}
    with (tmp_path / "out" / "conditioning.csv").open() as file:
        conditions = {row["condition"] for row in csv.DictReader(file)}
    assert conditions == {"1.0", "100.0"}
    page = (tmp_path / "out" / "validation.html").read_text()
    assert page.count("data:image/png;base64") == 4
    assert "http" not in page


def test_a_tampered_circuit_ends_with_status_one_and_names_the_check(quick, tmp_path, monkeypatch):
    """The network has a circuit whose inputs are a millionth and a half too high."""
    right = validation.state_space

    def tampered(device, engine):
        return right(replace(device, dac_volts=device.dac_volts * (1 + 1.5e-6)), engine)

    monkeypatch.setattr(validation, "state_space", tampered)
    run = CliRunner().invoke(app, ["validate", "--output", str(tmp_path)])
    assert run.exit_code == 1
    assert "the first that fails: paper, 2 cells" in " ".join(run.output.split())
    assert "False" in (tmp_path / "validation.csv").read_text()


def test_without_ngspice_it_says_so_in_one_line(tmp_path):
    command = [sys.executable, "-m", "experiments.cli", "validate", "--output", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, env={"PATH": "/nonexistent"})
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "ngspice is not on the PATH; install it" in run.stderr

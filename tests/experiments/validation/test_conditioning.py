"""Error against condition number, and whether its cause is found."""

from importlib import resources
from math import isnan

import numpy as np
import pytest

from experiments.validation.conditioning import EXACT, IMPERFECTIONS, NEGLIGIBLE, findings, points, study
from spu_circuit.hardware import load_hardware


@pytest.fixture
def flawed(tmp_path):
    """The ideal preset with one flaw, as a file."""

    def make(section, lines):
        text = resources.files("spu_circuit").joinpath("presets/ideal.toml").read_text()
        if section == "amplifier":
            text = text.replace('model = "ideal"', f'model = "macromodel"\n{lines}')
        else:
            text = text.replace(f"[{section}]", f"[{section}]\n{lines}")
        path = tmp_path / f"{section}.toml"
        path.write_text(text)
        return str(path)

    return make


@pytest.mark.parametrize(
    ("section", "lines", "cause"),
    [
        ("amplifier", "dc_gain = 1e4", "amplifier gain"),
        ("amplifier", 'dc_gain = 1e12\noffset = "1 mV"', "amplifier offset"),
        ("array", "bits = 10", "resistor levels"),
        ("dac", "bits = 10", "DAC codes"),
        ("adc", "bits = 10", "ADC codes"),
        ("noise", 'injected = "1 mV"', "noise"),
    ],
)
def test_the_only_flaw_is_the_cause(flawed, section, lines, cause):
    found = points("active", flawed(section, lines), 10.0, 3)
    (finding,) = findings(found)
    assert finding.reason == cause
    alone = next(p for p in found if (p.imperfections, p.which) == ("only", cause))
    assert alone.error == pytest.approx(finding.error, rel=0.01)


def test_finite_gain_costs_the_noise_gain_over_the_gain(flawed):
    """Unit matrix, R_in = 1/G: error (1 + G_in/G)/A₀ = 2e-4 to first order, and 2e-4 of that to second."""
    whole = points("active", flawed("amplifier", "dc_gain = 1e4"), 1.0, 1)[0]
    assert whole.error == pytest.approx(2e-4, rel=1e-3)


def test_ideal_hardware_is_limited_by_rounding_and_gain_alone():
    found = [p for condition in (1.0, 1e3, 1e6) for p in points("active", "ideal", condition, 3)]
    assert {finding.reason for finding in findings(found)} == {EXACT}
    assert found[0].error < 1e-13
    assert found[-1].error < 1e-8


def test_hardware_that_cannot_hold_the_matrix_says_so():
    found = points("active", "rram", 100.0, 3)
    (finding,) = findings(found)
    assert isnan(finding.error)
    assert finding.reason == "cannot be programmed; it could without resistor levels"
    assert "rounded to its levels the matrix is not positive definite" in finding.message
    assert found[0].failed == 3


def test_switching_off_the_smallest_conductance_keeps_the_levels():
    bench = load_hardware("bench")
    extended = IMPERFECTIONS["smallest conductance"](bench)
    assert extended.array.grid[0] == pytest.approx(NEGLIGIBLE * bench.array.G_max)
    np.testing.assert_array_equal(extended.array.grid[-1024:], bench.array.grid)
    paper = load_hardware("paper")
    assert IMPERFECTIONS["smallest conductance"](paper) == paper


def test_the_number_of_workers_changes_nothing(monkeypatch):
    monkeypatch.setattr("experiments.validation.conditioning.HARDWARE", (("active", "paper"), ("passive", "passive")))
    first, second = (list(study((1.0, 10.0), 1, workers)) for workers in (1, 4))
    assert first == second
    assert [part[0].preset for part in first] == ["paper", "paper", "passive", "passive"]

"""What the bench measures against models whose figures are known, and macromodels against their data sheets."""

import pytest

from experiments.amplifier.bench import Bench
from experiments.amplifier.limits import limits
from experiments.amplifier.measure import QUANTITIES, measured
from spu_circuit.amplifier import Amplifier
from spu_circuit.errors import SimulationError
from spu_circuit.hardware import load_hardware
from tests.amplifiers.styles import facts_of_all

FACTS = facts_of_all()
FAST = ("uA741", "AD8055", "OPA187", "LT1013", "LM741")
"""One of each style, with the slowest, the fastest and those that converge badly among them."""


@pytest.fixture(scope="module")
def shipped():
    return measured(Bench(load_hardware("vendor").amplifier))


@pytest.mark.parametrize(
    ("key", "value", "within"),
    [
        # 200k with 125 Ω into 10 kΩ; GBW likewise.
        ("dc_gain", 200e3 / 1.0125, 1e-4),
        ("gain_bandwidth", 3e6 / 1.0125, 1e-3),
        ("phase_margin", 90.0, 1e-3),
        ("slew_up", 13e6 / 1.0125, 2e-3),
        ("slew_down", 13e6 / 1.0125, 2e-3),
        ("offset", 3e-3, 1e-4),
        ("bias", 65e-12, 1e-2),
        # 15 V - 1.5 V + 39 mV of the clamp, behind 125 Ω whose drop saturates.
        ("highest_output", 13.539 / 1.0125, 2e-3),
        ("lowest_output", -13.539 / 1.0125, 2e-3),
        ("source_current", 26e-3, 2e-3),
        ("sink_current", -26e-3, 2e-3),
        ("output_resistance", 125.0, 1e-3),
        ("fast_output_resistance", 125.0, 1e-3),
        ("noise_density", 18e-9, 1e-3),
        ("supply_current", 1.4e-3, 1e-3),
    ],
)
def test_shipped_model_measures_as_its_header_says(shipped, key, value, within):
    assert shipped[key] == pytest.approx(value, rel=within)


def test_follower_of_the_shipped_model_errs_by_its_loop_gain(shipped):
    """1 / (1 + A), with A of the loaded output."""
    assert shipped["follower_error"] == pytest.approx(1.0125 / 200e3, rel=1e-2)
    assert set(shipped) == set(QUANTITIES)


def test_what_ranging_must_know_is_measured_of_the_overdriven_output():
    """V = 13.539 V behind 125 Ω whose drop is tanh of the current over 26 mA: 3 % more at 7 mA."""
    found = limits(Bench(load_hardware("vendor").amplifier))
    assert found.rail == pytest.approx(13.5, abs=0.1)
    assert found.output_resistance == pytest.approx(125, rel=0.05)
    assert found.current_limit == pytest.approx(26e-3, rel=0.05)


def test_what_a_model_does_not_define_is_said(tmp_path):
    """A gain of 1000 without supplies, poles, limits or noise."""
    (tmp_path / "plain.lib").write_text(".subckt plain 1 2 3\nE1 3 0 1 2 1000\n.ends\n")
    part = Amplifier(
        model="subckt", library=str(tmp_path / "plain.lib"), subcircuit="plain", pins=("plus", "minus", "output")
    )
    found = measured(Bench(part))
    assert found["dc_gain"] == pytest.approx(1000, rel=1e-6)
    for key in ("slew_up", "slew_down"):
        assert "faster than the bench resolves" in found[key]
    for key, said in (
        ("source_current", "not defined"),
        ("gain_bandwidth", "never falls"),
        ("phase_margin", "never falls"),
        ("noise_density", "no noise"),
        ("supply_current", "no supply pin"),
    ):
        assert found[key] is None
        assert said in QUANTITIES[key].text(found[key])


def test_an_output_that_is_a_voltage_source_has_its_limits_of_voltage_alone(tmp_path):
    """Clamped at ±13 V, with a pole at 10 Hz and no output resistance: its short circuit would be a loop of sources."""
    (tmp_path / "stiff.lib").write_text(
        ".subckt stiff 1 2 3 4 5\nE1 6 0 1 2 1e5\nR1 6 7 1k\nC1 7 0 15.9155u\nE2 5 0 value={limit(v(7),-13,13)}\n"
        "R2 3 4 10k\n.ends\n"
    )
    document = {"model": "subckt", "library": str(tmp_path / "stiff.lib"), "subcircuit": "stiff", "supply": "15 V"}
    bench = Bench(Amplifier(**document, pins=load_hardware("vendor").amplifier.pins))
    found = {key: QUANTITIES[key].measure(bench) for key in ("highest_output", "lowest_output", "source_current")}
    assert found == {"highest_output": pytest.approx(13), "lowest_output": pytest.approx(-13), "source_current": None}
    assert QUANTITIES["fast_output_resistance"].measure(bench) == 0
    known = limits(bench)
    assert (known.rail, known.current_limit, known.output_resistance) == (13.0, None, 0.0)


def test_limits_stay_where_the_short_circuit_is_not_found(monkeypatch):
    def fails(bench):
        raise SimulationError("no convergence")

    monkeypatch.setattr(Bench, "shorted", property(fails))
    found = limits(Bench(load_hardware("vendor").amplifier))
    assert found.rail == pytest.approx(13.5, abs=0.1)
    assert found.current_limit is None


def check(facts):
    """Gain and bandwidth within 1.15: second poles and loads take up to 12 %; slew, limits and offset beside them."""
    bench = Bench(
        Amplifier(
            model="subckt", library=str(facts.file), subcircuit=facts.subcircuit, pins=facts.pins, supply=facts.supply
        )
    )
    found = measured(bench)
    assert not [value for value in found.values() if isinstance(value, str)]
    factor = 1.15
    for key, fact in (
        ("dc_gain", facts.gain),
        ("gain_bandwidth", facts.bandwidth),
        ("slew_up", facts.slew),
        ("highest_output", facts.supply - facts.swing),
    ):
        assert 1 / factor < found[key] / fact < factor, (key, found[key], fact)
    assert abs(found["follower_error"]) < 1e-3
    assert abs(found["offset"]) == pytest.approx(facts.offset, rel=0.2, abs=10e-6)
    assert 45 < found["phase_margin"] < 110


@pytest.mark.parametrize("name", FAST)
def test_macromodel_measures_as_its_data_sheet_says(name):
    check(FACTS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FACTS if name not in FAST])
def test_every_macromodel_measures_as_its_data_sheet_says(name):
    check(FACTS[name])


def test_slew_rate_is_the_amplifier_s_where_diodes_join_its_inputs(tmp_path):
    """They would drive the output as fast as the edge. What they leave the input stage lowers it by 12 %."""
    shipped = load_hardware("vendor").amplifier
    clamped = "\n.subckt clamped 1 2 3 4 5\nX1 1 2 3 4 5 opamp\nD1 1 2 DI\nD2 2 1 DI\n.model DI D(N=3)\n.ends\n"
    (tmp_path / "c.lib").write_text(shipped.library_text + clamped)
    document = {"model": "subckt", "library": str(tmp_path / "c.lib"), "subcircuit": "clamped", "supply": "15 V"}
    bench = Bench(Amplifier(**document, pins=shipped.pins))
    for key in ("slew_up", "slew_down"):
        assert QUANTITIES[key].measure(bench) == pytest.approx(13e6, rel=0.15)

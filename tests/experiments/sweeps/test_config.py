from contextlib import closing
from importlib.resources import files

import pytest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.sweeps.analyses import sets_of
from experiments.sweeps.config import Sweep, read_sweep
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.store import open_sweep
from experiments.sweeps.study import points, study_of
from spu_circuit.documents import from_document
from spu_circuit.errors import InputError

SIGMA = {"tolerance": "1 %", "meaning": "sigma"}


def document(**more):
    return {
        "name": "sweep",
        "hardware": {"base": "paper", "variation": {"capacitor": {"lot": SIGMA}}},
        "workload": {"kind": "random", "size": 4},
        "analysis": {"kind": "monte carlo", "samples": 10},
    } | more


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"metrics": ["relative_eror"]}, "no metric 'relative_eror'; did you mean 'relative_error'"),
        ({"limits": {"setling_time": {"max": "1 µs"}}}, "did you mean 'settling_time'"),
        ({"limits": {"settling_time": {"max": 1e-6}}}, "has no unit; write it as text, like '1 s'"),
        ({"limits": {"settling_time": {"max": "1 V"}}}, "wanted 's'"),
        ({"limits": {"settling_time": "1 µs"}}, "write a table such as"),
        ({"limits": {"power": {"min": "2 W", "max": "1 W"}}}, "min 2 is above max 1; swap them"),
        ({"limits": {"power": {"maxx": "1 W"}}}, "did you mean 'max'"),
        ({"metrics": ["angle", "angle"]}, "metrics repeat"),
        ({"analysis": {"kind": "monte carlo", "samples": 0}}, "greater than or equal to 1"),
        ({"analysis": {"kind": "corners", "samples": 4}}, "kind 'corners' has no 'samples'"),
        ({"analysis": {"kind": "monte carlo", "samples": 100, "design": "sobol"}}, "take 128"),
        ({"analysis": {"kind": "importance", "inflation": 1.0}}, "greater than 1"),
        ({"analysis": {"kind": "monte carlo", "stop_width": 0.1}}, "needs limits"),
        ({"workload": {"kind": "file"}}, "needs 'matrix'"),
        ({"hardware": {"variation": {}}}, "hardware.base is missing"),
        ({"hardware": {"base": "paper"}}, "hardware.variation is empty"),
        (
            {"hardware": {"base": "paper", "variation": {"capacitor": {"lot": {"tolerance": "1 %"}}}}},
            "meaning is missing",
        ),
        ({"hardware": {"base": "paper", "variation": {"resistor": {"lot": SIGMA}}}}, "did you mean 'input_resistor'"),
        ({"linearize": True}, "did you mean 'linearise'"),
        ({"limits": {"saturated_cells": {"max": float("nan")}}}, "max is nan"),
        (
            {"limits": {"power": {"min": "1 W"}}, "workload": {"kind": "random", "size": 4, "systems": 2}},
            "shows no minimum",
        ),
        ({"seed": 2**63}, "seed"),
    ],
)
def test_mistakes_are_one_line_with_field_and_cure(more, words):
    with pytest.raises(InputError, match=words) as caught:
        points(document(**more), {}, "test")
    assert "\n" not in str(caught.value)


def test_a_grid_sets_dotted_fields_at_every_point():
    name = "hardware.variation.capacitor.lot.tolerance"
    found = points(document(), {name: ["1 %", "2 %"], "workload.size": [2, 3]}, "test")
    assert [tuple(setting.values()) for setting, _ in found] == [("1 %", 2), ("1 %", 3), ("2 %", 2), ("2 %", 3)]
    tolerances = [sweep.device().variation.capacitor.lot.tolerance for _, sweep in found]
    assert tolerances == [0.01, 0.01, 0.02, 0.02]
    with pytest.raises(InputError, match=r"capacitor\.lot\.toleranc"):
        points(document(), {name[:-1]: ["1 %"]}, "test")
    with pytest.raises(InputError, match="is not a table"):
        points(document(), {"name.first": ["a"]}, "test")


def test_what_varies_too_much_for_all_corners_is_told_apart():
    kinds = ("dac_gain", "adc_gain", "array_resistor", "capacitor", "input_resistor", "inverter_resistor")
    variation = {kind: {"local": SIGMA} for kind in (*kinds, "amplifier_gain", "amplifier_bandwidth")}
    volts = {"tolerance": "1 mV", "meaning": "sigma"}
    codes = {"tolerance": "1 LSB", "meaning": "sigma"}
    variation |= {kind: {"local": volts} for kind in ("dac_offset", "adc_offset", "amplifier_offset")}
    variation |= {kind: {"local": codes} for kind in ("dac_inl", "adc_inl")}
    sweep = from_document(
        Sweep,
        document(hardware={"base": "bench", "variation": variation}, analysis={"kind": "corners"}),
        "test",
    )
    with pytest.raises(InputError, match="13 kinds of parts vary, which is 8192 corners"):
        sets_of(sweep)


def test_shipped_sweeps_open_with_their_question_and_are_whole():
    for name in ("resistor_tolerance", "bench_limits", "paper_design_point"):
        source, grid = read_sweep(name)
        assert source["question"].endswith("?")
        text = files("experiments").joinpath("configs", f"{name}.toml").read_text()
        assert "?" in "".join(line for line in text.split("name =")[0].splitlines() if line.startswith("#"))
        for _, sweep in points(source, grid, name):
            assert sweep.name == name
            assert sets_of(sweep)


def test_a_missing_config_names_those_that_come_with_it():
    with pytest.raises(InputError, match="bench_limits"):
        read_sweep("no_such_sweep")


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("metrics", [["angle"], ["power"]], "one point records angle, another power"),
        ("analysis", [{"kind": "corners"}, {"kind": "worst case"}], "one sweep has one kind of analysis"),
    ],
)
def test_points_of_a_grid_are_of_one_kind(name, values, words):
    with pytest.raises(InputError, match=words):
        points(document(), {name: values}, "test")


def test_a_grid_that_is_no_table(tmp_path):
    (tmp_path / "a.toml").write_text("grid = 3")
    with pytest.raises(InputError, match="grid is 3; write a table"):
        read_sweep(tmp_path / "a.toml")


def test_saturating_amplifiers_at_rest_need_no_linearise_and_the_way_there_does():
    rest = document(hardware={"base": "bench", "variation": {"array_resistor": {"local": SIGMA}}})
    (sweep, linearised) = (study_of(rest | more, {}, "test").sweeps[0] for more in ({}, {"linearise": True}))
    ((_, copies),) = sets_of(sweep).items()
    rows = evaluate(sweep, copies, range(4), "network")
    assert [row.status for row in rows] == ["ok"] * 4
    assert rows == evaluate(linearised, copies, range(4), "network")
    for asked in ({"time": 3.0}, {"metrics": ["settling_time"]}, {"metrics": ["output_noise"]}):
        with pytest.raises(InputError, match=r"is not linear .*linearise = true") as caught:
            study_of(rest | asked, {}, "test")
        assert "\n" not in str(caught.value)
        study_of(rest | asked | {"linearise": True}, {}, "test")


def test_importance_needs_something_that_parts_share():
    local = {"base": "paper", "variation": {"capacitor": {"local": SIGMA}}}
    sweep = from_document(Sweep, document(hardware=local, analysis={"kind": "importance"}), "test")
    with pytest.raises(InputError, match="take 'monte carlo'"):
        sets_of(sweep)


def test_a_converter_without_codes_has_no_nonlinearity_in_lsb():
    codes = {"tolerance": "1 LSB", "meaning": "sigma"}
    hardware = {"base": "ideal", "variation": {"adc_dnl": {"local": codes}}}
    with pytest.raises(InputError, match=r"adc\.bits is not given"):
        study_of(document(hardware=hardware), {}, "test")


@pytest.mark.parametrize("metric", ["supply_power", "supply_energy"])
def test_power_from_supplies_that_are_not_known_is_refused_before_anything_is_computed(metric):
    hardware = {"base": "bench", "variation": {"capacitor": {"lot": SIGMA}}}
    with pytest.raises(InputError, match=r"amplifier\.supply is not in this hardware description; add it"):
        study_of(document(hardware=hardware, metrics=[metric]), {}, "c")


def test_energy_of_a_solve_that_is_not_known_is_refused_before_anything_is_computed():
    hardware = {"base": "paper", "variation": {"capacitor": {"lot": SIGMA}}}
    with pytest.raises(InputError, match=r"costs\.amplifier_power is not in this hardware description; add"):
        study_of(document(hardware=hardware, metrics=["solve_energy"]), {}, "c")


def test_linearise_is_an_option_of_the_command(tmp_path):
    """Amplifiers that saturate have no settling time, but by their tangents."""
    config = tmp_path / "bench.toml"
    config.write_text(
        """name = "bench"
metrics = ["settling_time"]
hardware = { base = "bench", variation = { capacitor = { lot = { tolerance = "5 %", meaning = "sigma" } } } }
workload = { kind = "random", size = 2 }
analysis = { kind = "monte carlo", samples = 4 }
"""
    )
    arguments = ["sweep", str(config), "--output", str(tmp_path / "run"), "--workers", "1"]
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, InputError)
    assert "linearise" in str(refused.exception)
    assert not (tmp_path / "run").exists()
    assert CliRunner().invoke(app, [*arguments, "--linearise"], catch_exceptions=False).exit_code == 0
    with closing(open_sweep(tmp_path / "run")) as store:
        assert store.claimed()["sweep"]["document"]["linearise"] is True

import csv
import json

import pytest
from typer.testing import CliRunner

from experiments.cli import app
from tests.experiments.training.small import SMALL

SIZES = ["cost", "--cells", "8", "--parameters", "40"]


def run(*more):
    return CliRunner().invoke(app, [*SIZES, *map(str, more)])


def test_the_ledger_is_printed_for_people():
    text = run("--hardware", "bench").stdout
    assert "writing 128 resistors" in text
    assert "NGD, Woodbury (GPU)" in text
    assert "kT ln 2" in text


def test_the_ledger_is_printed_for_programs():
    found = json.loads(run("--hardware", "bench", "--hardware", "paper", "--json").stdout)
    bench, paper = found["devices"]["bench"], found["devices"]["paper"]
    assert bench[-1]["seconds"] == pytest.approx(sum(item["seconds"] for item in bench[:-1]))
    assert bench[-1]["joules"] == pytest.approx(sum(item["joules"] for item in bench[:-1]))
    assert paper[-1]["joules"] is None
    assert "transfer_energy" in paper[-1]["missing"]


def test_the_study_has_a_row_for_each_point_and_a_figure(tmp_path):
    result = CliRunner().invoke(
        app, ["cost", "--cells", "16", "--parameters", "40", "--hardware", "bench", "--output", str(tmp_path / "new")]
    )
    assert result.exit_code == 0
    rows = list(csv.DictReader((tmp_path / "new" / "cost.csv").open()))
    assert [row["cells"] for row in rows if row["who"] == "TNGD on bench"] == ["8", "16"]
    assert (tmp_path / "new" / "cost.png").read_bytes().startswith(b"\x89PNG")


def test_a_time_that_no_description_says_is_named_and_not_summed():
    text = run("--hardware", "ideal").stdout
    assert "costs.transfer_rate is not in" in text
    found = json.loads(run("--hardware", "ideal", "--json").stdout)["devices"]["ideal"]
    parts = {item["part"]: item for item in found[:-1]}
    assert parts["transfer"]["seconds"] is None
    assert parts["transfer"]["lacks"] == ["costs.transfer_rate", "costs.transfer_energy"]
    assert parts["digital"]["seconds"] > 0
    assert found[-1]["seconds"] is None
    assert {"costs.write_time", "costs.amplifier_power"} <= {*found[-1]["lacks"]}


def test_the_papers_table_stands_beside_what_is_counted(tmp_path):
    folder = tmp_path / "new"
    result = run("--samples", "4", "--outputs", "3", "--iterations", "5", "--hardware", "bench", "--output", folder)
    assert "O(b² d_z² N + b³ d_z³)" in result.stdout
    assert "b = 4, d_z = 3, N = 40, c = 5" in " ".join(result.stdout.split())
    rows = {row["optimizer"]: row for row in csv.DictReader((folder / "table1.csv").open())}
    assert float(rows["NGD-Woodbury"]["operations"]) == 12**2 * 40 + 12**3
    assert float(rows["NGD-CG"]["operations"]) == 5 * 4 * 40
    assert float(rows["TNGD"]["analog_time"]) == 6
    gradient, factor = 6 * 4 * 40, (2 * 4 + 4 * 8) * 40
    assert float(rows["TNGD"]["flop"]) == gradient + factor + 64 * 40 + 4 * 8 * 40 + 2 * 40
    assert float(rows["TNGD"]["held"]) == 8 * 40 + 64 + 2 * 40
    found = json.loads(run("--hardware", "bench", "--json").stdout)["table_1"]
    assert [row["optimizer"] for row in found] == list(rows)


CONFIG = (
    """
name = "small"
task = "digits"
steps = 2
batch_size = 8
seeds = [0]
"""
    + SMALL
    + """
[optimizers.adam]
kind = "adam"
learning_rates = [0.03]
"""
)
TNGD = """
[optimizers.tngd]
kind = "tngd"
learning_rates = [0.3]
curvature_samples = 1
hardware = "bench"
engine = "network"
"""
AT_REST = "analog_time: the array is read at rest"


def of_config(folder, text, *more):
    (folder / "own.toml").write_text(text)
    return CliRunner().invoke(app, ["cost", str(folder / "own.toml"), *map(str, more)])


def test_a_config_without_a_circuit_has_its_digital_work(tmp_path):
    result = of_config(tmp_path, CONFIG)
    assert "Adam (GPU)" in result.stdout
    assert "Adam (CPU)" in result.stdout
    assert "b = 8, d_z = 10, N = 310" in " ".join(result.stdout.split())


def test_a_config_says_the_sizes_of_each_of_its_optimizers(tmp_path):
    """One sample has nine output directions; N = 64·4 + 4 + 4·10 + 10."""
    result = of_config(tmp_path, CONFIG + TNGD + "analog_time = 3.0\n", "--output", tmp_path / "out")
    assert "writing 162 resistors" in result.stdout
    assert "relaxing for 3 τ" in result.stdout
    assert "TNGD (network, bench)" in result.stdout
    assert "Adam (GPU)" in result.stdout
    rows = list(csv.DictReader((tmp_path / "out" / "ledger.csv").open()))
    own = [row for row in rows if row["optimizer"].startswith("TNGD") and row["computer"] == "gpu"]
    assert [row["part"] for row in own] == [
        *("digital", "transfer", "program", "convert", "settle", "static", "convert", "sum")
    ]
    assert float(own[-1]["energy_j"]) == pytest.approx(sum(float(row["energy_j"]) for row in own[:-1]))
    orders = {row["optimizer"]: row for row in csv.DictReader((tmp_path / "out" / "table1.csv").open())}
    assert (orders["TNGD"]["cells"], orders["TNGD"]["outputs"], orders["TNGD"]["parameters"]) == ("9", "10", "310")
    assert (tmp_path / "out" / "cost.png").read_bytes().startswith(b"\x89PNG")


def test_when_an_array_at_rest_is_read_is_not_known_but_may_be_given(tmp_path):
    result = of_config(tmp_path, CONFIG + TNGD, "--json")
    found = json.loads(result.stdout)["optimizers"]["TNGD (network, bench)"]["gpu"][-1]
    assert (found["seconds"], found["lacks"]) == (None, ["analog_time"])
    assert found["missing"].startswith(AT_REST)
    assert "relaxing for 6 τ" in of_config(tmp_path, CONFIG + TNGD, "--time", 6).stdout


def test_sizes_are_asked_for_where_there_is_no_config():
    error = CliRunner().invoke(app, ["cost", "--parameters", "8"]).exception
    assert "give --cells" in str(error)


def test_cells_alone_are_a_step_of_the_papers_network():
    found = json.loads(CliRunner().invoke(app, ["cost", "--cells", "8", "--json"]).stdout)
    same = ["cost", "--cells", "8", "--parameters", "7334", "--samples", "64", "--json"]
    assert found == json.loads(CliRunner().invoke(app, same).stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--machine", "abacus"), "machine: no 'abacus'"),
        (("--parameters", "1000000000"), "lower one of them"),
        (("--time", "inf"), "infinite"),
        (("--cells", "3", "digits"), "cells: a config says it"),
    ],
)
def test_bad_input_is_refused(arguments, said):
    error = run(*arguments).exception
    assert said in str(error)

import csv
import json

import pytest
from typer.testing import CliRunner

from experiments.cli import app

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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--machine", "abacus"), "machine: no 'abacus'"),
        (("--parameters", "1000000000"), "lower one of them"),
        (("--time", "inf"), "infinite"),
        (("--hardware", "ideal"), "costs.transfer_rate is not in"),
    ],
)
def test_bad_input_is_refused(arguments, said):
    error = run(*arguments).exception
    assert said in str(error)

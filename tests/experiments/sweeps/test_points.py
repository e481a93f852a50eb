"""Corners of temperature, supply and lots beside each other, in terminal, page and file."""

import csv
import re
import sys
from html import unescape

import numpy as np
import pytest
from rich.console import Console

from experiments import cli
from experiments.shared.hardware import supplied
from experiments.sweeps import commands
from experiments.sweeps.analyses import sets_of
from experiments.sweeps.analyses.first_order import FirstOrder, first_order
from experiments.sweeps.bench import benches
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.group import Group
from experiments.sweeps.points import WORST
from experiments.sweeps.redraw import outliers
from experiments.sweeps.study import study_of
from spu_circuit.documents import from_document
from spu_circuit.errors import InputError
from spu_circuit.hardware import changed_hardware
from spu_circuit.kind import ENDS

CONFIG = """
name = "corners"
[grid]
"hardware.temperature" = ["-40 °C", "85 °C"]
supply = ["50 %", "100 %"]
"hardware.variation.input_resistor.corner" = ["low", "high"]
[hardware]
base = "bench"
amplifier.offset = "0 V"
amplifier.supply = "6 V"
amplifier.rail = "4.5 V"
[hardware.variation]
reference_temperature = "25 °C"
[hardware.variation.input_resistor]
lot = { tolerance = "1 %", meaning = "3 sigma" }
local = { tolerance = "0.1 %", meaning = "sigma" }
temperature_coefficient = "100 ppm/K"
[workload]
kind = "random"
size = 4
condition = 3
[analysis]
kind = "monte carlo"
samples = 16
[limits]
relative_error = { max = "10 %" }
"""


def sweep(**more):
    variation = {"input_resistor": {"lot": {"tolerance": "1 %", "meaning": "3 sigma"}, "corner": "high"}}
    variation |= {"capacitor": {"lot": {"tolerance": "1 %", "meaning": "sigma"}}}
    document = {
        "name": "corner",
        "hardware": {"base": "bench", "amplifier": {"rail": "4.5 V"}, "variation": variation},
        "workload": {"kind": "random", "size": 4, "condition": 3},
        "metrics": ["relative_error", "saturated_cells"],
        "analysis": {"kind": "monte carlo", "samples": 4},
    }
    return from_document(Sweep, document | more, "test")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What the terminal says, and the folder."""
    folder = tmp_path_factory.mktemp("corners")
    config = folder / "corners.toml"
    config.write_text(CONFIG)
    console, before = Console(width=100, record=True), commands.console
    commands.console, argv = console, sys.argv
    sys.argv = ["spu-circuit", "sweep", str(config), "--output", str(folder / "out"), "--workers", "1"]
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        commands.console, sys.argv = before, argv
    assert not ended.value.code
    return console.export_text(), folder / "out"


def test_terminal_page_and_file_have_the_same_corners(run):
    printed, folder = run
    page = unescape((folder / "report.html").read_text())
    with (folder / "points.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert sum(row["worst corner"] == "1" for row in rows) == 1
    for row in rows:
        corner = [row["temperature"].lstrip("'"), row["supply"], row["input resistor corner"]]
        share = f"{100 * float(row['yield [1]']):.2f} %"
        assert re.search(r"\s+".join(map(re.escape, [*corner, share])), printed)
        marked = WORST if row["worst corner"] == "1" else ""
        cells = r"</?t[hdr][^>]*>\s*".join(["", *map(re.escape, corner)])
        found = re.search(cells.replace(r"\s*", r"\s*(?:</?t[hdr][^>]*>\s*)*"), page)
        assert found
        assert page[found.end() :].split("</tr>")[0].rstrip().removesuffix("</td>").rstrip().endswith(marked or ">")


def test_the_worst_corner_has_the_lowest_yield_and_then_the_worst_copy(run):
    printed, folder = run
    with (folder / "points.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ranks = [(float(row["yield [1]"]), -float(row["worst relative_error [1]"])) for row in rows]
    (worst,) = (k for k, row in enumerate(rows) if row["worst corner"] == "1")
    assert ranks[worst] == min(ranks)
    # Half the supply drives outputs into their rails.
    assert rows[worst]["supply"] == "50 %"
    assert f"supply 50 %, input resistor corner {rows[worst]['input resistor corner']}" in printed
    assert "Worst corner: temperature" in printed
    assert {row["yield [1]"] for row in rows if row["supply"] == "100 %"} == {"1.0"}


def test_rails_and_offsets_follow_the_supply():
    known = changed_hardware("bench", {"amplifier": {"supply": "15 V"}})
    lower = supplied(known, 0.9).amplifier
    assert (lower.supply, lower.rail) == (pytest.approx(13.5), pytest.approx(12.0))
    unknown = supplied(changed_hardware("bench", {}), 0.9).amplifier
    assert (unknown.supply, unknown.rail) == (None, pytest.approx(0.9 * 13.5))
    assert supplied(known, 1.0) is known
    assert lower.offset == known.amplifier.offset
    rejecting = changed_hardware("bench", {"amplifier": {"supply": "15 V", "supply_rejection": 3000.0}})
    assert supplied(rejecting, 0.9).amplifier.offset == pytest.approx(3e-3 - 0.5e-3)
    with pytest.raises(InputError, match="supply_rejection is of a supply that is not given"):
        changed_hardware("bench", {"amplifier": {"supply_rejection": 3000.0}})
    with pytest.raises(InputError, match="leaves outputs no voltage"):
        supplied(known, 0.05)
    with pytest.raises(InputError, match=r"amplifier\.rail"):
        supplied(changed_hardware("ideal", {}), 0.9)


def test_the_voltage_scale_is_that_of_the_nominal_supply():
    nominal, low = sweep(), sweep(supply="60 %")
    ((first,), (second,)) = (benches(asked, "network") for asked in (nominal, low))
    assert second.device.volts_per_unit == first.device.volts_per_unit
    assert second.device.hardware.amplifier.rail == pytest.approx(2.7)
    rows = [evaluate(asked, sets_of(asked)["copies"], range(4), "network") for asked in (nominal, low)]
    saturated = [row.metrics[1] for row in rows[0]], [row.metrics[1] for row in rows[1]]
    assert max(saturated[0]) == 0 < min(saturated[1])


def test_lots_at_a_corner_change_every_copy_alike():
    errors = {}
    for corner in ("low", "nominal", "high"):
        variation = {"input_resistor": {"lot": {"tolerance": "3 %", "meaning": "3 sigma"}, "corner": corner}}
        variation |= {"capacitor": {"lot": {"tolerance": "1 %", "meaning": "sigma"}}}
        asked = sweep(hardware={"base": "ideal", "variation": variation}, metrics=["relative_error"])
        (copies,) = sets_of(asked).values()
        values = [row.metrics[0] for row in evaluate(asked, copies, range(4), "network")]
        assert np.ptp(values) < 1e-12  # a capacitor changes no settled solution
        errors[corner] = values[0]
        found = first_order(asked)
        assert isinstance(found, FirstOrder)
        assert found.nominal == pytest.approx(0.03 * abs(ENDS[corner]), abs=1e-4)
    # x follows 1 / R.
    assert errors["low"] == pytest.approx(1 / 0.97 - 1, rel=1e-3)
    assert errors["high"] == pytest.approx(1 - 1 / 1.03, rel=1e-3)
    assert errors["nominal"] < 1e-4


def test_supplies_and_corners_that_are_none_are_refused():
    document = {
        "name": "none",
        "hardware": {"base": "ideal", "variation": {"capacitor": {"lot": {"tolerance": "1 %", "meaning": "sigma"}}}},
        "workload": {"kind": "random", "size": 2},
        "analysis": {"kind": "monte carlo", "samples": 4},
    }
    with pytest.raises(InputError, match=r"supply is 0\.9"):
        study_of(document | {"supply": "90 %"}, {}, "test")
    wrong = {"base": "ideal", "variation": {"capacitor": {"corner": "low"}}}
    with pytest.raises(InputError, match="corner 'low' is the lot's, and there is none"):
        study_of(document | {"hardware": wrong}, {}, "test")


def test_bias_currents_are_drawn_in_amperes():
    variation = {"amplifier_bias": {"local": {"tolerance": "50 nA", "meaning": "sigma"}}}
    hardware = {"base": "bench", "amplifier": {"offset": "0 V", "bias_current": "100 nA"}, "variation": variation}
    asked = sweep(hardware=hardware)
    (copies,) = sets_of(asked).values()
    group = Group((0, "copies"), {}, asked, copies, tuple(evaluate(asked, copies, range(4), "network")))
    assert len(np.unique(group.column("relative_error"))) == 4
    shared, parts = outliers(group, 0, 1)
    assert parts[0].unit == "A"
    assert abs(parts[0].deviation) == pytest.approx(abs(parts[0].sigmas) * 50e-9)
    assert shared[0].endswith("A")
    without = {"base": "bench", "variation": variation}
    with pytest.raises(InputError, match=r"variation\.amplifier_bias: hardware 'bench' has no such part"):
        study_of(sweep(hardware=without).model_dump(mode="json", exclude_unset=True), {}, "test")

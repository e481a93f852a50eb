import os
import re

import numpy as np
import pytest

from spu_circuit.amplifier import Amplifier
from spu_circuit.errors import InputError
from spu_circuit.hardware import Cell, ResistorArray, changed_hardware, load_hardware, presets

MINIMAL = """
name = "mine"
[array]
G_min = "10 µS"
G_max = "1 mS"
bits = 4
[cell]
capacitance = "1 nF"
input_resistance = "1k"
inverter_resistance = "10k"
[amplifier]
model = "ideal"
[dac]
full_scale = "1 V"
[adc]
full_scale = "1 V"
"""


def test_every_preset_loads_and_says_what_it_is():
    assert presets() == ["bench", "factored", "ideal", "paper", "passive", "rram", "vendor"]
    for name in presets():
        hardware = load_hardware(name)
        assert hardware.name == name
        assert hardware.description


def test_paper_preset_is_one_kilohm_and_one_nanofarad():
    paper = load_hardware("paper")
    assert 1 / paper.array.G_max == pytest.approx(1e3)
    assert paper.cell.capacitance == pytest.approx(1e-9)
    assert paper.array.bits == paper.dac.bits == paper.adc.bits == 16


def test_rram_preset_has_eight_levels_between_half_and_thirtyfive_microsiemens():
    grid = load_hardware("rram").array.grid
    assert len(grid) == 8
    assert grid[[0, -1]] == pytest.approx([0.5e-6, 35e-6])


def test_rheostat_levels_are_even_in_resistance():
    array = ResistorArray(G_min="20 kΩ", G_max="1 kΩ", bits=3, spacing="resistance")
    assert np.diff(1 / array.grid) == pytest.approx(np.full(7, -19e3 / 7))


def test_python_takes_floats_and_text():
    cell = Cell(capacitance="1 nF", input_resistance=1e3, inverter_resistance="10k")
    assert (cell.capacitance, cell.input_resistance, cell.inverter_resistance) == (1e-9, 1e3, 1e4)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('capacitance = "1 nF"', "capacitance = 1e-9", ["cell.capacitance", "no unit", "'1 nF'"]),
        ('capacitance = "1 nF"', 'capacitance = "1 nH"', ["cell.capacitance", "'H'", "wanted 'F'"]),
        ('capacitance = "1 nF"', 'capacitance = "-1 nF"', ["cell.capacitance", "greater than 0"]),
        ('capacitance = "1 nF"', 'capacitence = "1 nF"', ["cell.capacitence", "did you mean 'capacitance'"]),
        ('G_min = "10 µS"', 'G_min = "10 mS"', ["array", "G_min", "above G_max", "swap"]),
        ("bits = 4", 'bits = 4\nlevels = ["1 mS"]', ["bits and levels"]),
        ("bits = 4", 'levels = ["20 µS", "1 mS"]', ["levels span", "make them agree"]),
        ("bits = 4", "bits = 99", ["array.bits", "99"]),
        ('G_min = "10 µS"', 'G_min = "1 mS"', ["bits = 4 asks for 2^4 levels", "both 0.001 S", "raise G_max"]),
        ('model = "ideal"', 'model = "perfect"', ["amplifier.model", "perfect"]),
        ('model = "ideal"', 'model = "ideal"\nrail = "5 V"', ["ideal amplifier has no rail"]),
        ("[array]", "[aray]", ["unknown key 'aray'", "did you mean 'array'"]),
        ('name = "mine"', "", ["name is missing"]),
        ("[cell]", "[cell", ["not TOML"]),
        (
            'capacitance = "1 nF"',
            'capacitance = "1e300 F"',
            ["cell.capacitance: 1e+300 is no part's value", "to 1e+30"],
        ),
        ('capacitance = "1 nF"', 'capacitance = "1e-200 F"', ["cell.capacitance: 1e-200 is no part's value"]),
        ("bits = 4", "bits = " + "9" * 5000, ["an integer has thousands of digits", "shorten it"]),
        ("bits = 4", "bits = 0x" + "f" * 5000, ["array.bits", "a int too long to show"]),
        ("bits = 4", "bits = " + "[" * 5000 + "]" * 5000, ["more than 20 deep"]),
        ("bits = 4", "bits" + ".a" * 5000 + " = 1", ["more than 20 deep"]),
        ('name = "mine"', 'name = "mine"\n"' + "x" * 5000 + '" = 1', ["unknown key"]),
    ],
)
def test_mistakes_name_field_value_and_cure_in_one_line(tmp_path, before, after, words):
    assert before in MINIMAL
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL.replace(before, after, 1))
    with pytest.raises(InputError) as caught:
        load_hardware(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    for word in words:
        assert word in message


def test_names_that_are_no_file_are_named(tmp_path):
    """Too long for the file system, and a pipe that would block."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("x" * 5000, str(tmp_path / "pipe"), str(tmp_path), "a\0b"):
        with pytest.raises(InputError, match=r"^hardware: no preset or file '.*'; .*presets are bench, ") as caught:
            load_hardware(name)
        assert len(str(caught.value)) < 1000


def test_unknown_preset_lists_the_known_ones():
    with pytest.raises(
        InputError, match=r"no preset or file 'bensh'; did you mean 'bench'\? presets are bench, .*, vendor"
    ):
        load_hardware("bensh")


def test_a_copy_with_other_bits_has_other_levels():
    array = load_hardware("bench").array
    assert len(array.grid) == 1024
    assert len(array.model_copy(update={"bits": 3}).grid) == 8
    assert array.model_copy(update={"bits": None}).grid is None


def test_a_change_to_another_model_takes_the_place_of_the_old_models_numbers():
    """What a macromodel needs has no place in another model; of the same model only what is named changes."""
    assert changed_hardware("bench", {"amplifier": {"model": "ideal"}}).amplifier == Amplifier(model="ideal")
    same = changed_hardware("bench", {"amplifier": {"model": "macromodel", "offset": "1 mV"}}).amplifier
    assert (same.offset, same.gain_bandwidth) == (1e-3, 3e6)


def test_a_library_part_may_say_what_ranging_counts_with():
    vendor = load_hardware("vendor")
    changed = changed_hardware("vendor", {"amplifier": {"output_resistance": "125 Ω", "current_limit": "26 mA"}})
    assert changed.amplifier.model_copy(update={"output_resistance": 0.0, "current_limit": None}) == vendor.amplifier


def test_gain_and_supply_rejection_are_taken_in_decibels():
    given = {"model": "macromodel", "supply": "15 V", "dc_gain": "106 dB", "supply_rejection": "80 dB"}
    amplifier = changed_hardware("bench", {"amplifier": given}).amplifier
    assert (amplifier.dc_gain, amplifier.supply_rejection) == (pytest.approx(10**5.3), pytest.approx(1e4))
    for field, value, said in (
        ("dc_gain", "106", "write it like '106 dB'"),
        ("dc_gain", "0 dB", "greater than 1"),
        ("dc_gain", "601 dB", "less than or equal to 1"),
        ("supply_rejection", 0, "greater than 0"),
    ):
        with pytest.raises(InputError, match=rf"amplifier.{field}.*{re.escape(said)}"):
            changed_hardware("bench", {"amplifier": given | {field: value}})

"""The reference has every key with its unit, default and an example that configs may have."""

import re

import pytest

from docs import keys
from docs.examples import configs, example, hardware
from experiments.design.config import Design
from spu_circuit.documents import from_document
from spu_circuit.quantity import parse_quantity, unit_of

TABLES = {
    "trainings": keys.training_keys,
    "optimizers": keys.optimizer_keys,
    "sweeps": keys.sweep_keys,
    "designs": keys.design_keys,
    "catalogues": keys.catalogue_keys,
    "hardware": keys.fields,
    "variation": keys.variation_keys,
}


def rows(name):
    head, _, *lines = (line.strip("| ").split(" | ") for line in TABLES[name]().replace("||", "| |").splitlines())
    return [dict(zip(head, (cell.strip() for cell in line), strict=False)) for line in lines]


def row(name, key):
    head = "key of [hardware.variation]" if name == "variation" else "field" if name == "hardware" else "key"
    (found,) = (each for each in rows(name) if each[head] == f"`{key}`")
    return found


def test_a_key_has_its_unit_default_and_example():
    assert row("designs", "specification.coldest") | {"meaning": ""} == {
        "key": "`specification.coldest`",
        "values": "quantity",
        "unit": "K",
        "default": '`"0 °C"`',
        "example": '`"0 °C"`',
        "meaning": "",
    }
    assert row("designs", "specification.least_yield")["default"] == '`"95 %"`'
    assert row("designs", "resistances")["values"] == "list of quantities"
    assert row("hardware", "cell.capacitance")["unit"] == "F"
    assert row("hardware", "costs.write_time")["unit"] == "s"


def test_meanings_do_not_say_the_unit_again():
    assert row("hardware", "amplifier.gain_bandwidth")["meaning"] == "gain-bandwidth product; none: infinite"
    assert row("hardware", "array.G_min")["meaning"] == "smallest programmable conductance (ohms are taken too)"
    for name in TABLES:
        for each in rows(name):
            assert not each["unit"] or not re.search(rf", {re.escape(each['unit'])}(?![\w²])", each["meaning"]), each


def test_kinds_are_named_by_their_words():
    assert "`monte carlo`, `importance`, `high sigma`" in row("sweeps", "analysis.kind")["values"]
    assert row("designs", "workload.kind")["values"].startswith("`random`, `dominant`, `file`")
    assert row("trainings", "task")["values"].startswith("`digits`")


def test_spreads_have_all_their_keys():
    assert row("variation", "KIND.doubling")["kinds"] == "`amplifier_bias`"
    assert row("variation", "KIND.stuck_open")["kinds"] == "`array_resistor`"
    assert row("variation", "reference_temperature")["example"] == '`"25 °C"`'
    for key in ("distribution", "tolerance", "meaning", "limit", "tracking", "coefficient"):
        assert f"| `{key}` |" in keys.spread_keys()


@pytest.mark.parametrize("name", TABLES)
def test_defaults_are_what_descriptions_have_and_units_are_known(name):
    for each in rows(name):
        default, unit = each["default"].strip("`"), each["unit"]
        if unit and default.startswith('"'):
            parse_quantity(default.strip('"'), unit)


def test_defaults_of_a_design_are_read_as_they_stand():
    (document,) = (document for document in configs("specification") if document["name"] == "board")
    given = {name: document["specification"][name] for name in ("limits",)}
    bare = from_document(Design, document | {"specification": given}, "test").specification
    for name, field in type(bare).model_fields.items():
        if unit := unit_of(field.annotation, field.metadata):
            shown = row("designs", f"specification.{name}")["default"].strip('`"')
            assert parse_quantity(shown, unit) == pytest.approx(getattr(bare, name), rel=1e-12)


def test_an_example_is_the_first_short_value_that_configs_give():
    documents = [{"a": {"b": "x" * 100}}, {"a": {"c": 1}}, {"a": {"b": ["1 V", 2]}}]
    assert example(documents, "a.b") == '`["1 V", 2]`'
    assert example(documents, "a.KEY") == "`1`"
    assert example(documents, "z") == ""
    assert example(hardware(), "array.G_max")

"""Tables as TOML text: what is read back is what was written."""

import tomllib

import pytest

from experiments.shared.toml import toml_text
from spu_circuit.documents import from_toml
from spu_circuit.hardware import Hardware, hardware_tables, load_hardware, presets


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_read_back_as_it_was(name):
    document = hardware_tables(name)
    text = toml_text(document)
    assert tomllib.loads(text) == document
    assert from_toml(Hardware, text.encode(), name) == load_hardware(name)


def test_names_and_texts_that_need_quotes_get_them():
    document = {
        "plain": 'a "quoted" \\ text\n\x7f',
        "with space": {"a.b": {"empty": {}, "numbers": [1, 2.5, 1e-9]}, "true": True},
        "list": ["µ", "Ω"],
    }
    assert tomllib.loads(toml_text(document)) == document

import pytest

from spu_circuit.quantity import parse_quantity


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("1 kΩ", "Ω", 1e3),
        ("10k", "Ω", 1e4),
        ("4.7 kohm", "Ω", 4700),
        ("1 nF", "F", 1e-9),
        ("3 mV", "V", 3e-3),
        ("3 MHz", "Hz", 3e6),
        ("10 µS", "S", 1e-5),
        ("1 kΩ", "S", 1e-3),
        ("27 °C", "K", 300.15),
        ("300.15 K", "K", 300.15),
        ("77K", "K", 77),
        ("300 kelvin", "K", 300),
        ("10K", "Ω", 1e4),
        ("5 Ω", "Ω", 5.0),
        ("26 mA", "A", 26e-3),
        ("18 nV/√Hz", "V/√Hz", 18e-9),
        ("18 nV/rtHz", "V/√Hz", 18e-9),
        ("18nV/sqrt(Hz)", "V/√Hz", 18e-9),
    ],
)
def test_text_becomes_si(text, unit, value):
    # One rounding of a decimal and one division.
    assert parse_quantity(text, unit) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "unit", "word"),
    [
        ("5", "F", "no unit"),
        ("1e-9", "F", "no unit"),
        ("1 kΩ", "F", "wanted 'F'"),
        ("fast", "Hz", "not a quantity"),
        ("0 Ω", "S", "above zero"),
        ("18 nV", "V/√Hz", "wanted 'V/√Hz'; write it like '18 nV/√Hz'"),
    ],
)
def test_missing_or_wrong_unit_is_named_with_the_cure(text, unit, word):
    with pytest.raises(ValueError, match=word):
        parse_quantity(text, unit)

import pytest
from pydantic import TypeAdapter, ValidationError

from spu_circuit.quantity import KelvinDifference, parse_quantity, parse_ratio, shown


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
        ("1,5 nF", "F", "'1,5 nF' has a comma; write '1.5 nF', or '15 nF' if it parts thousands"),
        ("1,5 %", "%", "has a comma; write '1.5 %'"),
    ],
)
def test_missing_or_wrong_unit_is_named_with_the_cure(text, unit, word):
    with pytest.raises(ValueError, match=word):
        parse_quantity(text, unit)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (5e-5, "S", "50 µS"),
        (12.5e-6, "s", "12.5 µs"),
        (9.0213, "V per unit", "9.021 V per unit"),
        (0.09, "V per unit", "90 mV per unit"),
        (-3.3e-9, "F", "-3.3 nF"),
        (999.96e-6, "A", "1 mA"),
        (1.8e-8, "V/√Hz", "18 nV/√Hz"),
        (2e7, "Hz", "20 MHz"),
        (0.0, "Ω", "0 Ω"),
        (float("inf"), "s", "inf s"),
        (float("nan"), "V", "nan V"),
        (300.0, "K", "300 K"),
        (1e-16, "V²/Hz", "1e-16 V²/Hz"),
        (0.005, "%", "0.5 %"),
        (5e-5, "ppm/K", "50 ppm/K"),
        (2e-8, "% µm", "2 % µm"),
        (1e-11, "µm²", "10 µm²"),
        (0.5, "LSB", "0.5 LSB"),
        (123456.0, "", "1.235e+05"),
    ],
)
def test_values_are_shown_as_engineers_read_them(value, unit, text):
    assert shown(value, unit) == text


def test_what_is_shown_is_read_back():
    for unit in ("S", "Ω", "F", "V", "A", "Hz", "s", "K", "V/√Hz", "%", "ppm/K", "% µm", "µm²"):
        assert parse_quantity(shown(1.25e-7, unit, 6), unit) == pytest.approx(1.25e-7)


@pytest.mark.parametrize(("text", "value"), [("106 dB", 10**5.3), ("80dB", 1e4), ("-6.0205999 dB", 0.5), ("0 dB", 1.0)])
def test_decibels_are_twenty_times_the_logarithm(text, value):
    assert parse_ratio(text) == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize("text", ["106", "106 db", "dB", "1e9 dB", "80 V", "80,5 dB"])
def test_ratios_that_are_not_in_decibels_are_refused_with_the_cure(text):
    with pytest.raises(ValueError, match="write it like '106 dB', or as a number"):
        parse_ratio(text)


def test_a_difference_of_temperatures_in_degrees_is_one_in_kelvin():
    read = TypeAdapter(KelvinDifference).validate_python
    assert [read(text) for text in ("10 °C", "10 K", "0 °C")] == [10, 10, 0]
    with pytest.raises(ValidationError):
        read("-10 °C")

"""The catalogue of parts: what it holds, its series, its prices, and what is refused."""

import pytest

from spu_circuit.catalogue import ConverterPart, load_catalogue, nearest, preferred
from spu_circuit.errors import InputError

STANDARD = load_catalogue("standard")


def test_standard_catalogue_has_parts_of_every_place_with_source_and_price():
    assert len(STANDARD.parts) >= 60
    assert {name: len(table) >= 8 for name, table in STANDARD.tables.items()} == dict.fromkeys(STANDARD.tables, True)
    for part in STANDARD.parts.values():
        assert part.source
        assert part.price > 0
    assert "assumption" in STANDARD.price_source


def test_better_grades_of_a_part_are_not_cheaper():
    for better, worse in (("TL074B", "TL074"), ("AD5764C", "AD5764"), ("AD7608", "AD7606"), ("AD5754R", "AD5724R")):
        assert STANDARD.parts[better].price >= STANDARD.parts[worse].price
    classes = STANDARD.resistors
    assert classes["RC0603 1 %"].price < classes["RT0603 0.1 % 25"].price < classes["VSMP0805 0.01 %"].price


def test_converters_of_the_bench_preset_are_those_of_the_catalogue():
    """Both were written after the same data sheets."""
    dac, adc = STANDARD.dacs["AD5764"], STANDARD.adcs["AD7606"]
    assert isinstance(dac, ConverterPart)
    assert (dac.bits, dac.full_scale, dac.gain_error, dac.offset_error, dac.inl) == (16, 10.0, 2e-4, 2e-3, 4.0)
    assert (adc.bits, adc.full_scale, adc.gain_error, adc.offset_error, adc.inl) == (16, 10.0, 1e-3, 1.83e-3, 2.0)


def test_series_are_those_of_the_standard():
    assert preferred("E6", 1.0, 10.0).tolist() == [1.0, 1.5, 2.2, 3.3, 4.7, 6.8, 10.0]
    assert preferred("E24", 1e3, 2e3).tolist() == [1e3, 1.1e3, 1.2e3, 1.3e3, 1.5e3, 1.6e3, 1.8e3, 2e3]
    assert preferred("E96", 10.0, 12.0).tolist() == [10.0, 10.2, 10.5, 10.7, 11.0, 11.3, 11.5, 11.8]
    assert len(preferred("E96", 1e3, 1e6)) == 3 * 96 + 1
    assert 920.0 in preferred("E192", 900.0, 950.0).tolist()  # and not 919, as IEC 60063 says
    assert nearest("E12", 5e-9) == 4.7e-9
    assert nearest("E24", 1.62e3) == 1.6e3


def test_prices_of_the_user_take_the_place_of_the_defaults():
    own = STANDARD.priced({"TL074": 0.3})
    assert own.parts["TL074"].price == 0.3
    assert own.parts["TL072"] == STANDARD.parts["TL072"]
    with pytest.raises(InputError, match=r"prices: no part 'TL07' in catalogue 'standard'; did you mean 'TL072'\?"):
        STANDARD.priced({"TL07": 1.0})


SMALL = """
name = "mine"
currency = "EUR"
price_source = "my supplier"
[resistors."one percent"]
source = "its data sheet"
price = 0.01
series = "E96"
tolerance = "1 %"
temperature_coefficient = "100 ppm/K"
smallest = "10 Ω"
largest = "1 MΩ"
power = "0.1 W"
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"1 %"', '"1"', r"resistors.one percent.tolerance: '1' is not in % or ppm"),
        ('"E96"', '"E97"', r"resistors.one percent.series: .*'E96' or 'E192'"),
        ("price = 0.01", "price = -1", r"resistors.one percent.price: .* greater than or equal to 0 \(got -1\)"),
        ("power", "watts", r"unknown key 'resistors.one percent.watts'"),
        ('source = "its data sheet"\n', "", r"resistors.one percent.source is missing; add it"),
        ('"10 Ω"', '"10"', r"resistors.one percent.smallest: '10' has no unit"),
    ],
)
def test_a_wrong_catalogue_is_refused_in_one_line(tmp_path, old, new, said):
    path = tmp_path / "mine.toml"
    path.write_text(SMALL, encoding="utf-8")
    assert load_catalogue(path).parts["one percent"].channels == 1
    assert old in SMALL
    path.write_text(SMALL.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=said) as refused:
        load_catalogue(path)
    assert "\n" not in str(refused.value)


def test_a_catalogue_that_is_not_there_is_named():
    with pytest.raises(InputError, match=r"catalogue: no file 'standart'; did you mean 'standard'\?"):
        load_catalogue("standart")


def test_one_name_is_one_part(tmp_path):
    path = tmp_path / "mine.toml"
    capacitor = SMALL[SMALL.index("[resistors") :].replace("resistors", "capacitors").replace('power = "0.1 W"', "")
    capacitor = capacitor.replace('"10 Ω"', '"10 pF"').replace('"1 MΩ"', '"1 nF"') + 'voltage = "50 V"\n'
    path.write_text(SMALL + capacitor, encoding="utf-8")
    with pytest.raises(InputError, match="'one percent' names two parts; give them names of their own"):
        load_catalogue(path)

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from spu_circuit.errors import InputError
from spu_circuit.hardware import changed_hardware
from spu_circuit.spread import Matching, RelativeSpread, VoltageSpread
from spu_circuit.variation import ArrayVariation, RelativeVariation, Variation

P = np.linspace(0.001, 0.999, 999)
SPREADS = [
    (RelativeSpread(tolerance=0.01, meaning="sigma"), stats.norm(0, 0.01)),
    (RelativeSpread(tolerance=0.03, meaning="3 sigma"), stats.norm(0, 0.01)),
    (RelativeSpread(distribution="uniform", tolerance=0.05, meaning="limit"), stats.uniform(-0.05, 0.1)),
    (
        RelativeSpread(distribution="uniform", tolerance=0.05, meaning="sigma"),
        stats.uniform(-0.05 * 3**0.5, 0.1 * 3**0.5),
    ),
    (RelativeSpread(distribution="lognormal", tolerance=0.5, meaning="sigma"), stats.lognorm(0.5, loc=-1)),
    (
        RelativeSpread(distribution="truncated", tolerance=0.02, meaning="sigma", limit=0.03),
        stats.truncnorm(-1.5, 1.5, scale=0.02),
    ),
    (
        VoltageSpread(distribution="truncated", tolerance=0.009, meaning="3 sigma", limit=0.001),
        stats.truncnorm(-1 / 3, 1 / 3, scale=0.003),
    ),
]


@pytest.mark.parametrize(("spread", "law"), SPREADS)
def test_quantiles_are_those_of_the_distribution(spread, law):
    # Both are closed forms of the normal quantile; ten digits leave room for their rounding.
    np.testing.assert_allclose(spread.quantile(P), law.ppf(P), rtol=1e-10, atol=1e-12)


def test_limits_and_extremes():
    for spread, law in SPREADS:
        low, high = law.support()
        for sign, end in ((-1, low), (1, high)):
            three_sigma = {"lognormal": np.expm1(sign * 1.5), "normal": sign * 0.03}.get(spread.distribution)
            assert spread.extreme(sign) == pytest.approx(end if three_sigma is None else three_sigma, rel=1e-12)
        # One rounding of the last digit at most.
        assert low * (1 + 1e-15) <= spread.quantile(np.array([2.0**-54]))[0]
        assert spread.quantile(np.array([1 - 2.0**-53]))[0] <= high * (1 + 1e-15)


def test_zero_tolerance_is_nominal():
    for distribution, limit in (("normal", None), ("uniform", None), ("lognormal", None), ("truncated", 0.1)):
        meaning = "limit" if distribution == "uniform" else "sigma"
        spread = RelativeSpread(distribution=distribution, tolerance=0, meaning=meaning, limit=limit)
        assert not spread.quantile(P).any()


def test_matching_follows_pelgroms_law():
    # 1 % µm over √(25 µm²) is 0.2 %.
    assert Matching(coefficient="1 % µm", area="25 µm²").spread.scale == pytest.approx(0.002, rel=1e-12)


def test_ageing_is_a_drift_per_decade_of_hours():
    aged = RelativeVariation(ageing=-0.01)
    assert Variation(capacitor=aged, hours=0).ageing("capacitor") == 1
    # log₁₀(1 + 9) = 1 and log₁₀(1 + 999) = 3.
    assert Variation(capacitor=aged, hours=9).ageing("capacitor") == pytest.approx(0.99, rel=1e-12)
    assert Variation(capacitor=aged, hours=999).ageing("capacitor") == pytest.approx(0.97, rel=1e-12)
    assert Variation(capacitor=aged, hours=999).ageing("dac_offset") == 1


@pytest.mark.parametrize(
    ("kind", "table", "words"),
    [
        ("capacitor", {"local": {"tolerance": "1 %"}}, "meaning is missing"),
        ("capacitor", {"local": {"tolerance": "1 %", "meaning": "limit"}}, "take one of sigma, 3 sigma"),
        ("capacitor", {"local": {"tolerance": "1 V", "meaning": "sigma"}}, "not in % or ppm"),
        ("capacitor", {"local": {"tolerance": 0.01, "meaning": "sigma"}}, "has no unit"),
        ("capacitor", {"local": {"tolerance": "20 %", "meaning": "sigma"}}, "take distribution = 'lognormal'"),
        ("capacitor", {"lot": {"tolerance": "1 %", "meaning": "sigma", "limit": "2 %"}}, "limit is for a truncated"),
        (
            "capacitor",
            {"lot": {"tolerance": "40 %", "meaning": "sigma", "distribution": "truncated", "limit": "150 %"}},
            "reaches values below zero",
        ),
        (
            "capacitor",
            {"lot": {"tolerance": "100 %", "meaning": "limit", "distribution": "uniform"}},
            "reaches values below zero",
        ),
        ("amplifier_offset", {"lot": {"tolerance": "1 mV", "meaning": "sigma", "distribution": "lognormal"}}, "adds"),
        (
            "capacitor",
            {"lot": {"tolerance": "9000 %", "meaning": "sigma", "distribution": "lognormal"}},
            "a σ of 90 spans more than parts can; give at most 5",
        ),
        ("capacitr", {}, "did you mean 'capacitor'"),
        ("capacitor", {"lott": {}}, "did you mean 'lot'"),
        (
            "array_resistor",
            {
                "local": {"tolerance": "1 %", "meaning": "sigma"},
                "matching": {"coefficient": "1 % µm", "area": "1 µm²"},
            },
            "keep one",
        ),
        ("array_resistor", {"stuck_open": 0.6, "stuck_closed": 0.4}, "leave no working resistor"),
        ("capacitor", {"ageing": "-40 %"}, "leaves -0.6 of a part; lower ageing or hours"),
    ],
)
def test_mistakes_are_one_line_with_the_cure(kind, table, words):
    with pytest.raises(InputError, match=words) as caught:
        changed_hardware("bench", {"variation": {kind: table, "hours": 9999.0}})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("correlation", "words"),
    [
        ({"capacitor resistor": 0.5}, "does not name two different kinds"),
        ({"capacitor capacitor": 0.5}, "does not name two different kinds"),
        ({"capacitor dac_gain": 0.5}, "dac_gain has no lot deviation"),
        ({"capacitor array_resistor": 1.5}, "from -1 to 1"),
        ({"capacitor array_resistor": 0.5, "array_resistor capacitor": 0.1}, "given twice"),
        (
            {
                "capacitor array_resistor": 0.9,
                "capacitor input_resistor": 0.9,
                "input_resistor array_resistor": -0.9,
            },
            "correlation is impossible",
        ),
    ],
)
def test_impossible_correlations_are_refused(correlation, words):
    lot = {"lot": RelativeSpread(tolerance=0.01, meaning="sigma")}
    of_kind = RelativeVariation(**lot)
    with pytest.raises(ValidationError, match=words):
        Variation(
            capacitor=of_kind,
            input_resistor=of_kind,
            array_resistor=ArrayVariation(**lot),
            correlation=correlation,
        )

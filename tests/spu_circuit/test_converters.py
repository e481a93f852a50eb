import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spu_circuit.converters import quantize
from spu_circuit.hardware import Converter


@given(st.integers(2, 24), st.floats(-2, 2))
def test_error_is_at_most_half_an_lsb_inside_the_range(bits, volts):
    converter = Converter(bits=bits, full_scale=1.0)
    value, clipped = quantize(np.array([volts]), converter)
    inside = -1 - converter.lsb / 2 <= volts <= 1 - converter.lsb / 2
    assert clipped[0] == (not inside)
    if inside:
        # 1e-12: rounding of the product code · LSB.
        assert abs(value[0] - volts) <= converter.lsb / 2 + 1e-12
    assert -1 <= value[0] <= 1 - converter.lsb


def test_codes_are_twos_complement():
    value, _ = quantize(np.linspace(-3, 3, 1001), Converter(bits=3, full_scale=4.0))
    assert np.unique(value).tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert quantize(np.array([9.0, -9.0]), Converter(bits=3, full_scale=4.0))[0].tolist() == [3, -4]


def test_without_bits_only_the_range_limits():
    value, clipped = quantize(np.array([0.123456789, 1.5]), Converter(full_scale=1.0))
    assert value.tolist() == [0.123456789, 1.0]
    assert clipped.tolist() == [False, True]
    assert Converter(full_scale=1.0).lsb == pytest.approx(0)

"""Formulas of behavioural sources: values and slopes."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from solvers.network.expression import Expression
from solvers.network.nodal import NodalAnalysis
from solvers.network.reader import read_lines
from spu_circuit.errors import InputError


@pytest.mark.parametrize(
    "formula",
    [
        "V(a)*V(b) - 3*V(a,b)",
        "13.5*tanh(V(a)/13.5)",
        "V(b)+3.2*tanh((5*tanh(V(a)/5)-V(b))/3.2)",
        "exp(V(a)/3) + V(b)^2",
        "(2 + V(a)^2)^(V(b)/4) / (V(b)^2 + 1)",
        "max(V(a), V(b)) + min(V(a), 1)",
        "limit(V(a), -1, 1) * V(b)",
    ],
)
@given(volts=st.tuples(st.floats(-4, 4), st.floats(-4, 4)))
def test_slopes_are_those_of_the_values(formula, volts):
    """Central differences of 1e-5 leave 1e-9 of a smooth function, whose values here are below 100: 1e-6."""
    # Choices have no slope where they change.
    assume(min(abs(volts[0] - volts[1]), abs(abs(volts[0]) - 1)) > 1e-3)
    expression = Expression(formula, {})
    named = dict(zip((("a", "0"), ("b", "0"), ("a", "b")), (*volts, volts[0] - volts[1]), strict=True))
    controls = [np.array([named[control]]) for control in expression.controls]
    value, slopes = expression.linearised(controls)
    assert np.all(value == expression.value(controls))
    for k, slope in enumerate(slopes):
        above, below = ([c + sign * 1e-5 * (j == k) for j, c in enumerate(controls)] for sign in (1, -1))
        difference = (expression.value(above) - expression.value(below)) / 2e-5
        np.testing.assert_allclose(slope + np.zeros(1), difference, rtol=1e-6, atol=1e-6)


def test_unknown_functions_are_named_when_linearised():
    lines = "V1 in 0 DC 1\nR1 in out 1000\nC1 out 0 1e-9\nB1 b 0 v=gauss(V(out))\nR2 b 0 1".splitlines()
    with pytest.raises(InputError, match=r"'gauss\(control_0\)' is not understood"):
        NodalAnalysis(read_lines(lines), ["b"]).reduce(linearise=True)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("(" * 5000 + "1" + ")" * 5000, "is not understood; check its operators and brackets"),
        ("9" * 9999, "is not understood; check"),
        ("1\0", "is not understood; check"),
        ("-" * 300 + "1", "has more than 200 operations inside each other; name parts of it by parameters"),
        ("1" + "+1" * 500, "has more than 200 operations"),
        ("sqrt(" * 90 + "1" + "+1" * 200 + ")" * 90, "has more than 200 operations"),
    ],
)
def test_nests_and_garbage_are_one_line(formula, words):
    with pytest.raises(InputError, match=rf"^expression '.* {words}") as error:
        Expression(formula, {}).value()
    assert len(str(error.value)) < 500

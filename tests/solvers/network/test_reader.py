"""SPICE lines as a flat list of elements: values, units, parameters and formulas as ngspice reads them."""

import numpy as np
import pytest

from solvers.network import reader
from solvers.network.nodal import NodalAnalysis
from solvers.network.reader import read_lines
from solvers.ngspice_process import run_deck
from spu_circuit.errors import InputError


def at_rest(lines, outputs):
    found = NodalAnalysis(read_lines(lines.splitlines()), outputs).reduce(linearise=True)
    return found.output[0] @ np.linalg.solve(found.drift[0], found.input_rate[0]) + found.offset[0]


def test_values_are_those_that_ngspice_reads():
    """Operating points of dividers; on the way options of a value, units, an inch's thousandth."""
    lines = """V1 in 0 ac 1 dc 2
R1 in a 1k
R2 a 0 1k tc=0.01 ac=5
R3 in b 1mil
R4 b 0 20u
R5 in c 1kohm
R6 c 0 3k
X1 in d half m=2
.subckt half a b m=1
R1 a b {m*1k}
.ends
.model unused d
R7 d 0 1k
C1 a 0 10nF"""
    deck = f".title dividers\n{lines}\n.options temp=27 tnom=27\n.save v(a) v(b) v(c) v(d)\n.op\n.end\n"
    (plot,) = run_deck(deck, 60)
    nodes = ["a", "b", "c", "d"]
    np.testing.assert_allclose(
        at_rest(lines, nodes), [plot[f"v({node})"][0] for node in nodes], rtol=1e-6
    )  # gmin of ngspice


def test_currents_choices_and_parameters_of_a_subcircuit_are_read():
    """2 V over 1 kΩ: I = 2 mA through the source; each choice at both sides of its bounds. Values by hand."""
    text = """
        .param scale=2
        .subckt cell a b params: k=1 twice={2*k}
        + offset=0
        .param gain={twice*scale}
        Vs a m dc 0
        Rs m 0 1k
        B1 b 0 v={gain*i(Vs)*1k + offset}
        .ends
        V1 in 0 2
        X1 in one cell params: k=3
        X2 in two cell offset='1+scale'
        B2 low 0 v=min(v(in), 1) + limit(v(in), 3, 4)
        B3 high 0 v=max(v(in), 1) + limit(v(in), -1, 1)
        B4 0 push i=i(V1)
        Rpush push 0 1
        R1 in c 1
        C1 c 0 1n
    """
    # V1 carries −4 mA, counted from + to − through the source.
    rest = at_rest(text, ["one", "two", "low", "high", "push"])
    np.testing.assert_allclose(rest, [6 * 2 * 2, 2 * 2 * 2 + 3, 1 + 3, 2 + 1, -4e-3], rtol=1e-12)


def test_sources_without_a_value_are_zero():
    """As in ngspice, and as OPA1662's file measures a current."""
    lines = ["V1 a 0 3", "R1 a b 1k", "Vsense b c", "R2 c 0 2k", "I0 c 0"]
    deck = [".title zero", *lines, ".save v(c) i(Vsense)", ".op", ".print op v(c)", ".end", ""]
    plot = run_deck("\n".join(deck), 30)[0]
    expected = [float(plot["v(c)"][0]), float(plot["i(vsense)"][0])]
    assert expected == pytest.approx([2, 1e-3], rel=1e-12)
    assert [each.value for each in read_lines(lines).elements] == [3, 1e3, 0, 2e3, 0]
    np.testing.assert_allclose(at_rest("\n".join([*lines, "C1 c 0 1n"]), ["c"]), expected[:1], rtol=1e-12)


@pytest.mark.parametrize("value", ["{1/0}", "{10^400}", "{(-1)^0.5}", "{log(-1)}", "1e999", "{x}", "{0*1e999}"])
def test_values_that_are_not_finite_are_refused(value):
    with pytest.raises(InputError, match=r"is (-?inf|nan); .*must be finite$"):
        read_lines([".param y=1", f"R1 a 0 {value}"], {"x": np.inf})


def test_subcircuits_that_double_are_refused_by_a_budget(monkeypatch):
    monkeypatch.setattr(reader, "MOST_PLACED", 1000)
    nest = [line for k in range(25) for line in (f".subckt s{k} a", f"X1 a s{k + 1}", f"X2 a s{k + 1}", ".ends")]
    with pytest.raises(InputError, match=r"^subcircuit s0: with those inside each other .* more than 1000 lines; take"):
        read_lines([*nest, ".subckt s25 a", "R1 a 0 1", ".ends", "X0 b s0"])


NEGATIVE = ["Va a 0 0", "RZ a b 1", "CZ a b -5n ic=1u", "RY b 0 1u"]
"""As vendors make a zero: the gain of a stage behind it, and 1 µΩ at its foot."""


def test_a_capacitance_below_zero_is_refused_for_what_it_does():
    """It grows by e in 5 fs, which steps of 0.05 fs follow to 1e-3. Steps of 1 ns damp it, as those of boards do."""
    with pytest.raises(InputError, match=r"CZ: -5e-09 F is below 0 and grows at 1/\(R C\) .*; use ngspice, or a macro"):
        read_lines(NEGATIVE)
    volts = []
    for step, stop in (("0.05f", "20f"), ("1n", "20n")):
        deck = [".title negative", *NEGATIVE, ".save v(b)", f".tran {step} {stop} 0 {step} uic", ".print tran v(b)"]
        plot = run_deck("\n".join([*deck, ".end", ""]), 30)[0]
        volts.append(abs(float(plot["v(b)"][-1])))
    assert volts[0] == pytest.approx(1e-6 * np.exp(20 / 5), rel=1e-3)
    assert volts[1] < 1e-9

"""SPICE lines as a flat list of elements: values, units, parameters and formulas as ngspice reads them."""

import numpy as np
import pytest
import scipy

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


NEGATIVE = ["V1 in 0 1", "R1 in a 1k", "C1 a 0 10p ic=0", "Ea c 0 a 0 1", "RZ c b 1", "CZ c b -5n", "RY b 0 1u"]
"""As vendors make a zero: the gain of a stage behind it, and 1 µΩ at its foot. What comes has 10 ns, the zero -5 ns."""


def test_a_capacitance_below_zero_does_what_long_steps_see_of_it():
    """V_b = 1 µ (V_a + τ_z dV_a/dt), with τ_z = -5 ns and V_a = 1 - exp(-t / 10 ns); 1e11/s adds 1e-3 of the change.

    By itself the mode of RY and CZ grows by e in 5 fs, which steps of 1 ps damp, as those of boards do.
    """
    times = np.array([2e-9, 1e-8, 3e-8, 1e-7])
    decayed = np.exp(-times / 1e-8)
    expected = 1e-6 * (1 - decayed - 0.5 * decayed)
    found = NodalAnalysis(read_lines(NEGATIVE), ["b"]).reduce(linearise=True)
    drift, rest = found.drift[0], np.linalg.solve(found.drift[0], found.input_rate[0])
    ways = [scipy.linalg.expm(-drift * time) @ -rest + rest for time in times]
    np.testing.assert_allclose([(found.output[0] @ way + found.offset[0])[0] for way in ways], expected, atol=1e-9)
    deck = [".title negative", *NEGATIVE, ".options method=gear", ".save v(b)", ".tran 0.1n 100n 0 0.1n uic"]
    plot = run_deck("\n".join([*deck, ".print tran v(b)", ".end", ""]), 30)[0]
    np.testing.assert_allclose(np.interp(times, plot["time"], plot["v(b)"]), expected, atol=4e-9)


def test_a_capacitance_below_zero_that_grows_more_slowly_than_that_still_grows():
    """1 kΩ at -5 pF: 2e8/s, less the 0.2 % that the rate of 1e11/s makes of it."""
    found = NodalAnalysis(read_lines(["V1 a 0 1", "R1 a b 1k", "C1 b 0 -5p"]), ["b"]).reduce(linearise=True)
    assert found.drift[0] == pytest.approx(-2e8, rel=3e-3)

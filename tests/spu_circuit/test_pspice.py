"""PSpice's language in ngspice's words: values of formulas and switches in ngspice against PSpice's definitions."""

from math import atan, exp, log, sqrt

import numpy as np
import pytest
from scipy.signal import step

from solvers.ngspice_process import run_deck
from spu_circuit.errors import InputError
from spu_circuit.library import lines_of, used_part

CELSIUS = 50.0


def used(text, name="part"):
    """What a deck has of a library, which is its own translation."""
    found, _ = used_part(lines_of(text, "vendor.lib"), name)
    assert used_part(lines_of(found, "vendor.lib"), name)[0] == found
    return found


def part(*lines, head="", after=""):
    return "\n".join([f".subckt part 1 2 3 {head}".rstrip(), *lines, ".ends", *([after] if after else [])])


def volts(library, bench, output="v(c)"):
    """At the operating point, of a bench around ``X1 a b c part``."""
    lines = ["bench", *bench, "X1 a b c part", used(library), f".save {output}", f".print op {output}"]
    deck = "\n".join([*lines, f".options temp={CELSIUS} tnom={CELSIUS} reltol=1e-6", ".op", ".end", ""])
    return run_deck(deck, 60.0)[-1][output][0]


@pytest.mark.parametrize(
    "source", ["E1 3 0 VALUE={%s}", "e1 3 0 value { %s }", "B1 3 0 V={%s}", "Eo 3 0 VALUE = {{%s}}"]
)
@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("LIMIT(V(1), -2, 2)", -2.0),
        ("limit(V(1),2,-2)", -2.0),  # PSpice exchanges limits in the wrong order
        ("LIMIT(V(1),{low},{high})", -2.0),
        ("LIMIT(10*LIMIT(V(1),-1,1), -5k, 5)", -10.0),
        ("IF(V(1)<0 & V(2)>0, 7, 8)", 7.0),
        ("IF(~(V(1)<0) | V(2)>5, IF(V(2)>0,1,2), IF(V(2)>0,3,4))", 3.0),
        ("TABLE(V(1), -2,-1, 3,1)", -1.0),  # constant beyond its ends
        ("TABLE(V(1)+2, -2,-1, 3,1)", -0.4),
        ("PWR(V(1),3)", 15.625),
        ("PWRS(V(1),2)", -6.25),
        ("POW(V(1),3)", -15.625),
        ("V(1)**3", -15.625),
        ("2*(V(1)+1) ** 3 + 1", -5.75),
        ("-V(1)**2", -6.25),
        ("INT(V(1))", -2.0),
        ("STP(V(1)) + STP(V(2))", 1.0),
        ("ARCTAN(V(1))", atan(-2.5)),
        ("LOG(V(2)*V(2)+1)", log(10)),
        ("clip(V(1))", -1.0),
        ("TEMP", CELSIUS),
        ("1k*VT", 1e3 * 8.617333262e-5 * (CELSIUS + 273.15)),
        ("1e12*GMIN", 1.0),
    ],
)
def test_formula_has_its_value_in_ngspice(source, formula, expected):
    """V(1) is −2.5 V and V(2) 3 V. To what ngspice's iterations leave, reltol 1e-6."""
    library = part(
        ".param low=-2 high=2", ".FUNC clip(x) {LIMIT(x,-1,1)}", source % formula.replace("{", "(").replace("}", ")")
    )
    found = volts(library, ["Va a 0 -2.5", "Vb b 0 3"])
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("area", ["2", "2.00000000E+00", "{1+1}", "2 OFF", "area=2"])
def test_area_of_a_diode_may_stand_without_its_name(area):
    """The drop of a junction of 2 nA at what flows through 1 kΩ."""
    library = part(f"DX 2 3 DX {area}\nR1 3 0 1k\n.MODEL DX D(IS=1e-9)")
    found = volts(library, ["Va a 0 1", "Vb b 0 0.6"])
    thermal = 8.617333262e-5 * (CELSIUS + 273.15)
    assert 0.6 - found == pytest.approx(thermal * log(found / 1e3 / 2e-9 + 1), rel=1e-3)


def test_names_that_a_library_defines_are_its_own():
    library = part("E1 3 0 VALUE={temp*vt}", head="PARAMS: temp=3", after=".param vt=7")
    assert volts(library, ["Va a 0 1", "Vb b 0 1"]) == pytest.approx(21)


SWITCH = "SW 3 2 1 2 SM\n.MODEL SM VSWITCH(RON=1 ROFF=1Meg VON={on} VOFF={off})"


@pytest.mark.parametrize(("on", "off"), [(1.0, 0.0), (-1.0, 2.0)])
@pytest.mark.parametrize("way", [-0.5, 0.25, 0.5, 0.8, 3.0])
def test_voltage_switch_is_smooth_between_its_resistances(on, off, way):
    """At half way the geometric mean; PSpice's cubic of the control in ln R elsewhere."""
    library = part(SWITCH.format(on=on, off=off))
    control = off + way * (on - off)
    x = min(max(way - 0.5, -0.5), 0.5)
    expected = exp(log(1e6) / 2 + log(1e-6) * (1.5 * x - 2 * x**3))
    found = volts(library, [f"Va a 0 {control!r}", "Vb b 0 0", "I1 0 c 1u", "Rc c 0 1e15"])
    assert found == pytest.approx(1e-6 * expected, rel=1e-5)


def test_current_switch_has_its_mean_half_way():
    library = part("Vs 1 2 0", "W1 3 2 Vs SM", after=".model SM ISWITCH(RON=10 ROFF=1e5)")
    found = volts(library, ["I0 0 a 0.5m", "Vb b 0 0", "I1 0 c 1u", "Rc c 0 1e15"])
    assert found == pytest.approx(1e-6 * sqrt(10 * 1e5), rel=1e-5)


def test_an_inner_model_hides_the_one_outside():
    library = part(SWITCH.format(on=1, off=0), after=".model SM VSWITCH(RON=7 ROFF=8)")
    found = volts(library, ["Va a 0 2", "Vb b 0 0", "I1 0 c 1m"])
    assert found == pytest.approx(1e-3, rel=1e-5)


def test_parts_at_absolute_zero_have_no_noise():
    """Of three resistors of 1 kΩ only the last is noisy: half of its √(4 k T R) at the divider's output."""
    library = part(
        "R1 1 2 RN 1k", "R2 1 3 1k noiseless", "R3 3 2 1k TC=1m,2u", after=".model RN RES(T_ABS=-273.15 R=1)"
    )
    lines = ["bench", "Va a 0 AC 1", "X1 a 0 c part", used(library), ".print noise onoise_spectrum"]
    deck = [*lines, ".options temp=27 tnom=27", ".noise v(c) Va dec 1 1k 10k", ".end", ""]
    found = run_deck("\n".join(deck), 60.0)[0]["onoise_spectrum"][0]
    assert found == pytest.approx(sqrt(4 * 1.380649e-23 * 300.15 * 1e3) / 2, rel=1e-5)


@pytest.mark.parametrize("source", ["E1 3 0 LAPLACE {V(1,2)} = {%s}", "G1 0 3 laplace {V(1,2)} (%s)\nR1 3 0 1"])
@pytest.mark.parametrize(
    ("law", "above", "below"),
    [
        ("5", [5], [1]),
        ("-1k/(1+s/6.28Meg)", [-1e3], [1 / 6.28e6, 1]),
        ("(1+1u*s)/((1+10u*s)*(1+10n*s))", [1e-6, 1], [1e-13, 1.001e-5, 1]),
        ("1e12/(s*s + 2e5*s + 1e12)", [1e12], [1, 2e5, 1e12]),
        ("(s^2+1e10)/(s+1e5)**2 + 1", [2, 2e5, 2e10], [1, 2e5, 1e10]),
        ("(1-1u*s)/(1+1u*s)", [-1e-6, 1], [1e-6, 1]),
    ],
)
def test_transfer_function_has_its_step_response(source, law, above, below):
    """SciPy's exact exponentials, for a step of 1 V in 0.1 ns; ngspice's steps of 5 ns leave 1e-3 of the largest."""
    library = part(*(source % law).split("\n"))
    lines = ["bench", "Va a 0 pwl(0 0 1u 0 1.0001u 1)", "Vb b 0 0", "X1 a b c part", used(library)]
    deck = [*lines, ".save v(c)", ".print tran v(c)", ".options reltol=1e-6", ".tran 5n 20u 0 5n", ".end", ""]
    plot = run_deck("\n".join(deck), 60.0)[-1]
    times = np.linspace(0, 19e-6, 4000)
    expected = np.full(4000, above[0] / below[0]) if len(below) == 1 else step((above, below), T=times)[1]
    wanted = np.interp(plot["time"] - 1.00005e-6, times, expected)
    after = plot["time"] > 1.1e-6
    assert after.sum() > 1000
    assert np.abs(plot["v(c)"] - wanted)[after].max() < 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("law", "numbers"),
    [
        ("k/(1+tau*s)", "{k}/(1+{tau}*s)"),
        ("{k}*(1+2*tau*s)/((1+s*{tau})*(1+1u*s)) - sqrt(k)", "{k}*(1+2*{tau}*s)/((1+s*{tau})*(1+1u*s)) - {k}**0.5"),
        ("(-k*s)/(tau**2*s*s+tau*s/2+1)", "(-{k}*s)/({tau}**2*s*s+{tau}*s/2+1)"),
    ],
)
def test_transfer_function_has_the_parameters_of_each_call(law, numbers):
    """Both calls against sources with their numbers written out, which take the same steps, each solved to
    1e-6; six of them add up."""
    calls = [{"k": 2.0, "tau": 3e-6}, {"k": 0.5, "tau": 0.4e-6}]
    lines = [f".subckt filter a b PARAMS: k=1 tau=1u\nE1 b 0 LAPLACE {{V(a)}} = {{{law}}}\n.ends"]
    lines += [f"X{n} 1 p{n} filter PARAMS: k={own['k']!r} tau={own['tau']!r}" for n, own in enumerate(calls)]
    for n, own in enumerate(calls):
        plain = numbers.replace("{k}**0.5", repr(sqrt(own["k"]))).format(**own)
        lines.append(f"E{n} n{n} 0 LAPLACE {{V(1)}} = {{{plain}}}")
    library = part(*lines, "E9 3 0 VALUE={V(p0)-V(n0)+5*(V(p1)-V(n1))}", "E8 4 0 VALUE={V(p0)+5*V(p1)}")
    lines = ["bench", "Va a 0 pwl(0 0 1u 0 1.01u 1)", "Vb b 0 0", "X1 a b c part", used(library)]
    deck = [*lines, ".save v(c) v(x1.4)", ".print tran v(c)", ".options reltol=1e-6", ".tran 20n 20u 0 20n", ".end", ""]
    plot = run_deck("\n".join(deck), 60.0)[-1]
    assert np.abs(plot["v(c)"]).max() < 1e-5 < 0.1 < np.abs(plot["v(x1.4)"]).max()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("E1 3 0 LAPLACE {V(1)} = {exp(-1u*s)}", "LAPLACE knows no 'exp"),
        ("E1 3 0 LAPLACE {V(1)} = {1/s}", r"LAPLACE of '1/s' cannot be built; write a quotient of polynomials of s"),
        ("E1 3 0 LAPLACE {V(1)} = {1+s}", r"LAPLACE of '1\+s' cannot be built"),
        ("E1 3 0 LAPLACE {V(1)} = {1/(1+k*s)}", "LAPLACE knows no 'k'"),
        ("E1 3 0 LAPLACE {V(1)} = {1/(1+V(2)*s)}", r"LAPLACE knows no 'V\(2.0\)'"),
        (".param k=1\nE1 3 0 LAPLACE {V(1)} = {k*s}", r"LAPLACE of 'k\*s' cannot be built"),
        (".param k=1\nE1 3 0 LAPLACE {V(1)} = {wrong(k)/(1+s)}", "function 'wrong' is not known"),
        ("E1 3 0 LAPLACE {V(1)} = {1/(1+{1u*s)}", "'{' of .* is not closed"),
        ("E1 3 0 LAPLACE {V(1)} = {1/(1+1e300*s+1e-300*s*s)}", "LAPLACE of .* has coefficients beyond all numbers"),
        (f"E1 3 0 LAPLACE {{V(1)}} = {{1/({'-' * 2000}s+1)}}", "LAPLACE is not understood"),
        ("E1 3 0 LAPLACE V(1) 1", "LAPLACE is not understood; write E1 a b LAPLACE"),
        ("E1 3 0 LAPLACE {V(1)} = {1/(1+s)**99}", r"LAPLACE knows no '\(1.0 \+ s\) \*\* 99"),
        ("G1 3 0 FREQ {V(1)} = (1,0,0) (1k,-3,0)", "FREQ has no counterpart"),
        ("E1 3 0 VALUE={SDT(V(1))}", "function 'sdt' is not known; known are abs"),
        ("E1 3 0 VALUE={LIMIT(V(1),2)}", "LIMIT has 2 arguments; PSpice's has 3"),
        ("E1 3 0 VALUE={V(1)^2}", r"'\^' is a power to some .* write \*\* or PWR"),
        ("E1 3 0 VALUE={V(1)**k}", r"ngspice takes the absolute value of 'V\(1\)' before a power; write a number"),
        ("E1 3 0 VALUE={V(1)**}", r"'\*\*' has nothing after it"),
        ("E1 3 0 VALUE={(V(1)}", r"'\(' of '\(V\(1\)' is not closed; add '\)'"),
        (f"E1 3 0 VALUE={{{'(' * 51}1{')' * 51}}}", "more than 50 brackets stand inside each other"),
        (f"E1 3 0 VALUE={{{'LIMIT(1,k,' * 30}1{')' * 30}}}", "a formula has more than 10000 characters in ngspice's"),
        (f"E1 3 0 VALUE={{V(1){'**3' * 40}}}", "a formula has more than 10000 characters in ngspice's"),
        ("E1 3 0 VALUE={TABLE(V(1),0,1,0,2)}", "TABLE has points at no rising numbers"),
        (".func if(a,b,c) {a}", "function 'if' has the name of one that is built in; rename it"),
        ("D1 1 2 DX\n.model DX D(T_ABS=20)", "T_ABS gives parts a temperature of their own"),
        ("D1 1 2 DX\n.model DX AKO:DY D(IS=1f)", "AKO: takes another model's values"),
        ("R1 1 2 RX 1k\n.model RX RES(R=2)", "a model multiplies the values of its parts"),
        ("S1 1 2 3 0 SX\n.model SX VSWITCH(VT=1 VH=2)", "VSWITCH has VT=1; it takes numbers for RON, ROFF, VON, VOFF"),
        ("S1 1 2 3 0 SX\n.model SX VSWITCH(VON=0)", "VSWITCH has no resistance above 0, or no range"),
        ("S1 1 2 3 SX\n.model SX VSWITCH(VON=2)", "S1 does not fit its model SX; check its nodes"),
    ],
)
def test_what_ngspice_cannot_say_is_refused_by_line(line, words):
    with pytest.raises(InputError, match=rf"^library vendor.lib, line [23]: ({words})"):
        used(part(line))

"""Semiconductors, polynomials and tables against ngspice: terminal currents, whole boards, and what is refused."""

from math import inf

import numpy as np
import pytest

from experiments.shared.systems import spd_system
from netlists.deck import Numerics
from netlists.device import load, program_array
from solvers import amplifier_noise
from solvers.network import Network, state_space
from solvers.network.reader import read_lines
from solvers.ngspice import Ngspice
from solvers.ngspice_process import run_deck
from solvers.spu import Spu
from spu_circuit.amplifier import Amplifier
from spu_circuit.errors import InputError, SpuError
from spu_circuit.hardware import Noise, load_hardware
from spu_circuit.problem import LinearSystem
from spu_circuit.sampling import Sample, Sampling
from spu_circuit.variation import Variation
from tests.amplifiers.styles import facts_of_all, part_of
from tests.cases import relative

FACTS = facts_of_all()


def currents(lines, volts):
    """Into each terminal, by the elements' formulas; all nodes are terminals."""
    at = {"0": 0.0, **volts}
    found = dict.fromkeys(volts, 0.0)
    for element in read_lines(lines).elements:
        if element.expression is None or element.kind[0] != "B":
            continue
        value = element.expression.value([at[a] - at[b] for a, b in element.controls])
        for node, sign in zip(element.nodes, (1.0, -1.0), strict=True):
            if node in found:
                found[node] += sign * float(value)
    return found


def currents_of_ngspice(lines, volts):
    deck = [".title device", *lines, *(f"V{node} {node} 0 {value!r}" for node, value in volts.items())]
    saved = " ".join(f"i(V{node})" for node in volts)
    deck += [f".options temp=27 tnom=27 {Numerics(reltol=1e-8).options} abstol=1e-18", f".save {saved}", ".op"]
    plot = run_deck("\n".join([*deck, f".print op {saved}", ".end", ""]), 30)[0]
    return {node: -float(plot[f"i(v{node})"][0]) for node in volts}


DIODE = ["D1 a 0 dm", ".model dm D(IS=2e-14 N=1.2 BV=12 IBV=1m)"]
FULL = "IS=1e-15 BF=180 NF=1.02 VAF=60 IKF=4m ISE=3e-14 NE=1.6 BR=3 NR=1.01 VAR=20 IKR=6m ISC=1e-13 NC=1.9"
NPN, PNP = (["Q1 c b 0 qm 2", f".model qm {kind}({FULL} XTB=1.5 EG=1.1 KF=1e-15)"] for kind in ("NPN", "PNP"))
NJF, PJF = (["J1 d g s jm", f".model jm {kind}(VTO=-1.5 BETA=8e-4 LAMBDA=0.03 IS=1e-13)"] for kind in ("NJF", "PJF"))
CASES = [
    *((DIODE, {"a": volts}) for volts in (0.7, 0.3, -0.02, -0.2, -5.0, -11.9, -12.02)),
    *((NPN, {"c": c, "b": b}) for c, b in ((5.0, 0.72), (0.1, 0.75), (-0.5, 0.1), (10.0, 0.85))),
    *((PNP, {"c": -c, "b": -b}) for c, b in ((5.0, 0.72), (0.1, 0.75), (-0.5, 0.1))),
    *(
        (NJF, {"d": d, "g": g, "s": s})
        for d, g, s in ((5.0, -0.4, 0.0), (0.3, 0.1, 0.0), (0.0, -0.2, 2.0), (4.0, -3, 0))
    ),
    *((PJF, {"d": d, "g": g, "s": s}) for d, g, s in ((-5.0, 0.4, 0.0), (-0.3, 0.5, 0.0), (0.0, 0.2, -2.0))),
    (["G1 0 a POLY(2) b 0 a b 1m 2m -3m 4m 5m 6m 7m"], {"a": 0.7, "b": -0.4}),
    (["G1 0 a TABLE {V(b)*2} = (-1,-1m) (0,0.2m) (2,3m)"], {"a": 0.0, "b": 0.3}),
    (["B1 0 a i={ternary_fcn(V(b)>0.2 && V(a)<1, 1m*V(b), 2m)}"], {"a": 0.0, "b": 0.3}),
    (["B1 0 a i={pwl(V(b), -1,1m, 0,2m, 2,-1m)+u(V(b))*1m*ln(2)}"], {"a": 0.0, "b": 3.0}),
]


@pytest.mark.parametrize(("lines", "volts"), CASES)
def test_terminal_currents_are_those_of_ngspice(lines, volts):
    """ngspice has Boltzmann's constant of 2014: 3.5e-7 of 30 n k T / q; and currents of 1e-18 A are its own noise."""
    expected = currents_of_ngspice(lines, volts)
    found = currents(lines, volts)
    largest = max(map(abs, expected.values()))
    for node, value in expected.items():
        assert found[node] == pytest.approx(value, rel=2e-5, abs=1e-6 * largest + 1e-17), node


@pytest.mark.parametrize("kind", ["NPN", "PNP"])
def test_slopes_are_the_derivatives_of_the_currents(kind):
    """Central differences of 1e-6 V: their error is the square of it over that of k T / q."""
    sign = 1 if kind == "NPN" else -1
    for element in read_lines(["Q1 c b e qm", f".model qm {kind}({FULL})", "R1 c b 1k"]).elements:
        if element.expression is None:
            continue
        at = np.array([sign * (0.65 if "be" in element.name else -4.0 if "bc" in element.name else 0.6)])
        at = np.resize(at, len(element.controls))
        _, slopes = element.expression.linearised(list(at))
        for k, slope in enumerate(slopes):
            ends = [element.expression.value(list(at + step * np.eye(len(at))[k])) for step in (1e-6, -1e-6)]
            assert float(slope) == pytest.approx(float(ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-13)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("D1 a 0 m\n.model m D(IS=1e-14 IKF=1)", r"D1: ikf=1 of model 'm' is not known here .*ngspice"),
        ("D1 a 0 m\n.model m D(LEVEL=3)", r"D1: level=3 of model 'm' is not known here"),
        ("Q1 a 0 0 m\n.model m D(IS=1e-14)", r"Q1: model 'm' is of kind d; Q takes npn or pnp; use ngspice"),
        ("J1 a 0 0 nowhere", r"J1: no model of a semiconductor"),
        ("D1 a 0 m 2 3\n.model m D", r"D1: known behind its model: area"),
        ("E1 a 0 POLY(2) b 0 1 2", r"E1: POLY\(2\) has 4 words"),
        ("E1 a 0 TABLE {V(b)} = (1,2)", r"E1: TABLE has two or more points"),
        ("Z1 a b 0 m\n.model m NMF", r"Z1: the network engine does not know this element .*use ngspice"),
    ],
)
def test_what_is_not_known_is_refused_by_name(model, message):
    with pytest.raises(InputError, match=message):
        read_lines(["R1 a 0 1k", *model.split("\n")])


def test_effects_that_are_given_as_none_change_nothing():
    plain, given = (
        read_lines(["Q1 a b 0 m", f".model m NPN(IS=1e-15 {more})"]) for more in ("", "IRB=0 XTF=0.0 VTF=0")
    )
    assert [element.expression.text for element in given.elements] == [e.expression.text for e in plain.elements]


@pytest.mark.parametrize(
    ("given", "charged"), [("CJO=1e-18 TT=10p", False), ("", False), ("CJO=1e-18 TT=1n", True), ("CJO=1p TT=10p", True)]
)
def test_an_ideal_diode_has_no_charge(given, charged):
    """That of vendors has 1 aF behind 1 mΩ, a mode of 1e21/s."""
    elements = read_lines(["D1 a 0 dm", f".model dm D(IS=1e-15 RS=1e-3 {given})"]).elements
    assert any(element.kind == "C" for element in elements) == charged


@pytest.mark.parametrize("controls", ["(b,0)", "( b , 0 )", "(b 0)"])
def test_controls_of_a_linear_source_may_stand_in_brackets(controls):
    (found,) = read_lines([f"E1 a 0 {controls} 2"]).elements
    assert (found.kind, found.nodes, found.value) == ("E", ("a", "0", "b", "0"), 2.0)


def test_a_resistance_below_zero_is_a_conductance():
    """Vendors balance loads by them: 1 kΩ and −2 kΩ in parallel are 2 kΩ."""
    circuit = read_lines(["R1 a 0 1k", "R2 a 0 -2k"])
    assert [(element.kind, element.value) for element in circuit.elements] == [("R", 1e3), ("G", -5e-4)]


def board(name, cells=3, **values):
    """A bench board with a part of the corpus, its limits from its data sheet, without noise and rounding."""
    bench = load_hardware("bench")
    adc = bench.adc.model_copy(update={"bits": None})
    return bench.model_copy(
        update={"amplifier": part_of(FACTS[name]), "adc": adc, "noise": Noise(thermal=False), **values}
    )


def solved(name, time, engine, **values):
    return Spu(board(name, **values), engine).solve(spd_system(3, 8), time)


QUICK = ("uA741", "TL072", "AD711", "OPA197", "LT1013", "LM741", "LMC660")


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in FACTS])
def test_operating_points_are_those_of_ngspice(name):
    """Both iterate to 1e-10 and better of the outputs; gains of 1e5 carry what is left in junctions: 1e-6."""
    found, expected = solved(name, inf, Network()), solved(name, inf, Ngspice(reltol=1e-6))
    assert not found.note
    assert relative(found.value, expected.value) < 1e-6


@pytest.mark.parametrize("name", ["TL072", "AD711", "LF356", "OPA197", "AD8601"])
def test_transients_of_fast_amplifiers_are_those_of_ngspice(name):
    """ngspice's steps of 1/1000, trapezoidal: below 1e-4, and the bound of validation is 1e-3."""
    found = solved(name, 1.0, Network(linearise=True))
    expected = solved(name, 1.0, Ngspice(points=1000, reltol=1e-5))
    assert relative(found.value, expected.value) < 1e-4
    assert not found.note


@pytest.mark.parametrize(("name", "time"), [("uA741", inf), ("AD711", 1.0)])
def test_boards_behind_wires_are_those_of_ngspice(name, time):
    wires = {"array": load_hardware("bench").array.model_copy(update={"wire_resistance": 5.0})}
    found = solved(name, time, Network(linearise=True), **wires)
    expected = solved(name, time, Ngspice(points=1000, reltol=1e-6), **wires)
    assert relative(found.value, expected.value) < (1e-6 if time == inf else 1e-4)
    assert relative(found.value, solved(name, time, Network(linearise=True)).value) > 1e-3


def test_slewing_amplifiers_are_told_or_refused():
    """0.5 V/µs where the board wants about as much, and 0.3 where it wants more."""
    slow = solved("uA741", 0.5, Network(linearise=True))
    exact = solved("uA741", 0.5, Ngspice(points=1000))
    assert relative(slow.value, exact.value) > 1e-3
    assert "slew or saturate on the way" in slow.note
    with pytest.raises(SpuError, match=r"slew or saturate on the way: .* use ngspice, or lower the voltages"):
        solved("OP07", 0.5, Network(linearise=True))


def test_missing_noise_of_amplifiers_is_told(monkeypatch):
    engine, system = Network(linearise=True, readout_bandwidth=1e6), spd_system(3, 8)
    hardware = board("TL072", noise=Noise())
    monkeypatch.setattr(amplifier_noise, "noise_of", lambda amplifier, kelvin: "ngspice is not on the PATH")
    for time, told in ((1.0, True), (inf, False)):
        assert (
            "noise is not known (ngspice is not on the PATH)" in Spu(hardware, engine).solve(system, time).note
        ) == told
    monkeypatch.undo()
    assert Spu(hardware, engine).solve(system, 1.0).note == ""


def test_limits_that_nobody_named_are_told_at_rest():
    """Ranging does not know that the part gives 4 mA and the board takes 9: ngspice agrees, and is as far off."""
    named = board("TL062")
    part = named.amplifier.model_copy(update={"rail": None, "current_limit": None, "output_resistance": 0.0})
    hardware = named.model_copy(update={"amplifier": part, "dac": named.dac.model_copy(update={"full_scale": 40.0})})
    system = LinearSystem(np.array([[0.6, 0.55], [0.55, 0.6]]), np.ones(2))
    found, expected = (Spu(hardware, engine).solve(system) for engine in (Network(), Ngspice()))
    assert relative(found.value, expected.value) < 1e-6
    assert found.statistics.saturated_nodes == 0
    assert found.statistics.residual > 0.1
    assert "a current or a rail is near" in found.note
    assert not Spu(named, Network()).solve(system).note


def test_capacitances_of_junctions_are_those_at_rest(tmp_path):
    """10 pF at 0 V and a quarter of it at rest: without them voltages are off by 6e-5, with those of 0 V by 9e-5."""
    facts = FACTS["TL072"]
    text = facts.file.read_text().replace("vto=-1", "vto=-1 cgs=10p cgd=10p pb=0.8 rs=5 rd=3")
    path = tmp_path / "charged.lib"
    path.write_text(text)
    plain = board("TL072")
    part = Amplifier(**{**plain.amplifier.model_dump(exclude={"library_text"}), "library": str(path)})
    hardware, system = plain.model_copy(update={"amplifier": part}), spd_system(3, 8)
    found = Spu(hardware, Network(linearise=True)).solve(system, 0.3)
    expected = Spu(hardware, Ngspice(points=2000, reltol=1e-5)).solve(system, 0.3)
    without = Spu(plain, Network(linearise=True)).solve(system, 0.3)
    assert relative(without.value, expected.value) > 3e-5
    assert relative(found.value, expected.value) < 5e-6


def test_samples_at_other_temperatures_are_refused():
    """A junction's current is of one temperature."""
    hardware = board(
        "TL072", variation=Variation.model_validate({"temperature": {"tolerance": "10 K", "meaning": "sigma"}})
    )
    with pytest.raises(InputError, match=r"another temperature than .* semiconductors.* or use ngspice"):
        Spu(hardware, Network(), sample=Sample(Sampling(0), 1)).solve(spd_system(3, 8))


LOOPS = """.subckt amp 1 2 3
G1 0 p 1 2 1m
R1 p 0 1G
{capacitors}
E1 q 0 p 0 1
R2 q 3 50
R3 m 0 1G
R4 m p 1G
C9 3 0 1p
.ends
"""


def test_capacitors_in_loops_and_beside_sources_add_nothing(tmp_path):
    """Vendors put capacitances between all inputs: three in a loop have two voltages, and steps have no inverse."""
    laws = []
    several = "C1 p 0 1p\nC2 p 0 1p\nC3 p m 2p\nC4 m 0 2p\nC5 p q 5p\nC6 1 0 1p"
    for name, text in (("one", "C1 p 0 3p"), ("loop", several)):
        (tmp_path / f"{name}.lib").write_text(LOOPS.format(capacitors=text))
        part = Amplifier(
            model="subckt", library=str(tmp_path / f"{name}.lib"), subcircuit="amp", pins=("plus", "minus", "output")
        )
        hardware = board("TL072").model_copy(update={"amplifier": part})
        device = load(program_array(spd_system(3, 8), hardware), np.ones(3), hardware, 0.1)
        laws.append(state_space(device))
    plain, looped = laws
    times = np.linspace(0, 3, 7) * float(device.time_constant)
    assert len(looped.start) > len(plain.start)
    assert looped.growing is None
    assert relative(looped.trajectory(times)[1:], plain.trajectory(times)[1:]) < 1e-6


ZERO = """.subckt zero 1 2 3
Rin 1 2 1meg
Gin 0 10 1 2 1m
Rp 10 0 100meg
Cp 10 0 159p
E1 11 0 10 0 1e6
RZ 11 b 1
CZ 11 b {zero}
RY b 0 1u
E2 3 0 b 0 1
.ends
"""
"""A gain of 1e5, a pole at 10 Hz, and a zero of the other sign at 1/(2 pi 1 ohm C): 1 MHz, the gain-bandwidth product,
of 159 nF. The voltage of one node is a million times that of all others."""


@pytest.mark.parametrize("zero", ["-50n", "-150n"])
def test_boards_whose_amplifiers_have_capacitances_below_zero_are_those_of_ngspice(tmp_path, zero):
    (tmp_path / "zero.lib").write_text(ZERO.format(zero=zero))
    library, pins = str(tmp_path / "zero.lib"), ("plus", "minus", "output")
    bench = load_hardware("bench")
    changes = {
        "amplifier": Amplifier(model="subckt", library=library, subcircuit="zero", pins=pins),
        "adc": bench.adc.model_copy(update={"bits": None}),
        "cell": bench.cell.model_copy(update={"capacitance": 1e-9}),
        "noise": Noise(thermal=False),
    }
    hardware, system = bench.model_copy(update=changes), spd_system(2, 3)
    found = Spu(hardware, Network()).solve(system, 1.0).value
    exact = Spu(hardware, Ngspice(points=1000, reltol=1e-6, method="gear")).solve(system, 1.0).value
    assert relative(found, exact) < 1e-5

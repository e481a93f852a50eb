"""Decks for other simulators: each rule on its text, and ngspice's own dialect in ngspice."""

import re
from math import inf

import numpy as np
import pytest

from experiments.shared.systems import dominant_system, ggn_system, spd_system
from netlists.dialects import DIALECTS, portable
from solvers.ngspice import Ngspice, voltages
from solvers.ngspice_process import run_deck
from solvers.spu import Spu
from spu_circuit.amplifier import Amplifier
from spu_circuit.errors import InputError
from spu_circuit.hardware import load_hardware
from tests.amplifiers.styles import facts_of_all
from tests.cases import quiet


def hardware_of(name):
    """A preset, or the bench with a part of the corpus."""
    facts = facts_of_all().get(name)
    if facts is None:
        return quiet(load_hardware(name))
    part = Amplifier(
        model="subckt", library=str(facts.file), subcircuit=facts.subcircuit, pins=facts.pins, supply=facts.supply
    )
    return quiet(load_hardware("bench").model_copy(update={"amplifier": part}))


SYSTEMS = {"passive": dominant_system(3, 8), "factored": ggn_system(3, 4, 0.3)}
STATE = np.array([0.15, -0.1, 0.05])
"""At twice as much, 2 V, ngspice finds no operating point of OPA1611 in a portable deck."""


def deck_of(name, time):
    system = SYSTEMS.get(name, spd_system(3, 3))
    state = None if time == inf else np.resize(STATE, len(system.b))
    return Spu(hardware_of(name), Ngspice(points=200)).deck(system, time, state)


@pytest.mark.parametrize("time", [inf, 2.0])
@pytest.mark.parametrize("name", ["ideal", "bench", "vendor", "passive", "factored", "OPA1611", "LM324"])
def test_ngspices_dialect_gives_the_voltages_of_the_solve(name, time):
    """A precharge that ends within a millionth of the time moves the rest by as little; ngspice's steps leave 1e-5."""
    own = deck_of(name, time)
    other = portable(own, "ngspice")
    assert "TRRANDOM" not in other
    assert " ? " not in other
    names = re.findall(r"v\(([^)]+)\)", next(line for line in own.splitlines() if line.startswith(".save")))
    first, second = (voltages(run_deck(deck, 60.0)[0], names)[-1] for deck in (own, other))
    np.testing.assert_allclose(second, first, rtol=0, atol=2e-5 * np.abs(first).max())


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", ["ideal", "bench", "vendor", "OPA1611"])
def test_decks_of_every_dialect_are_plain(dialect, name):
    for time in (inf, 2.0):
        lines = portable(deck_of(name, time), dialect).splitlines()
        assert "\n".join(lines).isascii()
        assert lines[0] == "* spu-circuit: active array"
        assert lines[-1] == ".end"
        text = "\n".join(lines)
        for word in ("TRRANDOM", " ? ", "seed", ".title"):
            assert word not in text
        for line in lines:
            if line.lower().startswith((".subckt", "x")) and "=" in line:
                assert " PARAMS: " in line


FULL = (
    ".title t\n.subckt amp a b PARAMS: g=2\nB1 a 0 v={g*tanh(V(b))+ternary_fcn(v(a)>0,1,u(v(b)))}\n"
    "B2 a 0 i={pwl(v(g),0,0,1,g)+ln(2)}\nE1 a 0 TABLE {V(b,a)} = (-1,-2) (1,2)\nR1 a b 5 tc1=1m tc2=1u noisy=0\n"
    "R2 a b RM 1k noisy=0\n"
    ".ends\nVin0 in 0 DC 0.5 AC 1\n.options temp=27.0 tnom=27.0 reltol=0.0001 method=gear\n.options seed=5\n"
    ".save v(a)\n.print op v(a)\n.op\n.end\n"
)


def statements(dialect, text=FULL):
    return portable(text, dialect).splitlines()


def test_ltspice():
    lines = statements("ltspice")
    assert "B1 a 0 V={g}*tanh(V(b))+if(v(a)>0,1,u(v(b)))" in lines
    assert "B2 a 0 I=table(v(g),0,0,1,{g})+ln(2)" in lines
    assert "E1 a 0 value={table(V(b,a),-1,-2,1,2)}" in lines
    assert "R1 a b 5 tc=1m,1u noiseless" in lines
    assert "R2 a b 1k noiseless" in lines
    assert ".temp 27.0" in lines
    assert ".options tnom=27.0 reltol=0.0001 method=gear" in lines
    assert ".save v(a)" in lines
    assert ".op" in lines
    assert not any(line.startswith(".print") for line in lines)


def test_xyce():
    lines = statements("xyce")
    assert "B1 a 0 v={g*tanh(V(b))+IF(v(a)>0,1,STP(v(b)))}" in lines
    assert "B2 a 0 i={TABLE(v(g),0,0,1,g)+LOG(2)}" in lines
    assert "E1 a 0 TABLE {V(b,a)} = (-1,-2) (1,2)" in lines
    assert "R1 a b 5 tc1=1m tc2=1u" in lines
    assert ".options device temp=27.0 tnom=27.0" in lines
    assert ".options timeint reltol=0.0001 method=gear" in lines
    assert ".dc Vin0 0.5 0.5 1" in lines
    assert ".print dc v(a)" in lines
    assert not any(line.startswith((".save", ".op ")) or line == ".op" for line in lines)


def test_precharge_is_a_switch_that_a_source_opens():
    text = ".title t\nBprecharge_C0 a b i={time > 0 ? 0 : 1000.0*(V(a,b)-(0.5))}\n.tran 1e-06 0.001 0 1e-06\n.end\n"
    expected = ["Vspu_precharge spu_precharge 0 PWL(0 1 1e-09 0)", ".tran 1e-06 0.001 0 1e-06"]
    assert statements("ngspice", text)[1] == "Bprecharge_C0 a b i={V(spu_precharge)*(1000.0*(V(a,b)-(0.5)))}"
    assert statements("ltspice", text)[1] == "Bprecharge_C0 a b I=V(spu_precharge)*(1000.0*(V(a,b)-(0.5)))"
    for dialect in DIALECTS:
        assert statements(dialect, text)[2:4] == expected
        assert "spu_precharge" not in portable(
            text.replace("1e-06\n.end", "1e-06 uic\n.end").replace("B", "*"), dialect
        )


def test_every_rule_says_what_it_does():
    assert all(rule.says for dialect in DIALECTS.values() for rule in dialect.rules)


def test_noise_and_unknown_dialects_are_refused():
    noisy = Spu(load_hardware("bench"), Ngspice()).deck(spd_system(3, 3), 2.0)
    with pytest.raises(InputError, match="noise sources"):
        portable(noisy, "xyce")
    with pytest.raises(InputError, match=r"B3 a 0 v=\{v\(a\)>0 \? 1 : 2\}.* has a '\?'.*write IF"):
        portable(FULL.replace(".ends", "B3 a 0 v={v(a)>0 ? 1 : 2}\n.ends"), "xyce")
    with pytest.raises(InputError, match="did you mean 'ltspice'"):
        portable(FULL, "ltspise")

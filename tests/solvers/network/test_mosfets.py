"""MOSFETs of levels 1 to 3 against ngspice: terminal currents, their slopes, capacitances, and what is refused."""

import numpy as np
import pytest

from netlists.deck import Numerics
from solvers.network.reader import read_lines
from solvers.ngspice_process import run_small_signal
from spu_circuit.errors import InputError
from tests.solvers.network.test_devices import currents, currents_of_ngspice

MODELS = {
    "level 1": "NMOS(VTO=0.7 KP=5e-5 LAMBDA=0.03 GAMMA=0.4 PHI=0.65 TOX=20n JS=1e-5 RG=5)",
    "level 1 of a process": "PMOS(LEVEL=1 TOX=40n UO=250 NSUB=1e15 VTO=-0.6 LD=0.2u IS=2e-14)",
    "level 2": "NMOS(LEVEL=2 VTO=0.7 KP=5e-5 LAMBDA=0.03 UCRIT=1e4)",
    "level 3 as level 1": "PMOS(LEVEL=3 VTO=-0.7 KP=5e-5)",
    "level 3 of a fast channel": (
        "NMOS(LEVEL=3 VTO=0.7 UO=500 TOX=20n NSUB=1e16 VMAX=1e5 XJ=0.3u KAPPA=0.4 ETA=0.1 THETA=0.05 DELTA=0.5 LD=0.1u"
        " WD=0.1u)"
    ),
    "level 3 of a slow channel": (
        "PMOS(LEVEL=3 VTO=-0.7 UO=200 TOX=20n NSUB=1e16 XJ=0.3u ETA=0.1 THETA=0.05 GAMMA=0.5 PHI=0.7)"
    ),
}
CHARGED = "CGSO=2e-10 CGDO=1e-10 CGBO=3e-10 CJ=2e-4 CJSW=1e-9 MJ=0.4 CBS=3f"
PLACES = {
    "saturated": (5.0, 2.0, 0.0, 0.0),
    "linear": (0.3, 2.0, 0.0, -1.0),
    "backwards": (0.0, 2.0, 3.0, -0.5),
    "below threshold": (2.0, 0.55, 0.0, 0.0),
    "off": (0.2, -1.0, 0.1, 0.0),
    "bulk forward": (0.05, 0.9, 0.0, 0.3),
    "nearly no voltage": (0.01, 0.75, 0.0, -0.2),
}
OMEGA = 1e9


def lines_of(model, more=""):
    size = "L=2u W=20u M=2 AD=20p AS=30p PD=20u PS=24u"
    return [f"M1 d g s b mm {size}", f".model mm {MODELS[model].replace(')', f' {more})')}"]


def volts_of(model, place):
    sign = -1 if MODELS[model].startswith("PMOS") else 1
    return {node: float(sign * value) for node, value in zip("dgsb", PLACES[place], strict=True)}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("model", MODELS)
def test_terminal_currents_are_those_of_ngspice(model, place):
    """Level 1 of ngspice has a step of 5 % of its saturation current, 4e-14 A, below -3 k T / q."""
    lines, volts = lines_of(model), volts_of(model, place)
    expected, found = currents_of_ngspice(lines, volts), currents(lines, volts)
    largest = max(map(abs, expected.values()))
    for node, value in expected.items():
        assert found[node] == pytest.approx(value, rel=2e-5, abs=1e-6 * largest + 2e-15), node


def admittances(lines, volts):
    """Real and imaginary part of the currents into terminals by their voltages, from slopes and capacitances."""
    at, nodes = {"0": 0.0, **volts}, list(volts)
    found = np.zeros((len(nodes), len(nodes)), dtype=complex)
    for element in read_lines(lines).elements:
        around = [np.float64(at[a] - at[b]) for a, b in element.controls]
        if element.kind == "C":
            pairs = [(element.nodes, 1j * OMEGA * float(element.expression.value(around)))]
        else:
            pairs = zip(element.controls, map(float, element.expression.linearised(around)[1]), strict=True)
        for control, value in pairs:
            for node, sign in zip(element.nodes, (1, -1), strict=True):
                for other, turned in zip(control, (1, -1), strict=True):
                    if node in volts and other in volts:
                        found[nodes.index(node), nodes.index(other)] += sign * turned * value
    return found


def susceptances_of_ngspice(lines, volts):
    columns = []
    for driven in volts:
        deck = [".title device", *lines]
        deck += [f"V{node} {node} 0 DC {value!r} AC {int(node == driven)}" for node, value in volts.items()]
        saved, hertz = " ".join(f"i(V{node})" for node in volts), OMEGA / 2 / np.pi
        deck += [f".options temp=27 tnom=27 {Numerics(reltol=1e-8).options} abstol=1e-18", f".save {saved}"]
        deck += [f".ac lin 1 {hertz!r} {hertz!r}", f".print ac {saved}", ".end", ""]
        plot = run_small_signal("\n".join(deck), 30)[0]
        columns.append([-plot[f"i(v{node})"][0].imag for node in volts])
    return np.array(columns).T


@pytest.mark.parametrize("place", ["saturated", "linear", "backwards", "below threshold", "off", "nearly no voltage"])
@pytest.mark.parametrize("model", MODELS)
def test_capacitances_are_those_of_ngspice(model, place):
    """All but the 1 aF that keeps a capacitance from vanishing, of femtofarads: twice, where two meet at a terminal."""
    lines, volts = lines_of(model, CHARGED), volts_of(model, place)
    expected = susceptances_of_ngspice(lines, volts)
    np.testing.assert_allclose(admittances(lines, volts).imag, expected, rtol=1e-6, atol=4e-18 * OMEGA)


@pytest.mark.parametrize("place", ["saturated", "linear", "backwards", "bulk forward"])
@pytest.mark.parametrize("model", MODELS)
def test_slopes_are_what_the_currents_of_ngspice_rise_by(model, place):
    """Central differences of 1 mV, 1e-5 off; the slopes that level 3 of ngspice names are up to a tenth off these."""
    lines, volts = lines_of(model), volts_of(model, place)
    expected = []
    for node in volts:
        ends = [currents_of_ngspice(lines, volts | {node: volts[node] + step}) for step in (1e-3, -1e-3)]
        expected.append([(ends[0][other] - ends[1][other]) / 2e-3 for other in volts])
    # Where the bulk stands at the source its law has a kink in its curvature alone.
    largest = np.abs(expected).max()
    np.testing.assert_allclose(admittances(lines, volts).real, np.array(expected).T, rtol=1e-3, atol=3e-4 * largest)


def test_sizes_of_a_model_are_those_of_its_parts():
    """As in ngspice: what stands behind the part goes before."""
    volts = {"d": 3.0, "g": 2.0}
    for size, wide in (("", 5e-6), ("W=8u", 8e-6)):
        lines = [f"M1 d g 0 0 mm {size}", ".model mm NMOS(KP=4e-5 VTO=1 L=2u W=5u)"]
        assert currents(lines, volts)["d"] == pytest.approx(2e-5 * wide / 2e-6, rel=1e-6)
        assert currents_of_ngspice(lines, volts)["d"] == pytest.approx(2e-5 * wide / 2e-6, rel=1e-6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "M1 a b 0 0 m\n.model m NMOS(LEVEL=7 TOX=1n)",
            r"M1: level=7 of model 'm' is not known here \('.model m .*ngspice",
        ),
        ("M1 a b 0 0 m\n.model m NMOS(LEVEL=2 NSUB=1e15)", r"M1: nsub=1e15 of model 'm' is not known here"),
        ("M1 a b 0 0 m\n.model m NMOS(LEVEL=3 NFS=1e11)", r"M1: nfs=1e11 of model 'm' is not known here"),
        ("M1 a b 0 0 m TEMP=50\n.model m NMOS", r"M1: known behind its model: l, w, .* \('M1 a b 0 0 m TEMP=50'\)"),
        ("M1 a b 0 0 m L=1u\n.model m NMOS(LD=0.6u)", r"M1: a channel of -2e-07 m by 0.0001 m; L and W must be above"),
        ("M1 a b 0 0 m\n.model m NMOS(TOX=1n NSUB=1e15)", r"M1: NSUB=1e\+15 is known here with VTO"),
        ("M1 a b 0 m\n.model m NMOS", r"M1: no model of a semiconductor"),
        ("M1 a b 0 0 m\n.model m VDMOS(VTO=1)", r"M1: model 'm' is of kind vdmos; M takes nmos or pmos; use ngspice"),
    ],
)
def test_what_is_not_known_is_refused_by_name(model, message):
    with pytest.raises(InputError, match=message):
        read_lines(["R1 a 0 1k", *model.split("\n")])

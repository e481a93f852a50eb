"""Macromodels in the styles of their vendors, from the figures of data sheets. None is a copy of a vendor's file.

``python -m tests.amplifiers.styles`` writes them beside this file. Sources of the equations: Boyle, Cohn, Pederson,
Solomon, IEEE J. Solid-State Circuits 9:353 (1974), for "boyle" and "linear"; the others have an input stage whose gain
is 1, a stage with the dominant pole whose swing is clamped, and an output stage with a current limit.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log, pi
from pathlib import Path
from typing import Any

from spu_circuit.amplifier import Amplifier
from spu_circuit.amplifiers.fields import Role

FOLDER = Path(__file__).parent
THERMAL = 0.025865
"""k T / q at 27 °C, V."""
JOHNSON = 4 * 1.380649e-23 * 300.15
SHORT = "LEVEL=3 NSUB=2E15 UO=600 VMAX=1E6 XJ=0.3U THETA=0.02 ETA=0.02 KAPPA=0.3 TOX=30N CGSO=2E-10 CGDO=2E-10 CBS=0.5P"


@dataclass(frozen=True)
class Facts:
    """What a data sheet says; see ``facts.toml``."""

    name: str
    style: str
    source: str
    supply: float
    gain: float
    bandwidth: float
    slew: float
    offset: float
    bias: float
    swing: float
    short: float
    current: float
    resistance: float
    input: str = ""
    noise: float | None = None

    @property
    def bipolar(self) -> bool:
        return self.input in ("npn", "pnp")

    @property
    def from_above(self) -> bool:
        """Whether the tail current comes from the positive supply."""
        return self.input in ("pnp", "pjf", "pmos")

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name.lower()}.lib"

    @property
    def subcircuit(self) -> str:
        return VENDORS[self.style].called.format(self.name)

    @property
    def pins(self) -> tuple[Role, ...]:
        return VENDORS[self.style].pins


def _pair(facts: Facts, tail: float, load: float, nodes: tuple[str, str, str, str, str, str, str]) -> list[str]:
    """The input pair with a differential gain of 1: ``load`` ohms are 1/g_m of the degenerated transistors.

    Args:
        nodes: base that lowers the second load's voltage less ("minus"), the other, the loads' nodes, the tail, and
            the positive and negative supply.
    """
    minus, plus, first, second, common, high, low = nodes
    far, near = (high, low) if facts.from_above else (low, high)
    lines = [
        f"RC1 {near} {first} {load:.6g}",
        f"RC2 {near} {second} {load:.6g}",
        f"IEE {far} {common} DC {tail:.6g}" if facts.from_above else f"IEE {common} {far} DC {tail:.6g}",
    ]
    if facts.bipolar:
        emitter = load - 2 * THERMAL / tail
        assert emitter > 0, f"{facts.name}: the slew rate needs {4 * pi * THERMAL * facts.bandwidth:.3g} V/s"
        lines += [
            f"Q1 {first} {minus} E1 QN",
            f"Q2 {second} {plus} E2 QP",
            f"RE1 E1 {common} {emitter:.6g}",
            f"RE2 E2 {common} {emitter:.6g}",
        ]
        kind, beta, saturation = facts.input.upper(), tail / 2 / facts.bias, 8e-16
        skew = saturation * exp(facts.offset / THERMAL)
        lines += [
            f".MODEL QN {kind}(IS={saturation:.6g} BF={beta:.6g})",
            f".MODEL QP {kind}(IS={skew:.6g} BF={beta:.6g})",
        ]
        return lines
    lines.append(f"VOS {plus} GP DC {-facts.offset:.6g}")
    if facts.input in ("nmos", "pmos"):
        volts = -0.8 if facts.from_above else 0.8
        more = SHORT if facts.style == "analog" else "LAMBDA=0.02 RG=10"
        return [
            *lines,
            f"M1 {first} {minus} {common} {far} MX L=2U W=100U",
            f"M2 {second} GP {common} {far} MX L=2U W=100U",
            f".MODEL MX {facts.input.upper()}(VTO={volts} KP={1 / load**2 / tail / 50:.6g} GAMMA=0.5 {more})",
        ]
    return [
        *lines,
        f"J1 {first} {minus} {common} JX",
        f"J2 {second} GP {common} JX",
        f".MODEL JX {facts.input.upper()}(IS={facts.bias / 2:.6g} BETA={1 / load**2 / (2 * tail):.6g} VTO=-1)",
    ]


def _front(facts: Facts, margin: float, pins: tuple[str, str, str, str]) -> tuple[list[str], float]:
    """Boyle's first and second stage, which ends in C2 between nodes 16 and 17; and the load resistance of the first.

    Args:
        margin: the bandwidth over the frequency of the first stage's pole.
        pins: plus, minus and the supplies.
    """
    plus, minus, high, low = pins
    compensation = 30e-12 if facts.bipolar else 15e-12
    load = 1 / (2 * pi * facts.bandwidth * compensation)
    tail = facts.slew * compensation
    lines = [
        f"C1 11 12 {margin / (4 * pi * facts.bandwidth * load):.6g}",
        f"C2 16 17 {compensation:.6g}",
        *_pair(facts, tail, load, (minus, plus, "11", "12", "10", high, low)),
        f"REE 10 99 {200 / tail:.6g}",
        f"GA 16 0 11 12 {1 / load:.6g}",
        f"GCM 0 16 10 99 {1e-5 / load:.6g}",
        f"EGND 99 0 POLY(2) ({high},0) ({low},0) 0 .5 .5",
        f"RP {high} {low} {2 * facts.supply / (facts.current - tail):.6g}",
        f"DP {low} {high} DX",
    ]
    return lines, load


def boyle(facts: Facts) -> str:
    """As the PSpice Parts program wrote them for Texas Instruments: small letters, limits by currents into FB."""
    lines, load = _front(facts, 0.5, ("1", "2", "3", "4"))
    inner, drop, most = facts.resistance * 0.4, facts.swing + 0.7, facts.short * 1e3 - 0.7
    factor = facts.gain * load / (facts.resistance - inner)
    lines += [
        "DC 5 53 DX",
        "DE 54 5 DX",
        "DLP 90 91 DX",
        "DLN 92 90 DX",
        f"FB 17 99 POLY(5) VB VC VE VLP VLN 0 {factor:.6g} {-factor:.6g} {factor:.6g} {factor:.6g} {-factor:.6g}",
        "HLIM 90 0 VLIM 1K",
        "R2 16 9 100K",
        f"RO1 8 5 {inner:.6g}",
        f"RO2 17 99 {facts.resistance - inner:.6g}",
        "VB 9 0 DC 0",
        f"VC 3 53 DC {drop:.6g}",
        f"VE 54 4 DC {drop:.6g}",
        "VLIM 17 8 DC 0",
        f"VLP 91 0 DC {most:.6g}",
        f"VLN 0 92 DC {most:.6g}",
        ".MODEL DX D(IS=800.0E-18)",
    ]
    head = [
        f'* {facts.name.lower()} operational amplifier "macromodel" subcircuit',
        "* connections:   non-inverting input",
        "*                | inverting input",
        "*                | | positive power supply",
        "*                | | | negative power supply",
        "*                | | | | output",
        f".subckt {facts.name}     1 2 3 4 5",
        "*",
    ]
    tail = [".ends", ""]
    return "\n".join(head + [line.lower() for line in lines] + tail) + "\x1a"


def linear(facts: Facts) -> str:
    """Boyle's own output stage with GB and diodes across RO1, behind pins numbered as those of the package."""
    lines, load = _front(facts, 0.4, ("3", "2", "7", "4"))
    inner = facts.resistance / 2
    gain = facts.gain * load / (100e3 * (facts.resistance - inner))
    largest = facts.slew * (30e-12 if facts.bipolar else 15e-12) * 100e3 * gain
    drop = facts.swing + THERMAL * log(largest / 8e-16)
    lines += [
        "R2 16 0 100K",
        f"GB 17 99 16 0 {gain:.6g}",
        f"RO2 17 99 {facts.resistance - inner:.6g}",
        f"RO1 17 6 {inner:.6g}",
        "D1 17 8 DL",
        "D2 8 17 DL",
        "EC 8 0 6 0 1",
        f"D3 6 53 DX\nVC 7 53 DC\n+ {drop:.6g}",
        f"D4 54 6 DX\nVE 54 4 DC\n+ {drop:.6g}",
        ".MODEL DX D(IS=8E-16)",
        f".MODEL DL D\n+ (IS={largest * exp(-inner * facts.short / THERMAL):.6g})",
    ]
    text = "\n".join(lines)
    return (
        f"* {facts.name}, Linear Technology style\n* CONNECTIONS: +IN -IN V+ V- OUT (pins of the package)\n"
        f".SUBCKT {facts.name} 3 2 7 4 6 ; 8-pin DIP\n* INPUT\n{text}\n.ENDS {facts.name}\n.END\n"
    )


def analog(facts: Facts) -> str:
    """As Analog Devices writes them: stages around the node 98 between the supplies, mirrors to the supplies."""
    tail = 1e-4
    load = facts.slew / (2 * pi * facts.bandwidth * tail)
    pole = facts.gain / 1e-3
    ohms = facts.resistance
    limit = facts.short * ohms - 0.42
    clamp = facts.swing + 0.55
    lines = [
        "* INPUT STAGE & POLE AT 6 TIMES THE BANDWIDTH",
        *_pair(facts, tail, load, ("2", "9", "5", "6", "4", "99", "50")),
        f"CIN 1 2 2E-12\nC2 5 6 {1 / (4 * pi * load * 6 * facts.bandwidth):.6g}",
        "EOS 9 1 POLY(1) 21 98 0 1",
        "EREF 98 0 POLY(2) 99 0 50 0 0 .5 .5",
        "* GAIN STAGE & DOMINANT POLE",
        f"R7 10 98 {pole:.6g}",
        f"C3 10 98 {1e-3 / (2 * pi * facts.bandwidth):.6g}",
        "G1 98 10 5 6 1E-3",
        f"V2 99 11 {clamp:.6g}\nV3 12 50 {clamp:.6g}",
        "D1 10 11 DX\nD2 12 10 DX",
        "* COMMON-MODE GAIN WITH ZERO",
        "ECM 20 98 POLY(2) 1 98 2 98 0 .5 .5",
        "R8 20 21 1E6\nR9 21 98 1\nC4 20 21 1E-12",
        "* POLE OF THE OUTPUT'S DRIVER",
        f"G2 98 23 10 98 1E-6\nR10 23 98 1E6\nC5 23 98 {1 / (2 * pi * 1e6 * 4 * facts.bandwidth):.6g}",
        "* OUTPUT STAGE",
        f"ISY 99 50 {facts.current - tail:.6g}",
        f"R11 24 99 {2 * ohms:.6g}\nR12 24 50 {2 * ohms:.6g}",
        f"G5 27 50 23 24 {1 / (2 * ohms):.6g}\nG6 28 50 24 23 {1 / (2 * ohms):.6g}",
        f"G7 24 99 99 23 {1 / (2 * ohms):.6g}\nG8 50 24 23 50 {1 / (2 * ohms):.6g}",
        f"V4 25 24 {limit:.6g}\nV5 24 26 {limit:.6g}",
        "D3 23 25 DX\nD4 26 23 DX\nD5 99 27 DX\nD6 99 28 DX\nD7 50 27 DY\nD8 50 28 DY",
        "F1 24 0 VZ 1",
        "VZ 29 0 0\nRZ 29 0 1E6",
        f"LO 24 39 {0.01 * ohms / (2 * pi * facts.bandwidth):.6g}\nRLO 24 39 {10 * ohms:.6g}",
        "* MODELS USED",
        ".MODEL DX D(IS=1E-12)",
        ".MODEL DY D(IS=1E-12 BV=50)",
    ]
    return (
        f"* {facts.name} SPICE MACRO-MODEL\n* NODE NUMBERS\n*              NONINVERTING INPUT\n"
        f"*              | INVERTING INPUT\n*              | | POSITIVE SUPPLY\n*              | | |  NEGATIVE SUPPLY\n"
        f"*              | | |  |  OUTPUT\n.SUBCKT {facts.name} 1 2 99 50 39\n" + "\n".join(lines) + "\n.ENDS\n"
    )


def texas(facts: Facts) -> str:
    """As Texas Instruments writes them since about 2010: PSpice's behavioural sources, switches, nested blocks."""
    noise, drop = facts.noise or 1e-9, f"{facts.short * facts.resistance:.6g}"
    return f"""* {facts.name} - Rev. A
* Features: GAIN, BANDWIDTH, SLEW RATE, OFFSET, BIAS CURRENT, NOISE, SWING, SHORT CIRCUIT, SUPPLY CURRENT
.SUBCKT {facts.name} INP INM VCC VEE OUT
******************************************************
.MODEL R_NOISELESS RES ( TCE=0 T_ABS=-273.15)
.MODEL SW_ON VSWITCH(RON=1 ROFF=1E9 VON=2.5 VOFF=1.5)
.PARAM GBW={facts.bandwidth:.6g}
.PARAM CP=100P
.PARAM GM={{6.283185307*GBW*CP}}
I_BP INP MID {facts.bias:.6g}
I_BM INM MID {facts.bias:.6g}
C_DIF INP INM 1P
XVOS INP N1 VOSN
R_NS NS 0 {noise**2 / JOHNSON:.6g}
E_NS N2 N1 NS 0 1
E_CM N3 MID TABLE {{V(N2,MID)}} = (-{facts.supply:.6g},-{facts.supply:.6g}) ({facts.supply:.6g},{facts.supply:.6g})
E_MID MID 0 VALUE={{0.5*(V(VCC)+V(VEE))}}
G_IN MID G1 VALUE = {{LIMIT(GM*V(N3,INM),{facts.slew * 100e-12:.6g},{-facts.slew * 100e-12:.6g})}}
R_G1 G1 MID R_NOISELESS {facts.gain / (2 * pi * facts.bandwidth * 100e-12):.6g}
C_G1 G1 MID {{CP}}
XHI VCC G1 MID CLAMP_HI PARAMS: DROP={facts.swing:.6g}
XLO VEE G1 MID CLAMP_LO PARAMS: DROP={facts.swing:.6g}
G_P2 MID P2 G1 MID 1U
R_P2 P2 MID R_NOISELESS 1MEG
C_P2 P2 MID {1 / (2 * pi * 1e6 * 3 * facts.bandwidth):.6g}
E_OUT ZO 0 VALUE={{LIMIT(V(P2), V(OUT)-{drop}, V(OUT)+{drop})}}
V_SNS ZO ZS 0
R_O ZS OUT R_NOISELESS {facts.resistance:.6g}
S_ON VCC IQP VCC VEE SW_ON
I_Q IQP VEE {facts.current:.6g}
R_Q IQP VEE R_NOISELESS 1G
G_SRC VCC 0 VALUE={{IF(I(V_SNS)>0,I(V_SNS),0)}}
G_SNK VEE 0 VALUE={{IF(I(V_SNS)<0,I(V_SNS),0)}}
.SUBCKT CLAMP_HI RAIL IN COM PARAMS: DROP=1
G1 IN COM VALUE={{IF(V(IN)>V(RAIL)-DROP,(V(IN)-V(RAIL)+DROP)*10M,0)}}
.ENDS CLAMP_HI
.SUBCKT CLAMP_LO RAIL IN COM PARAMS: DROP=1
G1 IN COM VALUE={{IF(V(IN)<V(RAIL)+DROP,(V(IN)-V(RAIL)-DROP)*10M,0)}}
.ENDS CLAMP_LO
.SUBCKT VOSN A B
V_OS B A {facts.offset:.6g}
.ENDS
.ENDS {facts.name}
*
.SUBCKT {facts.name}_BROKEN 1 2 3
A1 1 2 3 something that no op-amp needs
.ENDS
"""


def national(facts: Facts) -> str:
    """As National Semiconductor wrote them: poles named beside their stages, an output stage of two diodes."""
    tail = 1e-4
    load = facts.slew / (2 * pi * facts.bandwidth * tail)
    ohms, clamp = facts.resistance, facts.swing + 0.63
    lines = [
        "*Features:",
        *_pair(facts, tail, load, ("2", "7", "5", "6", "4", "99", "50")),
        f"*Fp2={6 * facts.bandwidth / 1e6:.3g} MHz",
        f"C4 5 6 {1 / (4 * pi * load * 6 * facts.bandwidth):.6g}",
        f"I2 99 50 {max(facts.current - tail - facts.supply / 20e3, 1e-5):.6g}",
        "EOS 7 1 POLY(1) 16 49 0 1",
        "R8 99 49 40K\nR9 49 50 40K",
        f"V2 99 8 {clamp:.6g}\nD1 9 8 DX\nD2 10 9 DX\nV3 10 50 {clamp:.6g}",
        "EH 99 98 99 49 1",
        "G1 98 9 5 6 2E-3",
        f"R5 98 9 {facts.gain / 2e-3:.6g}",
        f"C3 98 9 {2e-3 / (2 * pi * facts.bandwidth):.6g}",
        "G3 98 15 9 49 1E-6\nR12 98 15 1MEG",
        f"*Fp3={4 * facts.bandwidth / 1e6:.3g} MHz",
        f"C5 98 15 {1 / (2 * pi * 1e6 * 4 * facts.bandwidth):.6g}",
        "G4 98 16 3 49 3.1623E-8\nR13 17 16 1K\nL2 98 17 530.5M\nR1 1 3 250MEG\nR2 3 2 250MEG",
        "X1 99 50 15 28 STAGE/NS",
        ".MODEL DX D(IS=1E-15)",
        ".SUBCKT STAGE/NS 99 50 15 28",
        "F6 50 99 POLY(1) V6 450U 1",
        "E1 99 23 99 15 1",
        f"R16 24 23 {ohms:.6g}\nD5 26 24 DX\nV6 26 22 0.65V",
        f"R17 23 25 {ohms:.6g}\nD6 25 27 DX\nV7 22 27 0.65V",
        f"V5 22 21 {facts.short * ohms - 0.45:.4f}V\nD4 21 15 DX",
        f"V4 20 22 {facts.short * ohms - 0.45:.4f}V\nD3 15 20 DX",
        "L3 22 28 100P\nRL3 22 28 100K",
        ".MODEL DX D(IS=1E-15)",
        ".ENDS",
    ]
    rule = "*" + "/" * 60
    return "\n".join(
        [
            f"{rule}\n* {facts.name} in the style of National Semiconductor, in a library of several\n{rule}",
            ".LIB OPAMPS",
            ".subckt other/ns 1 2 3\nR1 1 2 LAPLACE {wrong\n.ends",
            f"{rule}\n* Connections:      non-inverting input",
            "*                   |   inverting input\n*                   |   |   positive power supply",
            "*                   |   |   |   negative power supply\n*                   |   |   |   |   output",
            f".SUBCKT {facts.name}/NS 1   2  99  50  28",
            *lines,
            ".ENDS\n*$\n.ENDL OPAMPS\n.END\r\n",
        ]
    )


@dataclass(frozen=True)
class Vendor:
    """How a vendor writes. Args: ``called``: the name of the subcircuit, {} the part's."""

    write: Callable[[Facts], str]
    called: str = "{}"
    pins: tuple[Role, ...] = ("plus", "minus", "positive_supply", "negative_supply", "output")


VENDORS = {
    "boyle": Vendor(boyle),
    "linear": Vendor(linear),
    "analog": Vendor(analog),
    "texas": Vendor(texas),
    "national": Vendor(national, "{}/NS"),
}


def facts_of_all() -> dict[str, Facts]:
    """Name → facts."""
    return {name: Facts(name, **own) for name, own in tomllib.loads((FOLDER / "facts.toml").read_text()).items()}


def part_of(facts: Facts, **values: Any) -> Amplifier:
    """The part in a hardware description, its limits from its data sheet."""
    return Amplifier(
        model="subckt",
        library=str(facts.file),
        subcircuit=facts.subcircuit,
        pins=facts.pins,
        supply=facts.supply,
        rail=facts.supply - facts.swing,
        output_resistance=facts.resistance,
        current_limit=0.8 * facts.short,
        **values,
    )


def text_of(facts: Facts) -> str:
    """The file of a part."""
    return VENDORS[facts.style].write(facts)


if __name__ == "__main__":
    for facts in facts_of_all().values():
        facts.file.write_bytes(text_of(facts).encode())

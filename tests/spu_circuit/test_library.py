"""Reading SPICE libraries: what a device uses of one, and what is refused by file and line."""

import os
import subprocess
from importlib import resources

import pytest
from pydantic import ValidationError

from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.amplifier import Amplifier
from spu_circuit.errors import InputError
from spu_circuit.hardware import load_hardware
from spu_circuit.library import lines_of, read_library, used_part
from spu_circuit.problem import LinearSystem

PINS = ("plus", "minus", "positive_supply", "negative_supply", "output")
GOOD = """* a vendor's header; with (c) and more
.MODEL DX D(IS=1E-15)
.subckt half in out PARAMS: k = 2 ; half of it
E1 out 0 in 0
+ {k}
.ends half
* between
.SUBCKT AMP 1 2 3 4 5 $ pin order
Rin 1 2 1meg
* inside
X1 1 6 half params: k=3
E1 5 0 1 2 1e5
.ENDS
.subckt unused a b
Rx a b 1
.ends
"""


def used(tmp_path, text, name="amp"):
    path = tmp_path / "vendor.lib"
    path.write_bytes(text.encode("latin-1"))
    return used_part(read_library(path), name)


def test_a_device_keeps_what_it_uses_of_a_library(tmp_path):
    """Statements whole and without trailing comments; header, models, the subcircuit and those that it calls."""
    text, pins = used(tmp_path, GOOD.replace("\n", "\r\n").replace("(c)", "©"))
    assert pins == ["1", "2", "3", "4", "5"]
    assert text.splitlines() == [
        "* a vendor's header; with © and more",
        ".MODEL DX D(IS=1E-15)",
        ".subckt half in out PARAMS: k=2",
        "E1 out 0 in 0 {k}",
        ".ends half",
        ".SUBCKT AMP 1 2 3 4 5",
        "Rin 1 2 1meg",
        "* inside",
        "X1 1 6 half params: k=3",
        "E1 5 0 1 2 1e5",
        ".ENDS",
    ]


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"])
def test_no_character_ends_a_line_in_secret(tmp_path, end):
    """A comment stays a comment in the deck, whatever a reader takes for the end of a line."""
    (tmp_path / "vendor.lib").write_text(GOOD.replace("* inside", f"* inside{end}.control{end}+ shell rm"), newline="")
    text, _ = used_part(read_library(tmp_path / "vendor.lib"), "amp")
    assert "* inside .control + shell rm" in text.splitlines()


INSIDE = "Rin 1 2 1meg"


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ("* between", ".control", 7, r"\.control has no place in a library.*delete the line"),
        ("* between", ".endc", 7, r"\.endc has no place"),
        ("* between", ".system rm", 7, r"\.system has no place"),
        ("* between", ".exec rm", 7, r"\.exec has no place"),
        ("* between", ".tran 1n 1u", 7, r"\.tran has no place.*change your analysis"),
        ("* between", ".OP", 7, r"\.op has no place"),
        ("* between", ".end", 7, r"\.end has no place"),
        ("* between", ".options reltol=1", 7, r"\.options has no place"),
        ("* between", ".temp 50", 7, r"\.temp has no place"),
        ("* between", ".ic v(1)=1", 7, r"\.ic has no place"),
        ("* between", ".global 5", 7, r"\.global has no place"),
        ("* between", ".lib other.lib tt", 7, r"\.lib is not followed here; copy the models in, or \.include"),
        ("* between", "*#shell rm", 7, r"'\*#' begins a command"),
        ("* between", "shell rm -rf x", 7, r"'shell' is a command"),
        (INSIDE, "codemodel x.cm", 9, r"'codemodel' is a command"),
        (INSIDE, "pre_osdi x.osdi", 9, r"element 'pre_osdi' could read files or load code"),
        (INSIDE, "A1 1 2 source", 9, r"element 'a1' could read files or load code"),
        (INSIDE, "R1 1 2 `ls`", 9, r"the character '`' could hide a command"),
        (INSIDE, "R1 1 2 1 \\\\", 9, r"the character '\\\\' could hide"),
        (INSIDE, "R1 1 2 é", 9, r"the character 'é' could hide"),
        (INSIDE, 'V1 1 2 pwl(file = "x")', 9, r"a value is read from a file"),
        (INSIDE, "Rin 1 spu_positive 1", 9, r"'spu_positive' begins like the simulator's own names; rename"),
        ("* between", "R9 1 0 1k", 7, r"'R9' stands outside any \.subckt"),
        ("* a vendor's header; with (c) and more", "+ R1 1 0", 1, r"'\+' continues a statement, and there is none"),
        (INSIDE, ".model DY", 9, r"a model has a name and a type; write \.model NAME TYPE"),
        (INSIDE, ".subckt inner a b", 8, r"subcircuit 'AMP' does not end; add \.ends"),
        (".subckt unused a b", ".subckt Half a b", 14, r"subcircuit 'Half' is defined twice"),
        (".subckt unused a b", "* no head", 15, r"'Rx' stands outside"),
        ("E1 5 0 1 2 1e5\n.ENDS", "E1 5 0 1 2 1e5", 8, r"subcircuit 'AMP' does not end; add \.ends"),
        (".ends half", ".ends whole", 6, r"\.ends closes no \.subckt of this name"),
        ("6 half", "6 quarter", 11, r"there is no subcircuit 'quarter'; add its definition"),
        ("E1 out 0 in 0\n+ {k}", "X1 out in half", 4, r"subcircuit 'half' contains itself"),
        ("E1 out 0 in 0\n+ {k}", "X1 1 2 3 4 5 amp", 4, r"subcircuit 'amp' contains itself"),
    ],
)
def test_what_has_no_place_in_a_library_is_refused_by_line(tmp_path, before, after, line, words):
    assert before in GOOD
    with pytest.raises(InputError, match=rf"^library vendor.lib, line {line}: {words}") as error:
        used(tmp_path, GOOD.replace(before, after, 1), "half" if "half contains" in words else "amp")
    assert "\n" not in str(error.value)


CATALOGUE = (
    """* Linear products, all parts
.LIB amplifiers
.MODEL DX D(IS=1E-15)
.MODEL dx d(IS=1E-15)
.MODEL BAD AKO:DX D(N=2)
.MODEL TWICE D(IS=1E-15)
.MODEL TWICE D(IS=2E-15)
.FUNC half(x) {x/2}
.FUNC INT(x) {x}
.PARAM scale=2
.subckt broken a b
Rx a é `ls`
*#shell
.control
A1 a b model
.include nowhere.lib
.subckt broken inside
.ends other
.ends
.SUBCKT twice a
R1 a 0 1
.ENDS
.SUBCKT twice a
R1 a 0 2
.ENDS

.subckt amp 1 2 3 4 5 OPTIONAL: sd=0 PARAMS:
+ gain = 1e5
* between the lines of a statement

+ rout=100 ; ohms
.subckt stage in out OPTIONAL: g=$G_DGND e=0
.model DX D(IS=1E-12)
E1 out g VALUE={ LIMIT(half(V(in,e))*2,
+ -10, 10) }
.ends stage
Rin 1 2 1meg
E1 6 0 1 2 {gain}
X1 6 7 stage
X2 7 8 0 stage
Ro 8 5 {rout}
D1 3 4 DX
Rsd sd 0 1k
.ENDS AMP
.ENDL
.END
""".replace("\n", "\r\n")
    + "\x1a\x1a\0\0"
)


def test_faults_of_parts_that_are_not_used_do_not_matter(tmp_path):
    """In a vendor's style: sections, ends, repeated and nested definitions, optional pins, statements in pieces."""
    text, pins = used(tmp_path, CATALOGUE)
    assert pins == ["1", "2", "3", "4", "5", "sd"]
    assert text.splitlines() == [
        "* Linear products, all parts",
        ".MODEL DX D(IS=1E-15)",
        ".MODEL TWICE D(IS=1E-15)",
        ".FUNC half(x) {x/2}",
        ".PARAM scale=2",
        ".subckt amp 1 2 3 4 5 sd PARAMS: gain=1e5 rout=100",
        "* between the lines of a statement",
        ".subckt stage in out g e",
        ".model DX D(IS=1E-12)",
        "E1 out g VALUE={ min(max(half(V(in,e))*2,-10),10) }",
        ".ends stage",
        "Rin 1 2 1meg",
        "E1 6 0 1 2 {gain}",
        "X1 6 7 0 0 stage",
        "X2 7 8 0 0 stage",
        "Ro 8 5 {rout}",
        "D1 3 4 DX",
        "Rsd sd 0 1k",
        ".ENDS AMP",
    ]
    assert used_part(lines_of(text, "vendor.lib"), "amp") == (text, pins)


@pytest.mark.parametrize(
    ("part", "line", "words"),
    [
        ("X9 1 2 broken", 12, "the character 'é' could hide a command"),
        ("X9 1 twice", 23, "subcircuit 'twice' is defined twice; delete one"),
        ("D9 1 2 TWICE", 7, "model 'TWICE' is defined twice; delete one"),
        ("D9 1 2 BAD", 5, "AKO: takes another model's values"),
        ("X9 1 2 3 4 5 6 stage", 43, "subcircuit 'stage' has 4 pins, and 6 nodes here"),
        ("X9 1 stage", 43, "subcircuit 'stage' has 4 pins, and 1 nodes here"),
        (".control", 43, r"\.control has no place"),
    ],
)
def test_faults_of_parts_that_are_used_are_refused_by_line(tmp_path, part, line, words):
    text = CATALOGUE.replace("Rsd sd 0 1k", f"{part}\r\nRsd sd 0 1k")
    with pytest.raises(InputError, match=rf"^library vendor.lib, line {line}: {words}"):
        used(tmp_path, text)


def test_faults_between_other_parts_do_not_matter(tmp_path):
    """In a vendor's style: files of single parts joined without line ends, parts cut short, text without asterisks."""
    before = """.ends
PARTS OF THIS LIBRARY
.SUBCKT zero a
R1 a 0 1
.ENDS zero
.SUBCKT cut 1 2 3
R1 1 2 1k
.MODEL DX D(IS=2E-15)
*# 1 2 3
.SUBCKT first a b
R1 a b LAPLACE wrong
.ENDS first* AMP
.options reltol=1
.SUBCKT other a
R1 a 0 1
.ENDS
.SUBCKT same a
R1 a 0 1
.ENDS
.SUBCKT SAME a
r1 a 0 1
.ends* comment
.SUBCKT cut 1
R1 1 0 1
"""
    amp = GOOD.replace(".ENDS\n", "X9 1 same\n.ENDS AMP*unused\n", 1)
    text, _ = used(tmp_path, before + amp + ".SUBCKT short a b\nR1 a b 1\n")
    assert text == used(tmp_path, before + amp)[0]
    same = [".SUBCKT same a", "R1 a 0 1", ".ENDS"]
    assert text.splitlines()[-13:] == [*same, *used(tmp_path, GOOD)[0].splitlines()[2:-1], "X9 1 same", ".ENDS AMP"]
    for name, words in (("cut", "6: .*'cut' does not end"), ("zero", r"1: \.ends closes"), ("other", r"13: \.options")):
        with pytest.raises(InputError, match=f"line {words}"):
            used(tmp_path, before, name)
    with pytest.raises(InputError, match="line 1: 'PARTS' stands outside any"):
        used(tmp_path, before.removeprefix(".ends\n"), "zero")


def test_files_may_begin_with_a_mark_and_end_lines_as_they_like(tmp_path):
    text, pins = used(tmp_path, GOOD)
    for data in (b"\xef\xbb\xbf" + GOOD.encode(), GOOD.replace("\n", "\r").encode()):
        (tmp_path / "other.lib").write_bytes(data)
        assert used_part(read_library(tmp_path / "other.lib"), "amp") == (text, pins)


def test_what_follows_the_end_of_a_library_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"line 18: \.end has no place in a library"):
        used(tmp_path, GOOD + "\n.END\n.param k=1\n")


def test_values_keep_their_prefixes_and_units(tmp_path):
    """µ and Ω, each of two code points, as ngspice and the network engine both read them."""
    text, _ = used(tmp_path, GOOD.replace(INSIDE, "Rin 1 2 10µ"))
    assert "Rin 1 2 10u" in text.splitlines()
    (tmp_path / "utf8.lib").write_text(
        GOOD.replace(INSIDE, "Rin 1 2 {10\u03bc + 2k\u2126}\nRb 1 2 3kΩ"), encoding="utf-8"
    )
    text, _ = used_part(read_library(tmp_path / "utf8.lib"), "amp")
    assert text.splitlines()[6:8] == ["Rin 1 2 {10u + 2kOhm}", "Rb 1 2 3kOhm"]


def test_an_exponent_behind_a_scale_is_not_read(tmp_path):
    """As in PSpice, where the rest of a number behind its scale says nothing; ngspice would refuse it."""
    text, _ = used(tmp_path, GOOD.replace(INSIDE, "Rin 1 2 2.3ME-3\nRe 1 2 1E3\nRk 1m 2 {5KE+2*2}"))
    assert {"Rin 1 2 2.3M", "Re 1 2 1E3", "Rk 1m 2 {5KE+2*2}"} <= set(text.splitlines())


def test_long_libraries_and_statements_are_refused_by_line(tmp_path):
    with pytest.raises(InputError, match=r"line 100001: a library has at most 100000 lines; keep those of the models"):
        used(tmp_path, GOOD + "*\n" * 100_000)
    with pytest.raises(InputError, match=r"line 9: a statement of \d+ characters; it has at most 10000: shorten it"):
        used(tmp_path, GOOD.replace(INSIDE, INSIDE + "\n+ {k}" * 90_000))


@pytest.mark.parametrize("secret", ["root:x:0:0::/root\n", "key = 123\n+ 45\n", "a\\b\n", "*#x\n", "\xff\n", ""])
def test_a_file_that_is_no_library_is_not_quoted(tmp_path, secret):
    """A stranger's description may name any file of this machine."""
    path = description(tmp_path, library=str(tmp_path / "passwd"))
    (tmp_path / "passwd").write_bytes(secret.encode("latin-1") * 3)
    with pytest.raises(InputError) as error:
        load_hardware(path)
    assert str(error.value) == (
        f"hardware {path}: amplifier: library passwd: no line of it begins with .subckt or .include; give a SPICE "
        "library"
    )


def test_a_library_that_is_no_regular_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in (str(tmp_path / "pipe"), str(tmp_path), "/dev/zero", "x" * 5000, "a\0b"):
        with pytest.raises(ValidationError, match=r"library: no file '.*'; give its path, or one that comes with it"):
            Amplifier(model="subckt", library=name, subcircuit="amp", pins=PINS, supply=15)


def test_a_missing_subcircuit_is_named_with_the_nearest(tmp_path):
    with pytest.raises(InputError, match=r"library vendor.lib: no subcircuit 'ampp'; did you mean 'amp'\?"):
        used(tmp_path, GOOD, "ampp")
    with pytest.raises(InputError, match=r"no subcircuit 'zzz'; known are half, amp, unused"):
        used(tmp_path, GOOD, "zzz")


def description(tmp_path, **changes):
    """The preset with its amplifier replaced, in a folder of its own, with a library beside it."""
    fields = {"library": "parts/vendor.lib", "subcircuit": "AMP", "pins": list(PINS), "supply": "15 V"} | changes
    lines = "\n".join(f"{key} = {value!r}" for key, value in fields.items() if value is not None)
    preset = resources.files("spu_circuit").joinpath("presets/bench.toml").read_text()
    head, rest = preset.split("[amplifier]")
    tail = rest[rest.index("[dac]") :]
    (tmp_path / "parts").mkdir(exist_ok=True)
    (tmp_path / "parts" / "vendor.lib").write_text(GOOD)
    path = tmp_path / "mine.toml"
    path.write_text(f'{head}[amplifier]\nmodel = "subckt"\n{lines}\n{tail}')
    return path


def test_a_library_is_found_beside_the_description_and_kept_in_it(tmp_path, monkeypatch):
    """From any folder; a stored description needs the file no more, and one with another text is another one."""
    path = description(tmp_path)
    monkeypatch.chdir("/")
    hardware = load_hardware(path)
    assert "E1 5 0 1 2 1e5" in hardware.amplifier.library_text
    stored = hardware.model_dump_json()
    (tmp_path / "parts" / "vendor.lib").write_text(GOOD.replace("1e5", "2e5"))
    assert type(hardware).model_validate_json(stored) == hardware
    assert load_hardware(path) != hardware
    with pytest.raises(ValidationError, match=r"library parts/vendor.lib, line 2: .control has no place"):
        Amplifier(**hardware.amplifier.model_dump() | {"library_text": "* x\n.control\n" + GOOD})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"library": None}, "a subckt amplifier needs library; add it"),
        ({"subcircuit": None}, "needs subcircuit"),
        ({"pins": None}, "needs pins"),
        ({"library": "none.lib"}, "none.lib'; give its path, or one that comes with it: opamp.lib"),
        ({"subcircuit": "AMPLY"}, "no subcircuit 'AMPLY'; did you mean 'amp'"),
        ({"pins": list(PINS[:4])}, "pins name 'output' nowhere"),
        ({"pins": [*PINS, "plus"]}, "pins name 'plus' twice"),
        ({"pins": [*PINS, "ground"]}, r"names 6 roles, but 'AMP' of library parts/vendor.lib has 5 pins (1 2 3 4 5)"),
        ({"pins": [*PINS[:4], "vout"]}, "amplifier.pins.4"),
        ({"supply": None}, "pins have a negative_supply, so supply is needed"),
        ({"pins": ["plus", "minus", "output"]}, "pins have no supply"),
        ({"dc_gain": 2e5}, "a subckt amplifier has no dc_gain; leave it out or set model = 'macromodel'"),
        ({"supply": 15.0}, "no unit"),
    ],
)
def test_mistakes_in_a_description_name_the_cure(tmp_path, changes, words):
    with pytest.raises(InputError) as error:
        load_hardware(description(tmp_path, **changes))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_other_models_take_no_library():
    with pytest.raises(ValidationError, match=r"a macromodel amplifier has no library; .* model = 'subckt'"):
        Amplifier(model="macromodel", library="opamp.lib")


def test_subcircuits_may_have_any_name_of_their_own(tmp_path):
    """The library's subcircuit and its inner ones are called as the device's own parts usually are."""
    (tmp_path / "names.lib").write_text(
        ".subckt opamp a b out\nXv0 a b out amplifier\n.ends\n"
        ".subckt amplifier v0 g0 n0\nEout n0 0 v0 g0 1e6\nR1 v0 g0 1e9\n.ends\n"
    )
    pins = ("plus", "minus", "output")
    amplifier = Amplifier(model="subckt", library=str(tmp_path / "names.lib"), subcircuit="opamp", pins=pins)
    hardware = load_hardware("ideal").model_copy(update={"amplifier": amplifier})
    system = LinearSystem([[2.0, -1.0], [-1.0, 2.0]], [1.0, 0.0])
    # Gain 1e6 under a noise gain of about 4.
    assert Spu(hardware, Ngspice()).solve(system).value == pytest.approx([2 / 3, 1 / 3], rel=2e-5)


def test_a_deck_with_a_library_runs_alone(tmp_path):
    """In an empty folder, from its text only."""
    spu = Spu(load_hardware("vendor"), Ngspice(points=20))
    deck = spu.deck(LinearSystem([[2.0, -1.0], [-1.0, 2.0]], [1.0, 0.0]), 2.0)
    assert ".include" not in deck.lower()
    (tmp_path / "deck.cir").write_text(deck)
    run = subprocess.run(["ngspice", "-b", "deck.cir"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "v(v1)" in run.stdout

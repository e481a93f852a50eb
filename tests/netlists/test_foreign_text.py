"""Text of files that others wrote: it is in a deck as comments only, so that ngspice never obeys it."""

import json
import re
import subprocess
from contextlib import closing
from math import inf

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from experiments.sweeps.replay import replay
from experiments.sweeps.rows import STATUSES, Row
from experiments.sweeps.store import SweepStore
from experiments.sweeps.study import study_of
from netlists.deck import comment
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.definitions import COMMANDS, ELEMENTS, STATEMENTS
from spu_circuit.errors import InputError
from spu_circuit.hardware import Hardware, load_hardware
from spu_circuit.problem import GgnSystem, LinearSystem
from tests.experiments.sweeps.test_replay import DOCUMENT
from tests.netlists.test_amplifier import PSPICE, PSPICE_PINS
from tests.spu_circuit.test_library import GOOD, PINS
from tests.stores import edit

OWN_DOT_LINES = {".title", ".global", ".options", ".save", ".print", ".op", ".tran", ".noise", ".end"}
"""What a deck has besides the statements of libraries."""
SYSTEM = LinearSystem([[2.0, -1.0], [-1.0, 2.0]], [1.0, 0.0])
ATTACK = "a\n.control\nshell touch created\nquit\n.endc\n*"
PIECES = [*"\n\r\v\f\x1c\x85\u2028\0\x1b+*#;$`µσ\u212a'\"", "*#", "//", "\\\\", ATTACK, "shell touch created"]
PIECES += [".control", ".endc", ".include x", ".lib x", ".end"]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=8).map("".join)


def lines_of(deck):
    """All lines, each of which is a comment, an element or a known dot-line."""
    lines = deck.removesuffix("\n").split("\n")
    assert [line for line in lines if not re.fullmatch("[ -~]+", line)] == []
    for line in lines:
        word = line.split(" ")[0].lower()
        assert (
            word == "*"
            or word in {*OWN_DOT_LINES, *STATEMENTS}
            or (word[0].upper() in ELEMENTS and word not in COMMANDS)
        ), line
    assert lines[0].startswith(".title spu-circuit: ")
    assert lines.index(".end") == len(lines) - 1
    return lines


def statements(deck):
    """Of a checked deck, all that ngspice acts upon."""
    return [line for line in lines_of(deck) if not line.startswith("* ")]


def replayed(folder, hardware=(), grid=None, name="replayed", **row):
    """The deck of a copy that a store claims to hold."""
    small = {"kind": "random", "size": 2}
    document = DOCUMENT | {"name": name, "hardware": DOCUMENT["hardware"] | dict(hardware), "workload": small}
    with closing(SweepStore(folder)) as store:
        store.claim(study_of(document, grid or {}, "test").config, {})
        store.commit(
            (0, "copies"), [Row(**{"sample": 0, "status": "ok", "reason": "", "weight": 1, "metrics": (0,)} | row)]
        )
        return replay(store, 0)


def in_ngspice(deck, folder):
    (folder / "deck.cir").write_text(deck, encoding="utf-8")
    return subprocess.run(["ngspice", "-b", "deck.cir"], cwd=folder, capture_output=True, text=True, errors="replace")


def test_ngspice_obeys_a_command_in_a_deck(tmp_path):
    """What the next two tests would see if a text got through."""
    in_ngspice(f".title x\n* {ATTACK}\nR1 a 0 1\n.op\n.end\n", tmp_path)
    assert (tmp_path / "created").exists()


def test_a_grid_runs_no_command(tmp_path):
    deck = replayed(tmp_path / "store", grid={"hardware.description": [ATTACK, "b"], "hardware.name": [ATTACK, "c"]})
    run = in_ngspice(deck, tmp_path)
    assert run.returncode == 0, run.stderr
    assert not (tmp_path / "created").exists()
    assert "description = a .control shell touch created quit .endc *" in deck


def test_a_reason_edited_in_a_store_runs_no_command(tmp_path):
    replayed(tmp_path / "store")
    edit(tmp_path / "store", ("UPDATE copies SET reason = ?, status = 'failed'", (ATTACK,)))
    with closing(SweepStore(tmp_path / "store")) as store:
        deck = replay(store, 0)
    run = in_ngspice(deck, tmp_path)
    assert run.returncode == 0, run.stderr
    assert not (tmp_path / "created").exists()
    assert deck.count("shell touch created") == 1


def test_a_status_edited_in_a_store_is_refused(tmp_path):
    replayed(tmp_path / "store")
    edit(tmp_path / "store", ("UPDATE copies SET status = ?", (ATTACK,)))
    with closing(SweepStore(tmp_path / "store")) as store, pytest.raises(InputError, match="has status"):
        replay(store, 0)


@given(TEXTS | st.text(st.characters(categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Zs"])))
@example("\ud800")
def test_a_comment_is_one_line_of_printable_ascii(text):
    assert re.fullmatch(r"\* [ -~]*", comment(text))


def test_a_comment_keeps_what_is_read_in_it():
    assert comment(" 35 µS ± 2 σ,\n−1 kΩ·√Hz ") == "* 35 uS +/- 2 sigma, -1 kOhm*sqrtHz"
    assert comment("plain / text: 100 %") == "* plain / text: 100 %"
    assert comment(r"Zoë C:\\") == "* Zo? C://"


@pytest.mark.parametrize("name", ["paper", "factored", "passive"])
@given(name_text=TEXTS, description=TEXTS)
@settings(max_examples=15)
def test_names_of_hardware_change_no_statement(name, name_text, description):
    hardware = load_hardware(name)
    system = GgnSystem([[1.0, 0.5]], 1.0, [1.0, 0.0]) if name == "factored" else SYSTEM
    document = hardware.model_dump(mode="json") | {"name": name_text, "description": description}
    foreign = Hardware.model_validate_json(json.dumps(document))
    decks = [Spu(of, Ngspice()).deck(system, 2.0) for of in (hardware, foreign)]
    assert statements(decks[0]) == statements(decks[1])


@given(
    texts=st.tuples(TEXTS, TEXTS, TEXTS, st.sampled_from(STATUSES), TEXTS),
    blank=st.sampled_from([" ", "\n", "\r", "\x85", "\u2028"]),
)
@settings(max_examples=40)
def test_texts_of_a_sweep_change_no_statement(tmp_path_factory, texts, blank):
    name, description, value, status, reason = texts
    lots = f"hardware.variation.correlation.capacitor{blank}array_resistor"
    folder = tmp_path_factory.mktemp("store")
    plain = replayed(folder / "plain", grid={lots: [0.5]})
    grid = {"hardware.description": [value], lots: [0.5], "question": [value]}
    texts = {"name": name, "description": description}
    deck = replayed(folder / "foreign", texts, grid, status=status, reason=reason)
    assert statements(deck) == statements(plain)


@given(
    inserted=TEXTS,
    line=st.integers(0, GOOD.count("\n")),
    key=st.sampled_from(["library_text", "library", "subcircuit"]),
)
@settings(max_examples=300)
@example("* x\x85.control\rshell touch created\u2028.endc", 1, "library_text")
@example("+ 1k\n+\n+ .control", 10, "library_text")
@example("\u017fhell touch created", 10, "library_text")
@example("AMP\u212a", 0, "subcircuit")
def test_a_stored_library_gives_elements_or_is_refused(inserted, line, key):
    """A library's text in a stored description is read like its file; a subcircuit's name is that of a definition."""
    lines = GOOD.replace("AMP", "AMPK").split("\n")
    lines[line:line] = [inserted] if key == "library_text" else []
    names = {"library": "vendor.lib", "subcircuit": "AMPK", "library_text": "\n".join(lines)}
    names |= {key: inserted} if key != "library_text" else {}
    amplifier = {"model": "subckt", "pins": PINS, "supply": 15.0, **names}
    document = load_hardware("ideal").model_dump(mode="json") | {"amplifier": amplifier}
    try:
        hardware = Hardware.model_validate_json(json.dumps(document))
    except ValidationError:
        return
    lines_of(Spu(hardware, Ngspice()).deck(SYSTEM, inf))


WORDS = re.findall(
    r"\S+",
    "LIMIT( IF( TABLE( PWR( ) , ** ^ & | ~ { } ' = ( V(1) i(v1) 3 k TEMP S1 1 2 SM noiseless T_ABS=-273.15 X1 half "
    "VALUE= .model VSWITCH( RON=2 OPTIONAL: params: .subckt .ends .lib .endl .end .param .func f(x) R9 E9 B9 i= bamp "
    "LAPLACE {V(1)} {1/(1+s)} s",
)


@given(
    inserted=st.lists(st.sampled_from([*WORDS, "\n", "\n+ ", "\n* "]), max_size=12).map(" ".join) | TEXTS,
    line=st.integers(0, PSPICE.count("\n")),
)
@settings(max_examples=300)
@example(".endl", 2)
@example("+", 3)
@example(".subckt", 3)
@example("GIN 0 P VALUE =\n+ \n+ {1}", 3)
def test_a_translated_library_gives_elements_or_is_refused(inserted, line):
    """And what is stored of it is its own translation."""
    lines = PSPICE.split("\n")
    lines[line:line] = [inserted]
    amplifier = {"model": "subckt", "pins": PSPICE_PINS, "supply": 15.0, "library": "b.lib", "subcircuit": "bamp"}
    document = load_hardware("ideal").model_dump(mode="json")
    try:
        hardware = Hardware.model_validate(document | {"amplifier": amplifier | {"library_text": "\n".join(lines)}})
    except ValidationError:
        return
    assert Hardware.model_validate_json(hardware.model_dump_json()) == hardware
    lines_of(Spu(hardware, Ngspice()).deck(SYSTEM, inf))


@given(st.sampled_from(["1", "1e-9", " 1 nF", "300 K"]), TEXTS)
def test_a_text_in_the_place_of_a_number_is_refused_or_one(number, text):
    document = load_hardware("ideal").model_dump(mode="json")
    cell = document["cell"] | {"capacitance": number + text}
    for changes in ({"temperature": number + text}, {"cell": cell}):
        try:
            hardware = Hardware.model_validate_json(json.dumps(document | changes))
        except ValidationError:
            continue
        lines_of(Spu(hardware, Ngspice()).deck(SYSTEM))

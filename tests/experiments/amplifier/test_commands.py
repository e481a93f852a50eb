"""The command as a designer uses it, and exchanged pins wherever ngspice simulates them."""

import json
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from experiments.amplifier import array, commands
from experiments.amplifier.bench import Bench
from experiments.cli import main
from experiments.shared.systems import spd_system
from netlists.amplifier import NAME
from solvers import pins
from solvers.ngspice import Ngspice
from solvers.ngspice_process import NgspiceCrashError, run_deck
from solvers.pins import check_pins, follows
from solvers.spu import Spu
from spu_circuit.amplifier import Amplifier
from spu_circuit.amplifiers.pin_names import named_roles
from spu_circuit.documents import read_toml
from spu_circuit.errors import InputError, SimulationError
from spu_circuit.hardware import changed_hardware, load_hardware
from tests.amplifiers.styles import facts_of_all
from tests.cases import relative

FACTS = facts_of_all()
ROLES = ("plus", "minus", "positive_supply", "negative_supply", "output")


def command(*arguments):
    """Exit status and what was printed, in this process."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["spu-circuit", "amplifier", *map(str, arguments)])
        patch.setattr(commands, "console", Console(file=out, markup=False, highlight=False, width=120))
        with pytest.raises(SystemExit) as done:
            main()
    return SimpleNamespace(returncode=done.value.code, stdout=out.getvalue(), stderr=err.getvalue())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the command writes of a part of each kind of trouble: a name with a slash, a library of several, retries."""
    path = tmp_path_factory.mktemp("amplifier") / "out"
    done = command(FACTS["LM741"].file, "lm741/NS", "--output", path)
    assert done.returncode == 0, done.stderr
    return path, done


def test_report_names_what_a_designer_checks_with_units(folder):
    _, done = folder
    for words in (
        "LM741/NS at ±15 V",
        "a follower follows",
        "105.8 dB",
        "1.471 MHz",
        "V/µs",
        "nV/√Hz",
        "[hardware.amplifier]",
        "one cell of bench settles",
    ):
        assert words.lower() in done.stdout.lower(), words
    assert "converged only with" in done.stderr


def test_written_table_loads_and_runs_without_the_vendors_file(folder):
    path, _ = folder
    hardware = changed_hardware("bench", read_toml((path / "amplifier.toml").read_bytes(), "table")["hardware"])
    assert hardware.amplifier.library == str(path / "amplifier.lib")
    assert 13 < hardware.amplifier.rail < 15
    assert hardware.amplifier.current_limit == pytest.approx(25e-3, rel=0.1)
    ideal = changed_hardware("bench", {"amplifier": {"model": "ideal"}})
    found, expected = (Spu(board, Ngspice()).solve(spd_system(3, 4)).value for board in (hardware, ideal))
    assert relative(found, expected) < 5e-3  # 1 mV of offset and half an LSB of 0.3 mV, of half a volt


def test_json_has_plain_numbers(folder):
    path, _ = folder
    found = json.loads((path / "amplifier.json").read_text())
    assert found["measured"]["dc_gain"] == pytest.approx(2e5, rel=0.05)
    assert found["cell"]["time_constants"] == pytest.approx(7, rel=0.05)
    assert found["failed"] == {}


def test_an_output_that_cannot_be_overdriven_leaves_the_rest(monkeypatch):
    """A bench whose overdriven amplifiers find no operating point."""

    def fails(bench):
        raise SimulationError("no convergence")

    monkeypatch.setattr(Bench, "overdriven", property(fails))
    done = command(FACTS["uA741"].file, "uA741")
    assert done.returncode == 0
    assert "warning: no limits of the output: no convergence" in done.stderr
    assert "not measured: no convergence" in done.stdout
    assert "105.8 dB" in done.stdout
    assert "rail" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("no.lib", "x"), "no.lib"),
        ((FACTS["uA741"].file, "uA742"), "did you mean 'ua741'?"),
        ((FACTS["uA741"].file, "uA741", "--pins", "plus minus vcc vee out"), "no 'vcc'"),
        ((FACTS["uA741"].file, "uA741", "--pins", "plus minus output"), "5 pins"),
        ((FACTS["uA741"].file, "uA741", "--supply", "15"), "has no unit"),
        ((FACTS["uA741"].file, "uA741", "--supply", "0 V"), "greater than 0"),
        ((FACTS["uA741"].file, "uA741", "--hardware", "passive"), "has no amplifiers"),
        (
            (FACTS["uA741"].file, "uA741", "--pins", "minus,plus,positive_supply,negative_supply,output"),
            "--pins plus,minus,positive_supply,negative_supply,output",
        ),
    ],
)
def test_bad_input_is_one_line_that_writes_nothing(tmp_path, arguments, said):
    done = command(*arguments, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def part(name, pins=ROLES):
    facts = FACTS[name]
    return Amplifier(
        model="subckt", library=str(facts.file), subcircuit=facts.subcircuit, pins=pins, supply=facts.supply
    )


@pytest.mark.parametrize("name", FACTS)
def test_every_macromodel_follows(name):
    assert follows(part(name))


@pytest.mark.parametrize(
    ("name", "order"),
    [
        # Exchanged inputs, at which a follower's operating point looks right.
        *((name, (1, 0, 2, 3, 4)) for name in ("uA741", "TL072", "OP27", "OPA1611", "LM741", "LT1013")),
        ("uA741", (0, 1, 3, 2, 4)),
        ("LM741", (4, 0, 1, 2, 3)),
    ],
)
def test_exchanged_pins_are_noticed_and_put_right(name, order):
    right = "'plus', 'minus', 'positive_supply', 'negative_supply', 'output'"
    with pytest.raises(InputError, match=rf"look exchanged: .*{right}"):
        check_pins(part(name, tuple(ROLES[k] for k in order)))


def test_a_cell_is_followed_in_longer_steps_where_shorter_ones_never_end(monkeypatch):
    """They tell the time to one of them: a hundredth of 20 τ."""
    board = load_hardware("bench").model_copy(update={"amplifier": part("uA741")})
    exact = array.settling(board).time_constants

    def engine(points):
        if points == array.POINTS[0]:
            raise SimulationError("timestep too small")
        return Ngspice(points=points)

    monkeypatch.setattr(array, "Ngspice", engine)
    assert array.settling(board).time_constants == pytest.approx(exact, abs=0.2)


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        ("-IN +IN V- V+ Vout", (1, 0, 3, 2, 4)),
        ("INP INN VCC VEE OUT", (0, 1, 2, 3, 4)),
        ("out in+ in-", (4, 0, 1)),
        ("3 2 7 4 6", None),
        ("in+ +in vcc vee out", None),
        ("in+ in- vcc vee", None),
        ("in+ in- vcc vee out null", None),
    ],
)
def test_pins_are_known_by_their_names(names, roles):
    assert named_roles(names.split()) == (None if roles is None else tuple(ROLES[k] for k in roles))


def test_pins_with_names_need_no_roles(tmp_path):
    """Where roles are given that do not fit, the names say which do."""
    file, inner = tmp_path / "named.lib", FACTS["uA741"].file.read_text()
    call = f"X1 +IN -IN V+ V- OUT {FACTS['uA741'].subcircuit}"
    file.write_text(f".subckt named V- OUT -IN V+ +IN\n{call}\n.ends\n{inner}")
    done = command(file, "named", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["amplifier"]["pins"] == [ROLES[k] for k in (3, 4, 1, 2, 0)]
    done = command(file, "named", "--pins", "plus,minus,positive_supply,negative_supply,output")
    assert "it does with --pins negative_supply,output,minus,positive_supply,plus" in done.stderr


def test_solve_refuses_exchanged_pins():
    """The operating point of an array with exchanged inputs is near the solution, where no board would stay."""
    wrong = part("uA741", ("minus", "plus", *ROLES[2:]))
    hardware = load_hardware("bench").model_copy(update={"amplifier": wrong})
    with pytest.raises(InputError, match=r"plus.* look exchanged"):
        Spu(hardware, Ngspice()).solve(spd_system(2, 3))


def test_a_part_that_follows_in_no_order_is_left_alone(tmp_path):
    """A filter with the pins of an amplifier: nobody knows what it is for."""
    (tmp_path / "f.lib").write_text(".subckt f 1 2 3\nE1 3 0 1 2 0.5\n.ends\n")
    check_pins(
        Amplifier(model="subckt", library=str(tmp_path / "f.lib"), subcircuit="f", pins=("plus", "minus", "output"))
    )


def test_a_part_is_measured_alone_where_four_together_have_no_operating_point(monkeypatch):
    """Behavioural macromodels of many switches converge one at a time."""

    def lonely(deck, timeout):
        if len(re.findall(rf"(?m)^X.* {NAME}$", deck)) > 1:
            raise NgspiceCrashError("ngspice died of signal 11")
        return run_deck(deck, timeout)

    monkeypatch.setattr(pins, "run_deck", lonely)
    assert pins.check(part("NE5532")).follows
    assert pins.check(part("NE5534", ("minus", "plus", *ROLES[2:]))).better == ROLES


def test_what_ngspice_says_of_a_part_is_told(tmp_path):
    path = tmp_path / "f.lib"
    path.write_text(".subckt f 1 2 3\nE1 4 0 1 2 1e5\nD1 4 3 nowhere\n.ends\n")
    done = command(path, "f")
    assert done.returncode == 2
    assert "a follower has no operating point" in done.stderr
    assert "nowhere" in done.stderr

"""The command: verdicts, a page, tables; what is finished is not computed again."""

import csv
import json
import re

import pytest
from typer.testing import CliRunner

from experiments.claims import run, store
from experiments.claims.claim import Claim
from experiments.claims.figures import curves
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements import CLAIMS, MINUTES
from experiments.cli import app
from experiments.shared.figures import FigureEntry
from spu_circuit.errors import InputError

MEASURED = []


def _measure(protocol, given):
    MEASURED.append(protocol)
    rows = [{"x": x, "case": "made", "seed": seed, "error": x + 0.01 * seed} for x in (1, 4) for seed in protocol.seeds]
    return [*rows, {"x": 5, "case": "made", "seed": 0, "error": float("nan")}]


def _conditions(rows):
    found = (tuple(row["error"] for row in rows if row["x"] == x) for x in (1, 4))
    return [Condition("made", f"x = {x}", values, 2.0, "below") for x, values in zip((1, 4), found, strict=True)]


def _draw(rows):
    return curves(rows[:-1], "case", "x", "error", 2.0, xlabel="x", ylabel="error <relative>")


@pytest.fixture
def made(monkeypatch):
    """A claim in the place of all others."""
    protocol = type(CLAIMS["refinement"].full)
    claim = Claim(
        name="made",
        statement="Errors are < 2.",
        source="a <test>",
        method="Nothing.",
        rule="The mean is below 2.",
        full=protocol((0, 1, 2)),
        quick=protocol((0, 1)),
        measure=_measure,
        conditions=_conditions,
        finding=lambda rows: f"{len(rows)} rows.",
        figure=FigureEntry("made", "Errors", "Means.", _draw),
    )
    for name in reversed(list(CLAIMS)):  # put back one by one from the last that was taken away, in their order
        monkeypatch.delitem(CLAIMS, name)
    monkeypatch.setitem(CLAIMS, "made", claim)
    MEASURED.clear()
    return claim


def claims(*arguments):
    return CliRunner().invoke(app, ["claims", *map(str, arguments)])


def test_a_page_is_written_with_the_verdicts_on_top(made, tmp_path):
    result = claims("--output", tmp_path)
    assert result.exit_code == 0, result.output
    assert "holds under conditions" in result.stdout
    page = (tmp_path / "claims.html").read_text(encoding="utf-8")
    assert page.index("Every claim with its verdict") < page.index("a &lt;test&gt;")
    assert "Holds: made (x = 1). Fails: made (x = 4)" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)  # nothing is fetched
    assert (tmp_path / "made.png").read_bytes().startswith(b"\x89PNG")


def test_every_number_is_in_a_csv_file(made, tmp_path):
    claims("--output", tmp_path)
    (verdict,) = csv.DictReader((tmp_path / "claims.csv").open(encoding="utf-8"))
    assert verdict["verdict"] == "holds under conditions"
    assert (verdict["protocol"], verdict["command"]) == ("full", "spu-circuit claims made")
    rows = list(csv.DictReader((tmp_path / "made.csv").open(encoding="utf-8")))
    assert [row["error"] for row in rows] == ["1.0", "1.01", "1.02", "4.0", "4.01", "4.02", ""]
    first, second = csv.DictReader((tmp_path / "made-conditions.csv").open(encoding="utf-8"))
    assert float(first["mean"]) == pytest.approx(1.01)
    assert float(first["low"]) < 1.01 < float(first["high"])
    assert (first["answer"], second["answer"]) == ("holds", "fails")


def test_rows_of_several_parts_stand_under_their_own_columns(made, monkeypatch, tmp_path):
    def measure(protocol, given):
        rows = _measure(protocol, given)
        return [{"seed": row["seed"], "other": 7, **row} if row["x"] == 4 else row for row in rows]

    monkeypatch.setitem(CLAIMS, "made", Claim(**{**vars(made), "measure": measure}))
    claims("--output", tmp_path)
    rows = list(csv.DictReader((tmp_path / "made.csv").open(encoding="utf-8")))
    assert [(row["x"], row["other"], row["error"]) for row in rows[2:5]] == [
        ("1", "", "1.02"),
        ("4", "7", "4.0"),
        ("4", "7", "4.01"),
    ]


def test_what_is_finished_is_not_computed_again(made, tmp_path):
    claims("--output", tmp_path)
    page = (tmp_path / "claims.html").read_bytes()
    (tmp_path / "claims.html").unlink()
    claims("--output", tmp_path)
    assert len(MEASURED) == 1
    assert (tmp_path / "claims.html").read_bytes() == page
    claims("--quick", "--output", tmp_path)  # another protocol
    assert [len(protocol.seeds) for protocol in MEASURED] == [3, 2]
    assert len(list((tmp_path / "results").iterdir())) == 2


def test_claims_before_one_that_fails_are_kept(made, monkeypatch, tmp_path):
    def broken(protocol, given):
        raise InputError("a: is wrong; mend it")

    monkeypatch.setitem(CLAIMS, "worse", Claim(**{**vars(made), "name": "worse", "measure": broken}))
    failed = claims("--output", tmp_path)
    assert str(failed.exception) == "a: is wrong; mend it"
    assert not (tmp_path / "claims.html").exists()
    assert claims("made", "--output", tmp_path).exit_code == 0
    assert len(MEASURED) == 1


def test_the_longest_claims_begin_first(made, monkeypatch, tmp_path):
    begun = []

    def measure(name):
        def measured(protocol, given):
            begun.append(name)
            return _measure(protocol, given)

        return measured

    for name, minutes in (("short", 2), ("long", 30)):
        monkeypatch.setitem(CLAIMS, name, Claim(**{**vars(made), "name": name, "measure": measure(name)}))
        monkeypatch.setitem(MINUTES, name, minutes)
    assert claims("short", "made", "long", "--output", tmp_path).exit_code == 0
    assert begun == ["long", "short"]
    verdicts = csv.DictReader((tmp_path / "claims.csv").open(encoding="utf-8"))
    assert [row["claim"] for row in verdicts] == ["made", "short", "long"]


def test_the_page_keeps_what_is_finished_in_its_folder(made, monkeypatch, tmp_path):
    monkeypatch.setitem(CLAIMS, "other", Claim(**{**vars(made), "name": "other"}))
    for arguments in (("made",), ("other",), ("other", "--quick")):
        assert claims(*arguments, "--output", tmp_path).exit_code == 0
        shown = [row["claim"] for row in csv.DictReader((tmp_path / "claims.csv").open(encoding="utf-8"))]
        # Verdicts of quick protocols do not stand beside full ones.
        assert shown == {("made",): ["made"], ("other",): ["made", "other"]}.get(arguments, ["other"])
    assert "Quick protocols" in (tmp_path / "claims.html").read_text(encoding="utf-8")
    result = claims("other", "--output", tmp_path)
    assert "Quick protocols" not in (tmp_path / "claims.html").read_text(encoding="utf-8")
    assert "other: holds under conditions" in result.stdout


def test_an_answer_can_be_had_from_the_table(made, tmp_path):
    claims("--output", tmp_path)
    for row in csv.DictReader((tmp_path / "made-conditions.csv").open(encoding="utf-8")):
        answer = (
            "holds" if float(row["p if wrong"]) <= 0.025 else "fails" if float(row["p if right"]) <= 0.025 else "open"
        )
        assert row["answer"] == answer


def test_an_interrupted_claim_goes_on_where_it_was(made, monkeypatch, tmp_path):
    computed, stops = [], [3]

    def block(x, seeds):
        computed.append(x)
        if len(computed) == stops[0]:
            raise KeyboardInterrupt
        return [{"x": x, "case": "made", "seed": seed, "error": float("nan") if x == 5 else 0.5} for seed in seeds]

    def measure(protocol, given):
        return [row for x in (1, 4, 5) for row in given.kept(block, x, protocol.seeds)]

    monkeypatch.setitem(CLAIMS, "made", Claim(**{**vars(made), "measure": measure}))
    assert claims("--output", tmp_path / "run").exit_code == 130
    (parts,) = (tmp_path / "run" / "results").iterdir()
    assert len(list(parts.iterdir())) == 2
    assert claims("--output", tmp_path / "run").exit_code == 0
    assert computed == [1, 4, 5, 5]
    (result,) = (tmp_path / "run" / "results").iterdir()  # the parts are gone
    rows = json.loads(result.read_text())["rows"]
    assert [row["error"] for row in rows] == [*[0.5] * 6, *[None] * 3]
    # Without an interruption the rows are the same.
    stops[0] = 0
    claims("--output", tmp_path / "again")
    (again,) = (tmp_path / "again" / "results").iterdir()
    assert json.loads(again.read_text())["rows"] == rows


def test_a_damaged_part_of_a_claim_is_named(tmp_path):
    given = Given(None, tmp_path)
    assert given.kept(_block, 1, (2, 3)) == [{"one": 1, "other": 2}, {"one": 1, "other": 3}]
    (file,) = tmp_path.iterdir()
    file.write_text("[{")
    with pytest.raises(InputError, match=r"is damaged .* delete it"):
        given.kept(_block, 1, (2, 3))
    assert given.kept(_block, 2, (2,)) == [{"one": 2, "other": 2}]


def _block(one, others):
    return ({"one": one, "other": other} for other in others)


def test_a_damaged_result_is_named(made, tmp_path):
    claims("--output", tmp_path)
    (file,) = (tmp_path / "results").iterdir()
    for text in ("{", "{}", json.dumps({**json.loads(file.read_text()), "rows": [{}]})):
        file.write_text(text, encoding="utf-8")
        error = claims("--output", tmp_path).exception
        assert isinstance(error, InputError)
        assert "is damaged" in str(error)
        assert "delete it" in str(error)


@pytest.fixture
def on_data(made, monkeypatch):
    """A claim on data beside the other one."""

    def measure(protocol, given):
        MEASURED.append(given.data)
        return [{"x": x, "seed": seed, "case": "made", "error": float(seed)} for x in (1, 4, 5) for seed in (0, 1)]

    def lacks(data):
        return "" if data else "give a <file> with --data"

    claim = Claim(**{**vars(made), "name": "asked", "measure": measure, "lacks": lacks})
    monkeypatch.setitem(CLAIMS, "asked", claim)
    return claim


def test_without_its_data_a_claim_is_not_run_and_the_others_are(on_data, tmp_path):
    result = claims("--output", tmp_path)
    assert result.exit_code == 0, result.output
    assert re.search(r"asked +not run +give a <file> with --data", result.stdout)
    page = (tmp_path / "claims.html").read_text(encoding="utf-8")
    assert "Not run: asked." in page
    assert "To run it: give a &lt;file&gt; with --data." in page
    (only,) = csv.DictReader((tmp_path / "claims.csv").open(encoding="utf-8"))
    assert only["claim"] == "made"


def test_a_claim_that_is_asked_for_without_its_data_is_refused_before_anything_is_written(on_data, tmp_path):
    error = claims("asked", "--output", tmp_path / "new").exception
    assert str(error) == "claim: 'asked' cannot be run: give a <file> with --data"
    assert not (tmp_path / "new").exists()


def test_a_claim_on_data_is_kept_and_measured_again_on_other_data(on_data, tmp_path):
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    one.write_text("1")
    other.write_text("2")
    for data in (one, one, other):
        assert claims("asked", "--data", data, "--output", tmp_path / "run").exit_code == 0
    assert [path.name for path in MEASURED] == ["one.json", "other.json"]
    # What is kept is shown without the file, too.
    assert claims("asked", "--output", tmp_path / "run").exit_code == 0
    assert len(MEASURED) == 2
    (verdict,) = csv.DictReader((tmp_path / "run" / "claims.csv").open(encoding="utf-8"))
    assert verdict["command"] == "spu-circuit claims asked --data FILE"


def test_data_that_are_not_there_are_named(on_data, tmp_path):
    error = claims("asked", "--data", tmp_path / "none.json", "--output", tmp_path).exception
    assert str(error).startswith("data: no file")


def test_a_changed_rule_asks_for_new_rows(made, monkeypatch):
    before = store.digest(made, False)
    monkeypatch.setattr(store, "getsource", lambda module: "# another file")
    assert store.digest(made, False) != before


def test_a_change_in_what_claims_share_asks_for_new_rows(monkeypatch):
    delay, refinement = (CLAIMS[name] for name in ("delay", "refinement"))
    before = [store.digest(claim, False) for claim in (delay, refinement)]
    source = store.getsource
    monkeypatch.setattr(
        store, "getsource", lambda module: source(module) + "\n# changed" * module.__name__.endswith(".decrease")
    )
    after = [store.digest(claim, False) for claim in (delay, refinement)]
    assert (after[0] != before[0], after[1] != before[1]) == (False, False)
    monkeypatch.setattr(
        store, "getsource", lambda module: source(module) + "\n# changed" * module.__name__.endswith(".digits")
    )
    after = [store.digest(claim, False) for claim in (delay, refinement)]
    assert (after[0] != before[0], after[1] != before[1]) == (True, False)


def test_a_name_that_is_not_there_is_refused_before_anything_is_written(tmp_path):
    error = claims("interpolate", "--output", tmp_path / "new").exception
    assert isinstance(error, InputError)
    assert "did you mean 'interpolation'?" in str(error)
    assert not (tmp_path / "new").exists()


def test_a_claim_of_the_project_from_end_to_end(tmp_path):
    result = claims("residual-state", "--quick", "--output", tmp_path)
    assert result.exit_code == 0, result.output
    conditions = list(csv.DictReader((tmp_path / "residual-state-conditions.csv").open(encoding="utf-8")))
    answers = {(row["condition"], row["at"]): row["answer"] for row in conditions}
    assert answers["ideal equation", "λ = 0.1"] == "holds"
    assert answers["paper", "λ = 0.1"] == "holds"


@pytest.mark.slow
def test_workers_change_no_number(tmp_path):
    names = ["cost", "residual-state"]
    both = [{r.claim.name: r.rows for r in run.results(names, True, tmp_path / str(k), k, None)} for k in (1, 2)]
    assert both[0] == both[1]

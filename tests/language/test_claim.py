"""The claim on questions, with a small encoder: its trainings are tuned, judged and gone on with."""

import copy
from dataclasses import replace

import pytest

from experiments.claims.given import Given
from experiments.claims.rules import verdict
from experiments.claims.statements import language
from experiments.training import run
from tests.experiments.training.language.questions import DOCUMENT, written


@pytest.fixture
def given(tmp_path):
    document = copy.deepcopy(DOCUMENT)
    document["data"] *= 4
    return Given(written(tmp_path, document), tmp_path / "trainings")


@pytest.fixture
def protocol(folder):
    small = {"rates": (0.05, 1e30), "unit_rates": (1e-3, 1e-2), "draws": 1, "batch": 2, "train": 8, "test": 4}
    return replace(language.CLAIM.quick, steps=3, length=36, model=str(folder), **small)


def test_trainings_are_tuned_judged_and_kept(protocol, given, monkeypatch):
    advanced, finished = run.advanced, []

    def interrupted(job):
        if len(finished) == 14:
            raise KeyboardInterrupt
        finished.append(job)
        return advanced(job)

    monkeypatch.setattr(run, "advanced", interrupted)
    with pytest.raises(KeyboardInterrupt):
        language.CLAIM.measure(protocol, given)
    stopped = len(finished)
    monkeypatch.setattr(run, "advanced", lambda job: finished.append(job) or advanced(job))
    rows = language.CLAIM.measure(protocol, given)
    assert len(finished) > stopped
    whole = len(finished)
    assert language.CLAIM.measure(protocol, given) == rows
    assert len(finished) == whole  # nothing was left to compute

    tried = {(row["optimizer"], row["rate"]): row["loss"] for row in rows if row["part"] == "tuning"}
    assert tried[language.TNGD, 1e30] is None  # it diverges
    assert tried[language.TNGD, 2.5e-33] > 0  # beyond 0.05, which was the least
    copied = {language.EXACT: language.TNGD, language.IDEAL_PARTS: language.LONG}
    for row in rows:
        if row["part"] == "verdict":
            theirs = copied.get(row["optimizer"], row["optimizer"])
            own = {rate: loss for (name, rate), loss in tried.items() if name == theirs and loss is not None}
            assert row["rate"] == min(own, key=own.get)
            assert row["seed"] in protocol.seeds
            assert 0 <= row["exact_match"] <= row["f1"] <= 1
            assert row["loss_3"] == row["loss"]
    # The same systems are solved exactly, on the circuit, and in part.
    errors = {row["optimizer"]: row["solve_error"] for row in rows if row["part"] == "verdict"}
    assert errors[language.EXACT] < 1e-4 < errors[language.TNGD] < errors[language.SHORT]
    assert errors[language.LONG] < errors[language.SHORT]
    assert errors[language.MEMORY] < errors[language.SHORT]
    # What is left at that time is most of the error, and 0.1 of it is more than that of the parts.
    assert errors[language.IDEAL_PARTS] == pytest.approx(errors[language.LONG], rel=0.1)
    assert errors[language.ADAM] is None
    assert len(verdict(language.CLAIM.conditions(rows)).answers) == 14
    assert "exact match" in language.CLAIM.finding(rows)

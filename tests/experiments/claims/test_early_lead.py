"""Settings that are tried on tuning seeds, the choice among them, and verdicts on made-up trainings of the chosen."""

from collections.abc import Iterable

import numpy as np
import pytest

from experiments.claims.given import Given
from experiments.claims.rules import verdict
from experiments.claims.statements import early_lead, early_settings, to_target
from experiments.claims.statements.early_settings import (
    ADAM,
    MOMENTUM,
    MUON,
    NATURAL,
    RIVALS,
    SEARCHED,
    Tuning,
    chosen,
    loss_at_the_end,
    steps_needed,
    told_of,
)
from experiments.claims.statements.tuning import FORGOTTEN, Range, settings


@pytest.mark.parametrize("claim", [early_lead.CLAIM, to_target.CLAIM], ids=lambda claim: claim.name)
def test_all_optimizers_are_tuned_as_much_on_other_seeds(claim):
    for protocol in (claim.full, claim.quick):
        tried = {name: settings(table, protocol.tuning.count) for name, table in SEARCHED.items()}
        assert set(tried) == {NATURAL, *RIVALS}
        assert all(len({told_of(setting) for setting in own}) == protocol.tuning.count for own in tried.values())
        assert not set(protocol.tuning.seeds) & set(protocol.seeds)


def test_every_range_is_tried_once_in_each_part():
    least, greatest = 0.01, 100.0
    table = {"kind": "adam", "learning_rates": [Range(least, greatest)], "betas": [FORGOTTEN, Range(1e-3, 0.1, True)]}
    tried = settings(table, 8)
    places = [np.log(own["learning_rates"][0] / least) / np.log(greatest / least) for own in tried]
    np.testing.assert_allclose(sorted(places), (np.arange(8) + 0.5) / 8, atol=2e-3)  # rates have three digits
    for least, greatest, part in ((0.02, 0.5, 0), (1e-3, 0.1, 1)):
        forgotten = np.array([1 - own["betas"][part] for own in tried])
        places = np.log(forgotten / least) / np.log(greatest / least)
        np.testing.assert_allclose(sorted(places), (np.arange(8) + 0.5) / 8, atol=2e-3)
    assert len({(*own["learning_rates"], *own["betas"]) for own in tried}) == 8
    assert {own["kind"] for own in tried} == {"adam"}


def test_time_to_a_target_is_that_of_the_settings_that_lead_early():
    assert to_target.CLAIM.full.tuning == early_lead.CLAIM.full.tuning
    assert to_target.CLAIM.quick.tuning == early_lead.CLAIM.quick.tuning


def test_each_question_chooses_its_own_setting(monkeypatch, tmp_path):
    def trained(tuning, name, setting, seeds, part):
        place = tried.index(setting)
        for seed in seeds:
            # The fastest breaks off.
            ends = (0.5, 0.3, 0.4, None)[place]
            yield {"steps_to_0.3": 10 - place, "all_steps": 100, "validation_loss": ends, "seed": seed}

    monkeypatch.setattr(early_settings, "trained", trained)
    tuning = Tuning((0, 1), count=4)
    tried = settings(SEARCHED[NATURAL], 4)
    rows, (fast, low) = chosen(tuning, Given(None, tmp_path), NATURAL, [steps_needed, loss_at_the_end])
    assert len(rows) == 4 * 2
    assert (fast, low) == (tried[3], tried[1])


def test_a_training_counts_steps_and_says_its_setting():
    setting = {"kind": "sgd", "learning_rates": [0.5], "momentum": 0.9}
    tuning = Tuning(steps=6, targets=(9.0, 1e-6), hidden=8)
    (row,) = early_settings.trained(tuning, MOMENTUM, setting, (3,), "tuning")
    assert row["settings"] == "rate 0.5, momentum 0.9"
    assert 1 <= row["steps_to_9"] <= 6
    assert row["steps_to_1e-06"] is None
    assert 0 < row["validation_loss"] < 2.5


def _row(name: str, seed: int, steps: int | None, loss: float | None, part: str = "verdict", setting: str = "one"):
    counts = {"optimizer": name, "part": part, "settings": setting, "seed": seed, "all_steps": 100}
    return counts | {"steps_to_0.3": steps, "validation_loss": loss, "score": 0.9, "doublings": 0}


def _asked(row: dict, questions: Iterable[str] = (early_lead.STEPS, early_lead.END)):
    return [{**row, "asked": asked} for asked in questions]


def _lead_rows():
    """Muon is fastest on tuning seeds, SGD with momentum ends lowest there; seeds differ by more than optimizers do."""
    tuning = ((ADAM, 30, 0.3), (MUON, 10, 0.5), (MOMENTUM, 40, 0.2), (NATURAL, 5, 0.1))
    rows = [_row(name, 0, steps, loss, "tuning") for name, steps, loss in tuning]
    rows.append(_row(ADAM, 0, 1, None, "tuning", "two"))
    rows.append(_row(ADAM, 1, None, None, "tuning", "two"))
    for seed in range(4):
        more = 10 * seed
        for name, steps, loss in (
            (ADAM, 5 + more, 0.1),
            (MUON, 20 + more, 0.1),
            (MOMENTUM, 5 + more, 0.4),
            (NATURAL, 16 + more + seed % 2, 0.3 + 0.01 * seed),
            (early_lead.circuit("made"), None if seed == 3 else 15, 0.5 + 0.01 * seed),
        ):
            rows += _asked(_row(name, seed, steps, loss))
    return rows


def test_a_lead_is_judged_beside_the_rival_that_does_best_on_tuning_seeds():
    rows = _lead_rows()
    assert early_lead.best_rival(rows, early_lead.STEPS) == MUON
    assert early_lead.best_rival(rows, early_lead.END) == MOMENTUM
    conditions = early_lead.CLAIM.conditions(rows)
    found = {(c.group, c.point): answer for c, answer in zip(conditions, verdict(conditions).answers, strict=True)}
    assert found == {
        (NATURAL, "steps to 0.3, beside Muon"): "holds",
        (early_lead.circuit("made"), "steps to 0.3, beside Muon"): "fails",
        (NATURAL, "validation loss at the end, beside SGD with momentum"): "holds",
        (early_lead.circuit("made"), "validation loss at the end, beside SGD with momentum"): "fails",
    }
    assert "NGD with memory, made: nan to 0.3 steps (one), validation loss 0.515" in early_lead.CLAIM.finding(rows)
    assert early_lead.CLAIM.figure.draw(rows) is not None


def test_a_rival_that_does_not_get_there_gives_nothing_away():
    rows = _lead_rows()
    for row in rows:
        if (row["optimizer"], row["seed"], row["part"]) in ((MUON, 1, "verdict"), (MOMENTUM, 2, "verdict")):
            row.update({"steps_to_0.3": None, "validation_loss": None})
    steps, _, end, _ = early_lead.CLAIM.conditions(rows)
    assert steps.values == pytest.approx((-4, 27 - 100, -4, -3))
    assert end.values == pytest.approx((-0.1, -0.09, -0.07))
    for row in rows:
        if row["optimizer"] == MOMENTUM and row["part"] == "verdict":
            row["validation_loss"] = None
    assert np.isnan(early_lead.CLAIM.conditions(rows)[2].values).all()

import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from experiments.training.store import Chunk, Step, Store, Trial, open_existing
from spu_circuit.errors import InputError

ROW = Step(
    *(0, "tngd", 0.1, 0, 0, 0, 64, 2.3, 2.2, 0.1, None, 0.02, 0.4, 0.3, 0, 0.01, 1.0, 0, 0, 5, 1e-6, 1),
    *(3, 1, 66, 66, 1e3, "converged", None, 1e-4, 0.5),
)


def chunk(*steps, exhibit=None, **state):
    return Chunk(steps[0].trial, steps, state, exhibit, {})


TRIAL = Trial(0, "tngd", 0.1, 0)


def test_what_is_committed_is_there_after_reopening(tmp_path):
    store = Store(tmp_path / "new" / "run")
    store.commit(chunk(ROW, exhibit={"volts": np.eye(2)}, weights=np.arange(3)))
    store.commit(chunk(replace(ROW, step=1, validation_loss=None), weights=np.arange(4)))
    store.close()
    again = open_existing(tmp_path / "new" / "run")
    last, state = again.state(TRIAL)
    assert last == replace(ROW, step=1, validation_loss=None)
    assert state["weights"].tolist() == [0, 1, 2, 3]
    assert again.exhibits()[TRIAL]["volts"].tolist() == [[1, 0], [0, 1]]
    assert again.latest() == {TRIAL: (2, last)}
    assert again.history() == [ROW, last]


def test_step_and_state_are_kept_together_or_not_at_all(tmp_path):
    store = Store(tmp_path)
    store.commit(chunk(ROW, weights=np.zeros(1)))
    with pytest.raises(InputError, match="another process has written step 1 of tngd"):
        store.commit(chunk(ROW, replace(ROW, step=1), weights=np.ones(1)))
    assert store.state(TRIAL)[1]["weights"].tolist() == [0]
    assert len(store.history()) == 1


def test_trials_of_two_points_are_kept_apart(tmp_path):
    store = Store(tmp_path)
    other = replace(ROW, point=1, loss=1.0)
    store.commit(chunk(ROW, weights=np.zeros(1)))
    store.commit(chunk(other, weights=np.ones(1)))
    assert store.latest() == {TRIAL: (1, ROW), replace(TRIAL, point=1): (1, other)}
    assert store.state(other.trial)[1]["weights"].tolist() == [1]


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path):
    store = Store(tmp_path)
    store.commit(chunk(ROW, weights=np.zeros(1)))
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(InputError, match=r"cannot be written: database or disk is full; .* is safe"):
        store.commit(chunk(replace(ROW, step=1), weights=np.zeros(10_000)))
    assert store.history() == [ROW]


def test_a_store_of_an_older_layout_is_refused_with_the_reason(tmp_path):
    """Layout 1 had no number of its own, and no point in a trial's key."""
    with closing(sqlite3.connect(tmp_path / "run.sqlite")) as old, old:
        old.execute("CREATE TABLE history (optimizer, learning_rate, seed, step)")
    words = r"layout 1, this version reads layout 7, .*choose another folder"
    for opened in (Store, open_existing):
        with pytest.raises(InputError, match=words) as caught:
            opened(tmp_path)
        assert "\n" not in str(caught.value)


def test_changed_config_is_refused_and_the_difference_shown(tmp_path):
    store = Store(tmp_path)
    store.claim({"steps": 3, "data": {"train": 10}}, {})
    with pytest.raises(InputError, match=r"holds a run with grid\.steps = None, this config has \[3, 4\]"):
        store.claim({"grid": {"steps": [3, 4]}, "points": []}, {})
    store.claim({"steps": 3, "data": {"train": 10}}, {})
    with pytest.raises(InputError, match=r"data\.train = 10, this config has 20; choose another folder"):
        store.claim({"steps": 3, "data": {"train": 20}}, {})


def test_unusable_folders_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Store(tmp_path / "file" / "run")
    (tmp_path / "run.sqlite").write_text("no database, but text of some length" * 30)
    with pytest.raises(InputError, match="is damaged: file is not a database"):
        Store(tmp_path)
    with pytest.raises(InputError, match="holds no run"):
        open_existing(tmp_path / "nowhere")


def test_a_trial_with_one_step_is_seen(tmp_path):
    store = Store(tmp_path / "a folder # with ? and %")
    store.commit(chunk(ROW, weights=np.zeros(1)))
    assert store.latest() == {TRIAL: (1, ROW)}
    store.close()
    assert len(open_existing(tmp_path / "a folder # with ? and %").history()) == 1

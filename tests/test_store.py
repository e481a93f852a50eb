from dataclasses import replace

import numpy as np
import pytest

from experiments.store import Step, Store, Trial, open_existing
from spu_circuit.errors import InputError

ROW = Step("tngd", 0.1, 0, 0, 64, 2.3, 2.2, 0.1, 0.02, 0.4, 0.01, 1.0, 0, 0, 5, 1, 1e-4, 0.5)
TRIAL = Trial("tngd", 0.1, 0)


def test_what_is_committed_is_there_after_reopening(tmp_path):
    store = Store(tmp_path / "new" / "run")
    store.commit(ROW, {"0": np.arange(3)}, {"volts": np.eye(2)})
    store.commit(replace(ROW, step=1, validation_loss=None), {"0": np.arange(4)})
    store.close()
    again = open_existing(tmp_path / "new" / "run")
    last, state = again.state(TRIAL)
    assert last == replace(ROW, step=1, validation_loss=None)
    assert state["0"].tolist() == [0, 1, 2, 3]
    assert again.exhibits()[TRIAL]["volts"].tolist() == [[1, 0], [0, 1]]
    assert again.latest() == {TRIAL: (2, last)}
    assert again.history() == [ROW, last]


def test_step_and_state_are_kept_together_or_not_at_all(tmp_path):
    store = Store(tmp_path)
    store.commit(ROW, {"0": np.zeros(1)})
    with pytest.raises(InputError, match="another process has written step 0 of tngd"):
        store.commit(ROW, {"0": np.ones(1)})
    assert store.state(TRIAL)[1]["0"].tolist() == [0]
    assert len(store.history()) == 1


def test_changed_config_is_refused_and_the_difference_shown(tmp_path):
    store = Store(tmp_path)
    store.claim({"steps": 3, "data": {"train": 10}}, {})
    store.claim({"steps": 3, "data": {"train": 10}}, {})
    with pytest.raises(InputError, match=r"data\.train = 10, this config has 20; choose another folder"):
        store.claim({"steps": 3, "data": {"train": 20}}, {})


def test_unusable_folders_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Store(tmp_path / "file" / "run")
    (tmp_path / "run.sqlite").write_text("no database, but text of some length" * 30)
    with pytest.raises(InputError, match="cannot be used"):
        Store(tmp_path)
    with pytest.raises(InputError, match="holds no run"):
        open_existing(tmp_path / "nowhere")


def test_a_trial_with_one_step_is_seen(tmp_path):
    store = Store(tmp_path / "a folder # with ? and %")
    store.commit(ROW, {"0": np.zeros(1)})
    assert store.latest() == {TRIAL: (1, ROW)}
    store.close()
    assert len(open_existing(tmp_path / "a folder # with ? and %").history()) == 1

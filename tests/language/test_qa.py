"""Training on questions, from files to a report, with a small encoder."""

import copy
import json
import re
from contextlib import closing
from hashlib import sha256

import jax
import numpy as np
import pytest

from experiments.training.config import read_experiment, single
from experiments.training.data import fingerprint
from experiments.training.language import official
from experiments.training.language.judging import judged
from experiments.training.methods import factor_of, learner_of
from experiments.training.report import write_reports
from experiments.training.run import prepare, run
from experiments.training.stepping import evaluation
from experiments.training.store import open_existing
from experiments.training.tasks import task_named
from spu_circuit.errors import InputError
from tests.experiments.training.language.questions import DOCUMENT, written
from tests.experiments.training.language.shapes import tensors
from tests.language.folders import SHAPE, write_tensors

NATURAL = {"damping": 1.0, "curvature": "sampled fisher", "draws": 2, "learning_rates": [0.05]}
CONFIG = {
    "name": "small",
    "task": "qa",
    "steps": 4,
    "batch_size": 2,
    "seeds": [0],
    "evaluate_every": 2,
    "data": {"train": 8, "validation": 2, "test": 4, "length": 32, "question": 10, "stride": 8, "answer": 8},
    "network": {"dropout": 0.1},
    "optimizers": {
        "bench": {"kind": "tngd", "hardware": "bench", "engine": "network", **NATURAL},
        "adam": {"kind": "tngd", "hardware": "ideal", "engine": "sde", "adam": True, "betas": [0, 0], **NATURAL},
        "memory": {"kind": "ngd", "memory": 0.9, **NATURAL},
        "adamw": {"kind": "adamw", "learning_rates": [0.01]},
    },
}


@pytest.fixture
def config(folder):
    return CONFIG | {"data": CONFIG["data"] | {"model": str(folder)}}


@pytest.fixture
def path(tmp_path):
    """Eight paragraphs of two questions each, one of whose answers is not where the file says."""
    document = copy.deepcopy(DOCUMENT)
    document["data"] *= 4
    return written(tmp_path, document)


def changed(config, data=(), **others):
    return read_experiment(config | {"data": config["data"] | dict(data)} | others, "test")


def test_a_training_runs_from_files_to_a_report(config, path, tmp_path):
    training = single(changed(config))
    resolved = prepare(training, path)
    assert resolved["notes"] == [
        "4 of 20 questions have no answer in the file; they are left out.",
        "4 of 20 answers are not in their context where the file says.",
        "4 of 16 questions have no answer that a window holds; they train nothing.",
    ]
    assert run(training, resolved, tmp_path / "run", path, lambda latest: None, workers=1)
    with closing(open_existing(tmp_path / "run")) as store:
        history, said = store.history(), write_reports(store)
    assert {step.optimizer for step in history} == {"bench", "adam", "memory", "adamw"}
    assert len(history) == 16
    assert all(np.isfinite(step.loss) for step in history)
    assert all(0 <= step.score <= 1 for step in history if step.score is not None)
    # All begin with the same windows, weights and dropped numbers.
    assert len({round(step.loss, 4) for step in history if step.step == 0}) == 1
    assert said[:3] == resolved["notes"]
    assert all(0 <= step.beside <= 1 for step in history if step.score is not None)
    assert any(re.search(r"reaches a test F1 of [\d.]+ % and exact match of [\d.]+ % after", each) for each in said)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "8 training, 2 validation and 4 test questions" in page
    assert "final test exact match" in page
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["beside"]["name"] == "exact match"
    assert all(0 <= own["final_beside"]["mean"] <= 1 for own in summary["optimizers"].values())


def test_no_two_parts_share_a_paragraph_and_tests_keep_all_windows(config, path):
    experiment = changed(config)
    parts = task_named("qa").load(experiment.data, path)
    inputs, spans = parts.train
    assert inputs.shape[1:] == (2, 32)
    assert spans.min() > 0
    assert (parts.validation[1][:, :2] > 0).all()
    test = parts.test[1]
    assert len(set(test[:, 2].tolist())) == 4
    assert (test[:, 0] < 0).any()
    questions = [set(part[1][:, 2] // 2) for part in (parts.validation, parts.test)]
    assert not questions[0] & questions[1]


def test_the_score_is_the_f1_of_the_likeliest_answers(config, path):
    experiment = changed(config)
    learner, test = learner_of(experiment), task_named("qa").load(experiment.data, path).test
    outputs = np.asarray(learner.model(learner.begin(0), test[0]))
    # Beside it is the share that matches exactly.
    assert learner.judge(outputs, test[1]) == judged(outputs, test[1], 8)


def test_answers_are_judged_outside_of_what_is_compiled(config, path, monkeypatch):
    """A callback that is given large arrays can wait for the thread that it runs on: evaluations hung on one core."""

    def refuse(*args, **kwargs):
        raise AssertionError("a callback")

    monkeypatch.setattr("jax.pure_callback", refuse)
    experiment = changed(config)
    learner, test = learner_of(experiment), task_named("qa").load(experiment.data, path).test
    stack = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), learner.begin(0))
    loss, score, beside = evaluation(learner)(stack, *test, np.array([True, False]))
    outputs = np.asarray(learner.model(learner.begin(0), test[0]))
    assert (score[0], beside[0]) == pytest.approx(judged(outputs, test[1], 8))
    assert np.isfinite(loss[0])
    assert np.isnan([loss[1], score[1], beside[1]]).all()


def test_a_curvature_has_a_row_for_each_draw_whatever_the_windows_are(config):
    experiment = changed(config)
    parameters = 2 * 4 * 2 * (8 + 8) + 2 * 8 + 2
    assert factor_of(experiment, "bench").shape == (4, parameters)
    gauss = {"kind": "ngd", "damping": 1.0, "learning_rates": [0.1]}
    assert factor_of(changed(config, optimizers={"ggn": gauss}), "ggn").shape == (2 * (2 * 32 - 2), parameters)


def test_without_a_file_the_official_questions_are_taken(config, path, monkeypatch):
    content = path.read_bytes()
    here = official.Source(path.as_uri(), len(content), sha256(content).hexdigest())
    monkeypatch.setattr(official, "TRAIN", here)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(path.parent / "copies"))
    task, sizes = task_named("qa"), changed(config).data
    assert fingerprint(task.load(sizes, None)) == fingerprint(task.load(sizes, path))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            {"length": 64},
            "data.length: windows of 64 tokens are longer than the 48 that the encoder of data.model takes",
        ),
        (
            {"train": 100},
            "106 questions are asked for, there are 12 with an answer in a window of 8 paragraphs.*; lower train. "
            "4 of 20 questions have no answer in the file",
        ),
    ],
)
def test_what_does_not_fit_is_refused(config, path, data, words):
    with pytest.raises(InputError, match=words):
        task_named("qa").load(changed(config, data).data, path)


def test_a_file_whose_answers_are_all_elsewhere_is_refused_with_the_reason(config, tmp_path):
    document = copy.deepcopy(DOCUMENT)
    for paragraph in document["data"][0]["paragraphs"]:
        paragraph["context"] = f"Once more. {paragraph['context']}"
    with pytest.raises(
        InputError, match=r"there are 0 with .*; give others\. .* 5 of 5 answers are not in their context"
    ):
        task_named("qa").load(changed(config).data, written(tmp_path, document))


def test_weights_that_changed_are_another_run(config, path, folder):
    before = prepare(single(changed(config)), path)
    write_tensors(folder, {name: 2 * array for name, array in tensors(SHAPE).items()})
    after = prepare(single(changed(config)), path)
    assert before.pop("data_sha256") != after.pop("data_sha256")
    assert before == after

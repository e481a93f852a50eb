"""Questions from files, windows of them, and answers read back."""

import copy
import json

import numpy as np
import pytest

from experiments.training.language.judging import judged, likeliest, with_texts
from experiments.training.language.squad import Answer, Question, read_questions
from experiments.training.language.windows import CONTEXT, END, NOTHING, QUESTION, windows_of
from spu_circuit.errors import InputError
from tests.experiments.training.language.questions import DOCUMENT, LAMP, TORTOISE, Words, written

OFF, ON = -1e4, 5.0


@pytest.fixture
def questions(tmp_path):
    return [question for question in read_questions(written(tmp_path)) if question.answers]


def windows(questions, length=16, stride=4, longest=6):
    return windows_of(questions, Words(), length, stride, longest)


def pointing(own, spans):
    """Outputs that are sure of a span in each window."""
    outputs = np.zeros((len(own), 2, own[0].tokens.shape[1]))
    for row, window, (first, last) in zip(outputs, own, spans, strict=True):
        row[:, window.tokens[1] != CONTEXT] = OFF
        row[0, first], row[1, last] = ON, ON
    return outputs.reshape(len(own), -1)


def test_questions_are_read_with_what_belongs_to_them(questions):
    assert [question.paragraph for question in questions] == [0, 0, 1, 1]  # the fifth has no answer
    assert questions[0] == Question(
        0, TORTOISE, "What does the tortoise eat?", (Answer("clover", 63), Answer("eats clover", 58))
    )
    assert [question.placed and question.placed.text for question in questions] == [
        *("clover", "under a broken cart", "A lamp of green glass"),
        None,  # it is not where the file says
    ]


@pytest.mark.parametrize("begin", [-1, -6, 1000])
def test_an_answer_outside_its_context_is_not_in_it(begin):
    assert Question(0, LAMP, "?", (Answer("winter", begin),)).placed is None
    assert Question(0, LAMP, "?", (Answer("", 0),)).placed is None


def test_a_second_answer_takes_the_place_of_one_that_is_misplaced():
    right = Answer("green glass", LAMP.index("green"))
    assert Question(0, LAMP, "?", (Answer("green glass", 3), right)).placed == right


def test_windows_overlap_and_reach_the_end(questions):
    own = [window for window in windows(questions) if window.question == 0]
    room = 16 - 6 - 3
    for window in own:
        parts = window.tokens[1].tolist()
        context = parts.count(CONTEXT)
        assert parts == [QUESTION] * 8 + [CONTEXT] * context + [END] + [NOTHING] * (room - context)
        assert window.tokens[0, 0] == 1
        assert (window.tokens[0, [7, 8 + context]] == 2).all()
        assert window.text in TORTOISE
    starts = [TORTOISE.index(window.text) for window in own]
    everywhere = Words().tokens([TORTOISE])[0]
    assert starts == everywhere.begins[::4][: len(own)].tolist()
    assert own[-1].text.endswith("cart.")
    assert sum(window.text.endswith("cart.") for window in own) == 1


def test_a_short_paragraph_has_one_window(questions):
    (one,) = windows(questions[2:3], length=64)
    assert one.text == LAMP
    assert one.answered


def test_long_questions_are_cut(questions):
    own = windows(questions[:1], longest=2)
    assert (own[0].tokens[1] == QUESTION).sum() == 2 + 2


def test_spans_mark_the_answer_where_a_window_holds_all_of_it(questions):
    own = windows(questions[:3])
    held = [window for window in own if window.answered]
    assert {window.question for window in held} == {0, 1, 2}
    for window in held:
        first, last = window.span
        found = window.text[window.begins[first] : window.ends[last]]
        assert found == questions[window.question].placed.text
    for window in own:
        assert window.answered == (questions[window.question].placed.text in window.text)


def test_an_answer_inside_a_word_takes_the_word():
    question = Question(0, LAMP, "Which?", (Answer("gree", LAMP.index("green")),))
    (window,) = windows([question], length=64)
    assert window.text[window.begins[window.span[0]] : window.ends[window.span[1]]] == "green"


def test_right_spans_are_judged_right(questions):
    own = [window for window in windows(questions[:3]) if window.answered]
    outputs = pointing(own, [window.span for window in own])
    assert judged(outputs, with_texts(own, questions), 10) == (1, 1)


def test_the_surest_window_of_a_question_is_judged(questions):
    """Two windows of one question: the one that is wrong counts only where it is the surer one."""
    own = [window for window in windows(questions) if window.question == 0][-3:-1]
    assert [window.answered for window in own] == [True, True]
    wrong = (own[1].span[0] + 1, own[1].span[0] + 1)
    outputs, targets = pointing(own, [own[0].span, wrong]), with_texts(own, questions)
    outputs[0] *= 2
    assert judged(outputs, targets, 10) == (1, 1)
    outputs[1] *= 4
    assert judged(outputs, targets, 10) == (0, 0)


def test_the_answer_that_flatters_most_and_means_over_questions(questions):
    held = [window for window in windows(questions[:3]) if window.answered]
    own = [next(window for window in held if window.question == k) for k in (0, 2)]
    first, _ = own[0].span
    outputs = pointing(own, [(first - 1, first), (own[1].span[0] + 3, own[1].span[1])])
    # "eats clover" is the second right answer of the first question; "green glass" is half of "lamp of green glass".
    assert judged(outputs, with_texts(own, questions), 10) == pytest.approx(((1 + 2 * 2 / 6) / 2, 0.5))


def test_the_likeliest_span_is_that_of_a_search():
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(20, 2 * 9))
    score, first, last = likeliest(outputs, 4)
    for row, *found in zip(outputs.reshape(20, 2, 9), score, first, last, strict=True):
        spans = [(row[0, s] + row[1, e], s, e) for s in range(9) for e in range(s, min(s + 4, 9))]
        assert max(spans) == tuple(found)


def test_letters_of_any_script_survive(tmp_path):
    document = copy.deepcopy(DOCUMENT)
    paragraph = document["data"][0]["paragraphs"][1]
    paragraph["context"] = "Ключ лежит 𝔞𝔟 под камнем."
    paragraph["qas"] = [
        {"id": "6", "question": "Где?", "answers": [{"text": "под камнем", "answer_start": 14}]},
    ]
    questions = read_questions(written(tmp_path, document))
    own = [window for window in windows(questions, length=32) if window.question == 2]
    assert judged(pointing(own, [own[0].span]), with_texts(own, questions), 5) == (1, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON: .*; copy it again"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is not in the format of SQuAD v1.1"),
        ('{"data": [{"paragraphs": [{"context": 1, "qas": []}]}]}', "1 is no text"),
        ('{"data": [{"paragraphs": [{"qas": []}]}]}', "KeyError 'context'"),
        ('{"data": 3}', "give data → paragraphs → context and qas"),
        (json.dumps(DOCUMENT).replace('"answer_start": 7', '"answer_start": "x"'), "is not in the format"),
        (json.dumps(DOCUMENT).replace('"answer_start": 7', '"answer_start": true'), "True is no whole number"),
        (json.dumps(DOCUMENT).replace("What does", "\\ud800"), "has half a character"),
    ],
)
def test_files_in_another_format_are_refused_in_one_line(tmp_path, text, words):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_questions(path)
    assert "\n" not in str(caught.value)
    assert "other.json" in str(caught.value)
